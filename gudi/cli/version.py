"""`gudi --version`: what a report of a problem needs."""

from __future__ import annotations

import importlib.util
import platform

import click

from gudi.outputs.run_record import current_versions
from gudi.version import __version__

ENGINES = {"onnx": "onnxruntime", "tensorflow": "tensorflow"}


def show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print `describe_installation` and end, if the option `--version` is given."""
    if wanted and not context.resilient_parsing:
        click.echo(describe_installation())
        context.exit()


def describe_installation() -> str:
    """Return versions, engines, face search and system, on a line each."""
    python, *packages = (f"{name} {version}" for name, version in current_versions().items())
    engines = [name for name, package in ENGINES.items() if importlib.util.find_spec(package)]
    return "\n".join(
        (
            f"gudi, version {__version__}",
            f"{python}, {platform.platform()}",
            f"packages: {', '.join(packages)}",
            f"engines: {', '.join(engines) or 'none'}",
            f"haar search: {_face_search()}",
        )
    )


def _face_search() -> str:
    try:
        from gudi.detection import haar
    except ImportError as error:
        return f"none ({error})"
    return haar.implementation()

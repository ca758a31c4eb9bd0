"""The help pages of all commands, and what they and the start import."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from importlib import metadata

import click
import pytest
from click.testing import CliRunner
from conftest import ROOT, gudi_environment, run_gudi

from gudi.cli import main
from gudi.detection import haar
from gudi.version import __version__


def commands(group=main, path=()):
    """Return all commands by the words that call them."""
    found = {path: group}
    for name, each in getattr(group, "commands", {}).items():
        found |= commands(each, (*path, name))
    return found


COMMANDS = {" ".join(path): command for path, command in commands().items()}
LEAVES = [path for path, command in COMMANDS.items() if not hasattr(command, "commands")]


def help_page(command: str) -> str:
    """Return the help page of a command on a terminal of 80 columns."""
    arguments = [*command.split(), "--help"]
    return CliRunner().invoke(main, arguments, prog_name="gudi", terminal_width=80).output


def test_help_imports_none_of_the_heavy_packages():
    script = (
        "import sys\n"
        "from gudi.cli import main\n"
        "for command in sys.argv[1:]:\n"
        "    try: main([*command.split(), '--help'])\n"
        "    except SystemExit as end: assert end.code == 0\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *COMMANDS],
        env=gudi_environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: ") == len(COMMANDS)
    packages = {name.partition(".")[0] for name in done.stderr.split()}
    assert "click" in packages
    heavy = {"tensorflow", "tflearn", "cv2", "numpy", "joblib", "PIL", "scipy", "sklearn"}
    assert not packages & (heavy | {"av", "dask", "filelock", "matplotlib", "tqdm", "asyncio"})


def test_version_says_what_a_report_needs():
    first, system, packages, engines, search = run_gudi("--version").stdout.splitlines()
    assert first == f"gudi, version {__version__}"
    assert system == f"python {platform.python_version()}, {platform.platform()}"
    assert f"opencv-python {metadata.version('opencv-python')}" in packages
    assert engines.startswith("engines: onnx")
    assert search == f"haar search: {haar.implementation()}"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_help_page_has_examples_and_exit_codes(command):
    page = help_page(command)
    assert page.startswith(f"Usage: gudi {command} ".replace("  ", " "))
    examples = re.search(r"\n  Examples?:\n((?:    gudi .+\n)+)", page)
    for example in examples[1].splitlines():
        assert example.strip().startswith(f"gudi {command}".strip())
        check(example.strip())
    exit_codes = re.search(r"\n  Exit codes:\n((?:    \d+ +\S.+\n)+)", page)
    codes = [line.split()[0] for line in exit_codes[1].splitlines()]
    assert codes in (["0", "1", "2", "3", "130"], ["0", "1", "2", "130"])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_help_page_fits_into_80_columns(command):
    assert max(map(len, help_page(command).splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_listed_with_whole_sentences(command):
    for each in getattr(COMMANDS[command], "commands", {}).values():
        sentence = each.get_short_help_str(limit=60)
        assert sentence.endswith(".")
        assert not sentence.endswith("...")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_help_that_is_a_sentence(command):
    for parameter in COMMANDS[command].params:
        if isinstance(parameter, click.Option):
            assert re.fullmatch(r"[A-Za-z].*[.!]", parameter.help, re.DOTALL)
            assert "[default" not in parameter.help, "show_default says it"


def test_defaults_are_shown_in_one_style():
    defaults = re.findall(r"\[default: ([^]]*)\]", " ".join(help_page("batch").split()))
    assert "one per CPU; x>=1" in defaults
    assert not [default for default in defaults if default.startswith("(")]


def test_predict_does_not_speak_of_videos():
    assert "video" not in help_page("predict").lower()


@pytest.mark.parametrize("command", LEAVES)
def test_every_command_is_in_the_readme(command):
    assert f"gudi {command} " in (ROOT / "README.md").read_text()


def test_the_documentation_names_only_commands_and_options_that_exist():
    texts = [path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    lines = re.findall(r"`(gudi [a-z][^`]*)`", texts[0])
    for block in re.findall(r"```(?:sh|console)\n(.*?)```", "\n".join(texts), re.DOTALL):
        lines += re.findall(r"(?m)^(?:\$ )?(?:[./\w]*/)?(gudi [a-z].*)", block)
    for line in lines:
        check(line.partition("#")[0])
    assert len(lines) > 40


def check(line: str) -> None:
    """Assert that a command line calls a command, with options that it has."""
    words = line.removeprefix("gudi").split()
    if words[-1:] == ["--help"]:
        words.pop()
    command = next(
        path for path in reversed(COMMANDS) if words[: len(path.split())] == path.split()
    )
    options = COMMANDS[command].params
    known = {name for each in options for name in (*each.opts, *each.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known, line

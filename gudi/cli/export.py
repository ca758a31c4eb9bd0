"""`gudi export`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from gudi.cli.group import EXIT_CODES
from gudi.cli.options import NonEmptyPath, checkpoint_option, emotions_option, network_option
from gudi.errors import one_line
from gudi.progress import terminal_progress


@click.command(epilog=EXIT_CODES)
@click.argument("out", type=NonEmptyPath(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["onnx", "savedmodel"]),
    help="What to write.  [default: onnx if OUT ends in .onnx, savedmodel if it has no ending]",
)
@click.option(
    "--input",
    "dtype",
    type=click.Choice(["uint8", "float32"]),
    default="uint8",
    show_default=True,
    help="What the exported network takes: grey levels as they are, or divided by 255.",
)
@checkpoint_option
@emotions_option
@network_option
@click.option("--overwrite", is_flag=True, help="Replace the file or SavedModel OUT.")
def export(out: Path, **options: Any) -> None:
    """Write the network for use without gudi and TFLearn: as ONNX or SavedModel.

    OUT is a file for ONNX and a folder for TensorFlow's SavedModel. It is loaded again and compared
    with gudi's own answers before it takes its place. ONNX needs pip install 'gudi[onnx]'.

    \b
    input   faces_0_to_255  uint8 (n, 48, 48, 1), grey levels from 0, black, to 255; or
            faces_0_to_1    float32 (n, 48, 48, 1), grey levels / 255
    output  probabilities   float32 (n, classes), in the order of the emotions, which are
                            in the ONNX file's metadata or in assets.extra/gudi.json
    """
    from gudi.export import export

    exported = export(out, progress=terminal_progress(), **options)
    say = functools.partial(click.echo, err=True)
    say(one_line(f"emotions: {', '.join(exported.emotions)}"))
    if exported.idle_units:
        say(f"left out: {exported.idle_units:,} hidden units that have no effect")
    say(
        f"checked with {exported.checked_with}: on {exported.faces} pictures the probabilities are "
        f"within {exported.difference:.2g} of gudi's own"
    )
    click.echo(exported.path)

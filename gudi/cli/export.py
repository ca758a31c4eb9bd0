"""`gudi export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gudi.cli.group import exit_codes, print_message
from gudi.cli.options import (
    NonEmptyPath,
    checkpoint_option,
    emotions_option,
    mirror_option,
    network_option,
    option,
)
from gudi.cli.text import describe_export
from gudi.limits import check_memory
from gudi.progress import terminal_progress


@click.command(epilog=exit_codes(finished="exported"))
@click.argument("out", type=NonEmptyPath())
@option(
    "--format",
    "form",
    type=click.Choice(["onnx", "savedmodel"]),
    show_default="onnx if OUT ends in .onnx, savedmodel if it has no extension",
    help="Format to write.",
)
@option(
    "--input",
    "dtype",
    type=click.Choice(["uint8", "float32"]),
    default="uint8",
    help="What the exported network takes: grey levels from 0 to 255, or from 0 to 1.",
)
@checkpoint_option
@emotions_option
@network_option
@mirror_option
@option("--overwrite", is_flag=True, help="Replace the file or SavedModel at OUT.")
def export(out: Path, **options: Any) -> None:
    """Write the network as ONNX or SavedModel.

    The result runs without gudi and TFLearn. OUT is a file for ONNX, or a folder for TensorFlow's
    SavedModel. It appears only after it has been loaded and its predictions match those of gudi.

    \b
    ONNX needs an extra package:
      pip install onnx

    \b
    Input   faces_0_to_255  uint8 (n, 48, 48, 1), grey levels, 0 (black) to 255
         or faces_0_to_1    float32 (n, 48, 48, 1), grey levels divided by 255
    Output  probabilities   float32 (n, classes), in the order of the emotions,
                            which are in the metadata of the ONNX file or in
                            assets.extra/gudi.json of the SavedModel

    \b
    Examples:
      gudi export model.onnx
      gudi export saved_model --checkpoint old-folder/
    """
    check_memory(tensorflow=True)
    from gudi.export import export

    exported = export(out, progress=terminal_progress(), **options)
    print_message(describe_export(exported))
    click.echo(exported.path)

"""The command line: options, progress and exit codes. What the commands do lives elsewhere.

TensorFlow and OpenCV are imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys

import click

from gudi import __version__
from gudi.cli import batch, checkpoint, export, predict, prepare, train
from gudi.cli.group import EXIT_CODES, CommandGroup


@click.group(
    cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES
)
@click.version_option(__version__, prog_name="gudi")
@click.option(
    "--debug", is_flag=True, help="Show tracebacks, and what TensorFlow and OpenCV print."
)
def main(debug: bool) -> None:
    """Recognise facial expressions in photos and videos.

    Faces are found and classed as the old Gudi scripts for TFLearn did it, with a checkpoint that
    gudi brings along, one that they left behind, or one that you train.
    """
    if debug:
        os.environ["GUDI_DEBUG"] = "1"
    # File names may hold bytes that the terminal's encoding does not have.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")


for command in (
    batch.batch,
    batch.merge,
    predict.predict,
    predict.live,
    prepare.prepare,
    train.train,
    train.evaluate,
    checkpoint.checkpoint,
    export.export,
):
    main.add_command(command)

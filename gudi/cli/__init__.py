"""The command line: options, help, progress, output and exit codes.

The work is done by other packages. These are imported inside the commands, so that `--help` is
quick.
"""

from __future__ import annotations

import io
import os
import sys

import click

from gudi.cli import batch, checkpoint, export, predict, prepare, results, train
from gudi.cli.group import CommandGroup, exit_codes
from gudi.cli.version import show_version
from gudi.settings import DEBUG_VARIABLE


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=exit_codes(finished="finished", failed="finished, but some inputs failed"),
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_version,
    help="Show what a report of a problem needs: versions, engines, face search, system.",
)
@click.option(
    "--debug", is_flag=True, help="Show tracebacks and the messages of TensorFlow and OpenCV."
)
def main(debug: bool) -> None:
    """Recognise facial expressions in photos and videos.

    gudi detects faces and predicts their emotions as the old Gudi scripts for TFLearn do. It uses
    the checkpoint that comes with it, one from the old scripts, or one that you train.

    \b
    Examples:
      gudi batch ./photos --out results/
      gudi batch --help
    """
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"
    # File names may contain bytes that the terminal's encoding does not have.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


for command in (
    batch.batch,
    batch.merge,
    results.plot,
    results.summarize,
    results.report,
    results.select,
    predict.predict,
    predict.live,
    prepare.prepare,
    train.train,
    train.evaluate,
    checkpoint.checkpoint,
    export.export,
):
    main.add_command(command)

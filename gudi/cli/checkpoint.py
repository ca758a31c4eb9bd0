"""`gudi checkpoint`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from gudi.cli.group import EXIT_CODES
from gudi.cli.options import NonEmptyPath, network_option
from gudi.cli.text import describe_checkpoint
from gudi.constants import CHECKPOINT_NAME
from gudi.errors import ExitCode


@click.group(epilog=EXIT_CODES)
def checkpoint() -> None:
    """Look at old checkpoints, and bring them into order."""


@checkpoint.command(name="inspect", epilog=EXIT_CODES)
@click.argument("path", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print everything, as JSON.")
@click.option("--verify", is_flag=True, help="Read all data and check it against its checksums.")
@click.option(
    "--network",
    type=click.IntRange(min=1),
    metavar="N",
    help="Which of several networks is meant.  [default: the trained one]",
)
def inspect_checkpoint(path: str | None, as_json: bool, verify: bool, network: int | None) -> None:
    """Say what a checkpoint is, what is wrong with it, and whether gudi can use it.

    PATH is the prefix, the folder or any file of it; without one, the checkpoint that gudi would
    take by itself. The exit code is 1 when gudi cannot use it.
    """
    from gudi.checkpoint import inspect

    report = inspect(path, verify=verify, number=network)
    click.echo(json.dumps(report, indent=2) if as_json else describe_checkpoint(report))
    sys.exit(ExitCode.FINISHED if report["usable"] else ExitCode.COULD_NOT_RUN)


@checkpoint.command(epilog=EXIT_CODES)
@click.argument("path", required=False)
@click.option(
    "--to",
    type=NonEmptyPath(path_type=Path, file_okay=False),
    default="checkpoints",
    show_default=True,
    metavar="DIR",
    help="Folder to write to.",
)
@click.option(
    "--name", default=CHECKPOINT_NAME, show_default=True, help="What the files are called."
)
@network_option
def adopt(path: str | None, to: Path, name: str, network: int | None) -> None:
    """Write a checkpoint anew, complete and under the names that the original scripts look for.

    PATH is the prefix, the folder or any file of it; it is only read. All that is written is read
    again and compared. The result loads in the old scripts under TensorFlow 1.x, too.
    """
    from gudi.checkpoint import adopt

    adopted = adopt(path, to, name, network)
    for note in adopted.notes:
        click.echo(note, err=True)
    click.echo(adopted.prefix)


@checkpoint.command(epilog=EXIT_CODES)
@click.argument("path")
@click.argument("packed", type=NonEmptyPath(path_type=Path, dir_okay=False))
@network_option
def pack(path: str, packed: Path, network: int | None) -> None:
    """Pack a checkpoint's weights into one small file, to keep or to share.

    PATH is the prefix, the folder or any file of it; PACKED, which has to end in .gudi, is written.
    The big matrix is rounded to 8-bit numbers; gudi evaluate tells what that costs. gudi takes a
    packed file wherever it takes a checkpoint, and adopt makes an ordinary one of it.
    """
    from gudi.checkpoint import pack_checkpoint

    click.echo(f"{pack_checkpoint(path, packed, network):,} bytes", err=True)
    click.echo(packed)

"""`gudi checkpoint`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gudi.cli.group import OrderedGroup, exit_codes, print_message, print_results
from gudi.cli.messages import describe_checkpoint
from gudi.cli.options import NonEmptyPath, declared_options, option
from gudi.constants import CHECKPOINT_NAME
from gudi.errors import ExitCode
from gudi.settings import DetectionOptions, PredictionOptions


@click.group(cls=OrderedGroup, epilog=exit_codes(finished="finished"))
def checkpoint() -> None:
    """Inspect, repair or pack a checkpoint.

    \b
    Examples:
      gudi checkpoint inspect old-folder/
      gudi checkpoint adopt old-folder/
    """


def _split_renames(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Return the new names by the old ones."""
    pairs = [value.partition("=") for value in values]
    if not all(old and new for old, _, new in pairs):
        raise click.BadParameter("must be OLD=NEW, such as conv1=Conv2D")
    return {old: new for old, _, new in pairs}


_rename_option = option(
    "--rename",
    "names",
    multiple=True,
    metavar="OLD=NEW",
    callback=_split_renames,
    show_default=False,
    help="Name of a layer or variable that a fork of Gudi calls OLD, such as conv1=Conv2D or "
    "conv1/kernel=Conv2D/W. Repeat the option for each.",
)


@checkpoint.command(
    name="inspect",
    epilog=exit_codes(
        finished="gudi can use the checkpoint", could_not_run="gudi cannot use the checkpoint"
    ),
)
@click.argument("path", required=False)
@option("--json", "as_json", is_flag=True, help="Print all details as JSON.")
@option(
    "--verify",
    is_flag=True,
    help="Read all data and verify its checksums, and that its weights are usable numbers.",
)
@declared_options(PredictionOptions, "network")
@_rename_option
def inspect_checkpoint(
    path: str | None, as_json: bool, verify: bool, network: int | None, names: dict[str, str]
) -> None:
    """Describe a checkpoint and say whether gudi can use it.

    PATH is the prefix, the folder or any file of the checkpoint. Without PATH, the command
    describes the checkpoint that gudi uses by default.

    \b
    Examples:
      gudi checkpoint inspect old-folder/
      gudi checkpoint inspect old-folder/ --verify
    """
    from gudi.checkpoint import inspect

    report = inspect(path, verify=verify, number=network, names=names)
    if as_json:
        print_results(report.as_json())
    else:
        print_results(describe_checkpoint(report, verified=verify))
    sys.exit(ExitCode.FINISHED if report.usable else ExitCode.COULD_NOT_RUN)


@checkpoint.command(epilog=exit_codes(finished="written"))
@click.argument("path", required=False)
@option(
    "--to",
    type=NonEmptyPath(file_okay=False),
    default="checkpoints",
    metavar="DIR",
    help="Folder to write to.",
)
@option(
    "--name", metavar="NAME", default=CHECKPOINT_NAME, help="Name of the files, without extension."
)
@declared_options(PredictionOptions, "network")
@_rename_option
def adopt(
    path: str | None, to: Path, name: str, network: int | None, names: dict[str, str]
) -> None:
    """Write a complete copy under the original names.

    PATH is the prefix, the folder or any file of the checkpoint, which is only read. Without PATH,
    the command copies the checkpoint that gudi uses by default. Everything that is written is read
    back and compared. The old scripts can load the copy under TensorFlow 1.x.

    \b
    Examples:
      gudi checkpoint adopt old-folder/
      gudi checkpoint adopt old-folder/ --to data/
    """
    from gudi.checkpoint import adopt

    adopted = adopt(path, to, name, network, names=names)
    for note in adopted.notes:
        print_message(note)
    click.echo(adopted.prefix)


@checkpoint.command(epilog=exit_codes(finished="written"))
@click.argument("path")
@click.argument("packed", type=NonEmptyPath(dir_okay=False))
@declared_options(PredictionOptions, "network")
@option(
    "--mirror/--no-mirror",
    default=None,
    show_default="as the source",
    help="Whether gudi should predict each face and its mirror image with this checkpoint.",
)
@declared_options(
    DetectionOptions,
    "detector",
    default=None,
    show_default="as the source",
    help="How gudi should detect faces for this checkpoint, see gudi batch --help.",
)
@option(
    "--calibrate",
    type=NonEmptyPath(),
    metavar="DATA",
    help="Prepared faces that the checkpoint was not trained with. Temperature scaling makes the "
    "probabilities match the accuracy on these faces. The predicted emotions stay the same.",
)
def pack(
    path: str,
    packed: Path,
    network: int | None,
    mirror: bool | None,
    detector: str | None,
    calibrate: Path | None,
) -> None:
    """Pack the weights into one small file.

    PATH is the prefix, the folder or any file of the checkpoint, which is only read. PACKED is the
    file to write; its name must end in .gudi.

    The weights of the largest layer are rounded to 8 bits; gudi evaluate shows what this costs. A
    packed file can be used wherever a checkpoint is expected, and gudi checkpoint adopt turns it
    back into an ordinary one.

    \b
    Examples:
      gudi checkpoint pack old-folder/ small.gudi
      gudi checkpoint pack trained/ mine.gudi --mirror --calibrate public/
    """
    from gudi.checkpoint import pack_checkpoint

    temperature = 1.0
    if calibrate is not None:
        from gudi.training.calibrate import find_temperature
        from gudi.training.dataset import load

        temperature = find_temperature(path, load(calibrate), network=network, mirror=mirror)
        print_message(f"temperature: {temperature:.3f}")
    size = pack_checkpoint(
        path, packed, network, mirror=mirror, detector=detector, temperature=temperature
    )
    print_message(f"{size:,} bytes")
    click.echo(packed)

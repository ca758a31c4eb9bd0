"""How a run is done: detection, frames of videos, prediction, output."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gudi.constants import EMOTIONS, MIN_NEIGHBORS, SCALE_FACTOR

# Pictures that are drawn for each source.
PICTURE, THUMBNAIL = 1, 2


@dataclass(frozen=True)
class FrameSelection:
    """Which frames of a video to look at.

    Attributes:
        every: each one whose number this divides.
        fps: the first one in each so-many-th part of a second; None for all of them.
    """

    every: int = 1
    fps: float | None = None

    def takes(self, number: int, time: float, before: float | None) -> bool:
        """Tell whether to take a frame, shown at `time`, behind one shown at `before`.

        Times are seconds since the first frame; `before` is None for that one.
        """
        if number % self.every:
            return False
        if self.fps is None or before is None:
            return True
        # Time stamps are rounded, so that a frame may come a hair before its due.
        due, last = (math.floor(each * self.fps + 1e-3) for each in (time, before))
        return due > last


ALL_FRAMES = FrameSelection()


@dataclass(frozen=True)
class DetectionSettings:
    """How faces are looked for; the defaults are the original's. See `gudi.detection.detect`."""

    scale_factor: float = SCALE_FACTOR
    min_neighbors: int = MIN_NEIGHBORS
    min_face: int = 0
    max_side: int | None = None
    largest: bool = False


@dataclass(frozen=True)
class RunSettings:
    """How a run is done.

    Attributes:
        checkpoint, emotions, network: as `gudi.predictor.Predictor` takes them.
        device: as `gudi.predictor.Predictor` takes it.
        predict_in: `parent`, one predictor for all; or `workers`, one in each.
        batch_size: faces that are predicted at a time.
        workers: worker processes; None for all processors.
        backend: `loky` for processes of this machine, `dask` for those of a Dask cluster.
        scheduler: address of the cluster's scheduler; None for a cluster on this machine.
        timeout: seconds that a worker may spend on one photo, or on one stretch of a video; None
            for ever.
        worker_memory: bytes that a worker may take; None for any number.
        detection: how faces are looked for.
        frames: which frames of videos are looked at.
        crops: keep the faces themselves in the results.
        debug: let the workers' own messages through.
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
    """What a run writes, apart from what is always written.

    Attributes:
        annotated: copies of photos and videos with the faces drawn on.
        report: `report.html`, and the thumbnails in it.
        tracked: columns with the tracks of faces through videos.
        format: of the table of faces, one of `gudi.results.FORMATS`.
    """

    annotated: bool = True
    report: bool = True
    tracked: bool = False
    format: str = "csv"

    @property
    def pictures(self) -> int:
        """What has to be drawn for it, as the ledger counts it."""
        return PICTURE * self.annotated | THUMBNAIL * self.report


DEFAULT_OUTPUT = OutputSettings()

"""Process one photo or one segment of a video: decode, detect, crop, and maybe predict.

All of this runs in workers.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gudi import detection
from gudi.constants import FACE_SIZE
from gudi.errors import PhotoError, VideoError
from gudi.media import video
from gudi.media.archives import file_path
from gudi.media.photo import read_photo
from gudi.media.scenes import signature
from gudi.media.sources import VIDEO, Source, content_digest
from gudi.pipeline.workers import WorkerPrediction, describe_error, loaded_predictor
from gudi.results.records import ProcessedFrame, SourceResult
from gudi.settings import BatchOptions
from gudi.timing import StageClock


@dataclass(frozen=True)
class WorkItem:
    """A task for a worker: a photo, a segment of a video, or a video to be indexed.

    Attributes:
        source: the photo or video.
        segment: None for a photo, or for a video to be indexed.
        attempts: how many workers failed to open it.
    """

    source: Source
    segment: video.Segment | None = None
    attempts: int = 0


@dataclass(frozen=True)
class IndexedVideo:
    """What a worker found out about a video before any frame is processed."""

    index: video.VideoIndex
    digest: bytes


@dataclass(frozen=True)
class ProcessSettings:
    """How a worker processes an item.

    Attributes:
        options: of the run.
        prediction: how the worker predicts; None if the parent does.
    """

    options: BatchOptions
    prediction: WorkerPrediction | None = None


class CannotOpen(PhotoError):
    """This worker cannot open a source.

    Args:
        reason: why not.
        worker: the machine and process.
    """

    def __init__(self, reason: str, worker: str) -> None:
        super().__init__(reason, worker)  # both, so that pickling keeps both
        self.worker = worker

    def __str__(self) -> str:
        return str(self.args[0])


def process(settings: ProcessSettings, item: WorkItem) -> SourceResult | IndexedVideo:
    """Process an item.

    Raises:
        CannotOpen: this worker does not see the file.
        PhotoError, VideoError, OSError: the file cannot be decoded.
    """
    try:
        if item.segment is not None:
            result = _process_segment(settings, item.source, item.segment)
        elif item.source.kind == VIDEO:
            index = video.read_index(item.source.path)
            return IndexedVideo(index, content_digest(item.source.path))
        else:
            result = _process_photo(settings, item.source)
        if settings.prediction is not None:
            _predict(settings.prediction, result)
        return result
    except (PhotoError, VideoError, OSError) as error:
        if can_open(item.source):
            raise
        worker = f"{platform.node()} (process {os.getpid()})"
        raise CannotOpen(describe_error(error), worker) from None


def can_open(source: Source) -> bool:
    """Return whether this process can open the file of `source`."""
    path = file_path(source.path)
    if not os.path.isfile(path):
        return False  # opening a pipe would wait for its other end
    try:
        with open(path, "rb"):
            return True
    except OSError:
        return False


def _process_photo(settings: ProcessSettings, source: Source) -> SourceResult:
    result = SourceResult(source)
    clock = StageClock(result.seconds)
    # The colours need not stay in memory if the detector does without them.
    image = detection.searched(read_photo(source.path), settings.options)
    result.height, result.width = image.shape[:2]
    clock.stop("decode")
    faces = detection.find_faces(image, settings.options)
    result.boxes, result.scores = [each.box for each in faces], [each.score for each in faces]
    result.crops = _stack([detection.crop(image, box) for box in result.boxes])
    clock.stop("detect")
    result.digest = content_digest(source.path)
    return result


def _process_segment(
    settings: ProcessSettings, source: Source, segment: video.Segment
) -> SourceResult:
    """Process a segment of a video as far as it can be decoded."""
    result = SourceResult(source, segment.number, frames=0)
    clock = StageClock(result.seconds)
    crops: list[npt.NDArray[np.uint8]] = []
    count, last = 0, None
    try:
        for frame in video.read_frames(source.path, segment, settings.options):
            image = detection.searched(frame.image, settings.options)
            result.height, result.width = image.shape[:2]
            clock.stop("decode")
            for box, score in detection.find_faces(image, settings.options):
                result.boxes.append(box)
                result.scores.append(score)
                result.frame_times.append((frame.number, frame.time))
                crops.append(detection.crop(image, box))
            result.processed.append(ProcessedFrame(frame.number, frame.time, signature(image)))
            count, last, result.end = count + 1, frame.number, frame.time
            clock.stop("detect")
    except VideoError as error:
        if last is None:
            raise
        result.error = f"it ends unexpectedly after frame {last}: {error}"
    result.frames, result.crops = count, _stack(crops)
    return result


def _stack(crops: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Return crops as one array of shape (n, 48, 48)."""
    return np.array(crops, np.uint8).reshape(-1, FACE_SIZE, FACE_SIZE)


def _predict(prediction: WorkerPrediction, result: SourceResult) -> None:
    """Predict the faces of `result` in this worker."""
    if not result.boxes or result.crops is None:
        return
    clock = StageClock(result.seconds)
    result.probabilities = loaded_predictor(prediction).predict(result.crops)
    clock.stop("predict")
    if not prediction.options.crops:
        result.crops = None

"""Process one photo or a run of segments of a video: decode, detect, crop, and maybe predict.

All of this runs in workers.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gudi import detection
from gudi.analysis.scenes import signature
from gudi.errors import PhotoError, VideoError
from gudi.media import video_index
from gudi.media.content import VIDEO
from gudi.media.photo import Photo, read_content
from gudi.media.source import Source, content_digest
from gudi.picture import Picture
from gudi.pipeline.workers import WorkerPrediction, describe_error, loaded_predictor
from gudi.records import Face, Result, VideoFrame
from gudi.settings import BatchOptions
from gudi.timing import StageClock

if TYPE_CHECKING:
    from gudi.media.video import Frame


@dataclass(frozen=True)
class WorkItem:
    """A task for a worker: a photo, a run of segments of a video, or a video to be indexed.

    Attributes:
        source: the photo or video.
        segments: decoded together; none for a photo, or for a video to be indexed.
        attempts: how many workers failed to open it.
    """

    source: Source
    segments: tuple[video_index.Segment, ...] = ()
    attempts: int = 0


@dataclass(frozen=True)
class IndexedVideo:
    """What a worker found out about a video before any frame is processed."""

    index: video_index.VideoIndex
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


def process(settings: ProcessSettings, item: WorkItem) -> Result | IndexedVideo | Iterator[Result]:
    """Process an item; return a result for each of its segments if it has any.

    Raises:
        CannotOpen: this worker does not see the file.
        PhotoError, VideoError, OSError: the file cannot be decoded.
    """
    if item.segments:
        return _process_segments(settings, item.source, item.segments)
    with _opening(item.source):
        if item.source.kind == VIDEO:
            from gudi.media.video import read_index  # imports PyAV, which photos do not need

            return IndexedVideo(read_index(item.source), item.source.digest())
        return _process_photo(settings, item.source)


@contextlib.contextmanager
def _opening(source: Source) -> Iterator[None]:
    """Tell a source that this worker cannot open from one that cannot be decoded."""
    try:
        yield
    except (PhotoError, VideoError, OSError) as error:
        if can_open(source):
            raise
        worker = f"{platform.node()} (process {os.getpid()})"
        raise CannotOpen(describe_error(error), worker) from None


def can_open(source: Source) -> bool:
    """Return whether this process can open the file of `source`."""
    if not os.path.isfile(source.path):
        return False  # opening a pipe would wait for its other end
    try:
        with open(source.path, "rb"):
            return True
    except OSError:
        return False


def _process_photo(settings: ProcessSettings, source: Source) -> Result:
    result = Result(source)
    clock = StageClock(result.seconds)
    content = read_content(source)
    picture = Photo(content, detection.DETECTORS[settings.options.detector].side)
    result.width, result.height = picture.size
    result.digest = content_digest([content])
    clock.stop("decode")
    result.faces = _faces(settings, picture)
    clock.stop("detect")
    return _predicted(settings, result)


def _process_segments(
    settings: ProcessSettings, source: Source, segments: Sequence[video_index.Segment]
) -> Iterator[Result]:
    """Yield the results of segments as far as they can be decoded in one go."""
    from gudi.media.video import read_frames

    run = video_index.joined(segments)
    starts = {segment.number for segment in segments[1:]}
    result = Result(source, run.number, frames=[])
    clock = StageClock(result.seconds)
    frames = result.frames = []
    with _opening(source):
        try:
            for frame in read_frames(source, run, settings.options):
                if frame.number in starts:
                    yield _predicted(settings, result)
                    result = Result(source, frame.number)
                    clock = StageClock(result.seconds)
                    frames = result.frames = []
                result.width, result.height = frame.picture.size
                clock.stop("decode")
                result.faces += _faces(settings, frame.picture, frame)
                frames.append(VideoFrame(frame.number, frame.time, signature(frame.image)))
                clock.stop("detect")
        except VideoError as error:
            if not frames:
                raise
            result.error = f"it ends unexpectedly after frame {frames[-1].number}: {error}"
        yield _predicted(settings, result)


def _faces(settings: ProcessSettings, picture: Picture, frame: Frame | None = None) -> list[Face]:
    """Return the faces of a photo, or of a frame of a video, with their crops."""
    return [
        Face(
            box,
            score,
            frame=None if frame is None else frame.number,
            time_s=None if frame is None else frame.time,
            crop=detection.crop(picture, box),
        )
        for box, score in detection.find_faces(picture, settings.options)
    ]


def _predicted(settings: ProcessSettings, result: Result) -> Result:
    """Return `result`, with its faces predicted if workers predict."""
    prediction = settings.prediction
    if prediction is not None and result.faces:
        clock = StageClock(result.seconds)
        predictor = loaded_predictor(prediction)
        predictor.predict_faces(result.faces, keep_crops=prediction.options.crops)
        clock.stop("predict")
    return result

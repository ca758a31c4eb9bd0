"""From sources to faces with probabilities: workers detect, this process predicts.

This process predicts in batches that reach across photos and videos, and is the only one that loads
TensorFlow, unless workers are asked to predict. Videos are cut into segments of frames that any
worker can decode independently.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import gudi_jobs
from gudi.errors import CheckpointError, WorkersError, one_line
from gudi.media import video_index
from gudi.media.source import Source
from gudi.pipeline.detect_work import (
    CannotOpen,
    IndexedVideo,
    ProcessSettings,
    WorkItem,
    can_open,
    process,
)
from gudi.pipeline.predictions import PredictionQueue
from gudi.pipeline.workers import WorkerPrediction, describe_error
from gudi.predictor import Predictor
from gudi.records import Result
from gudi.settings import BatchOptions, FrameOptions
from gudi.timing import StageSeconds

# How many workers may fail to open a source that this process can open.
MAX_ATTEMPTS = 3

_Outcome: TypeAlias = gudi_jobs.Result[WorkItem, Result | IndexedVideo]

RESUMABLE = "everything finished is kept; to resume, repeat the command"


class Sink(Protocol):
    """Receives the results of `recognize`, in any order, in the thread that called it."""

    def start_video(self, source: Source, index: video_index.VideoIndex) -> Container[int]:
        """Receive a video's index; return which of its segments need no processing."""

    def forget(self, source: Source) -> None:
        """Drop the added segments of a video, which will be cut differently."""

    def add(self, result: Result) -> None:
        """Receive the result of a photo, or of a segment of a video."""

    def finish(self, source: Source, problem: str, digest: bytes | None) -> object:
        """Finish a video after all its segments; `problem` is "" or what else is wrong with it."""


def recognize(
    sources: Iterable[Source],
    *,
    options: BatchOptions,
    predictor: Future[Predictor] | None,
    workers: gudi_jobs.WorkerPool | gudi_jobs.ClusterPool,
    sink: Sink,
    seconds: StageSeconds | None = None,
    prediction: WorkerPrediction | None = None,
    runs: int = 1,
) -> None:
    """Detect and predict all faces of `sources`, and hand the results to `sink`.

    On Ctrl-C the faces that were detected by then are still predicted and handed over before
    KeyboardInterrupt is raised again.

    Args:
        sources: what to process.
        options: how.
        predictor: predicts in this process, once it is open; None if the workers predict.
        workers: detect faces.
        sink: receives the results.
        seconds: receives the time of each stage, of all processes together.
        prediction: how the workers predict; None if they do not.
        runs: into how many runs of segments to cut a video at least, so that no worker is idle.
    """
    seconds = StageSeconds() if seconds is None else seconds
    segments = _SegmentCollector(sink)
    queue = _WorkQueue(sources, options, segments, runs)
    predictions = PredictionQueue(
        predictor, options.batch_size, segments.add, seconds, keep_crops=options.crops
    )
    work = functools.partial(process, ProcessSettings(options, prediction))
    try:
        outcomes: Iterator[_Outcome] = workers.map_unordered(work, queue)
        for outcome in outcomes:
            for result in queue.results(outcome):
                seconds.add(result.seconds)
                predictions.add(result)
        predictions.finish()
    except gudi_jobs.WorkersUnavailable as error:
        resumable = f"; {RESUMABLE}" if isinstance(workers, gudi_jobs.ClusterPool) else ""
        raise WorkersError(f"{error}{resumable}") from error
    except KeyboardInterrupt:
        workers.terminate()
        predictions.rescue()
        raise
    finally:
        predictions.close()


@dataclass
class _UnfinishedVideo:
    """The missing segments of a video, and how it will be finished."""

    missing: set[int]
    problem: str
    digest: bytes


class _SegmentCollector:
    """Passes results to a sink, and finishes a video when all its segments have arrived."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._videos: dict[Source, _UnfinishedVideo] = {}

    def expect(
        self, source: Source, segments: Sequence[int], indexed: IndexedVideo
    ) -> frozenset[int]:
        """Expect the segments of a video; return those that are not finished yet."""
        finished = self._sink.start_video(source, indexed.index)
        missing = frozenset(number for number in segments if number not in finished)
        problem = indexed.index.problem
        if missing:
            self._videos[source] = _UnfinishedVideo(set(missing), problem, indexed.digest)
        else:
            self._sink.finish(source, problem, indexed.digest)
        return missing

    def expect_whole(self, source: Source) -> bool:
        """Give up the segments of a video, which will be decoded in one go.

        Returns:
            False if that was decided before: several segments may ask for it.
        """
        unfinished = self._videos.get(source)
        if unfinished is None or unfinished.missing == {video_index.WHOLE_VIDEO.number}:
            return False
        self._sink.forget(source)
        unfinished.missing = {video_index.WHOLE_VIDEO.number}
        return True

    def add(self, result: Result) -> None:
        """Receive the predicted result of a photo or a segment."""
        if result.segment is None:
            self._sink.add(result)
            return
        unfinished = self._videos.get(result.source)
        if unfinished is None or result.segment not in unfinished.missing:
            return  # the video has been cut differently since
        self._sink.add(result)
        unfinished.missing.remove(result.segment)
        if not unfinished.missing:
            del self._videos[result.source]
            self._sink.finish(result.source, unfinished.problem, unfinished.digest)


class _WorkQueue(gudi_jobs.WorkQueue[WorkItem]):
    """The items for the workers: source after source, videos in runs of segments."""

    def __init__(
        self,
        sources: Iterable[Source],
        frames: FrameOptions,
        segments: _SegmentCollector,
        runs: int,
    ) -> None:
        super().__init__(self._first_items(sources))
        self._frames, self._segments, self._runs = frames, segments, runs
        self._processed = defaultdict[WorkItem, set[int | None]](set)

    def _first_items(self, sources: Iterable[Source]) -> Iterator[WorkItem]:
        for source in sources:
            if source.problem:
                self._segments.add(Result(source, error=source.problem))
            else:
                yield WorkItem(source)

    def results(self, outcome: _Outcome) -> Iterator[Result]:
        """Yield the results of a worker's item if it has any, or queue what follows from it."""
        item, value = outcome.item, outcome.value
        if isinstance(outcome.error, video_index.UnreliableTimestamps):
            if self._segments.expect_whole(item.source):
                self.add([WorkItem(item.source, (video_index.WHOLE_VIDEO,))])
        elif isinstance(value, IndexedVideo):
            self._queue_segments(item.source, value)
        elif isinstance(outcome.error, CheckpointError):
            raise outcome.error  # the photo is not to blame
        elif isinstance(outcome.error, CannotOpen) and can_open(item.source):
            self._retry(item, outcome.error)
        elif item.segments:
            yield from self._segment_results(item, value, outcome)
        elif value is not None:
            yield value
        else:
            yield Result(item.source, error=_reason(outcome.error))

    def _segment_results(
        self, item: WorkItem, value: Result | None, outcome: _Outcome
    ) -> Iterator[Result]:
        """Yield the result of a segment; after the last one, queue the segments without one.

        After an error, these may be decoded all the same: each from its own key frame.
        """
        processed = self._processed[item]
        if value is not None:
            processed.add(value.segment)
            (segment,) = (each for each in item.segments if each.number == value.segment)
            yield _located(value, segment)
        if not outcome.is_last:
            return
        del self._processed[item]
        left = [each for each in item.segments if each.number not in processed]
        if left and (outcome.error is not None or not processed):
            reason = _reason(outcome.error) or "no frame can be decoded"
            yield _located(Result(item.source, left[0].number, error=reason), left.pop(0))
        if left:
            self.add([replace(item, segments=tuple(left))])

    def _retry(self, item: WorkItem, error: CannotOpen) -> None:
        """Queue an existing file that a worker could not open: another worker may see it."""
        if item.attempts + 1 == MAX_ATTEMPTS:
            path = one_line(item.source.path)
            raise WorkersError(
                f"the worker on {error.worker} cannot open {path} ({error}), "
                "which exists: inputs must be on storage that all workers reach by the same path; "
                f"{RESUMABLE}"
            )
        self.add([replace(item, attempts=item.attempts + 1)])

    def _queue_segments(self, source: Source, indexed: IndexedVideo) -> None:
        """Queue the segments of a video that are not finished yet."""
        selected = indexed.index.chosen(self._frames)
        segments = [video_index.WHOLE_VIDEO]
        if selected:
            segments = list(video_index.segments(indexed.index, selected))
        missing = self._segments.expect(source, [each.number for each in segments], indexed)
        self.add(WorkItem(source, run) for run in video_index.runs(segments, missing, self._runs))


def _reason(error: BaseException | None) -> str:
    return "" if error is None else describe_error(error)


def _located(result: Result, segment: video_index.Segment) -> Result:
    """Return the result of a segment, whose error says which frames it concerns."""
    if result.error and segment.numbers:
        first, last = segment.numbers[0], segment.numbers[-1]
        result.error = f"frames {first} to {last}: {result.error}"
    return result

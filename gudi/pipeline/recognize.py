"""From sources to faces with probabilities: decode → detect → crop → predict.

Workers decode, detect and crop; this process predicts what they cut out, in batches that reach
across photos and videos, and is the only one that loads TensorFlow, unless the workers are asked to
predict, too. Videos are cut into stretches of frames that any worker can decode by itself.
"""

from __future__ import annotations

import functools
import os
import platform
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol

import cv2
import numpy as np

import jobs
from gudi import detection
from gudi.checkpoint import Weights
from gudi.checkpoint.locate import SHIPPED
from gudi.errors import CheckpointError, PhotoError, VideoError, WorkersError, one_line
from gudi.media import sources, video
from gudi.media.photo import read_photo
from gudi.media.sources import Source
from gudi.predictor import Predictor
from gudi.results.folder import FileResult
from gudi.settings import DetectionSettings, FrameSelection, RunSettings

# Faces wait for a full batch no longer than this, in seconds: until they are predicted, a run that
# is killed loses what was found.
MAX_WAIT = 10.0

# Batches that may wait for the predictor before the workers' outcomes are left waiting instead.
BATCHES_AHEAD = 2

# How often a source that this process can open, but a worker cannot, is given to a worker.
MAX_TRIES = 3

GOES_ON = "what is finished is kept, and the same command goes on from there"


class Sink(Protocol):
    """Takes what `recognise` finds, in any order, in the thread that called it."""

    def known(self, source: Source) -> Container[int]:
        """Return the numbers of the stretches of a video that need not be looked at again."""

    def forget(self, source: Source) -> None:
        """Drop the stretches of a video that were added: it will be cut in another way."""

    def add(self, result: FileResult) -> None:
        """Take the result of a photo, or of a stretch of a video."""

    def finish(self, source: Source, problem: str, digest: bytes | None) -> None:
        """All stretches of a video have been added; `problem` is "" or what else it lacks."""


@dataclass(frozen=True)
class Prediction:
    """How workers predict what they cut out.

    Attributes:
        checkpoint: path that is the same for all workers; None for the one that gudi brings along.
        fingerprint: of its weights, which have to be the same everywhere.
        emotions, network, device, batch_size: as `gudi.predictor.Predictor` takes them.
        crops: keep the faces, too.
    """

    checkpoint: str | None
    fingerprint: str
    emotions: tuple[str, ...]
    network: int | None
    device: str
    batch_size: int
    crops: bool


def prediction_in_workers(settings: RunSettings, weights: Weights) -> Prediction | None:
    """Return how the workers predict with `weights`; None where they are not to."""
    if settings.predict_in == "parent":
        return None
    return Prediction(
        None if weights.source == SHIPPED else os.path.abspath(weights.source),
        weights.fingerprint,
        settings.emotions,
        settings.network,
        settings.device,
        settings.batch_size,
        settings.crops,
    )


def start_workers(
    settings: RunSettings, most: int | None = None, prediction: Prediction | None = None
) -> jobs.Workers:
    """Return the worker processes that `settings` ask for, at most so many."""
    count = settings.workers or jobs.cpu_count()
    return jobs.Workers(
        count if most is None else min(count, most),
        timeout=settings.timeout,
        memory=settings.worker_memory,
        initializer=_set_up,
        initargs=(prediction,),
        quiet=not settings.debug,
    )


def start_cluster(
    settings: RunSettings, visible: Source, prediction: Prediction | None = None
) -> jobs.Cluster:
    """Return the Dask cluster that `settings` ask for.

    Args:
        settings: how to work.
        visible: a source that all of its workers should see.
        prediction: how they predict; None where they do not.

    Raises:
        WorkersError: there is none, or its workers cannot do the work.
    """
    try:
        cluster = jobs.Cluster(
            settings.scheduler,
            settings.workers,
            initializer=_set_up,
            initargs=(prediction,),
            quiet=not settings.debug,
        )
        try:
            seen = cluster.everywhere(os.path.exists, visible.path)
            unable = cluster.everywhere(_why_not, prediction)
        except BaseException:
            cluster.close()
            raise
    except jobs.WorkersUnavailable as error:
        raise WorkersError(str(error)) from error
    blind = [address for address, sees in seen.items() if not sees]
    if blind and os.path.exists(visible.path):
        cluster.close()
        raise WorkersError(
            f"the Dask worker at {blind[0]} does not see {visible.path}: inputs have to be on "
            "storage that all workers reach by the same path"
        )
    for address, why in unable.items():
        if why:
            cluster.close()
            raise WorkersError(f"the Dask worker at {address} cannot predict: {why}")
    return cluster


def _set_up(prediction: Prediction | None) -> None:
    """Get a worker ready, or see that it is; runs in the worker."""
    cv2.setNumThreads(1)  # a worker a processor is all the parallelism there is room for
    if prediction is not None:
        _worker_predictor(prediction)


def _why_not(prediction: Prediction | None) -> str:
    """Return "" or why a worker cannot be got ready; runs in the worker."""
    try:
        _set_up(prediction)
    except Exception as error:
        return reason(error)
    return ""


_loading = threading.Lock()


def _worker_predictor(prediction: Prediction) -> Predictor:
    """Return this worker's predictor, loaded the first time; workers of Dask may have threads.

    Raises:
        CheckpointError: it cannot be used, or is another one than the parent's.
    """
    with _loading:
        return _load_predictor(prediction)


@functools.lru_cache(maxsize=1)
def _load_predictor(prediction: Prediction) -> Predictor:
    predictor = Predictor(
        prediction.checkpoint or SHIPPED,
        prediction.device,
        prediction.batch_size,
        prediction.emotions,
        prediction.network,
        threads=1,
    )
    if predictor.fingerprint != prediction.fingerprint:
        raise CheckpointError(
            f"{predictor.checkpoint} is not the checkpoint that the run was begun with"
        )
    return predictor


def recognize(
    sources: Iterable[Source],
    settings: RunSettings,
    predictor: Predictor | None,
    workers: jobs.Workers | jobs.Cluster,
    sink: Sink,
    spent: Counter | None = None,
    prediction: Prediction | None = None,
) -> None:
    """Detect and predict every face of `sources` and hand the results to `sink`.

    On Ctrl-C the faces that were found by then are still predicted and handed over, before the
    KeyboardInterrupt goes on its way.

    Args:
        sources: what to look at.
        settings: how.
        predictor: what predicts in this process; None where the workers do.
        workers: what else it is done with.
        prediction: how the workers predict; None where they do not.
        sink: gets the results.
        spent: gets the seconds that each stage took, of all processes together.
    """
    spent = Counter() if spent is None else spent
    videos = _Videos(sink)
    queue = _Queue(sources, settings.frames, videos)
    predictions = _Predictions(predictor, videos.add, spent, keep=settings.crops)
    try:
        for outcome in workers.run(
            functools.partial(_look, settings.detection, settings.frames, prediction), queue
        ):
            for result, look in queue.judge(outcome):
                spent.update(look.seconds)
                predictions.add(result, look.crops, look.probabilities)
        predictions.finish()
    except jobs.WorkersUnavailable as error:
        kept = f"; {GOES_ON}" if isinstance(workers, jobs.Cluster) else ""
        raise WorkersError(f"{error}{kept}") from error
    except KeyboardInterrupt:
        workers.close()
        predictions.rescue()
        raise
    finally:
        predictions.close()


@dataclass(frozen=True)
class _Item:
    """Something for a worker: a photo, a stretch of a video, or a video's packets to be listed.

    Attributes:
        source, stretch: what to look at.
        tries: how often it has been given to a worker that could not open it.
    """

    source: Source
    stretch: video.Segment | None = None
    tries: int = 0


class _NotOpened(PhotoError):
    """A worker cannot open a source.

    Args:
        reason: what to tell of it.
        worker: where that was.
    """

    def __init__(self, reason: str, worker: str) -> None:
        super().__init__(reason, worker)  # both, since it travels
        self.worker = worker

    def __str__(self) -> str:
        return self.args[0]


@dataclass
class _Look:
    """What a worker sees in a photo or in a stretch of a video.

    Attributes:
        width, height: in pixels; None where no frame was decoded.
        boxes: of the faces.
        places: of a video, number and time of the frame of each.
        crops: uint8 of shape (faces, 48, 48).
        probabilities: float32 of shape (faces, classes), where the worker has predicted them.
        frames: of a video, how many were looked at.
        end: when the last of them is shown, in seconds.
        error: "" or what the video broke off with.
        digest: of a photo's content.
        seconds: that each stage took.
    """

    width: int | None = None
    height: int | None = None
    boxes: list[detection.Box] = field(default_factory=list)
    places: list[tuple[int, float]] = field(default_factory=list)
    crops: np.ndarray | list[np.ndarray] = field(default_factory=list)
    probabilities: np.ndarray | None = None
    frames: int | None = None
    end: float | None = None
    error: str = ""
    digest: bytes | None = None
    seconds: Counter = field(default_factory=Counter)


def _look(
    search: DetectionSettings, frames: FrameSelection, prediction: Prediction | None, item: _Item
) -> _Look | tuple[video.VideoIndex, bytes]:
    """Decode, detect, crop and maybe predict, or list the packets of a video; runs in a worker.

    Raises:
        _NotOpened, PhotoError, VideoError, OSError: it cannot.
    """
    try:
        return _look_into(search, frames, prediction, item)
    except (PhotoError, VideoError, OSError) as error:
        if _can_open(item.source):
            raise
        worker = f"{platform.node()} (process {os.getpid()})"
        raise _NotOpened(reason(error), worker) from None


def _can_open(source: Source) -> bool:
    """Tell whether this process can open the file of `source`."""
    if not os.path.isfile(source.path):
        return False  # opening a pipe would wait for its other end
    try:
        with open(source.path, "rb"):
            return True
    except OSError:
        return False


def _look_into(
    search: DetectionSettings, frames: FrameSelection, prediction: Prediction | None, item: _Item
) -> _Look | tuple[video.VideoIndex, bytes]:
    if item.source.kind == sources.VIDEO and item.stretch is None:
        return video.read_index(item.source.path), sources.content_digest(item.source.path)
    if item.source.kind == sources.VIDEO:
        look = _look_at_video(search, frames, item)
    else:
        look = _look_at_photo(search, item)
    if prediction is not None and look.boxes:
        clock = _Clock(look.seconds)
        look.probabilities = _worker_predictor(prediction).predict(look.crops)
        clock.stop("predict")
        look.crops = look.crops if prediction.crops else []
    return look


def _look_at_photo(search: DetectionSettings, item: _Item) -> _Look:
    clock = _Clock()
    image = read_photo(item.source.path)
    image_grey = detection.grey(image)
    height, width = image_grey.shape
    del image  # a large one need not be there twice while it is searched
    clock.stop("decode")
    boxes = detection.detect(image_grey, **asdict(search))
    crops = np.array([detection.crop(image_grey, box) for box in boxes], np.uint8)
    clock.stop("detect")
    digest = sources.content_digest(item.source.path)
    return _Look(width, height, boxes, crops=crops, digest=digest, seconds=clock.seconds)


def _look_at_video(search: DetectionSettings, frames: FrameSelection, item: _Item) -> _Look:
    """Look at a stretch of a video, as far as it can be decoded."""
    look, frame, clock = _Look(frames=0), None, _Clock()
    try:
        for frame in video.read_frames(item.source.path, item.stretch, frames):
            image = detection.grey(frame.image)
            look.height, look.width = image.shape
            clock.stop("decode")
            for box in detection.detect(image, **asdict(search)):
                look.boxes.append(box)
                look.places.append((frame.number, frame.time))
                look.crops.append(detection.crop(image, box))
            look.frames, look.end = look.frames + 1, frame.time
            clock.stop("detect")
    except VideoError as error:
        if frame is None:
            raise
        look.error = f"it broke off behind frame {frame.number}: {error}"
    look.crops = np.array(look.crops, np.uint8)
    look.seconds = clock.seconds
    return look


class _Clock:
    """Tells how long the stages of some work took."""

    def __init__(self, seconds: Counter | None = None) -> None:
        self.seconds: Counter = Counter() if seconds is None else seconds
        self._since = time.perf_counter()

    def stop(self, stage: str) -> None:
        """Count the time since the last stop for `stage`."""
        now = time.perf_counter()
        self.seconds[stage] += now - self._since
        self._since = now


class _Queue(jobs.Supply):
    """What is to be looked at: sources one after the other, videos in stretches."""

    def __init__(self, sources: Iterable[Source], frames: FrameSelection, videos: _Videos) -> None:
        super().__init__(self._each(sources))
        self._frames, self._videos = frames, videos

    def _each(self, sources: Iterable[Source]) -> Iterator[_Item]:
        for source in sources:
            if source.problem:
                self._videos.add(FileResult(source, error=source.problem))
            else:
                yield _Item(source)

    def judge(self, outcome: jobs.Outcome) -> Iterator[tuple[FileResult, _Look]]:
        """Yield the results in a worker's outcome, not yet predicted, and what they come from."""
        source, stretch, look = outcome.item.source, outcome.item.stretch, outcome.value
        if isinstance(outcome.error, video.UnreliableTimestamps):
            if self._videos.begin_anew(source):
                self.add([_Item(source, video.WHOLE_VIDEO)])
        elif isinstance(look, tuple):
            self._cut(source, *look)
        elif isinstance(outcome.error, CheckpointError):
            raise outcome.error  # which is no fault of the photo's
        elif isinstance(outcome.error, _NotOpened) and _can_open(source):
            self._try_again(outcome.item, outcome.error)
        else:
            part = None if stretch is None else stretch.number
            if outcome.error is not None:
                look = _Look(error=reason(outcome.error))
            if look.error and stretch is not None and stretch.numbers:
                where = f"frames {stretch.numbers[0]} to {stretch.numbers[-1]}"
                look.error = f"{where}: {look.error}"
            yield FileResult(
                source, look.boxes, look.places, None, None, look.width, look.height, look.error,
                look.frames, look.end, part, look.digest,
            ), look  # fmt: skip

    def _try_again(self, item: _Item, error: _NotOpened) -> None:
        """Queue what a worker could not open although it is there: other workers may see it."""
        if item.tries + 1 == MAX_TRIES:
            raise WorkersError(
                f"the worker on {error.worker} cannot open {one_line(item.source.path)} ({error}), "
                "which is there: inputs have to be on storage that all workers reach by the same "
                f"path; {GOES_ON}"
            )
        self.add([replace(item, tries=item.tries + 1)])

    def _cut(self, source: Source, index: video.VideoIndex, digest: bytes) -> None:
        """Queue the stretches of a video that are not known yet."""
        chosen = index.chosen(self._frames)
        missing = self._videos.expect(
            source,
            chosen[:: video.SEGMENT_FRAMES] or [video.WHOLE_VIDEO.number],
            index.problem,
            digest,
        )
        stretches = video.segments(index, chosen) if chosen else iter([video.WHOLE_VIDEO])
        self.add(_Item(source, stretch) for stretch in stretches if stretch.number in missing)


def reason(error: BaseException) -> str:
    """Return what to tell of an error that ended one item."""
    if isinstance(error, (PhotoError, VideoError, jobs.JobError)):
        return one_line(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(f"{type(error).__name__}: {error}")


@dataclass
class _Expected:
    """What is still to come of a video, and what to tell at its end."""

    missing: set[int]
    problem: str
    digest: bytes


class _Videos:
    """Sees when all stretches of a video are there."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._expected: dict[Source, _Expected] = {}

    def expect(
        self, source: Source, parts: Sequence[int], problem: str, digest: bytes
    ) -> frozenset[int]:
        """Note the stretches that a video was cut into; return those that are not known."""
        known = self._sink.known(source)
        missing = frozenset(part for part in parts if part not in known)
        if missing:
            self._expected[source] = _Expected(set(missing), problem, digest)
        else:
            self._sink.finish(source, problem, digest)
        return missing

    def begin_anew(self, source: Source) -> bool:
        """Give up the stretches of a video, which will be decoded in one go.

        Returns:
            Whether it is to be: the first stretch that asks for it is enough.
        """
        expected = self._expected.get(source)
        if expected is None or expected.missing == {video.WHOLE_VIDEO.number}:
            return False
        self._sink.forget(source)
        expected.missing = {video.WHOLE_VIDEO.number}
        return True

    def add(self, result: FileResult) -> None:
        """Take the result of a photo, a whole video or a stretch, predicted."""
        if result.part is None:
            self._sink.add(result)
            return
        expected = self._expected.get(result.source)
        if expected is None or result.part not in expected.missing:
            return  # of a cut that was given up
        self._sink.add(result)
        expected.missing.remove(result.part)
        if not expected.missing:
            del self._expected[result.source]
            self._sink.finish(result.source, expected.problem, expected.digest)


class _Predictions:
    """Collects faces across photos, predicts them in full batches in a thread of its own.

    There is one thread, so batches come back in the order in which they went, and photos are
    completed in the order in which they were added.
    """

    def __init__(
        self,
        predictor: Predictor | None,
        done: Callable[[FileResult], None],
        spent: Counter,
        *,
        keep: bool,
    ) -> None:
        self._predictor, self._done, self._spent, self._keep = predictor, done, spent, keep
        self._thread = ThreadPoolExecutor(1, "predict")
        self._waiting: deque[tuple[FileResult, np.ndarray]] = deque()
        self._crops: list[np.ndarray] = []  # of the waiting photos, not yet on their way
        self._since = 0.0  # the first of them waits
        self._running: deque[Future] = deque()
        self._rows: list[np.ndarray] = []  # of the first of the waiting photos

    def add(
        self, result: FileResult, crops: np.ndarray, probabilities: np.ndarray | None = None
    ) -> None:
        """Queue the faces of `result`, and be done with those that are predicted by now."""
        if not result.boxes:
            self._done(result)
            return
        if probabilities is not None:
            self._complete(result, crops, probabilities)
            return
        now = time.monotonic()
        self._since = self._since if self._crops else now
        self._waiting.append((result, crops))
        self._crops.extend(crops)
        size = self._predictor.batch_size
        while len(self._crops) >= size:
            self._submit(size)
            self._since = now
        if self._crops and now - self._since > MAX_WAIT:
            self._submit(len(self._crops))
        while self._running and (self._running[0].done() or len(self._running) > BATCHES_AHEAD):
            self._collect()

    def finish(self) -> None:
        """Predict what is left and wait for it."""
        if self._crops:
            self._submit(len(self._crops))
        while self._running:
            self._collect()

    def rescue(self) -> None:
        """Predict the waiting photos anew, after an interruption at any place whatever.

        It may have come between two lines that belong together, so of what is under way only
        the photos with their own crops are to be relied on.
        """
        self._thread.shutdown(wait=True, cancel_futures=True)
        if not self._waiting:
            return
        rows = self._predictor.predict(np.concatenate([crops for _, crops in self._waiting]))
        for result, crops in self._waiting:
            self._complete(result, crops, rows[: len(crops)])
            rows = rows[len(crops) :]

    def close(self) -> None:
        """End the thread; what it has not begun is dropped."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _submit(self, count: int) -> None:
        batch = np.stack(self._crops[:count])
        del self._crops[:count]
        self._running.append(self._thread.submit(self._predict, batch))

    def _predict(self, batch: np.ndarray) -> np.ndarray:
        clock = _Clock()
        probabilities = self._predictor.predict(batch)
        clock.stop("predict")
        self._spent.update(clock.seconds)
        return probabilities

    def _collect(self) -> None:
        self._rows.extend(self._running.popleft().result())
        while self._waiting and len(self._rows) >= len(self._waiting[0][0].boxes):
            result, crops = self._waiting.popleft()
            self._complete(result, crops, np.stack(self._rows[: len(crops)]))
            del self._rows[: len(crops)]

    def _complete(self, result: FileResult, crops: np.ndarray, rows: np.ndarray) -> None:
        result.probabilities = rows
        result.crops = crops if self._keep else None
        self._done(result)

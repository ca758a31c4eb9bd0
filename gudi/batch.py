"""Photos and videos in, results out: find → decode → detect → crop → predict → write → draw.

Workers decode, detect and crop; this process predicts what they cut out, in batches that reach
across photos and videos, and is the only one that loads TensorFlow. Videos are cut into stretches
of frames that any worker can decode by itself.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import jobs
from gudi import __version__, checkpoint, draw, faces, media, video
from gudi.emotions import EMOTIONS, MIN_NEIGHBORS, SCALE_FACTOR
from gudi.errors import (
    ExitCode,
    InputError,
    OutputError,
    PhotoError,
    VideoError,
    WorkersError,
    one_line,
)
from gudi.files import written_whole
from gudi.media import Source
from gudi.predictor import Predictor, check_device
from gudi.progress import Progress
from gudi.results import FileResult, Pictures, ResultFolder

# Batches that may wait for the predictor before the workers' outcomes are left waiting instead.
BATCHES_AHEAD = 2


@dataclass(frozen=True)
class Detection:
    """How faces are looked for; the defaults are the original's. See `gudi.faces.detect`."""

    scale_factor: float = SCALE_FACTOR
    min_neighbors: int = MIN_NEIGHBORS
    min_face: int = 0
    max_side: int | None = None
    largest: bool = False


@dataclass(frozen=True)
class Settings:
    """How a run is done.

    Attributes:
        checkpoint, emotions, network: as `gudi.predictor.Predictor` takes them.
        device: as `gudi.predictor.Predictor` takes it.
        batch_size: faces that are predicted at a time.
        workers: worker processes; None for all processors.
        timeout: seconds that a worker may spend on one photo, or on one stretch of a video; None
            for ever.
        detection: how faces are looked for.
        frames: which frames of videos are looked at.
        debug: let the workers' own messages through.
    """

    checkpoint: str | None = None
    emotions: tuple[str, ...] = EMOTIONS
    network: int | None = None
    device: str = "auto"
    batch_size: int = 256
    workers: int | None = None
    timeout: float | None = None
    detection: Detection = Detection()
    frames: video.Choice = video.ALL
    debug: bool = False


@dataclass
class Report:
    """What a run came to; decides the exit code.

    Attributes:
        statuses: number of sources by status.
        emotions: number of faces by strongest emotion.
        seconds: of the run by stage: `startup` (TensorFlow and checkpoint), `photos`, `pictures`.
        interrupted: whether it was stopped before its end.
        failure: "" or the error that ended it.
        left: sources that an interrupted run did not get to.
        videos, frames: number of videos, and of the frames in them that were looked at.
    """

    statuses: Counter = field(default_factory=Counter)
    emotions: Counter = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False
    failure: str = ""
    left: int = 0
    videos: int = 0
    frames: int = 0

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a run with this report."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.SOME_INPUTS_FAILED if self.statuses["failed"] else ExitCode.FINISHED


def list_sources(inputs: Sequence[str], without: Path | None = None) -> list[Source]:
    """Return what there is to work on below `inputs`; `gudi.media.find` has the details.

    Raises:
        InputError: there is nothing.
    """
    sources = list(media.find(inputs, without=without))
    if not sources and set(inputs) == {"-"}:
        raise InputError("no photos or videos: the list on standard input is empty")
    if not sources:
        endings = " ".join(sorted(media.PHOTO_ENDINGS | media.VIDEO_ENDINGS))
        where = one_line(" ".join(inputs)) or "an empty list"
        raise InputError(
            f"no photos or videos in {where}: looked for files that end in {endings}, in all "
            "folders below that are not hidden"
        )
    return sources


def load_predictor(settings: Settings, progress: Progress) -> Predictor:
    """Return the predictor that `settings` ask for; note a checkpoint that had to be repaired."""
    predictor = Predictor(
        settings.checkpoint,
        settings.device,
        settings.batch_size,
        settings.emotions,
        settings.network,
    )
    if predictor.recovered:
        progress.note(f"{predictor.checkpoint}: {predictor.recovered}")
    return predictor


def check(settings: Settings) -> None:
    """Raise what can be known to go wrong before anything is loaded."""
    check_device(settings.device)
    file = checkpoint.open_checkpoint(settings.checkpoint)
    checkpoint.choose_network(file, len(settings.emotions), settings.network)


def start_workers(settings: Settings, items: int) -> jobs.Workers:
    """Return the worker processes that `settings` ask for, no more than there are `items`."""
    return jobs.Workers(
        min(settings.workers or jobs.cpu_count(), items),
        timeout=settings.timeout,
        initializer=cv2.setNumThreads,
        initargs=(1,),  # a worker a processor is all the parallelism there is room for
        quiet=not settings.debug,
    )


def recognise(
    sources: Iterable[Source],
    settings: Settings,
    predictor: Predictor,
    workers: jobs.Workers,
    done: Callable[[FileResult], None],
) -> None:
    """Detect and predict every face of `sources`; call `done` with each result, in any order.

    On Ctrl-C the faces that were found by then are still predicted and handed to `done`, before
    the KeyboardInterrupt goes on its way.
    """

    videos = _Videos(done)
    queue = _Queue(sources, settings.frames, videos, done)
    predictions = _Predictions(predictor, videos.add)
    try:
        for outcome in workers.run(
            functools.partial(_look, settings.detection, settings.frames), queue
        ):
            for result, crops in queue.judge(outcome):
                predictions.add(result, crops)
        predictions.finish()
    except jobs.WorkersUnavailable as error:
        raise WorkersError(str(error)) from error
    except KeyboardInterrupt:
        workers.close()
        predictions.rescue()
        raise
    finally:
        predictions.close()


def annotate(
    results: Iterable[FileResult],
    emotions: Sequence[str],
    pictures: Pictures,
    name: Callable[[str], str],
    workers: jobs.Workers,
    done: Callable[[FileResult], None] = lambda result: None,
) -> None:
    """Draw the faces of `results` onto copies of their photos in `pictures`.

    A result whose picture cannot be drawn keeps its faces and gets an error.

    Args:
        results: what to draw; those without faces are left out.
        emotions: the names of the classes.
        pictures: gives out the places.
        name: makes the name of a picture from that of its source.
        workers: the processes to draw in.
        done: called with each result when its picture is there, or cannot be made.
    """

    def drawings() -> Iterator[_Drawing]:
        for result in results:
            if result.boxes and result.source.kind == media.IMAGE:
                side = max(result.width, result.height)
                path = pictures.place(name(draw.writable_name(result.source.name, side)))
                yield _Drawing(result, path, tuple(emotions))

    try:
        for outcome in workers.run(_draw, drawings()):
            result = outcome.item.result
            if outcome.error is not None:
                result.error = f"the annotated picture could not be made: {_reason(outcome.error)}"
            done(result)
    finally:
        pictures.sweep()


def run(
    inputs: Sequence[str],
    out: Path,
    settings: Settings,
    *,
    annotated: bool = True,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Recognise all faces of what is below `inputs` and write the result folder `out`.

    Raises:
        GudiError: it could not be begun, or its results could not be written.
    """
    progress = progress or Progress()
    began = time.monotonic()
    folder = ResultFolder(out, overwrite=overwrite)
    check(settings)
    sources = list_sources(inputs, without=out)
    _keep_apart(sources, out)
    report, results = Report(), []
    with (
        start_workers(settings, len(sources)) as workers,
        load_predictor(settings, progress) as predictor,
    ):
        account = _account(inputs, settings, predictor, annotated=annotated)
        folder.begin(account)
        report.seconds["startup"] = time.monotonic() - began
        try:
            with _stage("photos", len(sources), progress, report):
                keep = _keep(results, progress)
                recognise(sources, settings, predictor, workers, keep)
            folder.write_tables(results, predictor.emotions)
            if annotated:
                _annotate_all(results, predictor.emotions, folder, workers, progress, report)
        except KeyboardInterrupt:
            report.interrupted = True
        except BaseException as error:
            # What is done is worth as much as in an interrupted run.
            report.failure = one_line(f"{type(error).__name__}: {error}")
            raise
        finally:
            report.left = len(sources) - len(results)
            _count(report, results, predictor.emotions)
            _finish(folder, results, predictor.emotions, account, report)
    return report


def _finish(
    folder: ResultFolder,
    results: Sequence[FileResult],
    emotions: Sequence[str],
    account: dict[str, Any],
    report: Report,
) -> None:
    """Write the final tables, and in any case how the run ended."""
    try:
        folder.write_tables(results, emotions)
    except OutputError as error:
        report.failure = one_line(error)
        raise
    finally:
        folder.write_run(account | _outcome(report))


def _annotate_all(
    results: Sequence[FileResult],
    emotions: Sequence[str],
    folder: ResultFolder,
    workers: jobs.Workers,
    progress: Progress,
    report: Report,
) -> None:
    """Draw every result that has faces; in order, so that names are given out alike each time."""
    drawn = sorted(
        (each for each in results if each.boxes and each.source.kind == media.IMAGE),
        key=lambda each: each.source.name,
    )
    pictures = Pictures(folder.annotated)
    with _stage("pictures", len(drawn), progress, report):
        annotate(drawn, emotions, pictures, str, workers, progress.advance)


def _keep_apart(sources: Sequence[Source], out: Path) -> None:
    """Raise if one of `sources` lies in `out`, where `--overwrite` removes files."""
    if not out.exists():
        return
    folder = os.path.join(os.path.realpath(out), "")
    for source in sources:
        if os.path.realpath(source.path).startswith(folder):
            raise InputError(
                f"{one_line(source.name)} lies in the folder for the results, --out {out}; choose "
                "another one"
            )


@dataclass(frozen=True)
class _Item:
    """Something for a worker: a photo, a stretch of a video, or a video's packets to be listed."""

    source: Source
    stretch: video.Stretch | None = None


@dataclass
class _Look:
    """What a worker sees in a photo or in a stretch of a video.

    Attributes:
        width, height: in pixels; None where no frame was decoded.
        boxes: of the faces.
        places: of a video, number and time of the frame of each.
        crops: uint8 of shape (faces, 48, 48).
        frames: of a video, how many were looked at.
        error: "" or what the video broke off with.
    """

    width: int | None = None
    height: int | None = None
    boxes: list[faces.Box] = field(default_factory=list)
    places: list[tuple[int, float]] = field(default_factory=list)
    crops: np.ndarray | list[np.ndarray] = field(default_factory=list)
    frames: int | None = None
    error: str = ""


@dataclass(frozen=True)
class _Drawing:
    """A picture to be drawn in a worker."""

    result: FileResult
    path: Path
    emotions: tuple[str, ...]


def _look(detection: Detection, frames: video.Choice, item: _Item) -> _Look | video.Index:
    """Decode, detect and crop; runs in a worker."""
    if item.source.kind == media.VIDEO:
        if item.stretch is None:
            return video.index(item.source.path)
        return _look_at_video(detection, frames, item)
    image = media.read_photo(item.source.path)
    image_grey = faces.grey(image)
    height, width = image_grey.shape
    del image  # a large one need not be there twice while it is searched
    boxes = faces.detect(image_grey, **asdict(detection))
    crops = np.array([faces.crop(image_grey, box) for box in boxes], np.uint8)
    return _Look(width, height, boxes, crops=crops)


def _look_at_video(detection: Detection, frames: video.Choice, item: _Item) -> _Look:
    """Look at a stretch of a video, as far as it can be decoded."""
    look, frame = _Look(frames=0), None
    try:
        for frame in video.read(item.source.path, item.stretch, frames):
            image = faces.grey(frame.image)
            look.height, look.width = image.shape
            for box in faces.detect(image, **asdict(detection)):
                look.boxes.append(box)
                look.places.append((frame.number, frame.time))
                look.crops.append(faces.crop(image, box))
            look.frames += 1
    except VideoError as error:
        if frame is None:
            raise
        look.error = f"it broke off behind frame {frame.number}: {error}"
    look.crops = np.array(look.crops, np.uint8)
    return look


def _draw(drawing: _Drawing) -> None:
    """Draw one picture; runs in a worker."""
    result = drawing.result
    image = media.read_photo(result.source.path)
    if image.shape[:2] != (result.height, result.width):
        raise PhotoError("the photo has changed in the meantime")
    strongest = result.strongest(drawing.emotions)
    draw.annotate(image, ((box, *label) for box, label in zip(result.boxes, strongest)))
    drawing.path.parent.mkdir(parents=True, exist_ok=True)
    encoded = draw.encode(image, drawing.path.suffix)
    with written_whole(drawing.path) as file:
        file.write(encoded)


class _Queue:
    """What is to be looked at: sources one after the other, videos in stretches.

    An iterator that may go on after it has ended, when the outcome of an item brings more.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        frames: video.Choice,
        videos: _Videos,
        done: Callable[[FileResult], None],
    ) -> None:
        self._sources, self._frames, self._videos, self._done = iter(sources), frames, videos, done
        self._more: deque[_Item] = deque()

    def __iter__(self) -> _Queue:
        return self

    def __next__(self) -> _Item:
        if self._more:
            return self._more.popleft()
        for source in self._sources:
            if not source.problem:
                return _Item(source)
            self._done(FileResult(source, error=source.problem))
        raise StopIteration

    def judge(self, outcome: jobs.Outcome) -> Iterator[tuple[FileResult, np.ndarray]]:
        """Yield the results in a worker's outcome, not yet predicted, and their crops."""
        item, look = outcome.item, outcome.value
        if isinstance(outcome.error, video.StampsUnreliable):
            self._cut(item.source, [video.WHOLE])
        elif isinstance(look, video.Index):
            stretches = list(video.stretches(look, look.chosen(self._frames)))
            self._cut(item.source, stretches or [video.WHOLE], look.problem)
        elif outcome.error is not None:
            error = _reason(outcome.error)
            yield FileResult(item.source, error=error, part=item.stretch), np.empty(0)
        else:
            yield FileResult(
                item.source, look.boxes, look.places, None, look.width, look.height, look.error,
                look.frames, item.stretch,
            ), look.crops  # fmt: skip

    def _cut(self, source: Source, stretches: Sequence[video.Stretch], problem: str = "") -> None:
        self._videos.expect(source, stretches, problem)
        self._more.extend(_Item(source, stretch) for stretch in stretches)


def _reason(error: BaseException) -> str:
    """Return what to tell of an error that ended one item."""
    if isinstance(error, (PhotoError, VideoError, jobs.JobError)):
        return one_line(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(f"{type(error).__name__}: {error}")


class _Videos:
    """Puts the stretches of videos together again."""

    def __init__(self, done: Callable[[FileResult], None]) -> None:
        self._done = done
        self._parts: dict[Source, tuple[set[video.Stretch], list[FileResult], str]] = {}

    def expect(self, source: Source, stretches: Sequence[video.Stretch], problem: str) -> None:
        """Note what `source` was cut into; what came of it before is given up."""
        self._parts[source] = (set(stretches), [], problem)

    def add(self, result: FileResult) -> None:
        """Take the result of a photo, a whole video or a stretch, predicted."""
        if result.part is None:
            self._done(result)
            return
        missing, parts, problem = self._parts[result.source]
        if result.part not in missing:
            return
        missing.remove(result.part)
        parts.append(result)
        if not missing:
            del self._parts[result.source]
            self._done(_joined(parts, problem))


def _joined(parts: list[FileResult], problem: str) -> FileResult:
    """Return the result of a video whose stretches gave `parts`; `problem` is of its packets."""
    parts = sorted(parts, key=lambda part: part.part.numbers)
    seen = [part for part in parts if part.width is not None]
    errors = [
        f"frames {part.part.numbers[0]} to {part.part.numbers[-1]}: {part.error}"
        if len(parts) > 1
        else part.error
        for part in parts
        if part.error
    ]
    found = [part.probabilities for part in parts if part.boxes]
    return FileResult(
        parts[0].source,
        [box for part in parts for box in part.boxes],
        [place for part in parts for place in part.places],
        np.concatenate(found) if found else None,
        seen[0].width if seen else None,
        seen[0].height if seen else None,
        "; ".join(filter(None, (problem, *errors[:3]))),
        sum(part.frames or 0 for part in parts),
    )


class _Predictions:
    """Collects faces across photos, predicts them in full batches in a thread of its own.

    There is one thread, so batches come back in the order in which they went, and photos are
    completed in the order in which they were added.
    """

    def __init__(self, predictor: Predictor, done: Callable[[FileResult], None]) -> None:
        self._predictor = predictor
        self._done = done
        self._thread = ThreadPoolExecutor(1, "predict")
        self._waiting: deque[tuple[FileResult, np.ndarray]] = deque()
        self._crops: list[np.ndarray] = []  # of the waiting photos, not yet on their way
        self._running: deque[Future] = deque()
        self._rows: list[np.ndarray] = []  # of the first of the waiting photos

    def add(self, result: FileResult, crops: np.ndarray) -> None:
        """Queue the faces of `result`, and be done with those that are predicted by now."""
        if not result.boxes:
            self._done(result)
            return
        self._waiting.append((result, crops))
        self._crops.extend(crops)
        size = self._predictor.batch_size
        while len(self._crops) >= size:
            self._submit(size)
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
            result.probabilities, rows = rows[: len(crops)], rows[len(crops) :]
            self._done(result)

    def close(self) -> None:
        """End the thread; what it has not begun is dropped."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _submit(self, count: int) -> None:
        batch = np.stack(self._crops[:count])
        del self._crops[:count]
        self._running.append(self._thread.submit(self._predictor.predict, batch))

    def _collect(self) -> None:
        self._rows.extend(self._running.popleft().result())
        while self._waiting and len(self._rows) >= len(self._waiting[0][0].boxes):
            result, crops = self._waiting.popleft()
            result.probabilities = np.stack(self._rows[: len(crops)])
            del self._rows[: len(crops)]
            self._done(result)


def _keep(results: list[FileResult], progress: Progress) -> Callable[[FileResult], None]:
    """Return a function that puts a result into `results` and tells `progress`."""

    def done(result: FileResult) -> None:
        results.append(result)
        progress.advance(result)

    return done


@contextlib.contextmanager
def _stage(label: str, total: int, progress: Progress, report: Report) -> Iterator[None]:
    """Time one stage of a run and show its progress."""
    began = time.monotonic()
    progress.begin(label, total)
    try:
        yield
    finally:
        report.seconds[label] = time.monotonic() - began
        progress.end()


def _count(report: Report, results: Sequence[FileResult], emotions: Sequence[str]) -> None:
    for result in results:
        report.statuses[result.status] += 1
        report.videos += result.source.kind == media.VIDEO
        report.frames += result.frames or 0
        report.emotions.update(name for name, _ in result.strongest(emotions))


def _account(
    inputs: Sequence[str], settings: Settings, predictor: Predictor, *, annotated: bool
) -> dict[str, Any]:
    """Return what `run.json` says of a run that has begun."""
    return {
        "gudi": __version__,
        "state": "running",
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "inputs": list(inputs),
        "settings": asdict(settings)
        | {"annotate": annotated, "workers": settings.workers or jobs.cpu_count()},
        "checkpoint": {
            "path": str(predictor.checkpoint),
            "fingerprint": predictor.fingerprint,
            "recovered": predictor.recovered,
        },
        "device": predictor.device,
        "versions": {"python": platform.python_version()}
        | {
            name: metadata.version(name)
            for name in ("tensorflow", "tflearn", "opencv-python", "numpy", "joblib")
        },
    }


def _ended(report: Report) -> str:
    return "interrupted" if report.interrupted else "finished"


def _outcome(report: Report) -> dict[str, Any]:
    """Return what `run.json` says more when the run is over."""
    return {
        "state": "failed" if report.failure else _ended(report),
        "failure": report.failure,
        "counts": {
            "sources": sum(report.statuses.values()) + report.left,
            **{status: report.statuses[status] for status in ("ok", "no_face", "failed")},
            "not_reached": report.left,
            "videos": report.videos,
            "frames": report.frames,
            "faces": sum(report.emotions.values()),
        },
        "emotion_counts": dict(report.emotions),
        "seconds": {name: round(value, 3) for name, value in report.seconds.items()},
    }

"""Run a batch: register inputs, recognise faces, derive, write tables, draw, write the report.

A run can be killed at any moment. The store of the result folder holds everything finished, and the
same command resumes from it.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import gudi_jobs
from gudi import checkpoint
from gudi.detection import DETECTORS
from gudi.errors import OutputError, one_line
from gudi.locks import folder_lock
from gudi.media import video_index
from gudi.media.content import VIDEO
from gudi.media.names import utf8_path
from gudi.media.source import Source
from gudi.outputs import report as report_page
from gudi.outputs.folder import FACES, REPORT, ResultFolder
from gudi.outputs.result_tables import write_files, write_tables
from gudi.outputs.run_record import MAX_INPUTS, CheckpointRecord, RunRecord, current_versions
from gudi.pipeline import annotate
from gudi.pipeline.constant_check import ProbabilityRange
from gudi.pipeline.identity import resolve_defaults, run_identity
from gudi.pipeline.predictions import opening
from gudi.pipeline.recognize import recognize
from gudi.pipeline.registration import register
from gudi.pipeline.run_report import RunReport
from gudi.pipeline.summarise import summarise
from gudi.pipeline.workers import (
    WorkerPrediction,
    start_cluster,
    start_workers,
    worker_prediction,
)
from gudi.predictor import Predictor
from gudi.progress import FinishedItem, Progress
from gudi.records import Result
from gudi.run_setup import load_weights, note_setup
from gudi.settings import BatchOptions, FrameOptions
from gudi.signals import stop_requested
from gudi.store import Store
from gudi.timing import StageClock

# What drawing takes, as a share of finding faces: about 0.8 for videos in full HD and for photos of
# 12 megapixels.
DRAWING = 0.8


def run_batch(
    inputs: Sequence[str], out: Path, options: BatchOptions, progress: Progress | None = None
) -> RunReport:
    """Recognise all faces of `inputs` and write the result folder `out`.

    If `out` holds results of a run with the same settings, this run resumes it.

    Args:
        inputs: files, folders, patterns and lists, as `gudi.media.find` takes them.
        out: the result folder.
        options: how to process the inputs, and what to write.
        progress: receives the progress.

    Raises:
        GudiError: the run could not start, or its results could not be written.
    """
    folder, progress, start = ResultFolder(out), progress or Progress(), time.monotonic()
    weights = load_weights(options)
    options = resolve_defaults(options, weights, folder, progress)
    with folder_lock(out, "another run"):
        record = _start_record(inputs, options, weights)
        identity = run_identity(options, weights)
        with register(inputs, folder, options, identity, record, progress) as registered:
            batch = _Batch(
                folder, registered.store, options, weights, progress, record, start,
                RunReport(skipped=registered.skipped, detector=options.detector),
            )  # fmt: skip
            with contextlib.suppress(KeyboardInterrupt), _outcome_written(batch):
                _recognize_faces(batch, registered.unusable)
                summarise(batch.store, tracked=options.follows_faces)
                _write_tables(batch)
                _draw_pictures(batch)
            return batch.report


def _start_record(
    inputs: Sequence[str], options: BatchOptions, weights: checkpoint.Weights
) -> RunRecord:
    return RunRecord(
        settings=options.values() | {"workers": options.workers or gudi_jobs.cpu_count()},
        checkpoint=CheckpointRecord(
            utf8_path(str(weights.source)), weights.fingerprint, weights.recovered
        ),
        inputs=[utf8_path(each) for each in inputs[:MAX_INPUTS]],
        more_inputs=max(0, len(inputs) - MAX_INPUTS),
        versions=current_versions(),
        shard=options.shard,
    )


@dataclass
class _Batch:
    """One run into a result folder that no other process writes to."""

    folder: ResultFolder
    store: Store
    options: BatchOptions
    weights: checkpoint.Weights
    progress: Progress
    record: RunRecord
    start: float  # by `time.monotonic`
    report: RunReport = field(default_factory=RunReport)

    @contextlib.contextmanager
    def stage(self, label: str, total: int, videos: int, later: float = 0) -> Iterator[None]:
        """Time one stage of the run and report its progress, see `Progress.start`."""
        start = time.monotonic()
        self.progress.start(label, total, videos=videos, later=later)
        try:
            yield
        finally:
            self.report.seconds[label] = time.monotonic() - start
            self.progress.finish()


def _recognize_faces(batch: _Batch, unusable: int) -> None:
    """Process all unfinished inputs; `unusable` ones are finished again in each run."""
    report, store = batch.report, batch.store
    counts = store.inputs.status_counts()
    pending = counts.pop(None, 0)
    report.earlier = counts.total() - unusable
    if not pending:
        return
    batch.record.device = None  # was that of an earlier run
    batch.record.face_search = DETECTORS[batch.options.detector].implementation()
    note_setup(batch.weights, batch.options, batch.options.detector, batch.progress)
    videos = store.inputs.count_pending_videos()
    workers, prediction = _start_workers(batch, pending, videos)
    predicting = contextlib.nullcontext() if prediction else opening(lambda: _predictor(batch))
    sink = StoreSink(store, report, batch.progress, batch.options)
    with workers, predicting as predictor:
        report.seconds["startup"] = time.monotonic() - batch.start
        with batch.stage("inputs", pending, videos, DRAWING if batch.options.pictures else 0):
            recognize(
                store.inputs.pending(),
                options=batch.options,
                predictor=predictor,
                workers=workers,
                sink=sink,
                seconds=report.process_seconds,
                prediction=prediction,
                runs=-(-workers.count_threads() // pending),
            )
    store.commit()
    if sink.probabilities.warning:
        batch.progress.note(sink.probabilities.warning)


def _start_workers(
    batch: _Batch, pending: int, videos: int
) -> tuple[gudi_jobs.WorkerPool | gudi_jobs.ClusterPool, WorkerPrediction | None]:
    """Return the workers for this many inputs, some of them videos, and how they predict."""
    options, inputs = batch.options, batch.store.inputs
    if options.backend == "dask":
        return start_cluster(options, next(inputs.pending()), batch.weights)
    # A single video keeps all workers busy.
    limit = None if videos else pending
    count = options.workers or gudi_jobs.cpu_count()
    prediction = worker_prediction(options, batch.weights, count)
    return start_workers(options, limit, prediction), prediction


def _predictor(batch: _Batch) -> Predictor:
    """Open the predictor of this process."""
    # The same bytes for any number of workers.
    predictor = Predictor.from_options(
        batch.weights, batch.options, batch_size=batch.options.batch_size, fixed_batches=True
    )
    batch.weights = replace(batch.weights, values={})  # the network has them now
    batch.record.device = predictor.device
    batch.folder.write_run_record(batch.record)
    return predictor


def _write_tables(batch: _Batch) -> None:
    clock, store = StageClock(batch.report.process_seconds), batch.store
    for other in set(store.formats) - {batch.options.format}:
        wanted = f"{FACES}.{batch.options.format}"
        batch.progress.note(f"{FACES}.{other} of an earlier run is replaced by {wanted}")
    write_tables(store, batch.folder, batch.options)
    clock.stop("write")


def _draw_pictures(batch: _Batch) -> None:
    """Draw the wanted pictures that are not drawn yet, and remove outdated ones."""
    store, folder, options = batch.store, batch.folder, batch.options
    annotate.remove_pictures(store.drawings.outdated(), store, folder)
    annotate.mark_undrawn(store, folder, options, batch.progress)
    undrawn = store.drawings.count_undrawn(options.pictures)
    if undrawn:
        videos = store.drawings.count_undrawn(options.pictures, VIDEO)
        with (
            start_workers(options, None if videos else undrawn) as workers,
            batch.stage("pictures", undrawn, videos),
        ):
            annotate.draw_pictures(
                store,
                folder,
                options=options,
                workers=workers,
                progress=batch.progress,
                seconds=batch.report.process_seconds,
            )
    if options.subtitles:
        annotate.write_subtitles(store, folder)


@contextlib.contextmanager
def _outcome_written(batch: _Batch) -> Iterator[None]:
    """Write the tables, the run record and the report, however the block ends."""
    complete = False
    try:
        yield
        complete = True
    except KeyboardInterrupt:
        batch.report.interrupted = True
        raise
    except BaseException as error:
        # What is finished stays usable, as after an interrupt.
        batch.report.failure = one_line(f"{type(error).__name__}: {error}")
        raise
    finally:
        with stop_requested():  # people are impatient
            _write_outcome(batch, complete=complete)


def _write_outcome(batch: _Batch, *, complete: bool) -> None:
    try:
        if complete:
            write_files(batch.store, batch.folder, batch.options)  # with draw errors
        else:
            summarise(batch.store, tracked=batch.options.track)
            _write_tables(batch)
    except OutputError as error:
        batch.report.failure = one_line(error)
        raise
    finally:
        _finish_record(batch)
    if not batch.report.failure:
        _write_report(batch)


def _finish_record(batch: _Batch) -> None:
    """Write how the run ended into the run record."""
    report, record, store = batch.report, batch.record, batch.store
    statuses = store.inputs.status_counts()
    report.not_reached = statuses.pop(None, 0)
    report.statuses = Counter({status or "": count for status, count in statuses.items()})
    report.photos, report.videos, report.frames = store.inputs.totals()
    report.emotions, report.extra = Counter(store.emotion_counts()), store.extra
    record.state, record.failure, record.counts = report.state, report.failure, report.counts
    record.emotion_counts = dict(report.emotions)
    if report.seconds:
        rest = time.monotonic() - batch.start - sum(report.seconds.values())
        report.seconds["write"] = report.seconds.get("write", 0) + rest
        record.seconds = _rounded(report.seconds)
        record.processor_seconds = _rounded(report.process_seconds)
    batch.folder.write_run_record(record)


def _write_report(batch: _Batch) -> None:
    path = batch.folder.path / REPORT
    if batch.options.report:
        report_page.write(path, batch.record, batch.store, tracked=batch.options.track)
    else:
        path.unlink(missing_ok=True)  # describes an earlier run


class StoreSink:
    """Stores results, counts them, and reports progress."""

    def __init__(
        self, store: Store, report: RunReport, progress: Progress, frames: FrameOptions
    ) -> None:
        self._store, self._report, self._progress, self._frames = store, report, progress, frames
        self.probabilities = ProbabilityRange()

    def start_video(self, source: Source, index: video_index.VideoIndex) -> set[int]:
        """Store the index of a video; return which of its segments are finished."""
        self._store.videos.store_index(self._store.inputs.id_of(source), index)
        if chosen := len(index.chosen(self._frames)):
            self._progress.expect(chosen - self._store.faces.count_frames(source))
        return self._store.faces.finished_segments(source)

    def forget(self, source: Source) -> None:
        """Drop the segments of a video."""
        self._store.faces.forget(source)

    def add(self, result: Result) -> None:
        """Store the result of a photo or a segment."""
        self._store.faces.add(result)
        self.probabilities.add(result)
        count = 1 if result.frames is None else len(result.frames)
        self._report.processed += count
        self._progress.processed(count)
        if result.segment is None:
            item = FinishedItem(result.source.name, result.status, result.error)
            self._progress.advance(item)

    def finish(self, source: Source, problem: str, digest: bytes | None) -> None:
        """Finish a video."""
        status, error = self._store.faces.finish(source, problem, digest)
        self._progress.advance(FinishedItem(source.name, status, error))


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(value, 3) for stage, value in seconds.items()}

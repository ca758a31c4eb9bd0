"""Run a batch: list inputs, recognise faces, write tables, draw pictures, write the report.

A run can be killed at any moment. The ledger of the result folder holds everything finished, and
the same command resumes from it. Tables are written from the ledger.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import gudi_jobs
from gudi import checkpoint
from gudi.detection import note_slow_search
from gudi.detection.haar import implementation
from gudi.engines import engine_for
from gudi.errors import ExitCode, OutputError, one_line
from gudi.locks import folder_lock
from gudi.media.names import utf8_path
from gudi.media.sources import Source
from gudi.pipeline import annotate
from gudi.pipeline.answers import AnswerRange
from gudi.pipeline.identity import check_resumable, resolve_defaults, run_identity
from gudi.pipeline.outputs import write_report, write_tables
from gudi.pipeline.predictions import opening
from gudi.pipeline.recognize import recognize
from gudi.pipeline.registration import Registration
from gudi.pipeline.shards import Shard, check_shard
from gudi.pipeline.workers import (
    WorkerPrediction,
    start_cluster,
    start_workers,
    worker_prediction,
)
from gudi.predictor import Predictor, describe_run
from gudi.progress import FinishedItem, Progress
from gudi.results.folder import FACES, REPORT, ResultFolder
from gudi.results.ledger import Ledger
from gudi.results.records import STATUSES, SourceResult
from gudi.results.run_record import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    MAX_INPUTS,
    CheckpointRecord,
    RunCounts,
    RunRecord,
    current_versions,
    read_run_record,
)
from gudi.results.tables import check_format
from gudi.settings import DEFAULT_OUTPUT, OutputSettings, RunSettings
from gudi.timing import StageClock, StageSeconds


@dataclass
class RunReport:
    """How a run went; decides the exit code.

    Attributes:
        statuses: number of finished sources by status, of earlier runs too.
        emotions: number of faces by top emotion.
        seconds: wall-clock time by stage: `startup` (listing, reading the checkpoint), `inputs`,
            `pictures`.
        process_seconds: time of all processes together by stage: `decode`, `detect`, `predict`,
            `draw`, and `write` (the tables).
        interrupted: whether the run was stopped before its end.
        failure: "", or the error that ended the run.
        not_reached: number of sources that an interrupted run did not process.
        earlier: number of sources that earlier runs had finished.
        processed: number of photos and video frames that this run processed.
        photos, videos, frames: number of finished photos and videos, and of processed frames.
        skipped: number of files in folders that are no inputs, by suffix.
        carried: names of the columns that lists in csv give to the tables.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    emotions: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    process_seconds: StageSeconds = field(default_factory=StageSeconds)
    interrupted: bool = False
    failure: str = ""
    not_reached: int = 0
    earlier: int = 0
    processed: int = 0
    photos: int = 0
    videos: int = 0
    frames: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    carried: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the run."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.SOME_INPUTS_FAILED if self.statuses["failed"] else ExitCode.FINISHED

    @property
    def state(self) -> str:
        """The state in the run record."""
        if self.failure:
            return FAILED
        return INTERRUPTED if self.interrupted else FINISHED

    @property
    def counts(self) -> RunCounts:
        """The counts in the run record."""
        return RunCounts(
            sources=self.statuses.total() + self.not_reached,
            **{status: self.statuses[status] for status in STATUSES},
            not_reached=self.not_reached,
            earlier=self.earlier,
            processed=self.processed,
            photos=self.photos,
            videos=self.videos,
            frames=self.frames,
            faces=self.emotions.total(),
        )


def run(
    inputs: Sequence[str],
    out: Path,
    settings: RunSettings,
    output: OutputSettings = DEFAULT_OUTPUT,
    *,
    restart: bool = False,
    retry_failed: bool = False,
    shard: Shard | None = None,
    progress: Progress | None = None,
) -> RunReport:
    """Recognise all faces of `inputs` and write the result folder `out`.

    If `out` holds results of a run with the same settings, this run resumes it.

    Args:
        inputs: files, folders, patterns and lists, as `gudi.media.sources.find` takes them.
        out: the result folder.
        settings: how to process the inputs.
        output: what to write.
        restart: replace the results in `out`.
        retry_failed: process inputs again that failed in an earlier run.
        shard: which part of the inputs to process; None for all.
        progress: receives the progress.

    Raises:
        GudiError: the run could not start, or its results could not be written.
    """
    check_format(output.format)
    check_shard(shard)
    folder = ResultFolder(out)
    engine_for(settings.engine, settings.device)  # raises before the checkpoint is read
    weights = checkpoint.load(settings.checkpoint, settings.emotions, settings.network)
    settings = resolve_defaults(settings, weights, folder, restart=restart)
    progress, start = progress or Progress(), time.monotonic()
    with folder_lock(out, "another run"):
        try:
            registration = Registration(inputs, folder, settings, shard, progress)
            record = _start_record(inputs, settings, output, weights, shard)
            identity = run_identity(settings, weights, shard)
            if folder.used and not restart:
                check_resumable(folder, identity)
                if earlier := read_run_record(out):
                    record.keep_last_work(earlier)
            ledger = registration.start(
                identity, record, restart=restart, retry_failed=retry_failed
            )
        except BaseException:
            if not folder.used:
                folder.discard()
            raise
        batch = _Batch(folder, settings, output, weights, progress, record, ledger, start)
        batch.report.skipped = registration.skipped
        return batch.execute(registration.unusable)


def _start_record(
    inputs: Sequence[str],
    settings: RunSettings,
    output: OutputSettings,
    weights: checkpoint.Weights,
    shard: Shard | None,
) -> RunRecord:
    workers = {"workers": settings.workers or gudi_jobs.cpu_count()}
    return RunRecord(
        settings=asdict(settings) | asdict(output) | workers,
        checkpoint=CheckpointRecord(
            utf8_path(str(weights.source)), weights.fingerprint, weights.recovered
        ),
        inputs=[utf8_path(each) for each in inputs[:MAX_INPUTS]],
        more_inputs=max(0, len(inputs) - MAX_INPUTS),
        versions=current_versions(),
        shard=shard,
    )


class _Batch:
    """One run into a result folder that no other process writes to."""

    def __init__(
        self,
        folder: ResultFolder,
        settings: RunSettings,
        output: OutputSettings,
        weights: checkpoint.Weights,
        progress: Progress,
        record: RunRecord,
        ledger: Ledger,
        start: float,
    ) -> None:
        self.folder, self.settings, self.output = folder, settings, output
        self.weights, self.progress, self.record, self.ledger = weights, progress, record, ledger
        self.report = RunReport()
        self.start = start

    def execute(self, unusable: int) -> RunReport:
        """Do everything that is not done yet, and write all results, even if the run fails.

        Args:
            unusable: number of sources that are finished anew in each run.
        """
        try:
            with self.ledger, self._outcome_written():
                self._recognize(unusable)
                self._write_tables()
                self._draw()
        except KeyboardInterrupt:
            self.report.interrupted = True
        return self.report

    def _recognize(self, unusable: int) -> None:
        """Process all unfinished sources."""
        counts = self.ledger.sources.status_counts()
        pending = counts.pop(None, 0)
        self.report.earlier = counts.total() - unusable
        if not pending:
            return
        self.record.device = None  # was that of an earlier run
        self.record.face_search = implementation()
        if self.settings.debug:
            self.progress.note(
                f"faces are detected by {self.record.face_search}, and predicted by "
                f"{self.settings.engine}"
            )
        workers, prediction = self._workers(pending)
        with workers, self._predictor(prediction) as predictor:
            self.report.seconds["startup"] = time.monotonic() - self.start
            sink = _LedgerSink(self.ledger, self.report, self.progress)
            with self._stage("inputs", pending):
                recognize(
                    self.ledger.sources.pending(),
                    self.settings,
                    predictor,
                    workers,
                    sink,
                    self.report.process_seconds,
                    prediction,
                )
        self.ledger.commit()
        if sink.answers.warning:
            self.progress.note(sink.answers.warning)

    def _workers(
        self, pending: int
    ) -> tuple[gudi_jobs.Workers | gudi_jobs.Cluster, WorkerPrediction | None]:
        """Return the workers for this many sources, and how they predict."""
        if self.settings.backend == "dask":
            first = next(self.ledger.sources.pending())
            return start_cluster(self.settings, first, self.weights)
        # A single video keeps all workers busy.
        limit = None if self.ledger.sources.has_videos() else pending
        count = self.settings.workers or gudi_jobs.cpu_count()
        prediction = worker_prediction(self.settings, self.weights, count)
        return start_workers(self.settings, limit, prediction), prediction

    def _predictor(
        self, prediction: WorkerPrediction | None
    ) -> contextlib.AbstractContextManager[Future[Predictor] | None]:
        """Open the predictor of this process, unless workers predict."""
        self.weights.note_recovery(self.progress)
        self.progress.note(describe_run(self.weights, self.settings))
        note_slow_search(self.settings.detection.detector, self.progress)
        return contextlib.nullcontext() if prediction else opening(self._open_predictor)

    def _open_predictor(self) -> Predictor:
        # The same bytes for any number of workers.
        predictor = Predictor.from_settings(self.weights, self.settings, fixed_batches=True)
        self.weights = replace(self.weights, values={})  # the network has them now
        self.record.device = predictor.device
        self.folder.write_run_record(self.record)
        return predictor

    def _draw(self) -> None:
        """Draw the wanted pictures that are not drawn yet, and remove outdated ones."""
        drawings = self.ledger.drawings
        annotate.remove_pictures(drawings.outdated(), self.ledger, self.folder)
        wanted = annotate.draw_settings(self.settings, self.output)
        annotate.note_undrawn(self.ledger, self.folder, wanted, self.progress)
        undrawn = drawings.count_undrawn(wanted.pictures)
        if undrawn:
            self._draw_missing(wanted, undrawn)
        if self.output.subtitles:
            annotate.write_subtitles(self.ledger, self.folder, self.settings.emotions)

    def _draw_missing(self, wanted: annotate.DrawSettings, undrawn: int) -> None:
        """Draw the pictures that this many sources lack."""
        limit = None if self.ledger.sources.has_videos() else undrawn
        with (
            start_workers(self.settings, limit) as workers,
            self._stage("pictures", undrawn),
        ):
            annotate.draw_pictures(
                self.ledger,
                self.folder,
                wanted,
                workers,
                self.progress.advance,
                self.report.process_seconds,
            )

    def _write_tables(self) -> None:
        clock = StageClock(self.report.process_seconds)
        for other in set(self.ledger.formats) - {self.output.format}:
            wanted = f"{FACES}.{self.output.format}"
            self.progress.note(f"{FACES}.{other} of an earlier run is replaced by {wanted}")
        self.report.carried = self.ledger.carried
        self.report.emotions = write_tables(
            self.ledger, self.folder, self.settings.emotions, self.output
        )
        clock.stop("write")

    @contextlib.contextmanager
    def _outcome_written(self) -> Iterator[None]:
        """Write the tables, the run record and the report, however the block ends."""
        report = self.report
        complete = False
        try:
            yield
            complete = True
        except KeyboardInterrupt:
            report.interrupted = True
            raise
        except BaseException as error:
            # Finished sources are worth as much as in an interrupted run.
            report.failure = one_line(f"{type(error).__name__}: {error}")
            raise
        finally:
            try:
                if complete:
                    finished = self.ledger.sources.finished()  # with draw errors
                    self.folder.write_files(
                        finished, carried=self.ledger.carried, bom=self.output.csv_bom
                    )
                else:
                    self._write_tables()
            except OutputError as error:
                report.failure = one_line(error)
                raise
            finally:
                self._finish_record()
        if self.output.report:
            write_report(
                self.ledger,
                self.folder,
                self.settings.emotions,
                self.record,
                tracked=self.output.tracked,
            )
        else:
            (self.folder.path / REPORT).unlink(missing_ok=True)  # describes an earlier run

    def _finish_record(self) -> None:
        """Write how the run ended into the run record."""
        report, record = self.report, self.record
        statuses = self.ledger.sources.status_counts()
        report.not_reached = statuses.pop(None, 0)
        report.statuses = Counter({status or "": count for status, count in statuses.items()})
        report.photos, report.videos, report.frames = self.ledger.sources.totals()
        record.state, record.failure, record.counts = report.state, report.failure, report.counts
        record.emotion_counts = dict(report.emotions)
        if report.seconds:
            record.seconds = _rounded(report.seconds)
            record.processor_seconds = _rounded(report.process_seconds)
        self.folder.write_run_record(record)

    @contextlib.contextmanager
    def _stage(self, label: str, total: int) -> Iterator[None]:
        """Time one stage of the run and report its progress."""
        start = time.monotonic()
        self.progress.start(label, total)
        try:
            yield
        finally:
            self.report.seconds[label] = time.monotonic() - start
            self.progress.finish()


class _LedgerSink:
    """Stores results in the ledger, counts them, and reports progress."""

    def __init__(self, ledger: Ledger, report: RunReport, progress: Progress) -> None:
        self._faces, self._report, self._progress = ledger.faces, report, progress
        self.answers = AnswerRange()
        self.finished_segments, self.forget = ledger.faces.finished_segments, ledger.faces.forget

    def add(self, result: SourceResult) -> None:
        self._faces.add(result)
        self.answers.add(result)
        count = 1 if result.frames is None else result.frames
        self._report.processed += count
        self._progress.processed(count)
        if result.segment is None:
            item = FinishedItem(result.source.name, result.status, result.error)
            self._progress.advance(item)

    def finish(self, source: Source, problem: str, digest: bytes | None) -> None:
        status, error = self._faces.finish(source, problem, digest)
        self._progress.advance(FinishedItem(source.name, status, error))


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(value, 3) for stage, value in seconds.items()}

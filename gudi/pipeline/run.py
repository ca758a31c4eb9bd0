"""Photos and videos in, results out: find → look → write → draw.

A run can be killed at any moment: what is finished stands in the ledger of the result folder, and
the same command goes on from there. The tables are written from the ledger.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import jobs
from gudi import __version__, checkpoint, report
from gudi.errors import ExitCode, InputError, OutputError, one_line
from gudi.files import TEMPORARY_PREFIX, folder_lock
from gudi.media import sources
from gudi.media.sources import Source
from gudi.pipeline import annotate as drawing
from gudi.pipeline.recognize import (
    prediction_in_workers,
    recognize,
    start_cluster,
    start_workers,
)
from gudi.predictor import Predictor, check_device
from gudi.progress import FinishedItem, Progress
from gudi.results import ledger
from gudi.results.folder import (
    ANNOTATED,
    FILES,
    REPORT,
    FileResult,
    ResultFolder,
    check_format,
    face_columns,
    face_records,
    read_run,
)
from gudi.results.ledger import Ledger
from gudi.settings import DEFAULT_OUTPUT, PICTURE, THUMBNAIL, OutputSettings, RunSettings

MAX_INPUTS = 100  # that run.json names; a pattern that the shell expands may make thousands

MAX_ENDINGS = 5  # that are told of files that are passed over


@dataclass
class Report:
    """What a run came to; decides the exit code.

    Attributes:
        statuses: number of sources by status, those finished earlier among them.
        emotions: number of faces by strongest emotion.
        seconds: of the run by stage: `startup` (TensorFlow and checkpoint), `inputs`, `pictures`.
        spent: seconds of all processes together by stage: `decode`, `detect`, `predict`, `draw`,
            and `write` (the tables).
        interrupted: whether it was stopped before its end.
        failure: "" or the error that ended it.
        left: sources that an interrupted run did not get to.
        earlier: sources that were finished before this run.
        looked: photos, and frames of videos, that this run looked at.
        photos, videos, frames: number of photos, of videos, and of the frames in them that were
            looked at.
    """

    statuses: Counter = field(default_factory=Counter)
    emotions: Counter = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    spent: Counter = field(default_factory=Counter)
    interrupted: bool = False
    failure: str = ""
    left: int = 0
    earlier: int = 0
    looked: int = 0
    photos: int = 0
    videos: int = 0
    frames: int = 0

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a run with this report."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.SOME_INPUTS_FAILED if self.statuses["failed"] else ExitCode.FINISHED


def run(
    inputs: Sequence[str],
    out: Path,
    settings: RunSettings,
    output: OutputSettings = DEFAULT_OUTPUT,
    *,
    restart: bool = False,
    retry_failed: bool = False,
    shard: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Recognise all faces of what is below `inputs` and write the result folder `out`.

    Where `out` holds the results of a run with the same settings, this one goes on with it.

    Args:
        inputs: what to look at, as `gudi.media.sources.find` takes it.
        out: the result folder.
        settings: how to look.
        output: what to write.
        restart: begin anew, whatever is in `out`.
        retry_failed: look once more at what failed in an earlier run.
        shard: which one of how many parts of the inputs to take, from 1; None for all.
        progress: is told how far it is.

    Raises:
        GudiError: it could not be begun, or its results could not be written.
    """
    check_format(output.format)
    folder = ResultFolder(out)
    check_device(settings.device)
    weights = checkpoint.load(settings.checkpoint, settings.emotions, settings.network)
    new = not folder.used
    with folder_lock(out, "another run"):
        this = _Run(inputs, folder, settings, output, weights, shard, progress or Progress())
        try:
            this.begin(restart=restart, retry_failed=retry_failed)
        except BaseException:
            if new:
                folder.discard()
            raise
        return this.go_on()


class _Run:
    """One run into a result folder that no other process writes to."""

    def __init__(
        self,
        inputs: Sequence[str],
        folder: ResultFolder,
        settings: RunSettings,
        output: OutputSettings,
        weights: checkpoint.Weights,
        shard: tuple[int, int] | None,
        progress: Progress,
    ) -> None:
        self.inputs, self.folder, self.settings, self.output = inputs, folder, settings, output
        self.weights, self.shard, self.progress = weights, shard, progress
        self.prediction = prediction_in_workers(settings, weights)
        self.report = Report()
        self.began = time.monotonic()
        self.account = _account(inputs, settings, output, weights) | {"shard": shard}
        self.unusable = 0  # sources whose problem is known before they are opened
        self.ledger: Ledger

    def begin(self, *, restart: bool, retry_failed: bool) -> None:
        """Open the ledger and list what there is to work on."""
        identity = identify(self.settings, self.weights, self.shard)
        self.folder.sweep()
        path = self.folder.path / ledger.NAME
        if self.folder.used and not restart:
            check_same(self.folder, self.settings, identity)
            self.account = _last_work(read_run(self.folder.path)) | self.account
        # Before anything else: a folder without it would not be known for gudi's.
        if not self.folder.used:
            self.folder.write_run(self.account)
        if restart:
            self._begin_anew(path, identity)
        else:
            with self._open(path) as there:
                self._list(there, identity)
                if retry_failed:
                    there.retry_failed()
        self.folder.write_run(self.account)
        self.ledger = self._open(path)
        if left_out := self.ledger.count_left_out():
            self.progress.note(
                f"{left_out:,} inputs that earlier runs finished are not among the inputs any "
                "more: tables and pictures are without them (the ledger keeps them, should they "
                "come back)"
            )

    def _begin_anew(self, path: Path, identity: dict[str, Any]) -> None:
        """Replace what there is when it is clear that there is something to replace it with."""
        beside = path.with_name(f"{TEMPORARY_PREFIX}{ledger.NAME}")
        try:
            with self._open(beside) as new:
                self._list(new, identity)
            self.folder.clear(self._remove_pictures(path))
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    def _remove_pictures(self, path: Path) -> list[str]:
        """Remove the pictures that the ledger at `path` tells of; return its tables' formats."""
        problem = f"there is no {ledger.NAME}"
        try:
            if path.exists():
                with self._open(path) as earlier:
                    drawing.remove(earlier.everything(), earlier, self.folder)
                    return earlier.formats
        except OutputError as error:
            problem = str(error)
        annotated = self.folder.annotated
        if annotated.exists():
            self.progress.note(f"{problem}: pictures of earlier runs may be left in {annotated}")
        return []

    def _open(self, path: Path) -> Ledger:
        return Ledger(path, len(self.settings.emotions), crops=self.settings.crops)

    def _list(self, there: Ledger, identity: dict[str, Any]) -> None:
        """Enter what there is to work on."""
        there.begin(identity)
        out, skipped = self.folder.path, Counter()
        for source in list_sources(self.inputs, exclude=out, is_new=there.is_new, skipped=skipped):
            _keep_apart(source, out)
            if self.shard is None or in_shard(source, *self.shard):
                if self.settings.backend == "dask":
                    source = replace(source, path=os.path.abspath(source.path))
                there.enlist(source)
                self.unusable += bool(source.problem)
        if skipped:
            self.progress.note(f"left out: {describe_skipped(skipped)}")

    def go_on(self) -> Report:
        """Do what is left to do, and write down whatever came of it."""
        report = self.report
        try:
            with self.ledger, self._ending():
                self._look()
                self._write_tables()
                self._draw()
        except KeyboardInterrupt:
            report.interrupted = True
        return report

    def _look(self) -> None:
        """Look at everything that is not finished."""
        ledger, report = self.ledger, self.report
        counts = ledger.counts()
        waiting = counts.pop(None, 0)
        report.earlier = counts.total() - self.unusable  # which come anew each time
        if not waiting:
            return
        self.account.pop("device", None)  # of an earlier run
        with (
            self._workers(waiting) as workers,
            self._predictor() as predictor,
            self._stage("inputs", waiting),
        ):
            recognize(
                ledger.pending(),
                self.settings,
                predictor,
                workers,
                _Sink(ledger, report, self.progress),
                report.spent,
                self.prediction,
            )
        ledger.commit()

    def _workers(self, waiting: int) -> jobs.Workers | jobs.Cluster:
        """Return what looks at so many sources."""
        if self.settings.backend == "dask":
            return start_cluster(self.settings, next(self.ledger.pending()), self.prediction)
        # A video keeps all workers busy.
        most = None if self.ledger.has_videos() else waiting
        return start_workers(self.settings, most, self.prediction)

    @contextlib.contextmanager
    def _predictor(self) -> Iterator[Predictor | None]:
        """Open the predictor of this process, where it is the one to predict."""
        settings = self.settings
        if self.weights.recovered:
            self.progress.note(f"{self.weights.source}: {self.weights.recovered}")
        if self.prediction is not None:
            yield None
            return
        with Predictor(
            self.weights,
            settings.device,
            settings.batch_size,
            settings.emotions,
            fixed_batches=True,  # the same bytes for any number of workers
        ) as predictor:
            self.weights = replace(self.weights, values={})  # they are in the network now
            self.account["device"] = predictor.device
            self.folder.write_run(self.account)
            self.report.seconds["startup"] = time.monotonic() - self.began
            yield predictor

    def _draw(self) -> None:
        """Draw the pictures that are wanted and not there yet."""
        ledger, wanted = self.ledger, self.output.pictures
        # Of sources that are gone or show no face any more.
        drawing.remove(ledger.outdated(), ledger, self.folder)
        waiting = ledger.count_undrawn(wanted)
        if waiting:
            most = None if ledger.has_videos() else waiting
            with start_workers(self.settings, most) as workers, self._stage("pictures", waiting):
                drawing.annotate(
                    ledger,
                    self.folder,
                    self.settings.emotions,
                    self.settings.frames,
                    workers,
                    wanted,
                    self.progress.advance,
                    self.report.spent,
                )

    def _write_tables(self) -> None:
        """Write the tables of all that is finished."""
        began = time.perf_counter()
        self.report.emotions = write_tables(
            self.ledger, self.folder, self.settings.emotions, self.output
        )
        self.report.spent["write"] += time.perf_counter() - began

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        """Write the tables and how it ended, however that was."""
        report = self.report
        complete = False
        try:
            yield
            complete = True
        except KeyboardInterrupt:
            report.interrupted = True
            raise
        except BaseException as error:
            # What is done is worth as much as in an interrupted run.
            report.failure = one_line(f"{type(error).__name__}: {error}")
            raise
        finally:
            try:
                if complete:
                    self.folder.write_files(self.ledger.entries())  # tells of pictures, too
                else:
                    self._write_tables()
            except OutputError as error:
                report.failure = one_line(error)
                raise
            finally:
                self._count()
                account = self.account | _outcome(report)
                self.folder.write_run(account)
        if self.output.report:
            write_report(self.ledger, self.folder, self.settings.emotions, account)
        else:
            (self.folder.path / REPORT).unlink(missing_ok=True)  # it tells of an earlier run

    def _count(self) -> None:
        report = self.report
        report.statuses = self.ledger.counts()
        report.left = report.statuses.pop(None, 0)
        report.photos, report.videos, report.frames = self.ledger.totals()

    @contextlib.contextmanager
    def _stage(self, label: str, total: int) -> Iterator[None]:
        """Time one stage of the run and show its progress."""
        began = time.monotonic()
        self.progress.start(label, total)
        try:
            yield
        finally:
            self.report.seconds[label] = time.monotonic() - began
            self.progress.finish()


class _Sink:
    """Takes results down in the ledger, counts them and tells how far it is."""

    def __init__(self, ledger: Ledger, report: Report, progress: Progress) -> None:
        self._ledger, self._report, self._progress = ledger, report, progress
        self.known, self.forget = ledger.known, ledger.forget

    def add(self, result: FileResult) -> None:
        self._ledger.add(result)
        looked = 1 if result.frames is None else result.frames
        self._report.looked += looked
        self._progress.processed(looked)
        if result.part is None:
            self._progress.advance(FinishedItem(result.source.name, result.status, result.error))

    def finish(self, source: Source, problem: str, digest: bytes | None) -> None:
        status, error = self._ledger.finish(source, problem, digest)
        self._progress.advance(FinishedItem(source.name, status, error))


def write_tables(
    ledger: Ledger, folder: ResultFolder, emotions: Sequence[str], output: OutputSettings
) -> Counter:
    """Write the tables of all that is finished, and the faces themselves where they were kept.

    Returns:
        The number of faces by strongest emotion.
    """
    counts: Counter = Counter()
    tracked = output.tracked
    records = face_records(ledger.entries(), ledger.rows, emotions, tracked=tracked, counts=counts)
    earlier = ledger.formats
    ledger.formats = {*earlier, output.format}
    folder.write_faces(records, face_columns(emotions, tracked=tracked), output.format)
    folder.remove_faces(set(earlier) - {output.format})
    ledger.formats = [output.format]
    if ledger.crops:
        folder.write_crops(row.crop for entry in ledger.entries() for row in ledger.rows(entry))
    folder.write_files(ledger.entries())
    return counts


def write_report(
    ledger: Ledger, folder: ResultFolder, emotions: Sequence[str], account: Mapping[str, Any]
) -> None:
    """Write `report.html` of all that is finished; `account` is what `run.json` says."""
    entries = (
        report.Entry(
            entry.source.name,
            entry.source.kind,
            entry.outcome[0],
            (report.Face(row.shares.tolist(), row.time) for row in ledger.rows(entry)),
            width=entry.width,
            height=entry.height,
            frames=entry.frames,
            duration=entry.duration or 0,
            error=entry.outcome[1],
            annotated=f"{ANNOTATED}/{entry.picture}" if entry.drawn & PICTURE else None,
            thumbnail=drawing.thumbnail(entry) if entry.drawn & THUMBNAIL else None,
        )
        for entry in ledger.entries()
    )
    report.write(folder.path / REPORT, account, emotions, entries)


def list_sources(
    inputs: Sequence[str],
    *,
    exclude: Path | None = None,
    is_new: Callable[[str], bool] | None = None,
    skipped: Counter | None = None,
) -> Iterator[Source]:
    """Yield what there is to work on below `inputs`; `gudi.media.sources.find` has the details.

    Raises:
        InputError: there is nothing.
    """
    source = None
    for source in sources.find(inputs, exclude=exclude, is_new=is_new, skipped=skipped):
        yield source
    if source is not None:
        return
    if set(inputs) == {"-"}:
        raise InputError("no photos or videos: the list on standard input is empty")
    endings = " ".join(sorted(sources.PHOTO_SUFFIXES | sources.VIDEO_SUFFIXES))
    where = one_line(" ".join(inputs)) or "an empty list"
    raise InputError(
        f"no photos or videos in {where}: looked for files that end in {endings}, in all folders "
        "below that are not hidden"
    )


def describe_skipped(files: Counter) -> str:
    """Return in words which files in folders were passed over, counted by their endings."""
    most = files.most_common(MAX_ENDINGS)
    kinds = [f"{count:,} {ending or 'without an ending'}" for ending, count in most]
    if more := files.total() - sum(count for _, count in most):
        kinds.append(f"{more:,} others")
    return (
        f"what in folders is not called like a photo or video ({', '.join(kinds)}); "
        "what is named itself, or by a pattern such as 'photos/*', is tried whatever it ends in"
    )


def in_shard(source: Source, number: int, count: int) -> bool:
    """Tell whether `source` is in part `number` of `count`: by its name, the same everywhere."""
    digest = hashlib.blake2b(source.name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count == number - 1


def _keep_apart(source: Source, out: Path) -> None:
    """Raise if `source` lies in `out`, where files are replaced and removed."""
    if os.path.realpath(source.path).startswith(os.path.join(os.path.realpath(out), "")):
        raise InputError(
            f"{one_line(source.name)} lies in the folder for the results, --out {out}; choose "
            "another one"
        )


def check_same(folder: ResultFolder, settings: RunSettings, identity: Mapping[str, Any]) -> None:
    """Raise unless the results in `folder` were made as a run of this identity makes them."""
    out, path = folder.path, folder.path / ledger.NAME
    if not path.exists():
        if not (out / FILES).exists():
            return  # it was killed before it had begun
        raise OutputError(
            f"--out {out} holds results, but not the ledger ({ledger.NAME}) to go on from; "
            "choose another folder, or give --restart to replace them"
        )
    with Ledger(path, len(settings.emotions), crops=settings.crops) as earlier:
        before = earlier.settings
    other = [name for name in identity if before and before.get(name) != identity[name]]
    if other:
        changes = "; ".join(
            f"{name} was {before.get(name)}, now {identity[name]}" for name in other
        )
        raise OutputError(
            f"--out {out} holds results that were made with other settings ({changes}); choose "
            "another folder, or give --restart to replace them"
        )


def identify(
    settings: RunSettings, weights: checkpoint.Weights, shard: tuple[int, int] | None
) -> dict[str, Any]:
    """Return what results depend on, under the names of the options; JSON gives it back equal."""
    return {
        "checkpoint": weights.fingerprint,
        "emotions": list(settings.emotions),
        **asdict(settings.detection),
        **asdict(settings.frames),
        "crops": settings.crops,
        "shard": "{}/{}".format(*shard or (1, 1)),
    }


def _account(
    inputs: Sequence[str],
    settings: RunSettings,
    output: OutputSettings,
    weights: checkpoint.Weights,
) -> dict[str, Any]:
    """Return what `run.json` says of a run that has begun."""
    return {
        "gudi": __version__,
        "state": "running",
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "inputs": list(inputs[:MAX_INPUTS]),
        "more_inputs": max(0, len(inputs) - MAX_INPUTS),
        "settings": asdict(settings)
        | asdict(output)
        | {"workers": settings.workers or jobs.cpu_count()},
        "checkpoint": {
            "path": str(weights.source),
            "fingerprint": weights.fingerprint,
            "recovered": weights.recovered,
        },
        "versions": {"python": platform.python_version()}
        | {
            name: metadata.version(name)
            for name in ("tensorflow", "tflearn", "opencv-python", "av", "numpy", "joblib")
        },
    }


def _last_work(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `run.json` keeps of an earlier run until one has something to do again."""
    kept = {"device": run["device"]} if isinstance(run.get("device"), str) else {}
    for name in ("seconds", "processor_seconds"):
        times = run.get(name)
        if isinstance(times, dict) and all(isinstance(each, float) for each in times.values()):
            kept[name] = times
    return kept


def _ended(report: Report) -> str:
    return "interrupted" if report.interrupted else "finished"


def _outcome(report: Report) -> dict[str, Any]:
    """Return what `run.json` says more when the run is over."""
    times = {
        "seconds": {name: round(value, 3) for name, value in report.seconds.items()},
        "processor_seconds": {name: round(value, 3) for name, value in report.spent.items()},
    }
    return {
        "state": "failed" if report.failure else _ended(report),
        "failure": report.failure,
        "counts": {
            "sources": sum(report.statuses.values()) + report.left,
            **{status: report.statuses[status] for status in ("ok", "no_face", "failed")},
            "not_reached": report.left,
            "earlier": report.earlier,
            "looked": report.looked,
            "photos": report.photos,
            "videos": report.videos,
            "frames": report.frames,
            "faces": sum(report.emotions.values()),
        },
        "emotion_counts": dict(report.emotions),
    } | (times if report.seconds else {})

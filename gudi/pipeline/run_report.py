"""The outcome of a run: its counts, its times, and the exit code."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from gudi.errors import ExitCode
from gudi.outputs.run_record import FAILED, FINISHED, INTERRUPTED, RunCounts
from gudi.store.inputs import STATUSES
from gudi.timing import StageSeconds


@dataclass
class RunReport:
    """The outcome of a run; decides the exit code.

    Attributes:
        statuses: number of finished inputs by status, of earlier runs too.
        emotions: number of faces by top emotion.
        seconds: wall-clock time by stage: `startup` (listing, reading the checkpoint), `inputs`,
            `pictures`, `write` (the rest: summaries, tables).
        process_seconds: time of all processes together by stage: `decode`, `detect`, `predict`,
            `draw`, and `write` (the tables).
        interrupted: whether the run was stopped before its end.
        failure: "", or the error that ended the run.
        not_reached: number of inputs that an interrupted run did not process.
        earlier: number of inputs that earlier runs had finished.
        processed: number of photos and video frames that this run processed.
        photos, videos, frames: number of finished photos and videos, and of processed frames.
        skipped: number of files in folders that are not inputs, by suffix.
        extra: names of the columns that lists in csv give to the tables.
        detector: what found the faces, or "".
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
    extra: tuple[str, ...] = ()
    detector: str = ""

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

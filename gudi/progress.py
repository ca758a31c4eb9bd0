"""Progress reporting: silent, terminal or notebook, pipe, callback, or JSON log."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from gudi.errors import OutputError, one_line

if TYPE_CHECKING:
    from tqdm.auto import tqdm

# Seconds between two lines of progress if stderr is not a terminal.
LINE_INTERVAL = 10

# Finished items, if there are many, before the time that is left is estimated.
ENOUGH_TO_ESTIMATE = 5

BAR_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}"

# What people call some stages, and their items.
WORDS = {"inputs": ("finding faces", "file"), "pictures": ("making pictures", "file")}


@dataclass(frozen=True)
class FinishedItem:
    """One finished input.

    Attributes:
        source: its name, as in `files.csv`.
        status: `ok`, `no_face` or `failed`, as in `files.csv`.
        error: "", or why it failed.
    """

    source: str
    status: str
    error: str = ""


class Progress:
    """Receives the progress of long-running work; this class ignores it."""

    def note(self, text: str) -> None:
        """Report something that a person should know."""

    def start(self, label: str, total: int, *, videos: int = 0, later: float = 0) -> None:
        """Start a stage.

        Args:
            label: its name.
            total: number of its items.
            videos: how many of them have many pictures, see `expect`; all others have one.
            later: the work of later stages, as a share of this one's.
        """

    def expect(self, count: int) -> None:
        """Note that the next video has so many pictures to process."""

    def advance(self, item: FinishedItem | None = None) -> None:
        """Count one finished item of the stage."""

    def processed(self, count: int) -> None:
        """Count `count` more processed pictures: photos, or frames of an unfinished video."""

    def finish(self) -> None:
        """Finish the stage."""


@dataclass(frozen=True)
class ProgressCounts:
    """The progress of a stage, as a callback receives it.

    Attributes:
        stage: name of the stage, such as `inputs` (faces are found in them) or `pictures` (copies
            are drawn).
        finished: finished items.
        total: all items of the stage.
        failed: items among the finished ones that failed.
        pictures: photos and video frames processed in this stage.
        expected: all photos and video frames of the stage; an estimate until the frames of every
            video are counted, and None until those of one are.
    """

    stage: str
    finished: int = 0
    total: int = 0
    failed: int = 0
    pictures: int = 0
    expected: int | None = None


class _Counting(Progress):
    """Keeps the counts of a stage and shows them after each change."""

    counts = ProgressCounts("")

    def start(self, label: str, total: int, *, videos: int = 0, later: float = 0) -> None:
        self._started, self._later = time.monotonic(), later
        self._videos, self._counted, self._frames = videos, 0, 0
        self.counts = ProgressCounts(label, total=total, expected=None if videos else total)
        self.begin()

    def expect(self, count: int) -> None:
        self._counted, self._frames = self._counted + 1, self._frames + count
        videos = max(self._videos, self._counted)  # others are about as long as those counted
        frames = self._frames * videos // self._counted
        self.counts = replace(self.counts, expected=self.counts.total - self._videos + frames)

    def advance(self, item: FinishedItem | None = None) -> None:
        failed = item is not None and item.status == "failed"
        self.counts = replace(
            self.counts,
            finished=self.counts.finished + 1,
            failed=self.counts.failed + failed,
        )
        self.show()

    def processed(self, count: int) -> None:
        self.counts = replace(self.counts, pictures=self.counts.pictures + count)
        self.show()

    def begin(self) -> None:
        """Show that a stage starts."""

    def show(self) -> None:
        """Show the counts."""

    @property
    def _done(self) -> tuple[int, int | None]:
        """How much of the stage is done: pictures, or items in stages without."""
        if self.counts.pictures:
            return self.counts.pictures, self.counts.expected
        return self.counts.finished, self.counts.total

    def _details(self) -> list[str]:
        """Return the progress of the stage, for people, with the time left for all stages."""
        counts, (done, expected) = self.counts, self._done
        seconds = time.monotonic() - self._started
        _, item = WORDS.get(counts.stage, ("", ""))
        noun = f" {item}{'s' * (counts.total != 1)}" if item else ""
        details = [f"{counts.finished:,} of {counts.total:,}{noun}"]
        # The first items take longer: workers start, and load what they need.
        if expected is not None and done >= max(1, min(ENOUGH_TO_ESTIMATE, expected / 4)):
            left = seconds / done * max(0, expected * (1 + self._later) - done)
            details += [f"about {format_duration(left)} left"] if left else []
        if counts.failed:
            details.append(f"{counts.failed:,} failed")
        if counts.pictures and self._videos:
            what = "frames" if self._videos == counts.total else "photos and frames"
            all_of_it = "" if expected is None else f" of {max(done, expected):,}"
            details.append(f"{done:,}{all_of_it} {what}")
        if counts.pictures:
            details.append(f"{done / max(seconds, 1e-9):.1f} per second")
        return details


class _Callback(_Counting):
    """Calls a function with `ProgressCounts` at the start of each stage and after each change.

    Args:
        callback: the function. An exception that it raises ends the run.
    """

    def __init__(self, callback: Callable[[ProgressCounts], object]) -> None:
        self._callback = callback

    def begin(self) -> None:
        self.show()

    def show(self) -> None:
        self._callback(self.counts)


class _Lines(_Counting):
    """Writes a line to stderr every few seconds. stderr may be closed by then."""

    def begin(self) -> None:
        self._next = self._started + LINE_INTERVAL

    def note(self, text: str) -> None:
        _print_note(text)

    def show(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + LINE_INTERVAL
        self._write(self._details())

    def finish(self) -> None:
        self._write(self._details()[:1])

    def _write(self, details: list[str]) -> None:
        with contextlib.suppress(OSError):
            click.echo(f"{_label(self.counts.stage)}: {', '.join(details)}", err=True)


class _Bar(_Counting):
    """Draws a progress bar on a terminal or in a notebook. The terminal may close meanwhile."""

    def __init__(self) -> None:
        self._bar: tqdm[NoReturn] | None = None

    def begin(self) -> None:
        from tqdm.auto import tqdm

        with contextlib.suppress(OSError):
            self._bar = tqdm(
                total=self.counts.total,
                desc=_label(self.counts.stage),
                file=sys.stderr,
                bar_format=BAR_FORMAT,
                dynamic_ncols=True,
                miniters=0,  # redraw for pictures of an unfinished video, too
            )

    def note(self, text: str) -> None:
        if self._bar is None:
            _print_note(text)
            return
        # Erase the bar for the note, and draw it again below.
        with contextlib.suppress(OSError), self._bar.external_write_mode(sys.stderr):
            _print_note(text)

    def show(self) -> None:
        bar = self._bar
        if bar is None:
            return
        done, expected = self._done
        ended = self.counts.finished == self.counts.total
        with contextlib.suppress(OSError):
            bar.total = done if ended else max(done, expected or 0)
            bar.set_postfix_str(", ".join(self._details()), refresh=False)
            bar.update(done - bar.n)

    def finish(self) -> None:
        bar, self._bar = self._bar, None
        with contextlib.suppress(OSError):
            if bar is not None:
                bar.close()


class _JsonLog(Progress):
    """Writes one line of JSON per event for programs to read, and forwards to another progress.

    Events are `begin` and `end` of a `stage`, `item` with `source` and `status`, and `note`.

    Args:
        path: the file; lines are appended to it.
        forward: the other progress.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, forward: Progress) -> None:
        self._forward, self._stage, self._count, self._path = forward, "", 0, path
        self._incomplete = self._torn = False
        try:
            # Unbuffered: what a full disk does not take must not come up again at exit.
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error

    def note(self, text: str) -> None:
        self._forward.note(text)
        self._write("note", text=text)

    def start(self, label: str, total: int, *, videos: int = 0, later: float = 0) -> None:
        self._forward.start(label, total, videos=videos, later=later)
        self._stage, self._count = label, 0
        self._write("begin", total=total)

    def advance(self, item: FinishedItem | None = None) -> None:
        self._forward.advance(item)
        self._count += 1
        self._write("item", **(asdict(item) if item is not None else {}))

    def processed(self, count: int) -> None:
        self._forward.processed(count)

    def expect(self, count: int) -> None:
        self._forward.expect(count)

    def finish(self) -> None:
        self._forward.finish()
        self._write("end", done=self._count)

    def _write(self, event: str, **values: Any) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        entry = {"time": now, "event": event, "stage": self._stage} | values
        text = json.dumps(entry, ensure_ascii=False) + "\n"
        line = text.encode(errors="backslashreplace")
        # The line before it may have ended in the middle.
        line = b"\n" + line if self._torn else line
        try:
            written = self._file.write(line)
            self._torn = written < len(line)
            problem = "it was not written as a whole" if self._torn else ""
        except OSError as error:  # a full disk must not end the work that is logged
            problem = error.strerror or str(error)
        if problem and not self._incomplete:
            self._incomplete = True
            self._forward.note(f"the log {self._path} is incomplete: {problem}")


def progress_for(choice: bool | Callable[[ProgressCounts], object]) -> Progress:
    """Return the progress that a caller from Python asks for.

    Args:
        choice: True draws a bar on a terminal or in a notebook; False is silent; a function is
            called with `ProgressCounts`.
    """
    if callable(choice):
        return _Callback(choice)
    return _Bar() if choice and sys.stderr is not None else Progress()


def terminal_progress(log: Path | None = None) -> Progress:
    """Return a bar if stderr is a terminal, otherwise lines; also write to the file `log`.

    Raises:
        OutputError: `log` cannot be written.
    """
    progress = _Bar() if sys.stderr.isatty() else _Lines()
    return progress if log is None else _JsonLog(log, progress)


def _print_note(text: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(f"note: {one_line(text)}", err=True)


def _label(stage: str) -> str:
    return WORDS.get(stage, (stage, ""))[0]


def format_duration(seconds: float) -> str:
    """Return a duration for people: 7.5 s, 45 s, 3 min 20 s, 1 h 5 min."""
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {seconds} s"

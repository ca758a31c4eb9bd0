"""Progress reporting: silent, terminal or notebook, pipe, callback, or JSON log."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

import click

from gudi.errors import OutputError, one_line

# Seconds between two lines of progress where there is no terminal to draw a bar on.
LINE_INTERVAL = 10


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

    def start(self, label: str, total: int) -> None:
        """Start a stage of `total` items."""

    def advance(self, item: FinishedItem | None = None) -> None:
        """Count one finished item of the stage."""

    def processed(self, count: int) -> None:
        """Count `count` more processed pictures: photos, or frames of an unfinished video."""

    def finish(self) -> None:
        """Finish the stage."""


@dataclass(frozen=True)
class ProgressCounts:
    """How far a stage is, as a callback receives it.

    Attributes:
        stage: name of the stage, such as `inputs` or `pictures`.
        finished: finished items.
        total: all items of the stage.
        failed: items among the finished ones that failed.
        pictures: photos and video frames processed in this stage.
    """

    stage: str
    finished: int = 0
    total: int = 0
    failed: int = 0
    pictures: int = 0


class _Callback(Progress):
    """Calls a function with `ProgressCounts` at the start of each stage and after each change.

    Args:
        callback: the function. An exception that it raises ends the run.
    """

    def __init__(self, callback: Callable[[ProgressCounts], object]) -> None:
        self._callback = callback
        self._stage, self._total = "", 0
        self._finished = self._failed = self._pictures = 0

    def start(self, label: str, total: int) -> None:
        self._stage, self._total = label, total
        self._finished = self._failed = self._pictures = 0
        self._report()

    def advance(self, item: FinishedItem | None = None) -> None:
        self._finished += 1
        self._failed += item is not None and item.status == "failed"
        self._report()

    def processed(self, count: int) -> None:
        self._pictures += count
        self._report()

    def _report(self) -> None:
        counts = ProgressCounts(
            self._stage, self._finished, self._total, self._failed, self._pictures
        )
        self._callback(counts)


class _Notes(Progress):
    """Writes notes to stderr, whose reader may be gone long before the run ends."""

    def note(self, text: str) -> None:
        with contextlib.suppress(OSError):
            click.echo(f"note: {one_line(text)}", err=True)


class _Bar(_Notes):
    """Draws a progress bar on a terminal or in a notebook."""

    def start(self, label: str, total: int) -> None:
        from tqdm.auto import tqdm

        self._pictures = 0
        with contextlib.suppress(OSError):
            self._bar = tqdm(total=total, desc=label, file=sys.stderr, dynamic_ncols=True)

    def advance(self, item: FinishedItem | None = None) -> None:
        with contextlib.suppress(OSError):
            self._bar.update(1)

    def processed(self, count: int) -> None:
        self._pictures += count
        with contextlib.suppress(OSError):
            self._bar.set_postfix_str(_pictures(self._pictures), refresh=False)
            self._bar.update(0)

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            self._bar.close()


class _Lines(_Notes):
    """Writes a line to stderr every few seconds."""

    def start(self, label: str, total: int) -> None:
        self._label, self._total = label, total
        self._count = self._failed = self._pictures = 0
        self._started = time.monotonic()
        self._next = self._started + LINE_INTERVAL

    def advance(self, item: FinishedItem | None = None) -> None:
        self._count += 1
        self._failed += item is not None and item.status == "failed"
        self._report()

    def processed(self, count: int) -> None:
        self._pictures += count
        self._report()

    def finish(self) -> None:
        self._write("")

    def _report(self) -> None:
        """Write a line if it is time for one."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + LINE_INTERVAL
        seconds = now - self._started
        more = ""
        if self._pictures:
            rate = self._pictures / seconds
            more += f", {_pictures(self._pictures)}, {rate:.1f} per second"
        if self._count:
            left = seconds / self._count * (self._total - self._count)
            more += f", about {format_duration(left)} left"
        if self._failed:
            more += f", {self._failed:,} failed"
        self._write(more)

    def _write(self, more: str) -> None:
        with contextlib.suppress(OSError):
            click.echo(f"{self._label}: {self._count:,} of {self._total:,}{more}", err=True)


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
        self._incomplete = False
        try:
            self._file: IO[str] = path.open("a", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error

    def note(self, text: str) -> None:
        self._forward.note(text)
        self._write("note", text=text)

    def start(self, label: str, total: int) -> None:
        self._forward.start(label, total)
        self._stage, self._count = label, 0
        self._write("begin", total=total)

    def advance(self, item: FinishedItem | None = None) -> None:
        self._forward.advance(item)
        self._count += 1
        self._write("item", **(asdict(item) if item is not None else {}))

    def processed(self, count: int) -> None:
        self._forward.processed(count)

    def finish(self) -> None:
        self._forward.finish()
        self._write("end", done=self._count)

    def _write(self, event: str, **values: Any) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = {"time": now, "event": event, "stage": self._stage} | values
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:  # a full disk must not end the work that is logged
            if not self._incomplete:
                self._incomplete = True
                self._forward.note(f"{self._path} is incomplete from now on: {error.strerror}")


def progress_for(choice: bool | Callable[[ProgressCounts], object]) -> Progress:
    """Return the progress that a caller from Python asks for.

    Args:
        choice: True draws a bar, in a notebook too; False is silent; a function is called with
            `ProgressCounts`.
    """
    if callable(choice):
        return _Callback(choice)
    return _Bar() if choice else Progress()


def terminal_progress(log: Path | None = None) -> Progress:
    """Return a progress that suits where stderr goes, and also writes to the file `log`.

    Raises:
        OutputError: `log` cannot be written.
    """
    progress = _Bar() if sys.stderr.isatty() else _Lines()
    return progress if log is None else _JsonLog(log, progress)


def _pictures(count: int) -> str:
    return f"{count:,} pictures" if count else ""


def format_duration(seconds: float) -> str:
    """Return a duration for people: 7.5 s, 45 s, 3 min 20 s, 1 h 5 min."""
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {seconds} s"

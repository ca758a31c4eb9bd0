"""How long-running work tells how far it is: to nobody, to a terminal, to a pipe, to a log."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

import click

from gudi.errors import OutputError, one_line

# Seconds between two lines of progress where there is no terminal to draw a bar on.
LINE_EVERY = 10


@dataclass(frozen=True)
class Item:
    """What became of an input: its name, its status as `files.csv` has it, and why it failed."""

    source: str
    status: str
    error: str = ""


class Progress:
    """Told how far the work is; this one keeps it to itself."""

    def note(self, text: str) -> None:
        """There is something that a person should know."""

    def begin(self, label: str, total: int) -> None:
        """A stage of `total` items begins."""

    def advance(self, item: Item | None = None) -> None:
        """One more item of the stage is done."""

    def look(self, count: int) -> None:
        """So many more photos, or frames of a video that is not done yet, have been looked at."""

    def end(self) -> None:
        """The stage is over."""


class _Notes(Progress):
    """Writes notes to stderr; whoever reads it may have gone away long before the run is over."""

    def note(self, text: str) -> None:
        with contextlib.suppress(OSError):
            click.echo(f"note: {one_line(text)}", err=True)


class _Bar(_Notes):
    """Draws a bar on a terminal."""

    def begin(self, label: str, total: int) -> None:
        with contextlib.suppress(OSError):
            self._pictures = 0
            self._bar = click.progressbar(
                length=total, label=label, file=sys.stderr, show_pos=True, item_show_func=_pictures
            )
            self._bar.__enter__()

    def advance(self, item: Item | None = None) -> None:
        with contextlib.suppress(OSError):
            self._bar.update(1, self._pictures)

    def look(self, count: int) -> None:
        with contextlib.suppress(OSError):
            self._pictures += count
            self._bar.update(0, self._pictures)

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._bar.__exit__(None, None, None)


class _Lines(_Notes):
    """Writes a line now and then."""

    def begin(self, label: str, total: int) -> None:
        self._label, self._total = label, total
        self._count = self._failed = self._pictures = 0
        self._began = time.monotonic()
        self._next = self._began + LINE_EVERY

    def advance(self, item: Item | None = None) -> None:
        self._count += 1
        self._failed += item is not None and item.status == "failed"
        self._tell()

    def look(self, count: int) -> None:
        self._pictures += count
        self._tell()

    def end(self) -> None:
        self._write("")

    def _tell(self) -> None:
        """Write a line if it is time for one."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + LINE_EVERY
        seconds = now - self._began
        more = ""
        if self._pictures:
            more += f", {_pictures(self._pictures)}, {self._pictures / seconds:.1f} a second"
        if self._count:
            left = seconds / self._count * (self._total - self._count)
            more += f", about {duration(left)} left"
        if self._failed:
            more += f", {self._failed:,} failed"
        self._write(more)

    def _write(self, more: str) -> None:
        with contextlib.suppress(OSError):
            click.echo(f"{self._label}: {self._count:,} of {self._total:,}{more}", err=True)


class _Log(Progress):
    """Writes JSON, a line an event, for programs that watch; and tells another progress, too.

    Events are `begin` and `end` of a `stage`, `item` with `source` and `status`, and `note`.

    Args:
        path: the file, to which the lines are appended.
        also: whom else to tell.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, also: Progress) -> None:
        self._also, self._stage, self._count, self._path = also, "", 0, path
        self._complained = False
        try:
            self._file: IO[str] = path.open("a", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}") from error

    def note(self, text: str) -> None:
        self._also.note(text)
        self._write("note", text=text)

    def begin(self, label: str, total: int) -> None:
        self._also.begin(label, total)
        self._stage, self._count = label, 0
        self._write("begin", total=total)

    def advance(self, item: Item | None = None) -> None:
        self._also.advance(item)
        self._count += 1
        self._write("item", **(asdict(item) if item is not None else {}))

    def look(self, count: int) -> None:
        self._also.look(count)

    def end(self) -> None:
        self._also.end()
        self._write("end", done=self._count)

    def _write(self, event: str, **values: Any) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = {"time": now, "event": event, "stage": self._stage} | values
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:  # a full disk must not end what is being logged
            if not self._complained:
                self._complained = True
                self._also.note(f"{self._path} lacks what happens now: {error.strerror}")


def shown(log: Path | None = None) -> Progress:
    """Return a progress that fits where stderr goes to, and writes to the file `log` besides.

    Raises:
        OutputError: `log` cannot be written.
    """
    progress = _Bar() if sys.stderr.isatty() else _Lines()
    return progress if log is None else _Log(log, progress)


def _pictures(count: int | None) -> str:
    return f"{count:,} pictures" if count else ""


def duration(seconds: float) -> str:
    """Return so many seconds as people say it: 7.5 s, 45 s, 3 min 20 s, 1 h 5 min."""
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {seconds} s"

"""What is finished: the ledger of a result folder, from which its tables are written.

One SQLite file. SQLite loses no committed row to a kill or a power cut, at whatever byte it comes,
sorts without holding a table in memory, and keeps a second process out by itself. What a stranger
may put into such a file are numbers and text; nothing in it is executed or unpickled.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gudi.constants import FACE_SIZE
from gudi.detection import Box
from gudi.errors import OutputError
from gudi.media import sources
from gudi.media.sources import Source
from gudi.results.folder import FORMATS, LEDGER, FileResult, Row, places

NAME = LEDGER

# Written into the file's header, where `file` and others of its kind look: "gudi", and which
# version of the tables below it has.
APPLICATION_ID = int.from_bytes(b"gudi", "big")
VERSION = 1

# Finished work is committed so often, in seconds. A process that is killed loses nothing that was
# written before, a machine that loses power no more than this and what the disk held back.
COMMIT_EVERY = 1.0

# Rows that are fetched at a time where the table changes in the meantime.
PAGE = 500

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    place BLOB NOT NULL UNIQUE,  -- where it is, by whatever path it was reached
    path BLOB NOT NULL,          -- the path to open
    name TEXT NOT NULL,          -- what the tables call it
    kind TEXT NOT NULL,
    run INTEGER NOT NULL,        -- the last one that came across it
    size INTEGER, mtime INTEGER, digest BLOB,
    status TEXT,                 -- NULL until it is finished
    faces INTEGER, frames INTEGER, duration REAL, width INTEGER, height INTEGER,
    error TEXT NOT NULL DEFAULT '',
    picture TEXT UNIQUE,         -- its place below `annotated`, once it has one
    drawn INTEGER NOT NULL DEFAULT 0,
    draw_error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX sources_by_name ON sources (name, id);
CREATE TABLE parts (
    source INTEGER NOT NULL, number INTEGER NOT NULL,
    faces BLOB NOT NULL, frames INTEGER, "end" REAL, width INTEGER, height INTEGER,
    error TEXT NOT NULL,
    PRIMARY KEY (source, number)
) WITHOUT ROWID;
"""

# The only part of a photo; of a video, parts are numbered by their first frame.
WHOLE = 0


@dataclass(frozen=True)
class Entry:
    """One source, as far as it is known.

    Attributes:
        id: its number in this ledger.
        source: what and where it is.
        digest: hash of its content, in hexadecimal; "" where that is not known.
        status: `ok`, `no_face` or `failed`; None where it has not been looked at.
        faces, frames: how many; frames is None for photos.
        duration: of a video, when the last of its frames is shown, in seconds.
        width, height: of the upright picture, in pixels; None where it was not decoded.
        error: "" or why it failed.
        picture: place of the annotated picture below its folder; None where it has none.
        drawn: which pictures of it are there: `PICTURE`, `THUMBNAIL`, or both added.
        draw_error: "" or why it cannot be made.
    """

    id: int
    source: Source
    digest: str
    status: str | None
    faces: int
    frames: int | None
    duration: float | None
    width: int | None
    height: int | None
    error: str
    picture: str | None
    drawn: int
    draw_error: str

    @property
    def outcome(self) -> tuple[str | None, str]:
        """Status and error as tables and report tell them: with what the picture came to."""
        error = "; ".join(filter(None, (self.error, self.draw_error)))
        return "failed" if self.draw_error else self.status, error


_ENTRY = (
    "id, name, path, kind, digest, status, faces, frames, duration, width, height, error, picture,"
    " drawn, draw_error"
)


_UNDRAWN = "run = ? AND faces > 0 AND (drawn & ?) <> ? AND draw_error = ''"


class Ledger:
    """The ledger at `path`, made where there is none; to be closed, or used in a `with` block.

    Args:
        path: where it is.
        classes: probabilities a face.
        crops: whether the faces themselves are kept, 2304 bytes each.

    Raises:
        OutputError: it cannot be used.
    """

    def __init__(self, path: Path, classes: int, *, crops: bool = False) -> None:
        self.path, self.crops = path, crops
        self.row_type = np.dtype(
            [("frame", "<i8"), ("time", "<f8"), ("box", "<i4", 4), ("shares", "<f4", classes)]
            + ([("crop", "u1", (FACE_SIZE, FACE_SIZE))] if crops else [])
        )
        with self._errors():
            # The whole run is one user; without others there is no need for shared memory either,
            # which network drives do not have.
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=0)
            self._db.execute("PRAGMA trusted_schema=OFF")
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._prepare()
            self.run = self._value("SELECT max(run) FROM sources") or 0
        self._begun = 0.0

    def _prepare(self) -> None:
        """Make the tables, or see whether they are those of this version."""
        application, version = (
            self._value(f"PRAGMA {name}") for name in ("application_id", "user_version")
        )
        if application == 0 and not self._value("SELECT count(*) FROM sqlite_master"):
            self._db.execute("BEGIN")
            for statement in TABLES.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version={VERSION}")
            self._db.execute("COMMIT")
        elif (application, version) != (APPLICATION_ID, VERSION):
            raise OutputError(f"{self.path} is no ledger of this version of gudi")

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Commit and close."""
        with self._errors():
            self.commit()
            self._db.close()

    def commit(self) -> None:
        """Make everything so far survive whatever comes."""
        # SQLite itself knows whether something is under way, wherever an interrupt has come.
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    @property
    def settings(self) -> dict[str, Any]:
        """What the results depend on, as it was noted; empty in a new ledger."""
        return self._noted("settings", {})

    @property
    def formats(self) -> list[str]:
        """The formats in which tables of faces were written."""
        noted = self._noted("formats", [])
        return [each for each in FORMATS if each in noted]

    @formats.setter
    def formats(self, formats: Iterable[str]) -> None:
        self._note("formats", sorted(formats))

    def _noted(self, key: str, default: Any) -> Any:
        """Return what was noted as `key`, as the same type as `default`."""
        text = self._value("SELECT value FROM meta WHERE key = ?", (key,))
        try:
            value = json.loads(text) if text else default
        except ValueError as error:
            raise OutputError(f"{self.path} is damaged: {error}") from error
        return value if isinstance(value, type(default)) else default

    def _note(self, key: str, value: Any) -> None:
        self._write("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Begin another run, with `settings`."""
        self.run += 1
        self._note("settings", settings)

    # What there is to work on

    def is_new(self, path: str) -> bool:
        """Tell whether this run has not come across the file at `path` yet."""
        run = self._value(
            "SELECT run FROM sources WHERE place = ?", (sources.canonical_path(path),)
        )
        return run != self.run

    def is_finished(self, source: Source, *, or_failed: bool = True) -> bool:
        """Tell whether `source` is finished, or has failed, and looks as it did then."""
        if source.problem:
            return False  # it is looked at anew each time
        known = self._db.execute(
            "SELECT size, mtime FROM sources WHERE place = ? AND (status != 'failed' OR ?)"
            " AND status IS NOT NULL",
            (sources.canonical_path(source.path), or_failed),
        ).fetchone()
        return known is not None and known == _stamp(source)

    def enlist(self, source: Source) -> None:
        """Note that `source` is to be worked on, unless it is finished and has not changed."""
        key = sources.canonical_path(source.path)
        values = (os.fsencode(source.path), source.name, source.kind, self.run, *_stamp(source))
        if not source.problem and self._same(key, values):
            return
        known = self._db.execute(
            "SELECT id, size, mtime, digest FROM sources WHERE place = ?", (key,)
        ).fetchone()
        if known is None:
            self._write(
                "INSERT INTO sources (path, name, kind, run, size, mtime, place)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*values, key),
            )
        else:
            number, *before, digest = known
            touched = before != list(values[-2:])
            if source.problem or (touched and not (digest and digest == _digest(source.path))):
                self._reset(number)
            self._write(
                "UPDATE sources SET path = ?, name = ?, kind = ?, run = ?, size = ?, mtime = ?"
                " WHERE id = ?",
                (*values, number),
            )
        if source.problem:
            self.add(FileResult(source, error=source.problem))

    def _same(self, place: bytes, values: Sequence[Any]) -> bool:
        """Take down that a source was come across, if that is all that there is to it."""
        path, name, kind, run, size, mtime = values
        return self._write(
            "UPDATE sources SET run = ? WHERE place = ? AND path = ? AND name = ? AND kind = ?"
            " AND size = ? AND mtime = ?",
            (run, place, path, name, kind, size, mtime),
        )

    def _reset(self, number: int) -> None:
        """Forget what came of a source."""
        self._write("DELETE FROM parts WHERE source = ?", (number,))
        self._write(
            "UPDATE sources SET status = NULL, digest = NULL, error = '', drawn = 0,"
            " draw_error = '' WHERE id = ?",
            (number,),
        )

    def retry_failed(self) -> None:
        """Have what failed looked at again, and drawn again."""
        for entry in self._pages("run = ? AND status = 'failed'", (self.run,)):
            self._reset(entry.id)
        self._write("UPDATE sources SET draw_error = '' WHERE run = ?", (self.run,))

    def pending(self) -> Iterator[Source]:
        """Yield the sources of this run that are not finished, as they came."""
        for entry in self._pages("run = ? AND status IS NULL", (self.run,)):
            yield entry.source

    # What comes of it; `gudi.pipeline.Sink`

    def known(self, source: Source) -> set[int]:
        """Return the numbers of the parts of `source` that are finished."""
        rows = self._db.execute(
            "SELECT number FROM parts WHERE source = ?", (self._number(source),)
        )
        return {number for (number,) in rows}

    def add(self, result: FileResult) -> None:
        """Take down what came of a photo, or of a stretch of a video."""
        number = self._number(result.source)
        part = WHOLE if result.part is None else result.part
        self._write(
            "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number, part, self._packed(result), result.frames, result.end, result.width,
                result.height, result.error,
            ),
        )  # fmt: skip
        if result.part is None:
            self._finish(result.source, number, "", result.digest)

    def finish(self, source: Source, problem: str, digest: bytes | None) -> tuple[str, str]:
        """Note that all parts of a video have been added; `problem` is of the video as a whole.

        Returns:
            Its status, and "" or why it failed.
        """
        return self._finish(source, self._number(source), problem, digest)

    def forget(self, source: Source) -> None:
        """Drop the parts of `source`: it will be looked at in another way."""
        self._write("DELETE FROM parts WHERE source = ?", (self._number(source),))

    def _finish(
        self, source: Source, number: int, problem: str, digest: bytes | None
    ) -> tuple[str, str]:
        size = self.row_type.itemsize
        faces, *others = self._db.execute(
            'SELECT total(length(faces)) / ?, sum(frames), max("end"), max(width), max(height)'
            " FROM parts WHERE source = ?",
            (size, number),
        ).fetchone()
        errors = self._db.execute(
            "SELECT error FROM parts WHERE source = ? AND error <> '' ORDER BY number LIMIT 3",
            (number,),
        )
        error = "; ".join(filter(None, (problem, *(each for (each,) in errors))))
        status = "failed" if error else "ok" if faces else "no_face"
        self._write(
            "UPDATE sources SET status = ?, faces = ?, frames = ?, duration = ?, width = ?,"
            " height = ?, error = ?, digest = ? WHERE id = ?",
            (status, int(faces), *others, error, digest, number),
        )
        if error and not source.problem and not os.path.lexists(source.path):
            # It may come back: a drive that goes away for a while takes all that is on it along.
            self._write("UPDATE sources SET size = NULL, mtime = NULL WHERE id = ?", (number,))
        return status, error

    def take_over(self, other: Ledger, entry: Entry, prefix: str = "") -> Entry | None:
        """Copy `entry` of another ledger with all of its faces; pictures are left out.

        Args:
            other: a ledger with rows of the same kind.
            entry: what to copy.
            prefix: what to put before its name; with one it is never the same as another source.

        Returns:
            The new entry; None where the same content is there already.

        Raises:
            OutputError: there is another file of this name.
        """
        values = other._db.execute(
            "SELECT place, path, name, kind, size, mtime, digest, status, faces, frames, duration,"
            " width, height, error FROM sources WHERE id = ?",
            (entry.id,),
        ).fetchone()
        place, path, name, *others = values
        place, name = os.fsencode(prefix) + place, prefix + name
        # Other machines reach the same collection by another way, so the name counts, too.
        there = self._db.execute(
            "SELECT digest, status FROM sources WHERE place = ? OR name = ?", (place, name)
        ).fetchall()
        if there:
            digest, status = others[3], others[4]
            if any(each != (digest, status) for each in there):
                raise OutputError(f"there are different results for {name}")
            return None
        self._write(
            "INSERT INTO sources (place, path, name, run, kind, size, mtime, digest, status, faces,"
            " frames, duration, width, height, error)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (place, path, name, self.run, *others),
        )
        number = self._value("SELECT last_insert_rowid()")
        parts = other._db.execute(
            'SELECT number, faces, frames, "end", width, height, error FROM parts WHERE source = ?',
            (entry.id,),
        )
        for part in parts:
            self._write("INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (number, *part))
        return next(self._pages("id = ?", (number,)))

    # What is known

    def entries(self) -> Iterator[Entry]:
        """Yield the finished sources of this run, sorted by name; nothing may change meanwhile."""
        rows = self._db.execute(
            f"SELECT {_ENTRY} FROM sources WHERE run = ? AND status IS NOT NULL ORDER BY name, id",
            (self.run,),
        )
        return map(_entry, rows)

    def rows(self, entry: Entry, first: int = 0, last: int | None = None) -> Iterator[Row]:
        """Yield the faces of `entry` in order; of a video those of frames `first` to `last`."""
        last = 2**62 if last is None else last
        # The part that begins before `first` may reach into what is wanted.
        start = self._value(
            "SELECT max(number) FROM parts WHERE source = ? AND number <= ?", (entry.id, first)
        )
        parts = self._db.execute(
            "SELECT faces FROM parts WHERE source = ? AND number BETWEEN ? AND ? ORDER BY number",
            (entry.id, start or 0, last),
        )
        for (packed,) in parts:
            for row in _unpacked(packed, self.row_type, entry.source.kind):
                if row.frame is None or first <= row.frame <= last:
                    yield row

    def counts(self) -> Counter:
        """Return how many sources of this run there are of each status, None for unfinished."""
        return Counter(
            dict(
                self._db.execute(
                    "SELECT CASE draw_error WHEN '' THEN status ELSE 'failed' END, count(*)"
                    " FROM sources WHERE run = ? GROUP BY 1",
                    (self.run,),
                )
            )
        )

    def totals(self) -> tuple[int, int, int]:
        """Return the number of finished photos and videos of this run, and of frames looked at."""
        return self._db.execute(
            "SELECT count(CASE kind WHEN ? THEN 1 END), count(CASE kind WHEN ? THEN 1 END),"
            " coalesce(sum(frames), 0) FROM sources WHERE run = ? AND status IS NOT NULL",
            (sources.IMAGE, sources.VIDEO, self.run),
        ).fetchone()

    def has_videos(self) -> bool:
        """Tell whether there is a video among the sources of this run, finished or not."""
        query = "SELECT count(*) FROM sources WHERE run = ? AND kind = ?"
        return self._value(query, (self.run, sources.VIDEO)) > 0

    def count_left_out(self) -> int:
        """Return how many sources are finished that this run has not come across."""
        query = "SELECT count(*) FROM sources WHERE run <> ? AND status IS NOT NULL"
        return self._value(query, (self.run,))

    # Annotated pictures

    def undrawn(self, wanted: int) -> Iterator[Entry]:
        """Yield the sources of this run that show faces and lack one of the `wanted` pictures."""
        return self._pages(_UNDRAWN, (self.run, wanted, wanted))

    def count_undrawn(self, wanted: int) -> int:
        """Return how many `undrawn` would yield."""
        return self._value(
            f"SELECT count(*) FROM sources WHERE {_UNDRAWN}", (self.run, wanted, wanted)
        )

    def give_place(self, entry: Entry, places: Iterable[str]) -> str:
        """Return the place of an entry's picture: the one it has, or the first of `places` free."""
        if entry.picture is not None:
            return entry.picture
        for place in places:
            if not self._value("SELECT count(*) FROM sources WHERE picture = ?", (place,)):
                break
        self._write("UPDATE sources SET picture = ? WHERE id = ?", (place, entry.id))
        return place

    def drawn(self, entry: Entry, pictures: int, error: str = "") -> None:
        """Note that `pictures` of `entry` are there, or why they cannot be made."""
        self._write(
            "UPDATE sources SET drawn = drawn | ?, draw_error = ? WHERE id = ?",
            (0 if error else pictures, error, entry.id),
        )

    def outdated(self) -> Iterator[Entry]:
        """Yield entries with pictures that show nothing of this run any more."""
        return self._pages(
            "(picture IS NOT NULL OR drawn) AND (run <> ? OR status IS NOT NULL AND NOT faces)",
            (self.run,),
        )

    def everything(self) -> Iterator[Entry]:
        """Yield the entries of all runs, finished or not."""
        return self._pages("TRUE", ())

    def drop_picture(self, entry: Entry) -> None:
        """Note that `entry` has no picture any more."""
        self._write("UPDATE sources SET picture = NULL, drawn = 0 WHERE id = ?", (entry.id,))

    # SQLite

    def _pages(self, condition: str, values: tuple) -> Iterator[Entry]:
        """Yield entries for which `condition` holds, though the table changes meanwhile."""
        last = 0
        while True:
            with self._errors():
                rows = self._db.execute(
                    f"SELECT {_ENTRY} FROM sources WHERE id > ? AND ({condition}) ORDER BY id"
                    " LIMIT ?",
                    (last, *values, PAGE),
                ).fetchall()
            if not rows:
                return
            yield from map(_entry, rows)
            last = rows[-1][0]

    def _number(self, source: Source) -> int:
        return self._value(
            "SELECT id FROM sources WHERE place = ?", (sources.canonical_path(source.path),)
        )

    def _packed(self, result: FileResult) -> bytes:
        rows = np.zeros(len(result.boxes), self.row_type)
        if result.boxes:
            rows["box"], rows["shares"] = result.boxes, result.probabilities
            if result.places:
                rows["frame"], rows["time"] = zip(*result.places)
            if "crop" in self.row_type.names:
                rows["crop"] = result.crops
        return rows.tobytes()

    def _value(self, query: str, values: Sequence[Any] = ()) -> Any:
        """Return the first value that `query` finds, or None."""
        return (self._db.execute(query, values).fetchone() or [None])[0]

    def _write(self, statement: str, values: Sequence[Any]) -> bool:
        """Change something, and tell whether there was anything; it is committed later."""
        with self._errors():
            now = time.monotonic()
            if now - self._begun > COMMIT_EVERY:
                self.commit()
            if not self._db.in_transaction:
                self._db.execute("BEGIN")
                self._begun = now
            return self._db.execute(statement, values).rowcount > 0

    def _errors(self) -> _Errors:
        return _Errors(self.path)


class _Errors:
    """Turns SQLite's errors into ours."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, sqlite3.Error):
            if "locked" in str(error):
                raise OutputError(f"{self.path} is in use by another gudi") from error
            raise OutputError(f"{self.path} cannot be used: {error}") from error


def _entry(row: Sequence[Any]) -> Entry:
    number, name, path, kind, digest, status, faces, frames, duration, *others = row
    width, height, error, place, drawn, draw_error = others
    if place is not None and place != next(places(place)):
        place = None  # this ledger is a stranger's, and leads out of the folder
    return Entry(
        number, Source(name, os.fsdecode(path), kind), (digest or b"").hex(), status, faces or 0,
        frames, duration, width, height, error, place, drawn, draw_error,
    )  # fmt: skip


def _unpacked(packed: bytes, row_type: np.dtype, kind: str) -> Iterator[Row]:
    for row in np.frombuffer(packed, row_type):
        place = (int(row["frame"]), float(row["time"])) if kind == sources.VIDEO else (None, None)
        crop = row["crop"] if "crop" in row_type.names else None
        yield Row(*place, Box(*row["box"].tolist()), row["shares"], crop)


def _stamp(source: Source) -> tuple[int | None, int | None]:
    """Return size in bytes and time of change in nanoseconds, where there is such a file."""
    if source.problem:
        return None, None
    try:
        status = os.stat(source.path)
    except OSError:
        return None, None
    return status.st_size, status.st_mtime_ns


def _digest(path: str) -> bytes | None:
    try:
        return sources.content_digest(path)
    except OSError:
        return None

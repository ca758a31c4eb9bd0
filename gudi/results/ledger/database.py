"""The SQLite file of a ledger: schema, transactions, errors."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from gudi.errors import OutputError
from gudi.locks import has_record_locks
from gudi.media.source import Source
from gudi.results.paths import safe_paths
from gudi.results.records import STATUSES, SourceRecord

# In the header of the SQLite file: "gudi", where `file` and similar programs look, and the version
# of what the file holds. In files of version 1, faces have no scores.
APPLICATION_ID = int.from_bytes(b"gudi", "big")
VERSION = 2

REMEDY = "choose another folder, or replace the results with gudi batch --restart"

# Seconds between commits, so the most that a killed process loses. A machine that loses power may
# also lose what its disk held back.
COMMIT_INTERVAL = 1.0

# Rows fetched at a time from a table that changes meanwhile.
PAGE = 500

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    place BLOB NOT NULL UNIQUE,  -- canonical path
    path BLOB NOT NULL,          -- path to open
    name TEXT NOT NULL,          -- `source` in the tables
    kind TEXT NOT NULL,
    run INTEGER NOT NULL,        -- number of the last run that found it
    size INTEGER, mtime INTEGER, digest BLOB,
    status TEXT,                 -- NULL until it is finished
    faces INTEGER, frames INTEGER, duration REAL, width INTEGER, height INTEGER,
    error TEXT NOT NULL DEFAULT '',
    picture TEXT UNIQUE,         -- path below `annotated`, once it has one
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

# Ledgers of earlier versions lack these tables.
ADDED_SCHEMA = """
CREATE TABLE IF NOT EXISTS extra (source INTEGER PRIMARY KEY, entries TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS frames (
    source INTEGER NOT NULL, number INTEGER NOT NULL,  -- of the part
    processed BLOB NOT NULL,
    PRIMARY KEY (source, number)
) WITHOUT ROWID
"""

RECORD_COLUMNS = (
    "id, name, path, kind, digest, status, faces, frames, duration, width, height, error, picture,"
    " drawn, draw_error, (SELECT entries FROM extra WHERE source = sources.id)"
)


class Database:
    """The SQLite file at `path`, which is created if it does not exist.

    Attributes:
        path: the file.
        run: number of the current run; sources remember the last run that found them.
        version: of what the file holds, `VERSION` or an earlier one.

    Raises:
        OutputError: the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.errors():
            # One user per run. Without others there is no need for shared memory either, which
            # network drives lack.
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=0)
            self.read("PRAGMA trusted_schema=OFF")
            self.read("PRAGMA locking_mode=EXCLUSIVE")
            self.read("PRAGMA journal_mode=WAL")
            self.read("PRAGMA synchronous=NORMAL")
            self.version = self._create_or_check()
            for statement in ADDED_SCHEMA.split(";"):
                self.read(statement)
            self.run: int = self.value("SELECT max(run) FROM sources") or 0
        self._transaction_start = 0.0

    def _create_or_check(self) -> int:
        """Create the tables in a new file, or check that they are known; return the version."""
        application, version = (
            self.value(f"PRAGMA {name}") for name in ("application_id", "user_version")
        )
        if application == 0 and not self.value("SELECT count(*) FROM sqlite_master"):
            self.read("BEGIN")
            for statement in SCHEMA.split(";"):
                self.read(statement)
            self.read(f"PRAGMA application_id={APPLICATION_ID}")
            self.read(f"PRAGMA user_version={VERSION}")
            self.read("COMMIT")
            return VERSION
        if application != APPLICATION_ID or version not in range(1, VERSION + 1):
            raise OutputError(f"{self.path} is not a ledger of this version of gudi; {REMEDY}")
        tables = ("meta", "sources", "parts")
        if self.value("SELECT count(*) FROM sqlite_master WHERE name IN (?, ?, ?)", tables) != 3:
            raise damaged(self.path, "tables are missing")
        return int(version)

    def read(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Execute a query that changes nothing."""
        with self.errors():
            return self._connection.execute(query, values)

    def value(self, query: str, values: Sequence[Any] = ()) -> Any:
        """Return the first value that a query finds, or None."""
        return (self.read(query, values).fetchone() or [None])[0]

    def write(self, statement: str, values: Sequence[Any]) -> bool:
        """Change something, to be committed later; return whether a row changed."""
        with self.errors():
            now = time.monotonic()
            if now - self._transaction_start > COMMIT_INTERVAL:
                self.commit()
            if not self._connection.in_transaction:
                self.read("BEGIN")
                self._transaction_start = now
            return self.read(statement, values).rowcount > 0

    def commit(self) -> None:
        """Make all changes permanent."""
        # SQLite itself knows whether a transaction is open, wherever an interrupt came.
        if self._connection.in_transaction:
            self.read("COMMIT")

    def close(self) -> None:
        """Commit and close."""
        with self.errors():
            self.commit()
            self._connection.close()

    def setting(self, key: str, default: Any) -> Any:
        """Return the stored value of `key`, or `default` if it has none of the same type."""
        text = self.value("SELECT value FROM meta WHERE key = ?", (key,))
        try:
            value = json.loads(text) if text else default
        except ValueError as error:
            raise damaged(self.path, error) from error
        return value if isinstance(value, type(default)) else default

    def store_setting(self, key: str, value: Any) -> None:
        """Store a value that JSON can hold."""
        self.write("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def pages(self, condition: str, values: Sequence[Any]) -> Iterator[SourceRecord]:
        """Yield the sources for which `condition` holds, while the table may change."""
        last = 0
        while True:
            with self.errors():
                rows = self.read(
                    f"SELECT {RECORD_COLUMNS} FROM sources WHERE id > ? AND ({condition})"
                    " ORDER BY id LIMIT ?",
                    (last, *values, PAGE),
                ).fetchall()
            if not rows:
                return
            yield from map(self.record, rows)
            last = rows[-1][0]

    def record(self, row: Sequence[Any]) -> SourceRecord:
        """Return a row of `RECORD_COLUMNS` as a record."""
        number, name, path, kind, digest, status, faces, frames, duration, *others = row
        width, height, error, picture, drawn, draw_error, extra = others
        if [type(each) for each in (name, path, kind, error, drawn, draw_error)] != _TYPES or not (
            all(isinstance(each, (int, NoneType)) for each in (faces, frames, width, height))
            and isinstance(duration, (float, NoneType))
            and isinstance(digest, (bytes, NoneType))
            and isinstance(picture, (str, NoneType))
            and status in (None, *STATUSES)
        ):
            raise damaged(self.path, f"row {number}")
        if picture is not None and picture != next(safe_paths(picture)):
            picture = None  # a stranger's ledger, whose path leads out of the folder
        source = Source.from_stored(path, name, kind, _entries(extra))
        return SourceRecord(
            number, source, (digest or b"").hex(), status, faces or 0, frames, duration, width,
            height, error, picture, drawn, draw_error,
        )  # fmt: skip

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn SQLite's errors into `OutputError`."""
        try:
            yield
        except sqlite3.Error as error:
            # SQLite has this class for what is malformed or is no database.
            if type(error) is sqlite3.DatabaseError or "no such" in str(error):
                raise damaged(self.path, error) from error
            if isinstance(error, sqlite3.OperationalError) and _lacks_locks(self.path.parent):
                raise OutputError(
                    f"cannot lock {self.path}: this disk has no locks; put --out on a local one"
                ) from error
            if "locked" in str(error):
                raise OutputError(f"{self.path} is in use by another gudi") from error
            raise OutputError(f"cannot use {self.path}: {error}") from error


def _lacks_locks(folder: Path) -> bool:
    """Tell whether the disk of `folder` cannot lock files, as some network disks."""
    try:
        return not has_record_locks(folder)
    except OSError:  # it cannot be written to, or is full
        return False


_TYPES = [str, bytes, str, str, int, str]


def _entries(text: Any) -> dict[str, str]:
    """Return extra columns as they are stored; a stranger's ledger may hold anything."""
    try:
        values = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in values.items()} if isinstance(values, dict) else {}


def damaged(path: Path, problem: object) -> OutputError:
    """Return the error of a ledger at `path` that does not hold what it should."""
    return OutputError(f"{path} is damaged ({problem}); {REMEDY}")

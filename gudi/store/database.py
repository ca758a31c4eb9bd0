"""The SQLite file: opening it, transactions, errors."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gudi.errors import OutputError
from gudi.locks import has_record_locks, lock_holder
from gudi.store.schema import APPLICATION_ID, VERSION, listed, names_of_tables, statements

REMEDY = "choose another folder, or replace the results with gudi batch --restart"

# Seconds between commits: how much a killed process loses at most. A power failure may also lose
# what the disk had in its cache.
COMMIT_INTERVAL = 1.0


class EmptyStore(OutputError):
    """A run that ended immediately left a file without tables."""


class Database:
    """The SQLite file at `path`, which is created if it does not exist.

    Attributes:
        path: the file.
        run: number of the current run; inputs remember the last run that found them.

    Args:
        path: the file.
        emotions: names of the classes, for a new file.
        read_only: the file exists; others may read it at the same time.

    Raises:
        OutputError: the file cannot be used.
    """

    def __init__(self, path: Path, emotions: Sequence[str], *, read_only: bool = False) -> None:
        self.path, self._read_only = path, read_only
        with self.errors():
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=0)
            self.read("PRAGMA trusted_schema=OFF")
            if read_only:
                self.read("PRAGMA query_only=ON")
            else:
                # One user per run. Without others there is no need for shared memory either,
                # which network drives lack.
                self.read("PRAGMA locking_mode=EXCLUSIVE")
                self.read("PRAGMA journal_mode=WAL")
                self.read("PRAGMA synchronous=NORMAL")
            self._create_or_check(emotions)
            self.run: int = self.value("SELECT max(run) FROM runs") or 0
        self._transaction_start, self._held = 0.0, False

    def _create_or_check(self, emotions: Sequence[str]) -> None:
        """Create the tables in a new file, or check that they are those of this version."""
        application, version = (
            self.value(f"PRAGMA {name}") for name in ("application_id", "user_version")
        )
        names = {name for (name,) in self.read("SELECT name FROM sqlite_master")}
        empty = application == 0 and not names
        if empty and not self._read_only:
            self.read("BEGIN")
            for statement in statements(emotions):
                self.read(statement)
            self.read(f"PRAGMA application_id={APPLICATION_ID}")
            self.read(f"PRAGMA user_version={VERSION}")
            self.read("COMMIT")
        elif empty:
            raise EmptyStore(f"{self.path} holds no results yet")
        elif (application, version) != (APPLICATION_ID, VERSION):
            raise OutputError(f"{self.path} was not written by this version of gudi; {REMEDY}")
        elif missing := names_of_tables() - names:
            raise self.damaged(f"without {', '.join(sorted(missing))}")

    def read(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Execute a query that changes nothing."""
        with self.errors():
            return self._connection.execute(query, values)

    def rows(self, query: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query; nothing that it reads may change meanwhile."""
        cursor = self.read(query, values)
        while True:
            with self.errors():
                rows = cursor.fetchmany(500)
            if not rows:
                return
            yield from rows

    def value(self, query: str, values: Sequence[Any] = ()) -> Any:
        """Return the first value that a query finds, or None."""
        return (self.read(query, values).fetchone() or [None])[0]

    def write(self, statement: str, values: Sequence[Any] = ()) -> bool:
        """Change something, to be committed later; return whether a row changed."""
        with self.errors():
            self._begin()
            return self._connection.execute(statement, values).rowcount > 0

    def write_all(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement for each of `rows`, to be committed later together."""
        with self.errors():
            self._begin()
            self._connection.executemany(statement, rows)

    def columns(self, table: str) -> list[str]:
        """Return the names of a table's columns that can be written."""
        return [name for _, name, *_ in self.read(f"PRAGMA table_info({table})")]

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert rows, to be committed later together."""
        values = ", ".join("?" * len(columns))
        self.write_all(f"INSERT INTO {table} ({listed(columns)}) VALUES ({values})", rows)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Commit nothing in the middle of the block."""
        with self.errors():
            self._begin()
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def _begin(self) -> None:
        """Commit if it is time to, and start a transaction unless there is one."""
        if self._held:
            return
        now = time.monotonic()
        if now - self._transaction_start > COMMIT_INTERVAL:
            self.commit()
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN")
            self._transaction_start = now

    def commit(self) -> None:
        """Make all changes permanent."""
        # Only SQLite's own state is right after an interrupt.
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Commit and close."""
        with self.errors():
            self.commit()
            if not self._read_only:
                # A file without a write-ahead log can be read where nobody may write. The log is
                # kept if somebody still iterates over rows.
                with contextlib.suppress(sqlite3.OperationalError):
                    self._connection.execute("PRAGMA journal_mode=DELETE")
            self._connection.close()

    def setting(self, key: str, default: Any) -> Any:
        """Return the stored value of `key`, or `default` if it has none of the same type."""
        return self.from_json(self.value("SELECT value FROM meta WHERE key = ?", (key,)), default)

    def store_setting(self, key: str, value: Any) -> None:
        """Store a value that JSON can hold."""
        self.write("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def from_json(self, text: Any, default: Any) -> Any:
        """Return a value stored as JSON, or `default` if it is of another type."""
        if text is None:
            return default
        try:
            value = json.loads(text)
        except (TypeError, ValueError) as error:
            raise self.damaged(error) from error
        return value if isinstance(value, type(default)) else default

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn SQLite's errors into `OutputError`."""
        try:
            yield
        except sqlite3.Error as error:
            # SQLite's class for files that are malformed or not a database.
            if type(error) is sqlite3.DatabaseError or "no such" in str(error):
                raise self.damaged(error) from error
            if isinstance(error, sqlite3.OperationalError) and _lacks_locks(self.path.parent):
                raise OutputError(
                    f"cannot lock {self.path}: this disk has no locks; put --out on a local one"
                ) from error
            if "locked" in str(error):
                holder = lock_holder(self.path.parent) or "another gudi"
                raise OutputError(f"{self.path.parent} is in use: {holder} writes to it") from error
            raise OutputError(f"cannot use {self.path}: {error}") from error

    def damaged(self, problem: object) -> OutputError:
        """Return the error of a file that does not hold what it should."""
        return OutputError(f"{self.path} is damaged ({problem}); {REMEDY}")


def _lacks_locks(folder: Path) -> bool:
    """Return whether the disk of `folder` cannot lock files, as some network disks."""
    try:
        return not has_record_locks(folder)
    except OSError:  # it cannot be written to, or is full
        return False

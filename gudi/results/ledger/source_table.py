"""Which sources a run found, and which of them are finished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from gudi.media.content import IMAGE, VIDEO
from gudi.media.source import Source
from gudi.results.ledger.database import RECORD_COLUMNS, Database
from gudi.results.records import SourceRecord


class SourceTable:
    """The sources of a ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def is_new(self, source: Source) -> bool:
        """Return whether this run has not registered `source` yet."""
        run = self._database.value("SELECT run FROM sources WHERE place = ?", (source.canonical,))
        return bool(run != self._database.run)

    def is_finished(self, source: Source, *, or_failed: bool = True) -> bool:
        """Return whether `source` is finished and unchanged.

        Args:
            source: what to look up.
            or_failed: whether a failed source counts as finished.
        """
        if source.problem:
            return False  # processed in each run
        known = self._database.read(
            "SELECT size, mtime FROM sources WHERE place = ? AND (status != 'failed' OR ?)"
            " AND status IS NOT NULL",
            (source.canonical, or_failed),
        ).fetchone()
        return known is not None and known == _size_and_mtime(source)

    def register(self, source: Source) -> None:
        """Enter `source` for this run; it stays finished if it has not changed."""
        key = source.canonical
        values = (
            source.stored, source.name, source.kind, self._database.run,
            *_size_and_mtime(source),
        )  # fmt: skip
        if not source.problem and self._confirm_unchanged(key, values):
            return
        known = self._database.read(
            "SELECT id, kind, size, mtime, digest FROM sources WHERE place = ?", (key,)
        ).fetchone()
        if known is None:
            self._database.write(
                "INSERT INTO sources (path, name, kind, run, size, mtime, place)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*values, key),
            )
            return
        number, kind, *before, digest = known
        touched = before != list(values[-2:])
        if (
            source.problem
            or kind != source.kind
            or (touched and not (digest and digest == _digest(source)))
        ):
            self.reset(number)
        self._database.write(
            "UPDATE sources SET path = ?, name = ?, kind = ?, run = ?, size = ?, mtime = ?"
            " WHERE id = ?",
            (*values, number),
        )

    def _confirm_unchanged(self, key: bytes, values: Sequence[Any]) -> bool:
        """Enter a source that has not changed; return False if it has or is unknown."""
        path, name, kind, run, size, mtime = values
        return self._database.write(
            "UPDATE sources SET run = ? WHERE place = ? AND path = ? AND name = ? AND kind = ?"
            " AND size = ? AND mtime = ?",
            (run, key, path, name, kind, size, mtime),
        )

    def reset(self, number: int) -> None:
        """Forget the results of a source."""
        for table in ("parts", "frames"):
            self._database.write(f"DELETE FROM {table} WHERE source = ?", (number,))
        self._database.write(
            "UPDATE sources SET status = NULL, digest = NULL, error = '', drawn = 0,"
            " draw_error = '' WHERE id = ?",
            (number,),
        )

    def mark_failed(self, record: SourceRecord, faces: int, error: str) -> None:
        """Note that only so many faces of a finished source can be used, and why."""
        self._database.write(
            "UPDATE sources SET status = 'failed', faces = ?, error = ? WHERE id = ?",
            (faces, error, record.id),
        )

    def retry_failed(self) -> None:
        """Have failed sources of this run processed again, and failed drawings drawn again."""
        run = self._database.run
        for record in self._database.pages("run = ? AND status = 'failed'", (run,)):
            self.reset(record.id)
        self._database.write("UPDATE sources SET draw_error = '' WHERE run = ?", (run,))

    def pending(self) -> Iterator[Source]:
        """Yield the unfinished sources of this run in the order of their registration."""
        for record in self._database.pages("run = ? AND status IS NULL", (self._database.run,)):
            yield record.source

    def finished(self) -> Iterator[SourceRecord]:
        """Yield the finished sources of this run by name; nothing may change meanwhile."""
        rows = self._database.read(
            f"SELECT {RECORD_COLUMNS} FROM sources WHERE run = ? AND status IS NOT NULL"
            " ORDER BY name, id",
            (self._database.run,),
        )
        return map(self._database.record, rows)

    def all_runs(self) -> Iterator[SourceRecord]:
        """Yield the sources of all runs, finished or not."""
        return self._database.pages("TRUE", ())

    def by_id(self, number: int) -> SourceRecord:
        """Return one source."""
        return next(self._database.pages("id = ?", (number,)))

    def id_of(self, source: Source) -> int:
        """Return the number of a registered source."""
        number: int = self._database.value(
            "SELECT id FROM sources WHERE place = ?", (source.canonical,)
        )
        return number

    def status_counts(self) -> Counter[str | None]:
        """Return the number of sources of this run by final status, None for unfinished."""
        rows = self._database.read(
            "SELECT CASE draw_error WHEN '' THEN status ELSE 'failed' END, count(*)"
            " FROM sources WHERE run = ? GROUP BY 1",
            (self._database.run,),
        )
        return Counter(dict(rows))

    def totals(self) -> tuple[int, int, int]:
        """Return the number of finished photos, of finished videos, and of processed frames."""
        photos, videos, frames = self._database.read(
            "SELECT count(CASE kind WHEN ? THEN 1 END), count(CASE kind WHEN ? THEN 1 END),"
            " coalesce(sum(frames), 0) FROM sources WHERE run = ? AND status IS NOT NULL",
            (IMAGE, VIDEO, self._database.run),
        ).fetchone()
        return photos, videos, frames

    def has_videos(self) -> bool:
        """Return whether this run found a video, finished or not."""
        query = "SELECT count(*) FROM sources WHERE run = ? AND kind = ?"
        return bool(self._database.value(query, (self._database.run, VIDEO)))

    def count_excluded(self) -> int:
        """Return the number of finished sources that are not among the inputs of this run."""
        query = "SELECT count(*) FROM sources WHERE run <> ? AND status IS NOT NULL"
        return int(self._database.value(query, (self._database.run,)))


def _size_and_mtime(source: Source) -> tuple[int | None, int | None]:
    """Return size in bytes and modification time in nanoseconds, if the file exists."""
    if source.problem:
        return None, None
    try:
        return source.status()
    except OSError:
        return None, None


def _digest(source: Source) -> bytes | None:
    try:
        return source.digest()
    except OSError:
        return None

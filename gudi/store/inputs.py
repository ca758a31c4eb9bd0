"""The inputs that the runs found, and which of them are finished."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

from gudi.errors import one_line
from gudi.media.content import IMAGE, VIDEO
from gudi.media.source import Source
from gudi.store.database import Database
from gudi.store.paths import safe_paths

OK, NO_FACE, FAILED = STATUSES = "ok", "no_face", "failed"

# Rows fetched at a time from a table that changes meanwhile.
PAGE = 500

_COLUMNS = (
    "input, source, path, kind, digest, status, faces, frames, duration_s, width, height, error,"
    " annotated, drawn, draw_error, extra"
)
_TYPES: tuple[Any, ...] = (
    int, str, bytes, str, (bytes, NoneType), (str, NoneType), (int, NoneType), (int, NoneType),
    (float, NoneType), (int, NoneType), (int, NoneType), str, (str, NoneType), int, str, str,
)  # fmt: skip

# Enters an input that is new or has not changed. Without a size, it counts as changed.
_ENTER = (
    "INSERT INTO inputs (path, source, kind, extra, size, mtime, run, canonical_path)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (canonical_path) DO UPDATE SET run = excluded.run"
    " WHERE (path, source, kind, extra, size, mtime) ="
    " (excluded.path, excluded.source, excluded.kind, excluded.extra, excluded.size,"
    " excluded.mtime)"
)

# Tables that hold what was found in an input.
RESULT_TABLES = ("faces", "segments", "frames", "videos", "tracks", "peaks", "video_indexes")


@dataclass(frozen=True)
class Input:
    """One input in the store.

    Attributes:
        id: its number in the store.
        source: its name, path and kind.
        digest: hash of its content, in hexadecimal; "" if unknown.
        status: `ok`, `no_face` or `failed`; None until it is processed.
        faces: number of faces.
        frames: number of processed frames; None for a photo.
        duration: time of a video's last processed frame, in seconds; None for a photo.
        width, height: of the upright picture, in pixels; None if nothing was decoded.
        error: "", or why processing failed.
        annotated: path of the annotated copy below `annotated/`; None if it has none.
        drawn: which pictures exist: the sum of `PICTURE` and `THUMBNAIL`.
        draw_error: "", or why drawing failed.
        extra: the columns that a list in csv gives it.
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
    annotated: str | None
    drawn: int
    draw_error: str
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def final_status(self) -> str | None:
        """The status in tables and report, where a failed drawing counts as a failure."""
        return FAILED if self.draw_error else self.status

    @property
    def final_error(self) -> str:
        """The error in tables and report: of processing, of drawing, or both."""
        return one_line("; ".join(filter(None, (self.error, self.draw_error))))


class InputTable:
    """The inputs of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def is_new(self, source: Source) -> bool:
        """Return whether this run has not registered `source` yet."""
        run = self._database.value(
            "SELECT run FROM inputs WHERE canonical_path = ?", (source.canonical,)
        )
        return bool(run != self._database.run)

    def is_finished(self, source: Source, *, or_failed: bool = True) -> bool:
        """Return whether `source` is finished and unchanged; a failed one counts if `or_failed`."""
        if source.problem:
            return False  # processed in each run
        known = self._database.read(
            "SELECT size, mtime FROM inputs WHERE canonical_path = ?"
            " AND (status != 'failed' OR ?) AND status IS NOT NULL",
            (source.canonical, or_failed),
        ).fetchone()
        return known is not None and known == _size_and_mtime(source)

    def register(self, source: Source) -> None:
        """Enter `source` for this run; it stays finished if it has not changed."""
        key, (size, mtime) = source.canonical, _size_and_mtime(source)
        values = (
            source.stored, source.name, source.kind, json.dumps(dict(source.extra)), size, mtime,
        )  # fmt: skip
        if self._database.write(_ENTER, (*values, self._database.run, key)):
            return
        number, kind, *before, digest = self._database.read(
            "SELECT input, kind, size, mtime, digest FROM inputs WHERE canonical_path = ?", (key,)
        ).fetchone()
        touched = before != [size, mtime]
        if (
            source.problem
            or kind != source.kind
            or (touched and not (digest and digest == _digest(source)))
        ):
            self.reset(number)
        self._database.write(
            "UPDATE inputs SET path = ?, source = ?, kind = ?, extra = ?, size = ?, mtime = ?,"
            " run = ? WHERE input = ?",
            (*values, self._database.run, number),
        )

    def reset(self, number: int) -> None:
        """Forget the results of an input."""
        self.forget_results(number)
        self._database.write(
            "UPDATE inputs SET status = NULL, digest = NULL, error = '', drawn = 0,"
            " draw_error = '' WHERE input = ?",
            (number,),
        )

    def forget_results(self, number: int, but: Container[str] = ()) -> None:
        """Forget what was found in an input so far, except for the tables `but`."""
        for table in RESULT_TABLES:
            if table not in but:
                self._database.write(f"DELETE FROM {table} WHERE input = ?", (number,))

    def mark_failed(self, record: Input, error: str) -> None:
        """Mark a finished input as failed, because its results cannot be used."""
        self._database.write(
            "UPDATE inputs SET status = 'failed', error = ? WHERE input = ?", (error, record.id)
        )

    def retry_failed(self) -> None:
        """Reset the failed inputs of this run, and mark failed drawings as undrawn."""
        run = self._database.run
        for record in self.pages("run = ? AND status = 'failed'", (run,)):
            self.reset(record.id)
        self._database.write("UPDATE inputs SET draw_error = '' WHERE run = ?", (run,))

    def pending(self) -> Iterator[Source]:
        """Yield the unfinished inputs of this run in the order of their registration."""
        for record in self.pages("run = ? AND status IS NULL", (self._database.run,)):
            yield record.source

    def finished(self) -> Iterator[Input]:
        """Yield the finished inputs of this run by name; nothing may change meanwhile."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM inputs WHERE run = ? AND status IS NOT NULL"
            " ORDER BY source, input",
            (self._database.run,),
        )
        return map(self.record, rows)

    def named(self, name: str) -> Input | None:
        """Return the finished input of this run that the tables call `name`."""
        condition = "source = ? AND run = ? AND status IS NOT NULL"
        return next(self.pages(condition, (name, self._database.run)), None)

    def has_finished_videos(self) -> bool:
        """Return whether a video of this run is finished."""
        return self.totals()[1] > 0

    def all_runs(self) -> Iterator[Input]:
        """Yield the inputs of all runs, finished or not."""
        return self.pages("TRUE", ())

    def by_id(self, number: int) -> Input:
        """Return one input."""
        return next(self.pages("input = ?", (number,)))

    def id_of(self, source: Source) -> int:
        """Return the number of a registered source."""
        number: int = self._database.value(
            "SELECT input FROM inputs WHERE canonical_path = ?", (source.canonical,)
        )
        return number

    def status_counts(self) -> Counter[str | None]:
        """Return the number of inputs of this run by final status, None for unfinished."""
        rows = self._database.read(
            "SELECT CASE draw_error WHEN '' THEN status ELSE 'failed' END, count(*)"
            " FROM inputs WHERE run = ? GROUP BY 1",
            (self._database.run,),
        )
        return Counter(dict(rows))

    def totals(self) -> tuple[int, int, int]:
        """Return the number of finished photos, of finished videos, and of processed frames."""
        photos, videos, frames = self._database.read(
            "SELECT count(CASE kind WHEN ? THEN 1 END), count(CASE kind WHEN ? THEN 1 END),"
            " coalesce(sum(frames), 0) FROM inputs WHERE run = ? AND status IS NOT NULL",
            (IMAGE, VIDEO, self._database.run),
        ).fetchone()
        return photos, videos, frames

    def count_pending_videos(self) -> int:
        """Return how many videos of this run are not finished."""
        query = "SELECT count(*) FROM inputs WHERE run = ? AND kind = ? AND status IS NULL"
        return int(self._database.value(query, (self._database.run, VIDEO)))

    def count_excluded(self) -> int:
        """Return the number of finished inputs that are not among those of this run."""
        query = "SELECT count(*) FROM inputs WHERE run <> ? AND status IS NOT NULL"
        return int(self._database.value(query, (self._database.run,)))

    def pages(self, condition: str, values: Sequence[Any]) -> Iterator[Input]:
        """Yield the inputs for which `condition` holds, while the table may change."""
        last = 0
        while True:
            rows = self._database.read(
                f"SELECT {_COLUMNS} FROM inputs WHERE input > ? AND ({condition})"
                " ORDER BY input LIMIT ?",
                (last, *values, PAGE),
            ).fetchall()
            if not rows:
                return
            yield from map(self.record, rows)
            last = rows[-1][0]

    def record(self, row: Sequence[Any]) -> Input:
        """Return a row as a record, if it is one that gudi wrote."""
        typed = all(isinstance(value, types) for value, types in zip(row, _TYPES))
        if not typed or row[5] not in (None, *STATUSES):
            raise self._database.damaged(f"row {row[0]} of inputs")
        number, name, path, kind, digest, status, faces, frames, *others, annotated, drawn = row[
            :-2
        ]
        duration, width, height, error = others
        if annotated is not None and annotated != next(safe_paths(annotated)):
            annotated = None  # a stranger's file, whose path leads out of the folder
        extra = self._database.from_json(row[-1], {})
        return Input(
            number, Source.from_stored(path, name, kind), (digest or b"").hex(), status,
            faces or 0, frames, duration, width, height, error, annotated, drawn, row[-2],
            {str(key): str(value) for key, value in extra.items()},
        )  # fmt: skip


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

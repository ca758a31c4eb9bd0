"""A ledger as a whole: runs, settings, and copying from another ledger."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gudi.errors import OutputError
from gudi.media.names import as_cell
from gudi.media.source import Source
from gudi.results.ledger.database import Database
from gudi.results.ledger.drawing_table import DrawingTable
from gudi.results.ledger.face_table import FaceTable
from gudi.results.ledger.source_table import SourceTable
from gudi.results.records import SourceRecord, SourceResult
from gudi.settings import FORMATS


class Ledger:
    """The ledger at `path`, created if it does not exist. Close it, or use it in a `with` block.

    Attributes:
        sources: what the runs found, and what of it is finished.
        faces: the results.
        drawings: the pictures.

    Args:
        path: the SQLite file.
        classes: number of probabilities per face.
        crops: whether faces are kept as pictures, 2304 bytes each.

    Raises:
        OutputError: the file cannot be used.
    """

    def __init__(self, path: Path, classes: int, *, crops: bool = False) -> None:
        self._database = Database(path)
        self.sources = SourceTable(self._database)
        scores = self._database.version > 1
        self.faces = FaceTable(self._database, self.sources, classes, crops=crops, scores=scores)
        self.drawings = DrawingTable(self._database)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.close()
        if isinstance(error, sqlite3.Error):  # while rows were fetched
            with self._database.errors():
                raise error

    def close(self) -> None:
        """Commit and close."""
        self._database.close()

    def commit(self) -> None:
        """Make all changes permanent."""
        self._database.commit()

    @property
    def settings(self) -> dict[str, Any]:
        """What the results depend on; empty in a new ledger."""
        settings: dict[str, Any] = self._database.setting("settings", {})
        return settings

    @property
    def formats(self) -> list[str]:
        """The formats in which the faces table was written."""
        stored = self._database.setting("formats", [])
        return [each for each in FORMATS if each in stored]

    @formats.setter
    def formats(self, formats: Iterable[str]) -> None:
        self._database.store_setting("formats", sorted(formats))

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Names of the columns that lists in csv give to sources, in order."""
        stored = self._database.setting("extra_columns", [])
        return tuple(name for name in stored if isinstance(name, str))

    @extra_columns.setter
    def extra_columns(self, names: Iterable[str]) -> None:
        self._database.store_setting("extra_columns", list(names))

    def add_extra_columns(self, names: Iterable[str]) -> None:
        """Add columns to those that the tables have."""
        known = self.extra_columns
        added = [name for name in names if name not in known]
        if added:
            self.extra_columns = (*known, *added)

    def start_run(self, settings: Mapping[str, Any]) -> None:
        """Start another run, whose results depend on `settings`."""
        self._database.run += 1
        self._database.store_setting("settings", settings)
        self._database.write("DELETE FROM extra", ())
        self.extra_columns = ()

    def register(self, source: Source) -> None:
        """Enter a source for this run; one whose problem is known is finished at once."""
        self.sources.register(source)
        if source.extra:
            number = self.sources.id_of(source)
            self._database.write(
                "INSERT OR REPLACE INTO extra VALUES (?, ?)",
                (number, json.dumps(dict(source.extra))),
            )
        if source.problem:
            self.faces.add(SourceResult(source, error=source.problem))

    def copy_from(
        self, other: Ledger, record: SourceRecord, prefix: str = ""
    ) -> SourceRecord | None:
        """Copy a source and its faces from another ledger, without pictures.

        Args:
            other: a ledger with the same number of classes, and crops if this one has them.
            record: the source to copy.
            prefix: put before its name and path, so that it never equals another source.

        Returns:
            The new record; None if this ledger has the same content already.

        Raises:
            OutputError: another file of this name has different results.
        """
        values = other._database.read(
            "SELECT place, path, name, kind, size, mtime, digest, status, faces, frames, duration,"
            " width, height, error FROM sources WHERE id = ?",
            (record.id,),
        ).fetchone()
        location, path, name, *others = values
        location = os.fsencode(prefix) + location
        # The name is printable already; that of an earlier version may be a formula.
        name = as_cell(f"{prefix}{name.removeprefix('./')}")
        # Other machines reach the same collection by another path, so the name counts as well.
        known = self._database.read(
            "SELECT digest, status FROM sources WHERE place = ? OR name = ?", (location, name)
        ).fetchall()
        if known:
            digest, status = others[3], others[4]
            if any(each != (digest, status) for each in known):
                raise OutputError(f"there are different results for {name}")
            return None
        self._database.write(
            "INSERT INTO sources (place, path, name, run, kind, size, mtime, digest, status, faces,"
            " frames, duration, width, height, error)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (location, path, name, self._database.run, *others),
        )
        number = self._database.value("SELECT last_insert_rowid()")
        parts = other._database.read(
            'SELECT number, faces, frames, "end", width, height, error FROM parts WHERE source = ?',
            (record.id,),
        )
        for part, faces, *values in parts:
            self._database.write(
                "INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (number, part, self.faces.repack(faces, other.faces), *values),
            )
        if extra := record.source.extra:
            self._database.write(
                "INSERT INTO extra VALUES (?, ?)", (number, json.dumps(dict(extra)))
            )
            self.add_extra_columns(other.extra_columns)
        frames = other._database.read(
            "SELECT number, processed FROM frames WHERE source = ?", (record.id,)
        )
        for values in frames:
            self._database.write("INSERT INTO frames VALUES (?, ?, ?)", (number, *values))
        return self.sources.by_id(number)

"""A store as a whole: runs, settings, tables, and merging with another store."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from gudi.columns import FACES, FRAMES, TRACKS, VIDEOS, expand, names
from gudi.constants import EMOTIONS
from gudi.errors import OutputError
from gudi.media.names import as_cell
from gudi.media.source import Source
from gudi.records import Result
from gudi.settings import FORMATS
from gudi.store.database import Database
from gudi.store.drawings import DrawingTable
from gudi.store.faces import FaceTable
from gudi.store.inputs import RESULT_TABLES, Input, InputTable
from gudi.store.schema import FRAMES_WITH_FACES, SPECIAL, listed, quoted
from gudi.store.statistics import Statistics
from gudi.store.videos import VideoTable
from gudi.version import __version__

STORE = "results.sqlite"

Row = tuple[Any, ...]

# Whole numbers without a point.
_SCORE = {
    "score": "CASE WHEN score = CAST(score AS INTEGER) THEN CAST(score AS INTEGER) ELSE score END"
}


class Store:
    """The store at `path`, created if it does not exist. Close it, or use it in a `with` block.

    Attributes:
        emotions: names of the classes.
        inputs: the inputs of all runs, and which are finished.
        faces: the faces, and the frames in which they were searched.
        videos: derived facts of videos: tracks, summaries, peaks.
        drawings: the pictures.
        statistics: how often, how strongly and when emotions were shown.

    Args:
        path: the SQLite file.
        emotions: names of the classes, for a new file.
        crops: whether faces are kept as pictures, 2304 bytes each.
        read_only: see `open_results`.

    Raises:
        OutputError: the file cannot be used.
    """

    def __init__(
        self,
        path: Path,
        emotions: Sequence[str] = EMOTIONS,
        *,
        crops: bool = False,
        read_only: bool = False,
    ) -> None:
        self._database = Database(path, emotions, read_only=read_only)
        stored = self.settings.get("emotions")
        self.emotions = tuple(map(str, stored)) if isinstance(stored, list) else tuple(emotions)
        crops = crops or bool(self.settings.get("crops"))
        self.inputs = InputTable(self._database)
        self.faces = FaceTable(self._database, self.inputs, self.emotions, crops=crops)
        self.videos = VideoTable(self._database, self.inputs, self.emotions)
        self.drawings = DrawingTable(self._database, self.inputs)
        self.statistics = Statistics(self._database, self.emotions)

    @classmethod
    def open_results(cls, folder: Path) -> Store:
        """Open the store of a result folder for reading, at the same time as other readers.

        Raises:
            OutputError: the folder has none, or a run is writing to it.
        """
        path = folder / STORE
        if not path.is_file():
            raise OutputError(
                f"{path} does not exist, so {folder} holds no results; to write them, repeat "
                "gudi batch"
            )
        return cls(path, read_only=True)

    def __enter__(self) -> Store:
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

    def together(self) -> contextlib.AbstractContextManager[None]:
        """Commit nothing in the middle of the block."""
        return self._database.together()

    @property
    def settings(self) -> dict[str, Any]:
        """What the results depend on; empty in a new store."""
        text = self._database.value("SELECT settings FROM runs ORDER BY run DESC LIMIT 1")
        settings: dict[str, Any] = self._database.from_json(text, {})
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
    def extra(self) -> tuple[str, ...]:
        """Names of the columns that lists in csv give to inputs, in order."""
        stored = self._database.setting("extra", [])
        return tuple(name for name in stored if isinstance(name, str))

    def add_extra(self, names: Iterable[str]) -> None:
        """Add columns to those that lists in csv give."""
        known = self.extra
        if added := [name for name in names if name not in known]:
            self._database.store_setting("extra", [*known, *added])

    def start_run(self, settings: Mapping[str, Any]) -> None:
        """Start another run, whose results depend on `settings`."""
        self._database.run += 1
        started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._database.write(
            "INSERT INTO runs VALUES (?, ?, ?, ?)",
            (self._database.run, started, __version__, json.dumps(settings)),
        )
        self._database.store_setting("extra", [])

    def register(self, source: Source) -> None:
        """Enter a source for this run; one whose problem is known is finished at once."""
        self.inputs.register(source)
        if source.problem:
            self.faces.add(Result(source, error=source.problem))

    def file_rows(self) -> Iterator[Row]:
        """Yield the rows of `files.csv`: those of `FILES` and of the extra columns."""
        extra = self.extra
        for each in self.inputs.finished():
            yield (
                each.source.name, each.source.kind, each.final_status, each.faces, each.frames,
                each.width, each.height, each.final_error, *map(each.extra.get, extra),
            )  # fmt: skip

    def face_rows(self, *, tracked: bool) -> Iterator[Row]:
        """Yield the rows of the faces table: those of `FACES` and of the extra columns."""
        special = {"kind": "inputs.kind", **SPECIAL["faces"], **_SCORE}
        columns = names(expand(FACES, self.emotions, tracked=tracked))
        return self._rows("faces", columns, special, "frame, face")

    def frame_rows(self, *, tracked: bool) -> Iterator[Row]:
        """Yield the rows of the table of frames: those of `FRAMES` and of the extra columns."""
        columns = names(expand(FRAMES, self.emotions, tracked=tracked))
        special = {**SPECIAL["frames"], **_SCORE}
        return self._rows("faces", columns, special, "frames.frame", tables=FRAMES_WITH_FACES)

    def video_rows(self) -> Iterator[Row]:
        """Yield the rows of the table of videos: those of `VIDEOS` and of the extra columns."""
        return self._rows("videos", names(expand(VIDEOS, self.emotions)), {}, "1")

    def track_rows(self) -> Iterator[Row]:
        """Yield the rows of the table of tracks: those of `TRACKS` and of the extra columns."""
        return self._rows("tracks", names(expand(TRACKS, self.emotions)), {}, "track")

    def _rows(
        self,
        table: str,
        columns: Sequence[str],
        special: Mapping[str, str],
        order: str,
        tables: str = "",
    ) -> Iterator[Row]:
        """Yield rows of a table for all finished inputs of this run, sorted by source."""
        tables = tables or f"{table} USING (input)"
        special = {"source": "inputs.source", **special}
        values = [special.get(name, f"{table}.{quoted(name)}") for name in columns]
        extra = self.extra
        if extra:
            values.append("inputs.extra")
        rows = self._database.rows(
            f"SELECT {', '.join(values)} FROM inputs CROSS JOIN {tables}"
            f" WHERE inputs.run = ? AND status IS NOT NULL ORDER BY source, inputs.input, {order}",
            (self._database.run,),
        )
        if not extra:
            return rows
        return ((*row, *map(json.loads(text).get, extra)) for *row, text in rows)

    def emotion_counts(self, *, untimed: bool = False) -> dict[str, int]:
        """Return the number of faces of this run by top emotion.

        Args:
            untimed: only in photos and pages, whose faces are not seen for any time.
        """
        rows = self._database.rows(
            "SELECT faces.emotion, count(*) FROM inputs CROSS JOIN faces USING (input)"
            " WHERE inputs.run = ? AND status IS NOT NULL AND (NOT ? OR time_s IS NULL) GROUP BY 1",
            (self._database.run, untimed),
        )
        counts = dict(rows)
        return {name: counts[name] for name in self.emotions if name in counts}

    def emotion_seconds(self) -> dict[str, float]:
        """Return for how long each emotion was on top in the videos of this run."""
        sums = (f"sum(face_time_s * {quoted(f'share_{name}')})" for name in self.emotions)
        row = self._database.read(
            f"SELECT {', '.join(sums)} FROM inputs JOIN videos USING (input)"
            " WHERE run = ? AND status IS NOT NULL",
            (self._database.run,),
        ).fetchone()
        return {name: value for name, value in zip(self.emotions, row) if value}

    def crops(self) -> Iterator[Any]:
        """Yield the kept faces of this run's finished inputs, in the order of the faces table."""
        for record in self.inputs.finished():
            yield from self.faces.crops_of(record)

    def copy_from(self, other: Store, record: Input, prefix: str = "") -> Input | None:
        """Copy an input and all its results from another store, without pictures.

        Args:
            other: a store with the same emotions.
            record: the input to copy.
            prefix: put before its name, and so that it never equals another input.

        Returns:
            The new record; None if this store has the same content already.

        Raises:
            OutputError: another file of this name has different results.
        """
        columns = self._database.columns("inputs")
        row = other._database.read(
            f"SELECT {listed(columns)} FROM inputs WHERE input = ?", (record.id,)
        ).fetchone()
        values = dict(zip(columns, row))
        values["canonical_path"] = os.fsencode(prefix) + values["canonical_path"]
        if prefix:
            if not os.path.isabs(values["path"]):  # seen from another folder
                values["path"] = os.fsencode(prefix) + values["path"]
            values["source"] = as_cell(prefix + values["source"].removeprefix("./").lstrip("/"))
        # Other machines reach the same collection by another path, so the name counts as well.
        known = self._database.read(
            "SELECT digest, status FROM inputs WHERE canonical_path = ? OR source = ?",
            (values["canonical_path"], values["source"]),
        ).fetchall()
        if known:
            if any(each != (values["digest"], values["status"]) for each in known):
                raise OutputError(f"there are different results for {values['source']}")
            return None
        values |= {
            "input": None, "run": self._database.run,
            "annotated": None, "drawn": 0, "draw_error": "",
        }  # fmt: skip
        with self.together():
            self._database.insert("inputs", columns, [tuple(values.values())])
            number = self._database.value("SELECT last_insert_rowid()")
            for table in RESULT_TABLES:
                columns = self._database.columns(table)
                rows = other._database.rows(
                    f"SELECT {listed(columns[1:])} FROM {table} WHERE input = ?", (record.id,)
                )
                self._database.insert(table, columns, ((number, *each) for each in rows))
        if record.extra:
            self.add_extra(other.extra)
        return self.inputs.by_id(number)

"""The faces of each source, in parts: one of a photo, one per segment of a video."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from gudi.constants import FACE_SIZE
from gudi.detection import Box
from gudi.media.content import VIDEO
from gudi.media.scenes import SIZE as SIGNATURE
from gudi.media.source import Source
from gudi.results.ledger.database import Database, damaged
from gudi.results.ledger.source_table import SourceTable
from gudi.results.records import (
    FAILED,
    NO_FACE,
    OK,
    FaceRow,
    ProcessedFrame,
    SourceRecord,
    SourceResult,
)

# The number of a photo's only part. A video's parts are numbered by their first frame.
PHOTO_PART = 0

# How the processed frames of a part are stored.
FRAME_TYPE = np.dtype([("number", "<i8"), ("time", "<f8"), ("signature", "u1", SIGNATURE)])

# Larger than any frame number.
NO_LIMIT = 2**62

# Errors of segments that a video's error quotes.
MAX_ERRORS = 3


class FaceTable:
    """The faces of a ledger. It is the sink of `gudi.pipeline.recognize`.

    Args:
        database: the ledger's file.
        sources: the ledger's sources.
        classes: number of probabilities per face.
        crops: whether faces are kept as pictures, 2304 bytes each.
        scores: whether faces have scores, which ledgers of earlier versions lack.
    """

    def __init__(
        self, database: Database, sources: SourceTable, classes: int, *, crops: bool, scores: bool
    ) -> None:
        self._database, self._sources = database, sources
        self.crops, self.scores = crops, scores
        fields: list[Any] = [
            ("frame", "<i8"), ("time", "<f8"), ("box", "<i4", 4), ("probabilities", "<f4", classes),
        ]  # fmt: skip
        if scores:
            fields.append(("score", "<f4"))
        if crops:
            fields.append(("crop", "u1", (FACE_SIZE, FACE_SIZE)))
        self._row_type = np.dtype(fields)

    def finished_segments(self, source: Source) -> set[int]:
        """Return the numbers of a video's finished segments."""
        rows = self._database.read(
            "SELECT number FROM parts WHERE source = ?", (self._sources.id_of(source),)
        )
        return {number for (number,) in rows}

    def add(self, result: SourceResult) -> None:
        """Store the result of a photo, which finishes it, or of a segment of a video."""
        number = self._sources.id_of(result.source)
        part = PHOTO_PART if result.segment is None else result.segment
        self._database.write(
            "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number, part, self._pack(result), result.frames, result.end, result.width,
                result.height, result.error,
            ),
        )  # fmt: skip
        if result.processed:
            self._database.write(
                "INSERT OR REPLACE INTO frames VALUES (?, ?, ?)",
                (number, part, _pack_frames(result.processed)),
            )
        if result.segment is None:
            self._finish(result.source, number, "", result.digest)

    def finish(self, source: Source, problem: str, digest: bytes | None) -> tuple[str, str]:
        """Finish a video whose segments have all been added.

        Args:
            source: the video.
            problem: "", or what is wrong with the video as a whole.
            digest: hash of its content.

        Returns:
            Its status and its error.
        """
        return self._finish(source, self._sources.id_of(source), problem, digest)

    def forget(self, source: Source) -> None:
        """Drop the segments of a video, which will be processed in another way."""
        number = self._sources.id_of(source)
        for table in ("parts", "frames"):
            self._database.write(f"DELETE FROM {table} WHERE source = ?", (number,))

    def _finish(
        self, source: Source, number: int, problem: str, digest: bytes | None
    ) -> tuple[str, str]:
        faces, *others = self._database.read(
            'SELECT total(length(faces)) / ?, sum(frames), max("end"), max(width), max(height)'
            " FROM parts WHERE source = ?",
            (self._row_type.itemsize, number),
        ).fetchone()
        errors = self._database.read(
            "SELECT error FROM parts WHERE source = ? AND error <> '' ORDER BY number LIMIT ?",
            (number, MAX_ERRORS),
        )
        error = "; ".join(filter(None, (problem, *(each for (each,) in errors))))
        status = FAILED if error else OK if faces else NO_FACE
        self._database.write(
            "UPDATE sources SET status = ?, faces = ?, frames = ?, duration = ?, width = ?,"
            " height = ?, error = ?, digest = ? WHERE id = ?",
            (status, int(faces), *others, error, digest, number),
        )
        if error and not source.problem and not os.path.lexists(source.path):
            # It may come back: a drive that disconnects for a while takes all its files along.
            self._database.write(
                "UPDATE sources SET size = NULL, mtime = NULL WHERE id = ?", (number,)
            )
        return status, error

    def rows(self, record: SourceRecord, first: int = 0, last: int = NO_LIMIT) -> Iterator[FaceRow]:
        """Yield the faces of a source in order; of a video those of frames `first` to `last`."""
        # The part that starts before `first` may reach into the wanted frames.
        start = self._database.value(
            "SELECT max(number) FROM parts WHERE source = ? AND number <= ?", (record.id, first)
        )
        parts = self._database.read(
            "SELECT faces FROM parts WHERE source = ? AND number BETWEEN ? AND ? ORDER BY number",
            (record.id, start or 0, last),
        )
        for (packed,) in parts:
            if len(packed) % self._row_type.itemsize:
                raise damaged(self._database.path, f"faces of {record.source.name}")
            for row in _unpack(packed, self._row_type, record.source.kind):
                if row.frame is None or first <= row.frame <= last:
                    yield row

    def processed_frames(self, record: SourceRecord) -> Iterator[ProcessedFrame]:
        """Yield the processed frames of a video in order; none for those of earlier versions."""
        parts = self._database.read(
            "SELECT processed FROM frames WHERE source = ? ORDER BY number", (record.id,)
        )
        for (packed,) in parts:
            for row in np.frombuffer(packed, FRAME_TYPE):
                yield ProcessedFrame(
                    int(row["number"]), _number(row["time"]), row["signature"].tobytes()
                )

    def listed_rows(self, record: SourceRecord) -> Iterator[FaceRow]:
        """Yield the faces of a source that the faces table lists: all, if nothing is wrong."""
        return islice(self.rows(record), record.faces)

    def all_crops(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the kept faces of this run's finished sources, in the order of the faces table."""
        for record in self._sources.finished():
            for row in self.listed_rows(record):
                if row.crop is not None:
                    yield row.crop

    def repack(self, packed: bytes, other: FaceTable) -> bytes:
        """Return what `other` has stored of some faces as this table stores it."""
        if self._row_type == other._row_type:
            return packed
        before = np.frombuffer(packed, other._row_type)
        rows = np.zeros(len(before), self._row_type)
        if self.scores:
            rows["score"] = np.nan
        for name in set(self._row_type.names or ()) & set(other._row_type.names or ()):
            rows[name] = before[name]
        return rows.tobytes()

    def _pack(self, result: SourceResult) -> bytes:
        rows = np.zeros(len(result.boxes), self._row_type)
        if result.boxes:
            rows["box"], rows["probabilities"] = result.boxes, result.probabilities
            if result.frame_times:
                rows["frame"], rows["time"] = zip(*result.frame_times)
            if self.scores:
                rows["score"] = result.scores or np.nan
            if self.crops:
                rows["crop"] = result.crops
        return rows.tobytes()


def _unpack(packed: bytes, row_type: np.dtype[Any], kind: str) -> Iterator[FaceRow]:
    names = row_type.names or ()
    for row in np.frombuffer(packed, row_type):
        frame = int(row["frame"]) if kind == VIDEO else None
        time = None if frame is None else _number(row["time"])
        box = Box(*row["box"].tolist())
        score = _number(row["score"]) if "score" in names else None
        crop = row["crop"] if "crop" in names else None
        yield FaceRow(frame, time, box, row["probabilities"], score, crop)


def _pack_frames(frames: Sequence[ProcessedFrame]) -> bytes:
    rows = np.zeros(len(frames), FRAME_TYPE)
    rows["number"] = [each.number for each in frames]
    rows["time"] = [np.nan if each.time is None else each.time for each in frames]
    signatures = b"".join(each.signature for each in frames)
    rows["signature"] = np.frombuffer(signatures, np.uint8).reshape(-1, SIGNATURE)
    return rows.tobytes()


def _number(value: np.floating[Any]) -> float | None:
    """Return a number of a packed row, where NaN stands for none."""
    return None if np.isnan(value) else float(value)

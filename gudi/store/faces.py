"""The faces of each input, and the frames and segments in which they were searched."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from gudi.columns import SMOOTHED
from gudi.constants import FACE_SIZE
from gudi.media.content import VIDEO
from gudi.media.source import Source
from gudi.records import Box, Face, Result, VideoFrame
from gudi.store.database import Database
from gudi.store.inputs import FAILED, NO_FACE, OK, Input, InputTable
from gudi.store.schema import face_columns, listed, quoted

# Larger than any frame number.
NO_LIMIT = 2**62

# Frames whose faces are in memory together.
PAGE = 100

# Errors of segments that a video's error quotes.
MAX_ERRORS = 3

BOX = Box._fields

# Columns that tracking fills in later.
_TRACK = "track"


class FaceTable:
    """The faces of a store; `crops` says whether to keep their pictures, 2304 bytes each."""

    def __init__(
        self, database: Database, inputs: InputTable, emotions: tuple[str, ...], *, crops: bool
    ) -> None:
        self._database, self._inputs, self._emotions = database, inputs, emotions
        self.crops = crops
        smoothed = [f"{SMOOTHED}{name}" for name in emotions]
        known = {"time_s", *BOX, "score", *emotions, _TRACK, *smoothed}
        self._values = [
            column.name for column in face_columns(emotions) if column.name not in known
        ]
        written = ["input", "frame", "face", "time_s", *BOX, "score", *emotions, *self._values]
        self._insert = (
            f"INSERT OR REPLACE INTO faces ({listed([*written, 'crop'])})"
            f" VALUES ({', '.join('?' * (len(written) + 1))})"
        )
        self._select = f"SELECT {listed([*written[1:], _TRACK, *smoothed, 'crop'])} FROM faces"
        self._update = (
            f"UPDATE faces SET {', '.join(f'{quoted(each)} = ?' for each in (_TRACK, *smoothed))}"
            " WHERE input = ? AND frame = ? AND face = ?"
        )

    def finished_segments(self, source: Source) -> set[int]:
        """Return the first frames of a video's finished segments."""
        rows = self._database.rows(
            "SELECT first_frame FROM segments WHERE input = ?", (self._inputs.id_of(source),)
        )
        return {number for (number,) in rows}

    def count_frames(self, source: Source) -> int:
        """Return how many frames of a video are stored."""
        query = "SELECT count(*) FROM frames WHERE input = ?"
        return int(self._database.value(query, (self._inputs.id_of(source),)))

    def add(self, result: Result) -> None:
        """Store the result of a photo, which finishes it, or of a segment of a video."""
        number = self._inputs.id_of(result.source)
        with self._database.together():
            if result.faces:
                self._database.write_all(self._insert, self._rows(number, result.faces))
            if result.segment is None:
                self._finish_photo(number, result)
            else:
                self._add_segment(number, result)

    def _rows(self, number: int, faces: Sequence[Face]) -> Iterator[Sequence[Any]]:
        for frame, group in groupby(faces, key=lambda face: face.frame):
            for position, face in enumerate(group):
                yield (
                    number, frame or 0, position, face.time_s, *face.box, face.score,
                    *face.probabilities.tolist(), *map(face.values.get, self._values),
                    face.crop.tobytes() if self.crops and face.crop is not None else None,
                )  # fmt: skip

    def _finish_photo(self, number: int, result: Result) -> None:
        self._finish(
            result.source, number, (len(result.faces), None, None, result.width, result.height),
            result.error, result.digest,
        )  # fmt: skip

    def _add_segment(self, number: int, result: Result) -> None:
        frames = result.frames or []
        self._database.write(
            "INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number, result.segment, len(result.faces), len(frames),
                frames[-1].time if frames else None, result.width, result.height, result.error,
            ),
        )  # fmt: skip
        self._database.write_all(
            "INSERT OR REPLACE INTO frames VALUES (?, ?, ?, ?)",
            ((number, each.number, each.time, each.signature) for each in frames),
        )

    def finish(self, source: Source, problem: str, digest: bytes | None) -> tuple[str, str]:
        """Finish a video whose segments have all been added; return its status and its error.

        Args:
            source: the video.
            problem: "", or what is wrong with the video as a whole.
            digest: hash of its content.
        """
        number = self._inputs.id_of(source)
        counts = self._database.read(
            "SELECT coalesce(sum(faces), 0), sum(frames), max(end_s), max(width), max(height)"
            " FROM segments WHERE input = ?",
            (number,),
        ).fetchone()
        errors = self._database.rows(
            "SELECT error FROM segments WHERE input = ? AND error <> '' ORDER BY first_frame"
            " LIMIT ?",
            (number, MAX_ERRORS),
        )
        error = "; ".join(filter(None, (problem, *(each for (each,) in errors))))
        return self._finish(source, number, counts, error, digest)

    def _finish(
        self, source: Source, number: int, counts: Sequence[Any], error: str, digest: bytes | None
    ) -> tuple[str, str]:
        """Finish an input; `counts` are faces, frames, duration, width and height."""
        status = FAILED if error else OK if counts[0] else NO_FACE
        self._database.write(
            "UPDATE inputs SET status = ?, faces = ?, frames = ?, duration_s = ?, width = ?,"
            " height = ?, error = ?, digest = ? WHERE input = ?",
            (status, *counts, error, digest, number),
        )
        if error and not source.problem and not os.path.lexists(source.path):
            # Try it again in the next run: a drive may be disconnected, with all its files.
            self._database.write(
                "UPDATE inputs SET size = NULL, mtime = NULL WHERE input = ?", (number,)
            )
        return status, error

    def forget(self, source: Source) -> None:
        """Drop the segments of a video whose time stamps are not reliable."""
        number = self._inputs.id_of(source)
        self._inputs.forget_results(number, but=("video_indexes",))
        self._database.write(
            "UPDATE video_indexes SET stamps = x'', keys = x'' WHERE input = ?", (number,)
        )

    def of_input(self, record: Input, first: int = 0, last: int = NO_LIMIT) -> Iterator[Face]:
        """Yield the faces of an input in order; of a video those of frames `first` to `last`."""
        rows = self._database.rows(
            f"{self._select} WHERE input = ? AND frame BETWEEN ? AND ? ORDER BY frame, face",
            (record.id, first, last),
        )
        return (self._face(record, row) for row in rows)

    def by_frame(self, record: Input) -> Iterator[VideoFrame]:
        """Yield the processed frames of a video in order, with their faces.

        The faces may change meanwhile.
        """
        last = -1
        while True:
            rows = self._database.read(
                "SELECT frame, time_s, signature FROM frames WHERE input = ? AND frame > ?"
                " ORDER BY frame LIMIT ?",
                (record.id, last, PAGE),
            ).fetchall()
            if not rows:
                return
            first, last = rows[0][0], rows[-1][0]
            faces = defaultdict[int | None, list[Face]](list)
            for face in list(self.of_input(record, first, last)):
                faces[face.frame].append(face)
            for row in rows:
                number, time, signature = row
                yield VideoFrame(number, time, signature, faces.get(number, []))

    def frame_numbers(self, record: Input) -> list[int]:
        """Return the numbers of the processed frames of a video, ascending."""
        rows = self._database.rows(
            "SELECT frame FROM frames WHERE input = ? ORDER BY frame", (record.id,)
        )
        return [number for (number,) in rows]

    def crops_of(self, record: Input) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the kept crops of an input, in the order of the faces table."""
        rows = self._database.rows(
            "SELECT crop FROM faces WHERE input = ? ORDER BY frame, face", (record.id,)
        )
        return (_picture(crop) for (crop,) in rows if crop is not None)

    def store_tracks(self, record: Input, frame: VideoFrame) -> None:
        """Store the tracks and smoothed probabilities of a frame's faces."""
        self._database.write_all(
            self._update,
            (
                (face.track, *_list(face.smoothed, len(self._emotions)), record.id, frame.number, n)
                for n, face in enumerate(frame.faces)
            ),
        )

    def _face(self, record: Input, row: Sequence[Any]) -> Face:
        frame, _, time, x, y, width, height, score, *others = row
        classes, values = len(self._emotions), len(self._values)
        probabilities, others = others[:classes], others[classes:]
        track, smoothed, crop = others[values], others[values + 1 : -1], others[-1]
        try:
            return Face(
                Box(x, y, width, height),
                score,
                np.array(probabilities, np.float32),
                self._emotions,
                frame=frame if record.source.kind == VIDEO else None,
                time_s=time,
                source=record.source.name,
                track=track,
                smoothed=None if track is None else np.array(smoothed, np.float32),
                crop=None if crop is None else _picture(crop),
                values=dict(zip(self._values, others)),
            )
        except (TypeError, ValueError) as error:
            raise self._database.damaged(f"a face of {record.source.name}: {error}") from error


def _list(values: npt.NDArray[np.float32] | None, count: int) -> list[float] | list[None]:
    return [None] * count if values is None else values.tolist()


def _picture(crop: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(crop, np.uint8).reshape(FACE_SIZE, FACE_SIZE)

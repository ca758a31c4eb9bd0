"""How often, how strongly and when emotions were shown: counted by SQLite, face by face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gudi.columns import SMOOTHED
from gudi.media.content import IMAGE
from gudi.store.database import Database
from gudi.store.inputs import Input
from gudi.store.schema import quoted

# Whole widths since the start of a timeline. Some videos start a little before 0.
_BIN = "CAST((max(time_s, 0.0) - ?) / ? AS INTEGER)"


class EmotionCount(NamedTuple):
    """The faces of one input with one top emotion.

    Attributes:
        emotion: that emotion.
        faces: their number.
        confidence: their highest probability of it, 0 to 1.
        score: their highest detection score.
    """

    emotion: str
    faces: int
    confidence: float
    score: float


class TimeBin(NamedTuple):
    """The faces in one of the equal parts into which a video is divided.

    Attributes:
        number: of the part, from 0.
        first: time of the first of these faces, in seconds.
        faces: their number.
        means: mean probabilities, float64 of shape (classes,), 0 to 1.
        deviations: standard deviations of the probabilities, likewise.
    """

    number: int
    first: float
    faces: int
    means: npt.NDArray[np.float64]
    deviations: npt.NDArray[np.float64]


class Statistics:
    """Queries over the faces of a store."""

    def __init__(self, database: Database, emotions: Sequence[str]) -> None:
        self._database, self._emotions = database, emotions

    def emotions_of(self, record: Input) -> list[EmotionCount]:
        """Count the faces of an input by their top emotion."""
        rows = self._database.rows(
            "SELECT emotion, count(*), max(confidence), coalesce(max(score), 0)"
            " FROM faces WHERE input = ? AND emotion IS NOT NULL GROUP BY emotion",
            (record.id,),
        )
        counts = [EmotionCount(*row) for row in rows]
        if any(isinstance(value, str) for each in counts for value in each[2:]):
            raise self._database.damaged(f"text in place of a number in {record.source.name}")
        return counts

    def timeline(
        self, record: Input, width: float, start: float = 0, track: int | None = None
    ) -> Iterator[TimeBin]:
        """Yield the parts of a video that show a face, in order.

        Args:
            record: the video.
            width: length of a part, in seconds.
            start: start of the first one, in seconds.
            track: the faces of this track alone, by their smoothed probabilities; None for all.
        """
        prefix = "" if track is None else SMOOTHED
        columns = [quoted(f"{prefix}{name}") for name in self._emotions]
        values = [f"sum({each})" for each in columns]
        values += [f"sum({each} * {each})" for each in columns]
        for number, first, faces, *sums in self._database.rows(
            f"SELECT {_BIN}, min(max(time_s, 0.0)), count(*), {', '.join(values)} FROM faces"
            " WHERE input = ? AND time_s IS NOT NULL AND track IS coalesce(?, track)"
            " GROUP BY 1 ORDER BY 1",
            (start, width, record.id, track),
        ):
            means, squares = np.array(sums, np.float64).reshape(2, -1) / faces
            deviations = np.sqrt(np.maximum(0, squares - means**2))
            yield TimeBin(number, first, faces, means, deviations)

    def strips(
        self, record: Input, tracks: Sequence[int], width: float, count: int
    ) -> dict[int, npt.NDArray[np.int64]]:
        """Count the faces of tracks by part of the video and smoothed top emotion.

        Args:
            record: a video whose faces have tracks.
            tracks: their numbers.
            width: length of a part, in seconds.
            count: number of parts.

        Returns:
            int64 of shape (count, classes), by track.
        """
        strips = {track: np.zeros((count, len(self._emotions)), np.int64) for track in tracks}
        places = {name: number for number, name in enumerate(self._emotions)}
        for track, number, emotion, faces in self._database.rows(
            f"SELECT track, {_BIN}, smooth_emotion, count(*) FROM faces WHERE input = ?"
            f" AND track IN ({', '.join('?' * len(tracks))}) GROUP BY 1, 2, 3",
            (0, width, record.id, *tracks),
        ):
            strips[track][number, places[emotion]] = faces
        return strips

    def strongest(self, count: int) -> list[tuple[str, int, int, int]]:
        """Find the faces of this run with the highest probability of their top emotion.

        Args:
            count: the most per emotion. An input has at most one for each.

        Returns:
            Emotion, number of the input, frame, and number in the frame, strongest first.
        """
        rows = self._database.rows(
            "SELECT emotion, input, frame, face FROM ("
            "  SELECT *, row_number() OVER (PARTITION BY emotion ORDER BY highest DESC, source)"
            "  AS rank FROM ("
            "    SELECT faces.emotion, input, frame, face, source, max(confidence) AS highest"
            "    FROM inputs CROSS JOIN faces USING (input)"
            "    WHERE inputs.run = ? AND status IS NOT NULL GROUP BY faces.emotion, input)"
            ") WHERE rank <= ? ORDER BY emotion, rank",
            (self._database.run, count),
        )
        return [(emotion, number, frame, face) for emotion, number, frame, face in rows]

    def strongest_photos(
        self, emotion: str, count: int, *, everybody: bool
    ) -> list[tuple[int, float]]:
        """Return the photos of this run that show an emotion most strongly, the strongest first.

        Args:
            emotion: one of the emotions.
            count: the most photos.
            everybody: judge a photo by its least probable face, instead of its most probable one.

        Returns:
            Number of the input, and the probability.
        """
        value = f"{'min' if everybody else 'max'}({quoted(emotion)})"
        rows = self._database.rows(
            f"SELECT input, {value} FROM inputs CROSS JOIN faces USING (input)"
            " WHERE run = ? AND status IS NOT NULL AND kind = ? GROUP BY input"
            " ORDER BY 2 DESC, source LIMIT ?",
            (self._database.run, IMAGE, count),
        )
        return [(number, value) for number, value in rows]

"""Derived facts of videos: tracks, summaries, peaks; and the videos' indexes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from gudi.analysis.main_faces import TrackExtent, main_tracks
from gudi.analysis.peaks import Peak
from gudi.columns import TRACKS, VIDEOS, expand, names
from gudi.media.content import VIDEO
from gudi.media.video_index import VideoIndex
from gudi.store.database import Database
from gudi.store.inputs import Input, InputTable
from gudi.store.schema import listed

Row = Sequence[Any]

_STAMPS = np.dtype("<i8")


class VideoTable:
    """The derived facts of a store's videos."""

    def __init__(self, database: Database, inputs: InputTable, emotions: Sequence[str]) -> None:
        self._database, self._inputs = database, inputs
        self._columns = {
            "videos": ["input", "tracked", *names(expand(VIDEOS, emotions))[1:]],
            "tracks": ["input", *names(expand(TRACKS, emotions))[1:]],
        }

    def unsummarised(self, *, tracked: bool) -> Iterator[Input]:
        """Yield the finished videos of this run that have no summary, or no tracks if `tracked`."""
        return self._inputs.pages(
            "run = ? AND kind = ? AND status IS NOT NULL AND NOT EXISTS"
            " (SELECT 1 FROM videos WHERE videos.input = inputs.input AND tracked >= ?)",
            (self._database.run, VIDEO, tracked),
        )

    def clear(self, record: Input) -> None:
        """Forget the derived facts of a video."""
        for table in ("videos", "tracks", "peaks"):
            self._database.write(f"DELETE FROM {table} WHERE input = ?", (record.id,))

    def add_track(self, record: Input, row: Row) -> None:
        """Store the summary of a track: the values of `gudi.columns.TRACKS` without the source."""
        self._add("tracks", (record.id, *row))

    def mark_main_tracks(self, record: Input) -> None:
        """Note which tracks of a video show its main face."""
        rows = self._database.rows(
            "SELECT track, mean_height, time_s, first_s, last_s FROM tracks WHERE input = ?",
            (record.id,),
        )
        chosen = main_tracks(TrackExtent(*row) for row in rows)
        self._database.write_all(
            "UPDATE tracks SET main = 1 WHERE input = ? AND track = ?",
            ((record.id, track) for track in chosen),
        )

    def add_summary(self, record: Input, row: Row, peaks: Iterable[Peak], *, tracked: bool) -> None:
        """Store the summary of a video, and its peaks.

        Args:
            record: the video.
            row: the values of `gudi.columns.VIDEOS` without the source.
            peaks: strongest first.
            tracked: whether its faces have tracks.
        """
        self._add("videos", (record.id, tracked, *row))
        self._database.write_all(
            "INSERT INTO peaks VALUES (?, ?, ?, ?, ?, ?)",
            ((record.id, rank, *peak) for rank, peak in enumerate(peaks)),
        )

    def _add(self, table: str, row: Row) -> None:
        self._database.insert(table, self._columns[table], [row])

    def summary(self, record: Input) -> dict[str, Any]:
        """Return the summary of a video by the names of its columns; empty if it has none."""
        columns = self._columns["videos"]
        row = self._database.read(
            f"SELECT {listed(columns)} FROM videos WHERE input = ?", (record.id,)
        ).fetchone()
        return dict(zip(columns, row or ()))

    def peaks(self, record: Input) -> list[Peak]:
        """Return the peaks of a video, strongest first."""
        rows = self._database.rows(
            "SELECT emotion, probability, frame, time_s FROM peaks WHERE input = ? ORDER BY rank",
            (record.id,),
        )
        return [Peak(*row) for row in rows]

    def longest_tracks(self, record: Input, count: int) -> list[tuple[int, float | None]]:
        """Return number and seconds of tracks: main faces, then those seen longest, first."""
        rows = self._database.rows(
            "SELECT track, time_s FROM tracks WHERE input = ?"
            " ORDER BY main DESC, time_s DESC, track LIMIT ?",
            (record.id, count),
        )
        return [(track, seconds) for track, seconds in rows]

    def are_tracked(self) -> bool:
        """Return whether the faces of all videos of this run have tracks."""
        query = "SELECT min(tracked) FROM inputs JOIN videos USING (input) WHERE run = ?"
        return bool(self._database.value(query, (self._database.run,)))

    def count_tracks(self, record: Input) -> int:
        """Return the number of a video's tracks."""
        query = "SELECT count(*) FROM tracks WHERE input = ?"
        return int(self._database.value(query, (record.id,)))

    def index(self, record: Input) -> VideoIndex | None:
        """Return the stored index of a video."""
        row = self._database.read(
            "SELECT stamps, keys, unit, rate, problem FROM video_indexes WHERE input = ?",
            (record.id,),
        ).fetchone()
        if row is None:
            return None
        stamps, keys, unit, rate, problem = row
        try:
            return VideoIndex(
                np.frombuffer(stamps, _STAMPS), np.frombuffer(keys, _STAMPS), unit,
                Fraction(rate), problem,
            )  # fmt: skip
        except (TypeError, ValueError) as error:
            raise self._database.damaged(error) from error

    def store_index(self, number: int, index: VideoIndex) -> None:
        """Store the index of the video with this number among the inputs."""
        arrays = (each.astype(_STAMPS).tobytes() for each in (index.stamps, index.keys))
        self._database.write(
            "INSERT OR REPLACE INTO video_indexes VALUES (?, ?, ?, ?, ?, ?)",
            (number, *arrays, index.unit, str(index.rate), index.problem),
        )

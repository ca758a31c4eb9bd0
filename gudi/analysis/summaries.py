"""Summaries per video and per track: how long each emotion was shown, and when.

A frame counts for the time until the next processed frame; the last one, for as long as the one
before it. If a frame shows several faces, they share its time equally, so that the seconds of all
emotions add up to the time with a face.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gudi.analysis.scenes import is_cut
from gudi.records import Face, VideoFrame

NEUTRAL = "neutral"

Row = tuple[Any, ...]


def timed(frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
    """Yield the processed frames of a video with the seconds that each counts, and its cuts."""
    before: VideoFrame | None = None
    last: float | None = None
    for frame, following in _pairs(frames):
        seconds = last
        if frame.time is None:
            seconds = None
        elif following is not None and following.time is not None:
            seconds = max(0.0, following.time - frame.time)
            last = seconds or last or 0.0  # two frames may be shown at the same time
        starts_scene = before is not None and is_cut(
            before.signature, frame.signature, (frame.time or 0.0) - (before.time or 0.0)
        )
        yield replace(frame, seconds=seconds, starts_scene=starts_scene)
        before = frame


def _pairs(frames: Iterable[VideoFrame]) -> Iterator[tuple[VideoFrame, VideoFrame | None]]:
    """Yield each frame with the next one."""
    previous = None
    for frame in frames:
        if previous is not None:
            yield previous, frame
        previous = frame
    if previous is not None:
        yield previous, None


class EmotionTimes:
    """How long each emotion was shown, and the mean of the probabilities over that time.

    Attributes:
        seconds: for how long each emotion was the most probable one.
        sums: the probabilities, times the seconds for which they were shown.
        total: for how long there was a face.
        changes: how often the top emotion changed.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.changes, self._last = names, 0, -1
        self.seconds, self.sums, self.total = np.zeros(len(names)), np.zeros(len(names)), 0.0

    def add(self, seconds: float, probabilities: npt.NDArray[np.floating[Any]]) -> None:
        """Add a face that was shown for `seconds`."""
        self.seconds[int(probabilities.argmax())] += seconds
        self.sums += seconds * probabilities.astype(np.float64)
        self.total += seconds

    def follow(self, probabilities: npt.NDArray[np.float32]) -> None:
        """Count a change if the top emotion differs from the one before."""
        top = int(probabilities.argmax())
        self.changes += self._last not in (-1, top)
        self._last = top

    @property
    def top(self) -> str | None:
        """The emotion that was shown for the longest time."""
        if not self.total:
            return None
        # Of two that were shown equally long, the more probable one.
        order = np.lexsort((self.sums, self.seconds))
        return self.names[int(order[-1])]

    @property
    def row(self) -> Row:
        """The share of the time and the mean probability of each emotion."""
        if not self.total:
            return (None,) * (2 * len(self.names))
        shares, means = self.seconds / self.total, self.sums / self.total
        return (*shares.tolist(), *means.tolist())


class VideoSummary:
    """Summary of one video."""

    def __init__(self, emotions: Sequence[str]) -> None:
        self._emotions = EmotionTimes(emotions)
        self._frames = self._with_face = self._faces = self._most = 0
        self._first: float | None = None
        self._last: float | None = None
        self._duration, self._timed = 0.0, True

    def add(self, frame: VideoFrame) -> None:
        """Add a processed frame."""
        self._frames += 1
        if frame.seconds is None:
            self._timed = False
        else:
            self._duration += frame.seconds
        count = len(frame.faces)
        if not count:
            return
        self._with_face += 1
        self._faces += count
        self._most = max(self._most, count)
        self._first = frame.time if self._first is None else self._first
        self._last = frame.time
        probabilities = np.array([face.probabilities for face in frame.faces], np.float32)
        for each in probabilities:
            self._emotions.add(frame.weight / count, each)
        self._emotions.follow(probabilities.mean(axis=0))

    @property
    def row(self) -> Row:
        """The values of `gudi.columns.VIDEOS`, without the source."""
        frames, timed = self._frames, self._timed and self._frames > 0
        return (
            self._duration if timed else None, frames, self._with_face, self._faces,
            self._faces / frames if frames else None, self._most,
            self._emotions.total if timed else None, self._first, self._last,
            self._emotions.top, self._emotions.changes if frames else None, *self._emotions.row,
        )  # fmt: skip


class TrackSummary:
    """Summary of one track."""

    def __init__(self, number: int, emotions: Sequence[str]) -> None:
        self._number, self._emotions = number, EmotionTimes(emotions)
        # Ignore `neutral` when choosing the peak, unless it is the only class.
        self._expressions = [index for index, name in enumerate(emotions) if name != NEUTRAL]
        self._first: VideoFrame | None = None
        self._last: VideoFrame | None = None
        self._faces, self._sizes, self._scores = 0, np.zeros(2), 0.0
        self._timed = True
        self._peak: tuple[float, str, VideoFrame] | None = None

    def add(self, frame: VideoFrame, face: Face) -> None:
        """Add a face of the track."""
        if face.smoothed is None:
            raise ValueError("a face without a track has no place in the summary of one")
        # The faces of the frames are not needed.
        bare = replace(frame, faces=[])
        self._first, self._last = self._first or bare, bare
        self._faces += 1
        self._sizes += (face.box.width, face.box.height)
        self._scores += face.score or 0
        self._timed = self._timed and frame.seconds is not None
        self._emotions.add(frame.weight, face.probabilities)
        self._emotions.follow(face.smoothed)
        best = max(self._expressions, key=lambda index: face.smoothed[index])  # type: ignore[index]
        strength = float(face.smoothed[best])
        if self._peak is None or strength > self._peak[0]:
            self._peak = strength, self._emotions.names[best], bare

    @property
    def row(self) -> Row:
        """The values of `gudi.columns.TRACKS`, without the source; `main` is 0."""
        first, last, peak = self._first, self._last, self._peak
        if first is None or last is None or peak is None:
            raise ValueError("a track without faces has no summary")
        width, height = (self._sizes / self._faces).tolist()
        return (
            self._number, 0, self._faces, first.number, last.number, first.time, last.time,
            self._emotions.total if self._timed else None, width, height,
            self._scores / self._faces, self._emotions.top, self._emotions.changes,
            peak[2].number, peak[2].time, peak[1], peak[0], *self._emotions.row,
        )  # fmt: skip

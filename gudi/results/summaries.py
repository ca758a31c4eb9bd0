"""What a video and each track in it come to: how long which emotion was seen, and when.

A frame counts for the time until the next processed frame, the last one for as long as the one
before it. If a frame shows several faces, they share its time equally, so that the seconds of all
emotions add up to the time with a face.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gudi.media.scenes import is_cut
from gudi.results.records import FaceRow, ProcessedFrame, SourceRecord, top_emotion

NEUTRAL = "neutral"

Record = tuple[Any, ...]

# Rows that are kept in memory, in bytes; more go to a temporary file.
SPOOLED = 2**20

# The columns of all tables that hold text.
TEXTS = ("source", "kind", "status", "error", "emotion", "smooth_emotion", "peak_emotion")

# The columns of all tables that hold whole numbers, some of which may be missing.
INTEGERS = (
    "frame", "track", "frames", "frames_with_face", "faces", "most_faces", "changes", "first_frame",
    "last_frame", "peak_frame",
)  # fmt: skip

_PER_EMOTION = ("share_", "mean_")


def video_columns(emotions: Sequence[str]) -> tuple[str, ...]:
    """Return the column names of `VideoSummary.record`."""
    return (
        "source", "duration_s", "frames", "frames_with_face", "faces", "mean_faces", "most_faces",
        "face_time_s", "first_s", "last_s", "emotion", "changes", *_per_emotion(emotions),
    )  # fmt: skip


def track_columns(emotions: Sequence[str]) -> tuple[str, ...]:
    """Return the column names of `TrackSummary.record`."""
    return (
        "source", "track", "faces", "first_frame", "last_frame", "first_s", "last_s", "time_s",
        "mean_width", "mean_height", "mean_score", "emotion", "changes", "peak_frame", "peak_s",
        "peak_emotion", "peak_confidence", *_per_emotion(emotions),
    )  # fmt: skip


def _per_emotion(emotions: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{prefix}{name}" for prefix in _PER_EMOTION for name in emotions)


class FrameFaces(NamedTuple):
    """The faces of a processed frame of a video.

    Attributes:
        number: of the frame.
        time: in seconds; None for a page of a TIFF file.
        seconds: for how long it counts; None if that is unknown.
        starts_scene: whether the video cuts to another scene with it.
        rows: its faces.
    """

    number: int
    time: float | None
    seconds: float | None
    starts_scene: bool
    rows: list[FaceRow]

    @property
    def weight(self) -> float:
        """For how long it counts; without times, all frames count the same."""
        return 1.0 if self.seconds is None else self.seconds


def frames_of(rows: Iterable[FaceRow], processed: Iterable[ProcessedFrame]) -> Iterator[FrameFaces]:
    """Yield the processed frames of a video, with their faces.

    Args:
        rows: the faces, in order.
        processed: the processed frames, in order. If there are none, as in ledgers of earlier
            versions, only the frames with faces are known, and not for how long they count.
    """
    groups = groupby(rows, key=lambda row: row.frame)
    number, faces = next(groups, (None, iter(())))
    before: ProcessedFrame | None = None
    seconds: float | None = None
    for frame, following in _pairs(processed):
        if following is not None and None not in (frame.time, following.time):
            seconds = max(0.0, following.time - frame.time)  # type: ignore[operator]
        elif frame.time is None:
            seconds = None
        while number is not None and number < frame.number:
            # Of a part that an earlier version processed.
            found = list(faces)
            yield FrameFaces(number, found[0].time, None, False, found)
            number, faces = next(groups, (None, iter(())))
        found = []
        if number == frame.number:
            found = list(faces)
            number, faces = next(groups, (None, iter(())))
        starts_scene = before is not None and is_cut(before.signature, frame.signature)
        yield FrameFaces(frame.number, frame.time, seconds, starts_scene, found)
        before = frame
    while number is not None:
        found = list(faces)
        yield FrameFaces(number, found[0].time, None, False, found)
        number, faces = next(groups, (None, iter(())))


def _pairs(
    frames: Iterable[ProcessedFrame],
) -> Iterator[tuple[ProcessedFrame, ProcessedFrame | None]]:
    """Yield each frame with the one that follows it."""
    previous = None
    for frame in frames:
        if previous is not None:
            yield previous, frame
        previous = frame
    if previous is not None:
        yield previous, None


class EmotionTimes:
    """How long which emotion was seen, and the mean of the probabilities over that time.

    Args:
        classes: number of emotions.

    Attributes:
        seconds: for how long each emotion was the most probable one.
        sums: the probabilities, times the seconds for which they were seen.
        total: for how long there was a face.
    """

    def __init__(self, classes: int) -> None:
        self.seconds, self.sums = np.zeros(classes), np.zeros(classes)
        self.total = 0.0

    def add(self, seconds: float, probabilities: npt.NDArray[np.floating[Any]]) -> None:
        """Take a face into account that was seen for `seconds`."""
        self.seconds[int(probabilities.argmax())] += seconds
        self.sums += seconds * probabilities.astype(np.float64)
        self.total += seconds

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """In which part of the time each emotion was the most probable one."""
        return self.seconds / self.total

    @property
    def means(self) -> npt.NDArray[np.float64]:
        """The mean probability of each emotion over the time."""
        return self.sums / self.total


class _Emotions(EmotionTimes):
    """The same with names, and how often the top emotion changes."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(len(names))
        self.names, self.changes, self._last = names, 0, ""

    def follow(self, probabilities: npt.NDArray[np.float32]) -> None:
        """Count a change if the top emotion differs from the one before."""
        top, _ = top_emotion(probabilities, self.names)
        self.changes += bool(self._last) and top != self._last
        self._last = top

    @property
    def top(self) -> str | None:
        """The emotion that was seen for the longest time."""
        if not self.total:
            return None
        # Of two that were seen equally long, the more probable one.
        order = np.lexsort((self.sums, self.seconds))
        return self.names[int(order[-1])]

    @property
    def record(self) -> Record:
        """The share of the time and the mean probability of each emotion."""
        if not self.total:
            return (None,) * (2 * len(self.names))
        return (*self.shares.tolist(), *self.means.tolist())


class VideoSummary:
    """What a video comes to.

    Args:
        source: the video.
        emotions: names of the classes.
    """

    def __init__(self, source: SourceRecord, emotions: Sequence[str]) -> None:
        self._source, self._emotions = source, _Emotions(emotions)
        self._frames = self._with_face = self._faces = self._most = 0
        self._first: float | None = None
        self._last: float | None = None
        self._duration = 0.0
        self._timed = True

    def add(self, frame: FrameFaces) -> None:
        """Take a processed frame into account."""
        self._frames += 1
        if frame.seconds is None:
            self._timed = False
        else:
            self._duration += frame.seconds
        if not frame.rows:
            return
        count = len(frame.rows)
        self._with_face += 1
        self._faces += count
        self._most = max(self._most, count)
        self._first = frame.time if self._first is None else self._first
        self._last = frame.time
        probabilities = np.array([row.probabilities for row in frame.rows], np.float32)
        for each in probabilities:
            self._emotions.add(frame.weight / count, each)
        self._emotions.follow(probabilities.mean(axis=0))

    @property
    def record(self) -> Record:
        """The values of `video_columns`."""
        # Ledgers of earlier versions do not tell the times of frames without a face.
        frames = self._source.frames or self._frames
        timed = self._timed and frames > 0
        return (
            self._source.source.name, self._duration if timed else None, frames,
            self._with_face, self._faces, self._faces / frames if frames else None, self._most,
            self._emotions.total if timed else None, self._first, self._last,
            self._emotions.top, self._emotions.changes if frames else None,
            *self._emotions.record,
        )  # fmt: skip


class TrackSummary:
    """What a track comes to.

    Args:
        source: the video.
        number: of the track.
        emotions: names of the classes.
    """

    def __init__(self, source: SourceRecord, number: int, emotions: Sequence[str]) -> None:
        self._source, self._number, self._emotions = source, number, _Emotions(emotions)
        # Neutral is no expression, unless there is nothing else.
        self._expressions = [index for index, name in enumerate(emotions) if name != NEUTRAL]
        self._first: FrameFaces | None = None
        self._last: FrameFaces | None = None
        self._faces, self._sizes, self._scores = 0, np.zeros(2), 0.0
        self._timed = self._scored = True
        self._peak: tuple[float, str, FrameFaces] | None = None

    def add(self, frame: FrameFaces, row: FaceRow, smoothed: npt.NDArray[np.float32]) -> None:
        """Take a face of the track into account."""
        self._first, self._last = self._first or frame, frame
        self._faces += 1
        self._sizes += (row.box.width, row.box.height)
        self._scores += row.score or 0
        self._scored = self._scored and row.score is not None
        self._timed = self._timed and frame.seconds is not None
        self._emotions.add(frame.weight, row.probabilities)
        self._emotions.follow(smoothed)
        best = max(self._expressions, key=lambda index: smoothed[index])
        strength = float(smoothed[best])
        if self._peak is None or strength > self._peak[0]:
            self._peak = strength, self._emotions.names[best], frame

    @property
    def record(self) -> Record:
        """The values of `track_columns`."""
        first, last, peak = self._first, self._last, self._peak
        if first is None or last is None or peak is None:
            raise ValueError("a track without faces has no summary")
        width, height = (self._sizes / self._faces).tolist()
        return (
            self._source.source.name, self._number, self._faces, first.number, last.number,
            first.time, last.time, self._emotions.total if self._timed else None, width, height,
            self._scores / self._faces if self._scored else None, self._emotions.top,
            self._emotions.changes, peak[2].number, peak[2].time, peak[1], peak[0],
            *self._emotions.record,
        )  # fmt: skip


class RecordSpool:
    """Rows of a table that is written later; more than `SPOOLED` bytes go to a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(SPOOLED, "w+", encoding="utf-8")  # noqa: SIM115
        self.count = 0

    def append(self, record: Record) -> None:
        """Add a row."""
        self._file.write(json.dumps(record) + "\n")
        self.count += 1

    def __iter__(self) -> Iterator[Record]:
        self._file.seek(0)
        return (tuple(json.loads(line)) for line in self._file)


class Summaries:
    """What the tables of videos and tracks are made of.

    Args:
        processed: returns the processed frames of a video, in order; None if they are not known.
        carried: names of the columns that lists in csv give to sources.

    Attributes:
        videos: rows of `video_columns` and of the carried columns.
        tracks: rows of `track_columns` and of the carried columns.
    """

    def __init__(
        self,
        processed: Callable[[SourceRecord], Iterable[ProcessedFrame]] | None = None,
        carried: Sequence[str] = (),
    ) -> None:
        self.processed = processed or (lambda source: ())
        self.carried = carried
        self.videos, self.tracks = RecordSpool(), RecordSpool()

    def add_ended(
        self, source: SourceRecord, tracks: dict[int, TrackSummary], live: Collection[int]
    ) -> None:
        """Move tracks that have ended from `tracks` to the table, in the order of their numbers."""
        for number in list(tracks):
            if number in live:
                return
            carried = carried_values(source, self.carried)
            self.tracks.append(tracks.pop(number).record + carried)


def carried_values(source: SourceRecord, names: Sequence[str]) -> Record:
    """Return the values of the columns `names` that a list in csv gives to `source`."""
    return tuple(source.carried.get(name) for name in names)

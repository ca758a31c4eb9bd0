"""Subtitles for annotated videos: the emotion of each track, in WebVTT (W3C 2019)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gudi.records import VideoFrame

# A subtitle stays at least this long, in seconds, so that people can read it.
SHORTEST = 0.5

# The time between frames if a video has one frame only.
USUAL_INTERVAL = 0.04


@dataclass
class _Cue:
    """A subtitle.

    Attributes:
        start: in seconds.
        shown: the top emotion of each track.
        sums: the sum of the smoothed probabilities of each track.
        counts: how many frames these are.
    """

    start: float
    shown: dict[int, str]
    sums: dict[int, npt.NDArray[np.float64]] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, number: int, smoothed: npt.NDArray[np.float32]) -> None:
        """Add a face that is seen during the subtitle."""
        self.sums[number] = self.sums.get(number, 0) + smoothed.astype(np.float64)
        self.counts[number] = self.counts.get(number, 0) + 1

    def lines(self, emotions: Sequence[str]) -> Iterator[str]:
        """Yield a line for each track, with the mean probability of its emotion."""
        for number, emotion in sorted(self.shown.items()):
            mean = self.sums[number][emotions.index(emotion)] / self.counts[number]
            yield f"track {number}: {_escaped(emotion)} {mean:.0%}"


def subtitles(frames: Iterable[VideoFrame], emotions: Sequence[str]) -> Iterator[str]:
    """Yield the parts of a WebVTT file for a video.

    There is a new subtitle whenever a face comes or goes, or its smoothed top emotion changes, but
    not before the last one could be read. Tracks are numbered as in the tables.

    Args:
        frames: the processed frames, in order, see `gudi.analysis.summaries.timed`, with tracks.
            Frames without a time are left out.
        emotions: names of the classes.
    """
    yield "WEBVTT\n"
    cue, last, interval = _Cue(0.0, {}), 0.0, USUAL_INTERVAL
    for frame in frames:
        if frame.time is None:
            continue
        faces = {
            face.track: face.smoothed
            for face in frame.faces
            if face.track is not None and face.smoothed is not None
        }
        shown = {track: emotions[int(each.argmax())] for track, each in faces.items()}
        if shown != cue.shown and (frame.time - cue.start >= SHORTEST or not cue.shown):
            yield from _format(cue, frame.time, emotions)
            cue = _Cue(frame.time, shown)
        for track, smoothed in faces.items():
            cue.add(track, smoothed)
        last, interval = frame.time, interval if frame.seconds is None else frame.seconds
    yield from _format(cue, last + interval, emotions)


def _format(cue: _Cue, end: float, emotions: Sequence[str]) -> Iterator[str]:
    if cue.shown and end > cue.start:
        times = f"{_clock(cue.start)} --> {_clock(end)}"
        yield "\n".join(["", times, *cue.lines(emotions), ""])


def _clock(seconds: float) -> str:
    thousandths = round(max(0.0, seconds) * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest / 1000:06.3f}"


def _escaped(text: str) -> str:
    """Return text that WebVTT shows as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

"""What the report shows of a video: emotions over time, the faces in it, the strongest moments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gudi.report.entries import ReportEntry, ReportFace
from gudi.report.timeline import Timeline
from gudi.results.peaks import Peaks
from gudi.results.summaries import EmotionTimes

# Tracks that a report shows of a video: those with the most faces.
MAX_TRACKS = 20

# The report shows subtitles of at most this many characters per video.
MAX_SUBTITLES = 100_000

# A track whose face was not seen for this long is over, in seconds.
OVER = 2.0


class _Track:
    """One face that is followed through a video."""

    def __init__(self, number: int, classes: int) -> None:
        self.number, self.faces, self.last = number, 0, 0.0
        self.timeline = Timeline(classes, spread=False)

    def add(self, face: ReportFace, time: float) -> None:
        shown = np.zeros(len(face.probabilities))
        shown[np.argmax(face.smoothed)] = 1
        self.timeline.add(time, shown)
        self.faces, self.last = self.faces + 1, time


class Film:
    """What the report shows of a video. Its size does not depend on the video's.

    Args:
        classes: number of emotions.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._times = EmotionTimes(classes)
        self._timeline, self._peaks, self._tracks = Timeline(classes), Peaks(), dict[int, _Track]()
        self._timed, self._left_out = True, 0

    def add(self, face: ReportFace) -> None:
        """Take a face into account; faces come in order."""
        probabilities = np.asarray(face.probabilities, np.float64)
        self._times.add(face.seconds, probabilities)
        self._peaks.add(face.probabilities, face.frame, face.time)
        if face.time is None:
            self._timed = False
            return
        self._timeline.add(face.time, probabilities)
        if face.track is not None:
            track = self._tracks.get(face.track)
            if track is None:
                self._forget_tracks(face.time)
                track = self._tracks[face.track] = _Track(face.track, self._classes)
            track.add(face, face.time)

    def _forget_tracks(self, time: float) -> None:
        """Keep at most `MAX_TRACKS` of those that are over."""
        over = [track for track in self._tracks.values() if time - track.last > OVER]
        for track in sorted(over, key=lambda each: -each.faces)[MAX_TRACKS:]:
            del self._tracks[track.number]
            self._left_out += 1

    def shares(self) -> list[int] | None:
        """Return in thousandths of the time with a face how long which emotion was on top."""
        return _rounded(1000 * self._times.shares) if self._times.total else None

    def content(self, entry: ReportEntry, folder: Path) -> dict[str, Any]:
        """Return what the page's script expects.

        Args:
            entry: the video, all of whose faces have been added; there are `shares` of them.
            folder: the folder of the report.

        Returns:
            `width`: of a bin, in seconds. `bins`, `starts`: see `Timeline`. `means`: the mean
            probabilities over the time with a face, in percent. `tracks`: number, number of
            faces, and a character per bin, a space or that of the most frequent top emotion.
            `left_out`: number of other tracks. `peaks`: emotion, probability in thousandths,
            seconds, path of the thumbnail. `subtitles`: in WebVTT. Empty ones are missing.
        """
        frames = entry.frames or 1
        content: dict[str, Any] = {}
        if self._timed:
            content["width"], content["bins"] = self._timeline.bins(frames, entry.duration)
            count, width = len(content["bins"]), content["width"]
            content["starts"] = self._timeline.starts(count)
            content["means"] = _rounded(100 * self._times.means)
            tracks = sorted(self._tracks.values(), key=lambda each: -each.faces)
            content["tracks"] = [
                [each.number, each.faces, each.timeline.leaders(count, width)]
                for each in sorted(tracks[:MAX_TRACKS], key=lambda each: each.number)
            ]
            content["left_out"] = self._left_out + max(0, len(tracks) - MAX_TRACKS)
        content["peaks"] = [
            [peak.emotion, round(1000 * peak.probability), peak.time, path]
            for peak, path in zip(self._peaks.strongest(), entry.peak_thumbnails)
            if (folder / path).is_file()
        ]
        content["subtitles"] = _read_subtitles(entry.subtitles)
        return {name: value for name, value in content.items() if value}


def _rounded(values: npt.NDArray[np.float64]) -> list[int]:
    return [round(value) for value in values.tolist()]


def _read_subtitles(path: Path | None) -> str:
    """Return the subtitles; "" if there are none or too many."""
    if path is None or not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        text = file.read(MAX_SUBTITLES + 1)
    return text if len(text) <= MAX_SUBTITLES else ""

"""What a report shows of each input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ReportFace:
    """One face in a photo, or in one frame of a video.

    Attributes:
        probabilities: one per emotion, 0 to 1.
        time: in a video, the time of the frame in seconds.
        score: see `gudi.detection.Detection`; None if unknown.
        frame: in a video, the number of the frame.
        seconds: in a video, its part of the time for which the frame counts; 1 if that is unknown.
        track: in a video whose faces are followed, the number of its track.
        smoothed: its probabilities, smoothed along the track.
    """

    probabilities: Sequence[float]
    time: float | None = None
    score: float | None = None
    frame: int = 0
    seconds: float = 1.0
    track: int | None = None
    smoothed: Sequence[float] = ()


@dataclass(frozen=True)
class ReportEntry:
    """The result of one input.

    Attributes:
        source: its name in `files.csv`.
        kind: `image`, `video` or `folder`.
        status: `ok`, `no_face` or `failed`.
        faces: in a video, ordered by frame. Iterated once.
        width, height: in pixels; None if it was not decoded.
        frames: of a video, how many were processed.
        duration: of a video, in seconds; 0 if unknown.
        error: "" or why it failed.
        annotated, thumbnail: path of the annotated copy, and of a JPEG of at most 240 pixels per
            side, relative to the report's folder and with forward slashes.
        peak_thumbnails: of a video, paths of the thumbnails of `Peaks.strongest`, in that order.
        extra: the values of the columns that lists in csv give.
        subtitles: of a video, where its subtitles in WebVTT are if it has any.
    """

    source: str
    kind: str
    status: str
    faces: Iterable[ReportFace] = ()
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    duration: float = 0
    error: str = ""
    annotated: str | None = None
    thumbnail: str | None = None
    peak_thumbnails: Sequence[str] = ()
    subtitles: Path | None = None
    extra: Sequence[str | None] = ()

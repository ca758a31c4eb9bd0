"""What a report shows of each input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ReportFace:
    """One face in a photo, or in one frame of a video.

    Attributes:
        probabilities: one per emotion, 0 to 1.
        time: in a video, the time of the frame in seconds.
        score: see `gudi.detection.Detection`; None if unknown.
    """

    probabilities: Sequence[float]
    time: float | None = None
    score: float | None = None


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

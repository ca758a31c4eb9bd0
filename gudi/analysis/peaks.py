"""Peaks: the strongest face of each emotion in a video."""

from __future__ import annotations

from typing import NamedTuple

from gudi.records import Face

# How many are kept.
MAX_PEAKS = 8


class Peak(NamedTuple):
    """The face of a video that shows an emotion most strongly.

    Attributes:
        emotion: its top emotion.
        probability: of that, 0 to 1.
        frame: number of the frame that shows it.
        time: of that frame in seconds; None for a page of a TIFF file.
    """

    emotion: str
    probability: float
    frame: int
    time: float | None


class Peaks:
    """Collects the strongest face of each emotion; of equal ones the first."""

    def __init__(self) -> None:
        self._best: dict[str, Peak] = {}

    def add(self, face: Face) -> None:
        """Compare a face with the strongest so far."""
        best, probability = self._best.get(face.emotion), face.confidence
        if best is None or probability > best.probability:
            self._best[face.emotion] = Peak(face.emotion, probability, face.frame or 0, face.time_s)

    def strongest(self) -> list[Peak]:
        """Return at most `MAX_PEAKS`, strongest first."""
        return sorted(self._best.values(), key=lambda peak: -peak.probability)[:MAX_PEAKS]

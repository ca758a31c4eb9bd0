"""The strongest faces of a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# How many are kept.
MAX_PEAKS = 8


class Peak(NamedTuple):
    """The face of a video that shows an emotion most strongly.

    Attributes:
        emotion: index of its top emotion.
        probability: of that, 0 to 1.
        frame: number of the frame that shows it.
        time: of that frame in seconds; None for a page of a TIFF file.
    """

    emotion: int
    probability: float
    frame: int
    time: float | None


class Peaks:
    """For each emotion the face of a video that shows it most strongly, of equal ones the first."""

    def __init__(self) -> None:
        self._best: dict[int, Peak] = {}

    def add(self, probabilities: Sequence[float], frame: int, time: float | None) -> None:
        """Take a face into account."""
        emotion = max(range(len(probabilities)), key=probabilities.__getitem__)
        best, probability = self._best.get(emotion), float(probabilities[emotion])
        if best is None or probability > best.probability:
            self._best[emotion] = Peak(emotion, probability, frame, time)

    def strongest(self) -> list[Peak]:
        """Return at most `MAX_PEAKS`, strongest first."""
        return sorted(self._best.values(), key=lambda peak: -peak.probability)[:MAX_PEAKS]

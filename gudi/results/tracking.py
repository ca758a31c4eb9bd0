"""Follow faces from frame to frame of a video, and smooth their probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gudi.detection import Box

# Intersection over union above which a box continues a track.
MIN_OVERLAP = 0.3

# A track ends when its face has not been seen for this long, in seconds.
PATIENCE = 1.0

# Time constant of the smoothing in seconds: a face seen this long ago weighs 1/e.
SMOOTHING = 0.5


@dataclass
class _Track:
    number: int
    box: Box
    time: float
    smoothed: npt.NDArray[np.float32]


class Tracker:
    """The tracks of one video: a face keeps its number while it is in view.

    A box continues the track whose last box it overlaps most (Bochinski et al. 2017, "High-Speed
    Tracking-by-Detection Without Using Image Information"). Two faces that change places across a
    cut swap numbers.
    """

    def __init__(self) -> None:
        self._count = 0
        self._tracks: list[_Track] = []

    def update(
        self,
        time: float,
        boxes: Sequence[Box],
        probabilities: Sequence[npt.NDArray[np.float32]],
    ) -> list[tuple[int, npt.NDArray[np.float32]]]:
        """Return the track number and the smoothed probabilities of each face in a frame.

        Args:
            time: of the frame, in seconds; frames come in order.
            boxes: of all faces in the frame.
            probabilities: float32 of shape (classes,) for each face.

        Returns:
            For each face the number of its track, from 0 in the order in which tracks start, and
            float32 of shape (classes,): an exponential moving average along the track.
        """
        self._tracks = [track for track in self._tracks if time - track.time <= PATIENCE]
        matches = self._match(boxes)
        updated = []
        for face, (box, values) in enumerate(zip(boxes, probabilities)):
            track = matches.get(face)
            if track is None:
                track = _Track(self._count, box, time, values)
                self._tracks.append(track)
                self._count += 1
            else:
                # Ledgers of earlier versions may hold times that go back.
                weight = math.exp(-max(0.0, time - track.time) / SMOOTHING)
                track.smoothed = (weight * track.smoothed + (1 - weight) * values).astype(
                    np.float32
                )
                track.box, track.time = box, time
            updated.append((track.number, track.smoothed))
        return updated

    def _match(self, boxes: Sequence[Box]) -> dict[int, _Track]:
        """Return the track that each face continues, the pair with the largest overlap first."""
        pairs = sorted(
            (-overlap, number, face)
            for number, track in enumerate(self._tracks)
            for face, box in enumerate(boxes)
            if (overlap := _overlap(track.box, box)) >= MIN_OVERLAP
        )
        matches: dict[int, _Track] = {}
        taken = set()
        for _, number, face in pairs:
            if face not in matches and number not in taken:
                taken.add(number)
                matches[face] = self._tracks[number]
        return matches


def _overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (one.width * one.height + other.width * other.height - both)

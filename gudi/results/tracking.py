"""Follow faces from frame to frame of a video, and smooth what they show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gudi.detection import Box

# Intersection over union from which a box is taken for the same face as one before it.
MIN_OVERLAP = 0.3

# A face that has not been seen for so long, in seconds, is another one when it comes back.
PATIENCE = 1.0

# Time constant of the smoothing, in seconds: what was seen so long ago weighs 1/e.
SMOOTHING = 0.5


@dataclass
class _Track:
    number: int
    box: Box
    time: float
    smooth: np.ndarray


class Tracks:
    """The faces of one video: each keeps its number while it is in view.

    Boxes are joined to those of the frames before by overlap alone, the largest first (Bochinski
    et al. 2017, "High-Speed Tracking-by-Detection Without Using Image Information"). Two faces that
    change places behind a cut swap numbers.
    """

    def __init__(self) -> None:
        self._count = 0
        self._tracks: list[_Track] = []

    def follow(
        self, time: float, boxes: Sequence[Box], shares: Sequence[np.ndarray]
    ) -> list[tuple[int, np.ndarray]]:
        """Return number and smoothed probabilities of each of `boxes`, all faces of a frame.

        Args:
            time: of the frame, in seconds; frames come in order.
            boxes: where the faces are.
            shares: float32 of shape (classes,) for each, the probability of each emotion.

        Returns:
            For each box the number of its track, from 0 in the order in which they begin, and
            float32 of shape (classes,): an exponential moving average over the track.
        """
        self._tracks = [track for track in self._tracks if time - track.time <= PATIENCE]
        pairs = sorted(
            (-overlap, number, place)
            for number, track in enumerate(self._tracks)
            for place, box in enumerate(boxes)
            if (overlap := _overlap(track.box, box)) >= MIN_OVERLAP
        )
        found: dict[int, _Track] = {}
        taken = set()
        for _, number, place in pairs:
            if place not in found and number not in taken:
                taken.add(number)
                found[place] = self._tracks[number]
        for place, (box, share) in enumerate(zip(boxes, shares)):
            if track := found.get(place):
                weight = math.exp(-(time - track.time) / SMOOTHING)
                track.smooth = (weight * track.smooth + (1 - weight) * share).astype(np.float32)
                track.box, track.time = box, time
            else:
                found[place] = _Track(self._count, box, time, share)
                self._tracks.append(found[place])
                self._count += 1
        return [(found[place].number, found[place].smooth) for place in range(len(boxes))]


def _overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (one.width * one.height + other.width * other.height - both)

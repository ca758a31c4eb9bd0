"""The main face of a video: of all tracks, those of the person whom it is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

# Shorter tracks, in seconds, are passers-by, or no faces at all.
SHORTEST = 1.0

# Faces of one person do not differ more than this in height, as the smaller to the larger one.
ALIKE = 0.7


class TrackExtent(NamedTuple):
    """How large the face of a track is, in pixels, and when it is seen, in seconds."""

    track: int
    height: float
    seconds: float | None
    first: float
    last: float


def main_tracks(tracks: Iterable[TrackExtent]) -> list[int]:
    """Return the tracks that show the main face, at most one at a time.

    These are the faces of the size that is most present, in pixels times seconds, and larger ones.
    Of two at the same time, the one that is more present is taken. If all tracks are short, so may
    these be.
    """
    every = list(tracks)
    lasting = [each for each in every if (each.seconds or 0) >= SHORTEST] or every
    least, chosen = ALIKE * _present_height(lasting), list[TrackExtent]()
    for each in sorted(lasting, key=lambda each: -each.height * (each.seconds or 0)):
        alone = all(each.last < other.first or other.last < each.first for other in chosen)
        if alone and each.height >= least:
            chosen.append(each)
    return [each.track for each in chosen]


def _present_height(tracks: Iterable[TrackExtent]) -> float:
    """Return the height of faces that is most present, in pixels times seconds."""
    pairs = sorted((each.height, each.seconds or 0.0) for each in tracks)
    if not pairs:
        return 0.0
    heights, seconds = np.array(pairs).T
    until = np.concatenate([[0], np.cumsum(seconds)])
    first = np.searchsorted(heights, ALIKE * heights)
    last = np.searchsorted(heights, heights / ALIKE, side="right")
    return float(heights[np.argmax(heights**2 * (until[last] - until[first]))])

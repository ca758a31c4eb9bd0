"""The emotions in a video over time, in a limited number of equal parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gudi.store import Store
from gudi.store.inputs import Input

BINS = 240

# Width of the finest bin in seconds: less than the time between frames of any video.
FINEST = 1 / 256

# How `strips` writes that there is no face, and the first class.
NOBODY, FIRST = " ", "A"


@dataclass(frozen=True)
class Timeline:
    """Mean and standard deviation of the probabilities of a video's faces over time.

    Attributes:
        width: of a bin, in seconds.
        bins: in percent from the second number on: the number of faces, the mean probability of
            each emotion, and the standard deviation of each; or 0 if there is no face.
        starts: when the first face of a bin is shown, or else when it starts, in seconds.
    """

    width: float
    bins: list[list[int] | int]
    starts: list[float]


def make_timeline(store: Store, record: Input, end: float) -> Timeline:
    """Return the timeline of a video that ends after `end` seconds."""
    width = bin_width(end, record.frames or 1)
    count = int(end / width) + 1
    bins: list[list[int] | int] = [0] * count
    starts = [round(width * number, 3) for number in range(count)]
    for each in store.statistics.timeline(record, width):
        percent = np.rint(100 * np.concatenate([each.means, each.deviations]))
        bins[each.number] = [each.faces, *percent.astype(int).tolist()]
        starts[each.number] = round(each.first, 3)
    return Timeline(width, bins, starts)


def bin_width(end: float, frames: int) -> float:
    """Return the width of the bins of a video of `end` seconds and so many processed frames."""
    # If a bin fell between two frames, it would look as if the face had gone.
    least, width = 2 * end / frames, FINEST
    while width < least or end >= BINS * width:
        width *= 2
    return width


def make_strips(store: Store, record: Input, timeline: Timeline, most: int) -> list[list[Any]]:
    """Return number, seconds, and strip of at most `most` tracks, those that are seen longest.

    A strip has a character per bin. It is `NOBODY` if there is no face, and otherwise the character
    that comes as far after `FIRST` as the most frequent top emotion in the list of emotions.
    """
    tracks = dict(sorted(store.videos.longest_tracks(record, most)))
    counts = store.statistics.strips(record, list(tracks), timeline.width, len(timeline.bins))
    return [
        [
            track,
            seconds,
            "".join(
                chr(ord(FIRST) + int(bin.argmax())) if bin.any() else NOBODY
                for bin in counts[track]
            ),
        ]
        for track, seconds in tracks.items()
    ]

"""The emotions of a video over time, in a bounded number of bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BINS = 240

# What bins begin with, in seconds: finer than the frames of any video.
FINEST = 1 / 256


class Timeline:
    """Mean probabilities of a video's faces by time; whatever its length, of the same size.

    When the bins do not reach far enough, each two become one.
    """

    def __init__(self, classes: int) -> None:
        self._width = FINEST
        self._sums = np.zeros((BINS, 1 + classes))  # number of faces, then their probabilities
        self._end = 0.0

    def add(self, time: float, probabilities: Sequence[float]) -> None:
        """Take a face that is there at `time`, in seconds."""
        time = max(0.0, time)
        self._end = max(self._end, time)
        self._reach(time)
        self._sums[int(time / self._width)] += (1, *probabilities)

    def bins(self, frames: int, duration: float = 0) -> list[Any]:
        """Return the width of the bins in seconds, and the bins up to the end.

        A bin is a list, the number of faces and the mean probability of each emotion in percent;
        or 0 where there is no face.

        Args:
            frames: how many were looked at.
            duration: in seconds; the end is at the last face where that is later.
        """
        end = max(self._end, duration)
        self._reach(end)
        # A bin between two of the frames would look as if the face had gone.
        while self._width < 2 * end / frames:
            self._merge()
        return [self._width, [_mean(row) for row in self._sums[: int(end / self._width) + 1]]]

    def _reach(self, time: float) -> None:
        while time >= BINS * self._width:
            self._merge()

    def _merge(self) -> None:
        self._sums[: BINS // 2] = self._sums[::2] + self._sums[1::2]
        self._sums[BINS // 2 :] = 0
        self._width *= 2


def _mean(row: np.ndarray) -> list[int] | int:
    if not row[0]:
        return 0
    return [int(row[0]), *np.rint(100 * row[1:] / row[0]).astype(int).tolist()]

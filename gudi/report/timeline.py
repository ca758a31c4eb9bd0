"""The emotions in a video over time, in a limited number of bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 240

# Initial width of a bin in seconds: less than the time between frames of any video.
FINEST = 1 / 256


class Timeline:
    """Mean probabilities of a video's faces over time. Its size does not depend on the video.

    If the bins do not reach far enough, neighbours are merged in pairs.

    Args:
        classes: number of emotions.
    """

    def __init__(self, classes: int) -> None:
        self._width = FINEST
        self._sums = np.zeros((BINS, 1 + classes))  # number of faces, then their probabilities
        self._end = 0.0

    def add(self, time: float, probabilities: Sequence[float]) -> None:
        """Add a face that is shown at `time`, in seconds."""
        time = max(0.0, time)
        self._end = max(self._end, time)
        self._extend_to(time)
        self._sums[int(time / self._width)] += (1, *probabilities)

    def bins(self, frames: int, duration: float = 0) -> list[Any]:
        """Return the width of the bins in seconds, and the bins up to the end.

        A bin is a list: the number of faces, and the mean probability of each emotion in percent.
        If there is no face, it is 0 instead.

        Args:
            frames: how many were processed.
            duration: of the video in seconds. If the last face comes later, it is the end.
        """
        end = max(self._end, duration)
        self._extend_to(end)
        # If a bin fell between two frames, it would look as if the face had gone.
        while self._width < 2 * end / frames:
            self._merge()
        return [self._width, [_mean(row) for row in self._sums[: int(end / self._width) + 1]]]

    def _extend_to(self, time: float) -> None:
        while time >= BINS * self._width:
            self._merge()

    def _merge(self) -> None:
        self._sums[: BINS // 2] = self._sums[::2] + self._sums[1::2]
        self._sums[BINS // 2 :] = 0
        self._width *= 2


def _mean(row: npt.NDArray[np.float64]) -> list[int] | int:
    if not row[0]:
        return 0
    return [int(row[0]), *np.rint(100 * row[1:] / row[0]).astype(int).tolist()]

"""The emotions in a video over time, in a limited number of bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 240

# Initial width of a bin in seconds: less than the time between frames of any video.
FINEST = 1 / 256

# How `Timeline.leaders` writes that there is no face, and the first class.
NOBODY, FIRST = " ", "A"


class Timeline:
    """Mean and spread of the probabilities of a video's faces over time.

    Its size does not depend on the video: if the bins do not reach far enough, neighbours are
    merged in pairs.

    Args:
        classes: number of emotions.
        spread: also note how far the probabilities in a bin are apart.
    """

    def __init__(self, classes: int, *, spread: bool = True) -> None:
        self._width = FINEST
        self._classes, self._spread = classes, spread
        # The number of faces, their probabilities and, for the spread, the squares of these.
        self._sums = np.zeros((BINS, 1 + classes * (2 if spread else 1)))
        self._first = np.full(BINS, np.inf)  # when the first face of a bin is shown
        self._end = 0.0

    def add(self, time: float, probabilities: Sequence[float] | npt.NDArray[np.float64]) -> None:
        """Add a face that is shown at `time`, in seconds."""
        time = max(0.0, time)
        self._end = max(self._end, time)
        self._extend_to(time)
        bin = int(time / self._width)
        self._first[bin] = min(self._first[bin], time)
        values = np.asarray(probabilities, np.float64)
        squares = (values**2,) if self._spread else ()
        self._sums[bin] += np.concatenate([(1.0,), values, *squares])

    def bins(self, frames: int, duration: float = 0) -> tuple[float, list[Any]]:
        """Return the width of the bins in seconds, and the bins up to the end.

        A bin is a list, in percent from the second number on: the number of faces, the mean
        probability of each emotion and, with `spread`, the standard deviation of each. If there is
        no face, it is 0 instead.

        Args:
            frames: how many were processed.
            duration: of the video in seconds. If the last face comes later, it is the end.
        """
        end = max(self._end, duration)
        self._extend_to(end)
        # If a bin fell between two frames, it would look as if the face had gone.
        while self._width < 2 * end / frames:
            self._merge()
        return self._width, [self._bin(row) for row in self._sums[: int(end / self._width) + 1]]

    def starts(self, count: int) -> list[float]:
        """Return for each of `count` bins when its first face is shown, or else when it starts."""
        edges = self._width * np.arange(count)
        firsts = np.where(np.isinf(self._first[:count]), edges, self._first[:count])
        return [round(each, 3) for each in firsts.tolist()]

    def leaders(self, count: int, width: float) -> str:
        """Return a character for each of `count` bins of `width` seconds.

        It is `NOBODY` if there is no face, and otherwise the character that comes as far after
        `FIRST` as the emotion with the largest sum in the list of emotions.
        """
        while self._width < width:
            self._merge()
        filled, leading = self._sums[:count, 0] > 0, self._sums[:count, 1 : 1 + self._classes]
        return "".join(
            chr(ord(FIRST) + each) if face else NOBODY
            for face, each in zip(filled, leading.argmax(axis=1).tolist())
        )

    def _bin(self, row: npt.NDArray[np.float64]) -> list[int] | int:
        if not row[0]:
            return 0
        means = row[1 : 1 + self._classes] / row[0]
        squares = row[1 + self._classes :] / row[0]
        spread = np.sqrt(np.maximum(0, squares - means**2)) if self._spread else ()
        return [int(row[0]), *np.rint(100 * np.concatenate([means, spread])).astype(int).tolist()]

    def _extend_to(self, time: float) -> None:
        while time >= BINS * self._width:
            self._merge()

    def _merge(self) -> None:
        self._sums[: BINS // 2] = self._sums[::2] + self._sums[1::2]
        self._sums[BINS // 2 :] = 0
        self._first[: BINS // 2] = np.minimum(self._first[::2], self._first[1::2])
        self._first[BINS // 2 :] = np.inf
        self._width *= 2

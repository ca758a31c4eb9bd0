"""A picture, and smaller copies of it, which are made only where they are needed."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt


class Picture:
    """A picture in memory, uint8 of shape (h, w, 3), BGR, or (h, w), grey."""

    def __init__(self, image: npt.NDArray[np.uint8] | None) -> None:
        self._image = image

    @property
    def image(self) -> npt.NDArray[np.uint8]:
        """All of it. A detector that does without colours may replace it by a grey one."""
        if self._image is None:
            self._image = self._decoded()
        return self._image

    @image.setter
    def image(self, image: npt.NDArray[np.uint8]) -> None:
        self._image = image

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.image.shape[:2]
        return width, height

    def reduced(self, side: int) -> npt.NDArray[np.uint8]:
        """Return the picture with its longer side at most `side`, each pixel the mean of its area.

        A detector may move a box by pixels if one pixel of the copy differs by a grey level.
        """
        size, (image, _) = reduced_size(self.size, side), self.at_least(side)
        if size == image.shape[1::-1]:
            return image
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

    def at_least(self, side: int | None) -> tuple[npt.NDArray[np.uint8], int]:
        """Return the picture, or a smaller copy of it that can be had in less time.

        Args:
            side: longer side of the copy, at least; None for the picture itself.

        Returns:
            The picture or copy, and how many pixels of the picture a pixel of it is wide and high.
        """
        return self.image, 1

    def drawable(self, side: int) -> npt.NDArray[np.uint8]:
        """Return a copy to draw on with its longer side at most `side`, BGR, made quickly.

        It is halved, which OpenCV does in a tenth of the time, as often as possible before.
        """
        size, (image, _) = reduced_size(self.size, side), self.at_least(side)
        while image.shape[1] >= 2 * size[0] and image.shape[0] >= 2 * size[1]:
            width, height = image.shape[1] // 2, image.shape[0] // 2
            even = image[: 2 * height, : 2 * width]
            image = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA))
        if size == image.shape[1::-1]:
            return image.copy()
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)

    def _decoded(self) -> npt.NDArray[np.uint8]:
        """Return `image` where it is not in memory yet."""
        raise NotImplementedError


def reduced_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return `size`, its longer side reduced to `side` if it is larger."""
    ratio = min(1.0, side / max(size))
    width, height = (max(1, round(each * ratio)) for each in size)
    return width, height

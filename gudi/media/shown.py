"""The picture that a player shows of a decoded frame: cropped, with square pixels, upright.

A file may say that its frames are to be turned or mirrored, that their pixels are wider than they
are high, and that their edges are not to be shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from gudi.media.cropping import NO_EDGES, Edges

# Pixels of other shapes than these are a mistake in the file. Players ignore tiny deviations from
# squares, too, which come from rounding an aspect ratio.
MIN_ASPECT, MAX_ASPECT, TOLERANCE = Fraction(1, 8), Fraction(8), 0.01


@dataclass(frozen=True)
class Presentation:
    """How the frames of a video are shown.

    Attributes:
        pixel_aspect: width / height of a pixel.
        edges: what the container crops.
    """

    pixel_aspect: Fraction = Fraction(1)
    edges: Edges = NO_EDGES

    def show(self, frame: VideoFrame) -> npt.NDArray[np.uint8]:
        """Return the picture of a decoded frame, uint8 of shape (h, w, 3), BGR."""
        image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
        return _turned(self._squared(self._cropped(image)), frame)

    def _cropped(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if self.edges == NO_EDGES:
            return image
        (height, width), edges = image.shape[:2], self.edges
        shown = image[edges.top : height - edges.bottom, edges.left : width - edges.right]
        return shown if shown.size else image

    def _squared(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the picture with square pixels; as in players, its height stays the same."""
        aspect = self.pixel_aspect
        if abs(aspect - 1) < TOLERANCE or not MIN_ASPECT <= aspect <= MAX_ASPECT:
            return image
        size = max(1, round(image.shape[1] * aspect)), image.shape[0]
        method = cv2.INTER_CUBIC if aspect > 1 else cv2.INTER_AREA
        return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)


def _turned(image: npt.NDArray[np.uint8], frame: VideoFrame) -> npt.NDArray[np.uint8]:
    """Return the picture turned and mirrored as the frame's display matrix says.

    The matrix takes x to a·x + c·y and y to b·x + d·y. It may turn by any angle; players turn by
    quarters.
    """
    side_data: Any = frame.side_data  # PyAV's stubs know other keys
    matrix = side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return image
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32, 5).tolist()
    if abs(a) < abs(b):
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])

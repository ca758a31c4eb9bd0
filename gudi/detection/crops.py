"""Crop faces for the network, as `format_image` of the original does."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from gudi.constants import FACE_SIZE
from gudi.detection.boxes import Box


def grey(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return `image` in grey, uint8 of shape (h, w).

    Args:
        image: uint8 of shape (h, w, 3), BGR, or (h, w), which is returned as it is.
    """
    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def crop(image: npt.NDArray[np.uint8], box: Box) -> npt.NDArray[np.uint8]:
    """Return the face in `box` as the network expects it: uint8 of shape (48, 48), 0-255.

    It is resized with `INTER_CUBIC`, as in the original. The predictor divides by 255.

    Args:
        image: uint8 of shape (h, w, 3), BGR, or (h, w).
        box: a box within `image`.
    """
    x, y, width, height = box
    face = grey(image[y : y + height, x : x + width])
    resized = cv2.resize(face, (FACE_SIZE, FACE_SIZE), interpolation=cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8)

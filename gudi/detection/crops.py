"""Cut faces out as the network takes them: the original's `format_image`."""

from __future__ import annotations

import cv2
import numpy as np

from gudi.constants import FACE_SIZE
from gudi.detection.boxes import Box


def grey(image: np.ndarray) -> np.ndarray:
    """Return `image`, uint8 of shape (h, w, 3) in OpenCV's BGR order or (h, w), as (h, w)."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def crop(image: np.ndarray, box: Box) -> np.ndarray:
    """Return the face in `box` as the network takes it: uint8 of shape (48, 48), 0-255.

    `INTER_CUBIC` as in the original; its division by 255 is done by the predictor.
    """
    x, y, width, height = box
    face = grey(image[y : y + height, x : x + width])
    return cv2.resize(face, (FACE_SIZE, FACE_SIZE), interpolation=cv2.INTER_CUBIC)

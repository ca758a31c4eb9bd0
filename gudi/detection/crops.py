"""Crop faces for the network, as `format_image` of the original does."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gudi.constants import FACE_SIZE
from gudi.detection.boxes import Box
from gudi.errors import UsageError


def grey(image: npt.NDArray[np.uint8], *, color: str = "bgr") -> npt.NDArray[np.uint8]:
    """Return `image` in grey, uint8 of shape (h, w).

    Args:
        image: uint8 of shape (h, w, 3), or (h, w), which is returned as it is.
        color: order of the channels, `bgr` or `rgb`.

    Raises:
        UsageError: it has another type or shape, or no pixels.
    """
    _check_image(image)
    if image.ndim == 2:
        return image
    code = cv2.COLOR_BGR2GRAY if color == "bgr" else cv2.COLOR_RGB2GRAY
    return np.asarray(cv2.cvtColor(image, code), np.uint8)


def crop(image: npt.NDArray[np.uint8], box: Box) -> npt.NDArray[np.uint8]:
    """Return the face in `box` as the network expects it: uint8 of shape (48, 48), 0-255.

    It is resized with `INTER_CUBIC`, as in the original. The predictor divides by 255.

    Args:
        image: uint8 of shape (h, w, 3), BGR, or (h, w).
        box: a box within `image`.

    Raises:
        UsageError: `image` has another type or shape, or `box` lies outside.
    """
    x, y, width, height = box
    _check_image(image)
    if x < 0 or y < 0 or x + width > image.shape[1] or y + height > image.shape[0]:
        size = f"{image.shape[1]}×{image.shape[0]}"
        raise UsageError(f"the box must lie within the image of {size} pixels. Received: {box}")
    face = grey(image[y : y + height, x : x + width])
    resized = cv2.resize(face, (FACE_SIZE, FACE_SIZE), interpolation=cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8)


def _check_image(image: Any) -> None:
    """Raise `UsageError` unless `image` is an array that can be searched."""
    if isinstance(image, np.ndarray):
        pixels = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
        if pixels and image.dtype == np.uint8 and image.size:
            return
        received = f"{image.dtype} of shape {image.shape}"
    else:
        received = type(image).__name__
    raise UsageError(
        f"an image must be an array of uint8 and of shape (h, w, 3) or (h, w). Received: {received}"
    )

"""Crop faces for the network, as `format_image` of the original does."""

from __future__ import annotations

import math
import operator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gudi.constants import FACE_SIZE
from gudi.errors import UsageError
from gudi.picture import Picture
from gudi.records import Box

# How many times as large as its part inside the image a box may be.
MAX_BOX_RATIO = 4

# A face is cut out of a copy of the image in which its side has at least so many pixels.
LEAST_SIDE = 2 * FACE_SIZE


def grey(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return `image` in grey, uint8 of shape (h, w).

    Args:
        image: uint8 of shape (h, w, 3), BGR, or (h, w), which is returned as it is.

    Raises:
        UsageError: it has another type or shape, or no pixels.
    """
    check_image(image)
    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def crop(image: Picture | npt.NDArray[np.uint8], box: Box) -> npt.NDArray[np.uint8]:
    """Return the face in `box` as the network expects it: uint8 of shape (48, 48), 0-255.

    It is resized with `INTER_CUBIC`, as in the original. The predictor divides by 255.

    Args:
        image: uint8 of shape (h, w, 3), BGR, or (h, w). Of a `Picture`, a smaller copy may do.
        box: a box in `image`. Where it reaches beyond an edge, the pixels of the edge are repeated.

    Raises:
        UsageError: `image` has another type or shape, or `box` lies outside or is far larger.

    Example:
        >>> crops = np.stack([gudi.crop(image, box) for box in gudi.detect(image)])
    """
    box = _checked_box(box)
    if isinstance(image, Picture):
        needed = max(image.size) * LEAST_SIDE / max(1, min(box.width, box.height))
        image, divisor = image.at_least(math.ceil(needed))
        if divisor > 1:
            return _crop_of_copy(image, divisor, box)
    check_image(image)
    height, width = image.shape[:2]
    left, top = max(0, box.x), max(0, box.y)
    right, bottom = min(width, box.x + box.width), min(height, box.y + box.height)
    inside = max(0, right - left) * max(0, bottom - top)
    if inside == 0 or box.width * box.height > MAX_BOX_RATIO * inside:
        raise UsageError(
            f"the box must lie in the image of {width}×{height} pixels. Received: {box}"
        )
    face = grey(image[top:bottom, left:right])
    if (left, top, right - left, bottom - top) != box:
        face = np.asarray(
            cv2.copyMakeBorder(
                face,
                top - box.y,
                box.y + box.height - bottom,
                left - box.x,
                box.x + box.width - right,
                cv2.BORDER_REPLICATE,
            ),
            np.uint8,
        )
    resized = cv2.resize(face, (FACE_SIZE, FACE_SIZE), interpolation=cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8)


def _crop_of_copy(copy: npt.NDArray[np.uint8], divisor: int, box: Box) -> npt.NDArray[np.uint8]:
    """Return the face in `box` of an image, cut out of a smaller copy at the very same places."""
    (x, step_x), (y, step_y) = (
        (start / divisor, length / divisor / FACE_SIZE)
        for start, length in ((box.x, box.width), (box.y, box.height))
    )
    places = np.array([[step_x, 0, x + (step_x - 1) / 2], [0, step_y, y + (step_y - 1) / 2]])
    face = cv2.warpAffine(
        copy,
        places,
        (FACE_SIZE, FACE_SIZE),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return grey(np.asarray(face, np.uint8))


def _checked_box(box: Any) -> Box:
    """Return any four whole numbers as a box.

    Raises:
        UsageError: they are not.
    """
    try:
        return Box(*map(operator.index, box))
    except TypeError:
        raise UsageError(
            f"a box must be four whole numbers: x, y, width, height. Received: {box!r}"
        ) from None


def check_image(image: Any) -> None:
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

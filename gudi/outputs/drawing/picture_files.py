"""Encode annotated pictures and thumbnails."""

from __future__ import annotations

import os

import cv2
import numpy as np
import numpy.typing as npt

# Suffixes of formats for 8-bit colour pictures that everyone can open, with the longest side that
# each format allows, in pixels.
WRITABLE_SUFFIXES = {
    ".bmp": 2**20,
    ".jpe": 65500,
    ".jpeg": 65500,
    ".jpg": 65500,
    ".png": 10**6,
    ".tif": 2**20,
    ".tiff": 2**20,
    ".webp": 16383,
}


def writable_name(name: str, longer_side: int) -> str:
    """Return `name`, with `.png` appended if its own suffix does not suit the picture.

    Args:
        name: the name of the source.
        longer_side: of the picture, in pixels.
    """
    longest = WRITABLE_SUFFIXES.get(os.path.splitext(name)[1].lower(), 0)
    return name if longer_side <= longest else f"{name}.png"


def encode(image: npt.NDArray[np.uint8], suffix: str) -> bytes:
    """Return `image` as the bytes of a file with `suffix`, one of `WRITABLE_SUFFIXES`."""
    success, data = cv2.imencode(suffix, image)
    if not success:
        raise ValueError(f"OpenCV could not write a picture as {suffix}")
    return data.tobytes()

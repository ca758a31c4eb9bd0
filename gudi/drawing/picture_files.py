"""Encode annotated pictures and thumbnails."""

from __future__ import annotations

import os

import cv2
import numpy as np

# Formats that hold an 8-bit colour picture and that everyone can open, with the longest side that
# they can have.
WRITTEN_ENDINGS = {
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
    """Return `name`, with `.png` behind it where its ending cannot be that of such a picture."""
    longest = WRITTEN_ENDINGS.get(os.path.splitext(name)[1].lower(), 0)
    return name if longer_side <= longest else f"{name}.png"


def encode(image: np.ndarray, ending: str) -> bytes:
    """Return `image` as the bytes of a file with `ending`, one of `WRITTEN_ENDINGS`."""
    encoded, data = cv2.imencode(ending, image)
    if not encoded:
        raise ValueError(f"OpenCV could not write a picture as {ending}")
    return data.tobytes()


def thumbnail(image: np.ndarray, side: int) -> bytes:
    """Return `image`, its longer side shrunk to `side` pixels, as the bytes of a JPEG file."""
    ratio = side / max(image.shape[:2])
    if ratio < 1:
        size = [max(1, round(each * ratio)) for each in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return encode(image, ".jpg")

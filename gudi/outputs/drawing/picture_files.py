"""Encode annotated pictures and thumbnails."""

from __future__ import annotations

import io
import os

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

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


def encode(image: npt.NDArray[np.uint8], suffix: str, exif: bytes = b"") -> bytes:
    """Return a picture as the bytes of a file.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        suffix: of the file, one of `WRITABLE_SUFFIXES`.
        exif: what the file says besides, see `gudi.media.metadata`; BMP cannot hold it.
    """
    if exif and suffix.lower() in (".tif", ".tiff"):  # OpenCV writes none there
        buffer = io.BytesIO()
        picture = Image.fromarray(np.ascontiguousarray(image[..., ::-1]))
        picture.save(buffer, "TIFF", exif=b"Exif\0\0" + exif)  # Pillow cannot compress it
        return buffer.getvalue()
    if exif and suffix.lower() != ".bmp":
        entries = [np.frombuffer(exif, np.uint8)]
        success, data = cv2.imencodeWithMetadata(suffix, image, [cv2.IMAGE_METADATA_EXIF], entries)
    else:
        success, data = cv2.imencode(suffix, image)
    if not success:
        raise ValueError(f"OpenCV could not write a picture as {suffix}")
    return data.tobytes()

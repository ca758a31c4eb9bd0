"""Decode photos."""

from __future__ import annotations

import os
import stat

import numpy as np
import numpy.typing as npt

from gudi.errors import PhotoError, one_line
from gudi.media.files import describe_irregular

# A few kB of PNG can ask for any amount of memory. OpenCV refuses pictures with more pixels than
# this (3 bytes each) before it decodes them; its own limit is 2**30. It reads the variable when
# it is imported.
MAX_DECODED_PIXELS = 512_000_000
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_DECODED_PIXELS))

import cv2  # noqa: E402

# An uncompressed picture of MAX_DECODED_PIXELS is no larger.
MAX_FILE_SIZE = 4 * MAX_DECODED_PIXELS

# Non-blocking, in case the path leads to a pipe. Windows has one of the flags, Linux the other.
OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_photo(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Return the photo at `path`, upright, as uint8 of shape (h, w, 3) in OpenCV's BGR order.

    It is rotated as its EXIF orientation says. Grey, palette, 16-bit and transparent pictures are
    converted to 8-bit colour by OpenCV. If there are several pages or frames, the first one is
    taken.

    Raises:
        PhotoError: it is not a file, cannot be read, or is not a picture that OpenCV can decode.
    """
    data = _read(path)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            limit = MAX_DECODED_PIXELS // 10**6
            raise PhotoError(f"it has more pixels than the {limit} million allowed") from error
        raise PhotoError(f"OpenCV cannot decode it: {one_line(error)}") from error
    except MemoryError as error:
        raise PhotoError("it does not fit into memory") from error
    if image is None:
        raise PhotoError("it is damaged, cut short, or not a picture that OpenCV can decode")
    return np.asarray(image, np.uint8)


def _read(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Return the bytes of a regular file."""
    try:
        descriptor = os.open(path, OPEN_FLAGS)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise PhotoError(describe_irregular(status.st_mode))
            if status.st_size > MAX_FILE_SIZE:
                raise PhotoError(f"it is too large for a photo ({status.st_size:,} bytes)")
            data = np.fromfile(file, np.uint8)
    except FileNotFoundError:
        raise PhotoError("no such file") from None
    except OSError as error:
        raise PhotoError(f"it cannot be read: {error.strerror}") from error
    if not data.size:
        raise PhotoError("it is empty (0 bytes)")
    return data

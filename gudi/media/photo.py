"""Decode photos."""

from __future__ import annotations

import os
import re

import numpy as np
import numpy.typing as npt

from gudi.errors import PhotoError, one_line
from gudi.media.content import (
    FRAMES_START,
    IMAGE,
    START,
    describe_wrong,
    identify,
    identify_file,
    may_have_frames,
)
from gudi.media.decoding import MAX_DECODED_PIXELS, TOO_MANY_PIXELS
from gudi.media.files import IrregularFile, open_media

# OpenCV has a limit of its own, 2**30. It reads the variable when it is imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_DECODED_PIXELS))

import cv2

# An uncompressed picture of MAX_DECODED_PIXELS is no larger.
MAX_FILE_SIZE = 4 * MAX_DECODED_PIXELS

# Where EXIF starts in JPEG, in WebP, in PNG, and in PNG that ImageMagick wrote.
EXIF = (b"Exif\0\0", b"EXIF", b"eXIf", b"Raw profile type exif")

JPEG, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
ZEROS = re.compile(rb"\0{16,}\Z")


def read_photo(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Return the photo at `path`, upright, as uint8 of shape (h, w, 3) in OpenCV's BGR order.

    It is turned and mirrored as its EXIF orientation says, or as AVIF and HEIC say it. Grey,
    palette, 16-bit and transparent pictures are converted to 8-bit colour. Of several pictures in
    an AVIF or HEIC file, the main one is taken. A JPEG that has all its pixels needs no end marker.

    Raises:
        PhotoError: it is not a file, cannot be read, cannot be decoded, or has several frames or
            pages.
    """
    data = _read(path)
    content = identify(data[:START])
    if content is not None and content.pillow:
        # Imported when it is needed: most photos are not for Pillow.
        from gudi.media.pillow import read_with_pillow

        return read_with_pillow(data, content.pillow)
    if may_have_frames(data[:FRAMES_START]):
        from gudi.media.animation import has_several_frames

        if has_several_frames(path):
            # Folders are searched for photos by their suffix, so it was taken for one.
            raise PhotoError(
                "it has several frames or pages, but is called like a photo; name it after its "
                "format, such as .gif or .webp"
            )
    if any(each in data for each in EXIF):
        from gudi.media.pillow import exif_orientation, turn_upright

        orientation = exif_orientation(data)
        if orientation is not None:
            image = _decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
            return turn_upright(image, orientation)
    return _decode(data, cv2.IMREAD_COLOR)


def _decode(data: bytes, flags: int) -> npt.NDArray[np.uint8]:
    """Decode a picture with OpenCV.

    Raises:
        PhotoError: it cannot be decoded.
    """
    image = _decode_complete(data, flags)
    if image is None and data.startswith(JPEG):
        image = _decode_without_end(data, flags)
    if image is None:
        unknown = "it is damaged, cut short, or not a picture that OpenCV can decode"
        raise PhotoError(_describe_wrong(data) or unknown)
    return image


def _describe_wrong(data: bytes) -> str:
    """Return why a file with the bytes `data` cannot be decoded; "" if that is unknown."""
    content = identify(data[:START])
    if content is not None and content.kind == IMAGE and content.decoded:
        return f"it is {content.what}, but damaged, cut short or in a variant that OpenCV lacks"
    return describe_wrong(content, IMAGE)


def _decode_complete(data: bytes, flags: int) -> npt.NDArray[np.uint8] | None:
    """Return what OpenCV decodes; None if the file is damaged or cut short.

    Raises:
        PhotoError: the picture is too large, or OpenCV says what is wrong with it.
    """
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            raise PhotoError(TOO_MANY_PIXELS) from error
        wrong = _describe_wrong(data)
        raise PhotoError(wrong or f"OpenCV cannot decode it: {one_line(error)}") from error
    except MemoryError as error:
        raise PhotoError("it does not fit into memory") from error
    return None if image is None else np.asarray(image, np.uint8)


def _decode_without_end(data: bytes, flags: int) -> npt.NDArray[np.uint8] | None:
    """Return a JPEG picture that lacks only its end marker; None if it lacks pixels, too.

    Pixels that are missing would be decoded from whatever follows. So what follows must not
    matter.
    """
    data = ZEROS.sub(b"", data)  # a download that broke off may be filled with zeros
    first, second = (
        _decode_complete(data + 64 * byte + JPEG_END, flags) for byte in (b"\0", b"\xaa")
    )
    if first is None or second is None or not np.array_equal(first, second):
        return None
    return first


def _read(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a regular file."""
    try:
        with open_media(path) as (file, size):
            if size > MAX_FILE_SIZE:
                wrong = describe_wrong(identify_file(path), IMAGE)
                raise PhotoError(wrong or f"it is too large for a photo ({size:,} bytes)")
            data = file.read()
    except FileNotFoundError:
        raise PhotoError("no such file") from None
    except IrregularFile as error:
        raise PhotoError(str(error.strerror)) from None
    except OSError as error:
        raise PhotoError(f"it cannot be read: {error.strerror}") from error
    if not data:
        raise PhotoError("it is empty (0 bytes)")
    return data

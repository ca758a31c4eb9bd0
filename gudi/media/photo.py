"""Decode photos."""

from __future__ import annotations

import functools
import io
import os
import re
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gudi.errors import PhotoError
from gudi.media.content import IMAGE, START, describe_wrong, identify, may_be_animation
from gudi.media.decoding import (
    EMPTY,
    MAX_DECODED_PIXELS,
    OPENCV_LIMIT,
    Undecodable,
    media_errors,
    open_media,
)
from gudi.media.source import Source, SourceLike
from gudi.picture import Picture

if TYPE_CHECKING:
    from gudi.media.metadata import Metadata

os.environ.setdefault(OPENCV_LIMIT, str(MAX_DECODED_PIXELS))

import cv2

# An uncompressed picture of MAX_DECODED_PIXELS is no larger.
MAX_FILE_SIZE = 4 * MAX_DECODED_PIXELS

USUAL_FILE_SIZE = 2**25  # of photos, in bytes

# Where EXIF starts in JPEG, in WebP, in PNG, and in PNG that ImageMagick wrote.
EXIF = (b"Exif\0\0", b"EXIF", b"eXIf", b"Raw profile type exif")

# In JPEG, it is among the first bytes.
EXIF_START = 2**20

# The sizes in which JPEG pictures can be decoded, as divisors of both sides.
REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4,
           2: cv2.IMREAD_REDUCED_COLOR_2, 1: cv2.IMREAD_COLOR}  # fmt: skip

# Smaller files are decoded so quickly that finding out the size first does not pay.
MIN_REDUCED_FILE = 2**17

JPEG, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
JPEG_2000 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
ZEROS = re.compile(rb"\0{16,}\Z")


class SeveralFrames(PhotoError):
    """A photo has several frames or pages."""


class Photo(Picture):
    """A photo, of which no more is decoded than is needed.

    A large JPEG picture is decoded at 1/2, 1/4 or 1/8 of its size, which takes about half the time,
    and again if more of it is needed.

    Args:
        data: the content of the file.
        side: what is needed, see `at_least`; this much is decoded at once.

    Raises:
        PhotoError, SeveralFrames: as `decode_photo`.
    """

    def __init__(self, data: bytes, side: int | None = None) -> None:
        super().__init__(None)
        self._data = data
        self._copy: tuple[npt.NDArray[np.uint8], int] | None = None
        self._jpeg_size: tuple[int, int] | None = None
        if side is not None and len(data) >= MIN_REDUCED_FILE and data.startswith(JPEG):
            from gudi.media.pillow import upright_size

            self._jpeg_size = upright_size(data)
        self.at_least(side)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._jpeg_size or super().size

    def at_least(self, side: int | None) -> tuple[npt.NDArray[np.uint8], int]:
        """Return the photo, or a smaller copy of it; see `Picture.at_least`."""
        if self._image is not None or self._jpeg_size is None or side is None:
            return super().at_least(side)
        longer = max(self._jpeg_size)
        divisor = next((each for each in REDUCED if longer >= each * side), 1)
        if divisor == 1:
            return super().at_least(side)
        if self._copy is None or divisor < self._copy[1]:
            copy = decode_photo(self._data, divisor)
            if copy.shape[1::-1] != tuple(-(-each // divisor) for each in self._jpeg_size):
                self._jpeg_size = None  # Pillow and OpenCV disagree about the size
                return super().at_least(side)
            self._copy = copy, divisor
        return self._copy

    @functools.cached_property
    def metadata(self) -> Metadata:
        """What the photo says besides its pixels."""
        from gudi.media.metadata import Metadata

        return Metadata.of(self._data)

    def drawable(self, side: int) -> npt.NDArray[np.uint8]:
        """Return a copy to draw on, see `Picture.drawable`, in sRGB."""
        return self.metadata.in_srgb(super().drawable(side))

    def _decoded(self) -> npt.NDArray[np.uint8]:
        return decode_photo(self._data)


def open_photo(source: SourceLike, side: int | None = None) -> Photo:
    """Return a photo of which as much is decoded as `Picture.at_least` says.

    Raises:
        PhotoError: it is not a file, cannot be read, or cannot be decoded.
        SeveralFrames: it has several frames or pages.
    """
    return Photo(read_content(source), side)


def read_photo(source: SourceLike) -> npt.NDArray[np.uint8]:
    """Return a whole photo as `decode_photo` does; see `open_photo`."""
    return decode_photo(read_content(source))


def read_content(source: SourceLike) -> bytes:
    """Return the bytes of a photo's file.

    Raises:
        PhotoError: it is not a file, is empty or too large, or cannot be read.
    """
    with open_media(Source.of(source), IMAGE) as file:
        if (size := file.seek(0, os.SEEK_END)) == 0:
            raise PhotoError(EMPTY)
        file.seek(0)
        content = identify(start := file.read(START))
        may_be_photo = content is not None and content.frames is not None
        if (
            size > USUAL_FILE_SIZE
            and not may_be_photo
            and (wrong := describe_wrong(content, IMAGE))
        ):
            raise PhotoError(wrong)  # without reading all of it
        if size > MAX_FILE_SIZE:
            raise PhotoError(f"it is too large for a photo ({size:,} bytes)")
        return start + file.read()


def decode_photo(data: bytes, divisor: int = 1) -> npt.NDArray[np.uint8]:
    """Return a photo, upright, as uint8 of shape (h, w, 3) in OpenCV's BGR order.

    It is turned and mirrored as its EXIF orientation says, or as AVIF and HEIC say it. Grey,
    palette, 16-bit and transparent pictures are converted to 8-bit colour. Of several pictures in
    a HEIC file, the primary one is taken, of those in a camera's TIFF file the largest one. A JPEG
    that has all its pixels needs no end marker.

    Args:
        data: the content of the file.
        divisor: one of `REDUCED`, which makes a JPEG picture as many times smaller.

    Raises:
        PhotoError: it cannot be decoded, or has too many pixels.
        SeveralFrames: it has several frames or pages.
    """
    content = identify(data[:START])
    # Pillow, which raises anything for damaged pictures, is imported for the few that need it.
    with media_errors(IMAGE, lambda: content, Exception):
        if may_be_animation(file := io.BytesIO(data)):
            from gudi.media.animation import is_animation

            if is_animation(file):
                raise SeveralFrames(
                    "it has several frames or pages, but has a photo's extension; rename it, for "
                    "example to .gif"
                )
        if content is not None and content.kind == IMAGE and not content.decoded:
            raise Undecodable
        if content is not None and content.pillow:
            from gudi.media.pillow import decode

            return decode(data, content.pillow)
        if data.startswith(TIFF):
            return _decode_tiff(data)
        flags = REDUCED[divisor]
        searched = data[:EXIF_START] if data.startswith(JPEG) else data
        if any(each in searched for each in EXIF):
            from gudi.media.pillow import exif_orientation, turn_upright

            if (orientation := exif_orientation(data)) is not None:
                image = _decode(data, flags | cv2.IMREAD_IGNORE_ORIENTATION)
                return turn_upright(image, orientation)
        try:
            return _decode(data, flags)
        except Undecodable:
            if not data.startswith(JPEG_2000):
                raise
            from gudi.media.pillow import decode_8_bit

            return decode_8_bit(data, "JPEG2000")  # its colours may have fewer pixels


def _decode_tiff(data: bytes) -> npt.NDArray[np.uint8]:
    from gudi.media.pillow import decode_8_bit, turn_upright
    from gudi.media.tiff import largest_picture

    picture, orientation = largest_picture(data)
    if not picture.startswith(JPEG):
        try:
            image = _decode(picture, cv2.IMREAD_COLOR)
        except Undecodable:
            image = decode_8_bit(picture, "TIFF")  # with more kinds of compression
        return turn_upright(image, orientation)
    image = _decode(picture, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return turn_upright(image, orientation)


def _decode(data: bytes, flags: int) -> npt.NDArray[np.uint8]:
    """Return what OpenCV decodes.

    Raises:
        Undecodable: the file is damaged, cut short, or of an unknown format.
        cv2.error: the picture is too large, or OpenCV says what is wrong with it.
    """
    image = _decode_complete(data, flags)
    if image is None and data.startswith(JPEG):
        image = _decode_without_end(data, flags)
    if image is None:
        raise Undecodable
    return image


def _decode_complete(data: bytes, flags: int) -> npt.NDArray[np.uint8] | None:
    """Return what OpenCV decodes; None if the file is damaged or cut short."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return None if image is None else np.asarray(image, np.uint8)


def _decode_without_end(data: bytes, flags: int) -> npt.NDArray[np.uint8] | None:
    """Return a JPEG picture that lacks only its end marker; None if it lacks pixels, too.

    Missing pixels would be decoded from the bytes that follow. So these must not
    matter.
    """
    data = ZEROS.sub(b"", data)  # an interrupted download may be filled with zeros
    first, second = (
        _decode_complete(data + 64 * byte + JPEG_END, flags) for byte in (b"\0", b"\xaa")
    )
    if first is None or second is None or not np.array_equal(first, second):
        return None
    return first

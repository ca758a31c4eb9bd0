"""Pictures of several frames: animated GIF, WebP, PNG and AVIF, and TIFF files of several pages."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import IO, Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from gudi.errors import VideoError
from gudi.media.content import may_be_animation
from gudi.media.pillow import as_bgr, open_picture, quiet

FORMATS = ("GIF", "WEBP", "PNG", "AVIF", "TIFF")

# Browsers show frames of duration 0 for this long, in seconds.
USUAL_DURATION = 0.1
SHORTEST_DURATION = 0.011

# An untrusted file may claim to have any number.
MAX_FRAMES = 1_000_000

# TIFF's tag that tells reduced copies and masks of a page from pages.
SUBFILE_TYPE, REDUCED, MASK = 254, 1, 4


def is_animation(file: IO[bytes]) -> bool:
    """Return whether a file is a picture of several frames or pages, and go to its start.

    False for files that cannot be decoded; decoding them reports the error.
    """
    if not may_be_animation(file):
        return False
    try:
        return next(islice(_frames(file), 1, None), None) is not None
    except Exception:  # damaged pictures can raise anything
        return False
    finally:
        file.seek(0)


def read_animation(file: IO[bytes]) -> Iterator[tuple[float | None, npt.NDArray[np.uint8]]]:
    """Yield the time in seconds and the picture of each frame, uint8 of shape (h, w, 3), BGR.

    The pages of a TIFF file have no time: None.

    Raises:
        Exception: it cannot be decoded. Damaged pictures can raise anything.
    """
    time, data = 0.0, b""
    for number, image in _frames(file):
        if image.format == "TIFF":
            data = data or _content(file)
            yield None, _decode_page(data, number)
            continue
        with quiet():
            pixels = as_bgr(ImageOps.exif_transpose(image))
        duration = float(image.info.get("duration", 0)) / 1000
        yield time, pixels
        time += duration if duration >= SHORTEST_DURATION else USUAL_DURATION


def _frames(file: IO[bytes]) -> Iterator[tuple[int, Image.Image]]:
    """Yield the number of each frame, and the picture of Pillow that has moved to it."""
    with open_picture(file, FORMATS) as image:
        for number in range(MAX_FRAMES):
            with quiet():
                try:
                    image.seek(number)
                except EOFError:
                    return
                is_copy = _is_copy(image)
            if not is_copy:
                yield number, image


def _is_copy(image: Any) -> bool:
    """Return whether a page of a TIFF file is a reduced copy or a mask of another page."""
    if image.format != "TIFF":
        return False
    return bool(int(image.tag_v2.get(SUBFILE_TYPE, 0)) & (REDUCED | MASK))


def _content(file: IO[bytes]) -> bytes:
    """Return the content of a file that Pillow goes on reading."""
    position = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(position)
    return data


def _decode_page(data: bytes, number: int) -> npt.NDArray[np.uint8]:
    """Return a page of a TIFF file as OpenCV decodes it, which reads the first page, too."""
    _, images = cv2.imdecodemulti(
        np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR, range=(number, number + 1)
    )
    if not images:
        raise VideoError(f"OpenCV cannot decode page {number + 1}")
    return np.asarray(images[0], np.uint8)

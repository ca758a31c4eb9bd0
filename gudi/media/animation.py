"""Pictures of several frames: animated GIF, WebP, PNG and AVIF, and TIFF files of several pages."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import islice
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from gudi.errors import VideoError, one_line
from gudi.media.content import may_be_animation
from gudi.media.decoding import MAX_DECODED_PIXELS, TOO_MANY_PIXELS
from gudi.media.files import open_media
from gudi.media.pillow import as_bgr, quiet

FORMATS = ("GIF", "WEBP", "PNG", "AVIF", "TIFF")

# What is said of frames that are shown for no time at all, browsers show for this long, in seconds.
USUAL_DURATION = 0.1
SHORTEST_DURATION = 0.011

# A stranger's file may claim to have any number.
MAX_FRAMES = 1_000_000

# TIFF's tag that tells reduced copies and masks of a page from pages.
SUBFILE_TYPE, REDUCED, MASK = 254, 1, 4


def is_animation(path: str | os.PathLike[str]) -> bool:
    """Tell whether the file at `path` is a picture of several frames or pages.

    A file that cannot be read is none: whoever decodes it will say what is wrong.
    """
    return may_be_animation(path) and has_several_frames(path)


def has_several_frames(path: str | os.PathLike[str]) -> bool:
    """Tell whether a picture has several frames or pages; one that cannot be read has not.

    Callers ask `may_be_animation` first, or the first bytes of the file.
    """
    with contextlib.suppress(VideoError):
        return next(islice(_frames(path), 1, None), None) is not None
    return False


def read_animation(
    path: str | os.PathLike[str],
) -> Iterator[tuple[float | None, npt.NDArray[np.uint8]]]:
    """Yield the time in seconds and the picture of each frame, uint8 of shape (h, w, 3), BGR.

    The pages of a TIFF file have no time: None.

    Raises:
        VideoError: it cannot be decoded, as far as it has not been yielded yet.
    """
    time = 0.0
    for number, image in _frames(path):
        if image.format == "TIFF":
            yield None, _read_page(path, number)
            continue
        with _decoding_errors(), quiet():
            pixels = as_bgr(ImageOps.exif_transpose(image))
            duration = float(image.info.get("duration", 0)) / 1000
        yield time, pixels
        time += duration if duration >= SHORTEST_DURATION else USUAL_DURATION


def _frames(path: str | os.PathLike[str]) -> Iterator[tuple[int, Image.Image]]:
    """Yield the number of each frame, and the picture of Pillow that has moved to it."""
    with contextlib.ExitStack() as stack:
        with _decoding_errors(), quiet():
            file, _ = stack.enter_context(open_media(path))
            image = stack.enter_context(Image.open(file, formats=FORMATS))
        if image.width * image.height > MAX_DECODED_PIXELS:
            raise VideoError(TOO_MANY_PIXELS)
        for number in range(MAX_FRAMES):
            with _decoding_errors(), quiet():
                try:
                    image.seek(number)
                except EOFError:
                    return
                is_copy = _is_copy(image)
            if not is_copy:
                yield number, image


def _is_copy(image: Any) -> bool:
    """Tell whether a page of a TIFF file is a reduced copy or a mask of another page."""
    if image.format != "TIFF":
        return False
    return bool(int(image.tag_v2.get(SUBFILE_TYPE, 0)) & (REDUCED | MASK))


def _read_page(path: str | os.PathLike[str], number: int) -> npt.NDArray[np.uint8]:
    """Return a page of a TIFF file as OpenCV decodes it, which reads the first page, too."""
    with _decoding_errors(), open_media(path) as (file, _):
        data = np.frombuffer(file.read(), np.uint8)
        _, images = cv2.imdecodemulti(data, cv2.IMREAD_COLOR, range=(number, number + 1))
    if not images:
        raise VideoError(f"OpenCV cannot decode page {number + 1}")
    return np.asarray(images[0], np.uint8)


@contextlib.contextmanager
def _decoding_errors() -> Iterator[None]:
    """Turn all that Pillow and OpenCV raise into a `VideoError`."""
    try:
        yield
    except FileNotFoundError:
        raise VideoError("no such file") from None
    except MemoryError as error:
        raise VideoError("it does not fit into memory") from error
    except Exception as error:  # damaged pictures can raise anything
        raise VideoError(f"it cannot be decoded: {one_line(str(error).strip())}") from error

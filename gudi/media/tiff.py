"""Find the picture in a TIFF file. Those of cameras begin with a thumbnail, and hold raw data."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from gudi.errors import PhotoError
from gudi.media.decoding import Undecodable
from gudi.media.pillow import ORIENTATION, UPRIGHT, open_picture, quiet

BIG = b"II+\0"  # with longer numbers

# Tags, and values of them: what a sensor measured, and JPEG as a file of its own.
WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC, SUBFILES = 256, 257, 259, 262, 330
STRIP, STRIP_LENGTH, JPEG_START, JPEG_LENGTH = 273, 279, 513, 514
RAW, OLD_JPEG = (32803, 34892), 6
LOSSLESS_JPEG = b"\xff\xc3"  # in which cameras store raw data, too

# An untrusted file may have any number.
MAX_DIRECTORIES = 100

# The preview in a camera's file is searched if its longer side has this share of the raw picture's,
# or so many pixels.
MIN_SHARE, MIN_SIDE = 0.5, 1000


@dataclass(frozen=True)
class _Directory:
    """The description of a picture in a TIFF file.

    Attributes:
        start: where it is in the file.
        tags: its tags.
        jpeg: the picture, if it is a JPEG file.
        size: width and height in pixels.
    """

    start: int
    tags: Any
    jpeg: bytes
    size: tuple[int, int]

    @property
    def is_raw(self) -> bool:
        return self.tags.get(PHOTOMETRIC) in RAW or LOSSLESS_JPEG in self.jpeg[:1024]


def largest_picture(data: bytes) -> tuple[bytes, int]:
    """Return the largest picture in a TIFF file, which is often the first one.

    Returns:
        A TIFF file that begins with it, or a JPEG file; and how it is to be turned after it has
        been decoded, as in EXIF.

    Raises:
        PhotoError: it is a camera's raw picture without a large preview.
    """
    directories = list(_directories(data))
    shown = max(
        (each for each in directories if not each.is_raw),
        key=lambda each: each.size[0] * each.size[1],
        default=None,
    )
    raw_side = max((max(each.size) for each in directories if each.is_raw), default=0)
    if raw_side and (shown is None or max(shown.size) < min(raw_side * MIN_SHARE, MIN_SIDE)):
        raise PhotoError(
            "it is a camera's raw picture without a large preview, which gudi cannot read; convert "
            "it to JPEG or PNG"
        )
    if shown is None or (shown is directories[0] and not shown.jpeg):
        return data, 1
    orientation = directories[0].tags.get(ORIENTATION, 1)
    if shown.jpeg or ORIENTATION not in shown.tags:
        return shown.jpeg or _from(data, shown), orientation if orientation in UPRIGHT else 1
    return _from(data, shown), 1


def _from(data: bytes, directory: _Directory) -> bytes:
    """Return a TIFF file that begins with another of its directories."""
    start, end = (8, 16) if data.startswith(BIG) else (4, 8)
    moved = directory.start.to_bytes(end - start, "little")
    return data[:start] + (moved if data.startswith(b"II") else moved[::-1]) + data[end:]


def _directories(data: bytes) -> Iterator[_Directory]:
    """Yield the directories of a TIFF file, as far as they can be read."""
    file, header = io.BytesIO(data), data[: 16 if data.startswith(BIG) else 8]
    try:
        tags = ImageFileDirectory_v2(header)
        waiting, found = [tags.next], set[int]()
        while waiting and len(found) < MAX_DIRECTORIES:
            start = waiting.pop(0)
            if not start or start in found:
                continue
            found.add(start)
            tags = ImageFileDirectory_v2(header)
            file.seek(start)
            with quiet():
                tags.load(file)
            yield _directory(data, start, tags)
            parts = tags.get(SUBFILES, ())
            waiting += [*(parts if isinstance(parts, tuple) else (parts,)), tags.next]
    except Exception:  # Pillow raises anything for damaged files; decoding reports the error
        return


def _directory(data: bytes, start: int, tags: Any) -> _Directory:
    jpeg, size = b"", (int(tags.get(WIDTH, 0)), int(tags.get(HEIGHT, 0)))
    place, length = tags.get(JPEG_START), tags.get(JPEG_LENGTH)
    if place is None and tags.get(COMPRESSION) == OLD_JPEG:
        (place, *_), (length, *_) = tags.get(STRIP, (None,)), tags.get(STRIP_LENGTH, (None,))
    if place is not None and length is not None:
        with contextlib.suppress(Undecodable):
            size = open_picture(io.BytesIO(data[place : place + length]), ("JPEG",)).size
            jpeg = data[place : place + length]
    return _Directory(start, tags, jpeg, size)

"""Recognise formats of pictures by their first bytes, and limit their size."""

from __future__ import annotations

import contextlib
import os

from gudi.media.files import open_media

# A few kB of PNG can ask for any amount of memory. Pictures with more pixels than this (3 bytes
# each) are refused before they are decoded.
MAX_DECODED_PIXELS = 512_000_000
TOO_MANY_PIXELS = f"it has more pixels than the {MAX_DECODED_PIXELS // 10**6} million allowed"

# The brands of the ISO base media file format that stand for pictures.
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
AVIF_BRANDS = frozenset({b"avif", b"avis"})

JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")

# Where EXIF starts in JPEG, in WebP, in PNG, and in PNG that ImageMagick wrote.
EXIF = (b"Exif\0\0", b"EXIF", b"eXIf", b"Raw profile type exif")

# The first bytes of a file, which tell an animated PNG or WebP from others.
FRAMES_START = 2**16

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def pillow_format(start: bytes) -> str:
    """Return Pillow's name of the format if OpenCV does not read it well: AVIF, HEIF, JXL; or "".

    OpenCV does not turn AVIF pictures, and reads no HEIC or JPEG XL.

    Args:
        start: the first bytes of the file.
    """
    if start.startswith(JPEG_XL):
        return "JXL"
    if start[4:8] != b"ftyp":
        return ""
    size = min(int.from_bytes(start[:4], "big"), len(start))
    brands = {start[8:12], *(start[at : at + 4] for at in range(16, size - 3, 4))}
    if brands & AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & HEIF_BRANDS else ""


def has_exif(data: bytes) -> bool:
    """Tell whether a picture may have EXIF data that OpenCV may not understand.

    Args:
        data: the content of the file. TIFF, which is what EXIF is made of, needs no help.
    """
    return not data.startswith(TIFF) and any(each in data for each in EXIF)


def may_be_animation(path: str | os.PathLike[str]) -> bool:
    """Tell whether the file at `path` may be a picture of several frames or pages.

    A file that cannot be read is none: whoever decodes it will say what is wrong.
    """
    with contextlib.suppress(OSError), open_media(path) as (file, _):
        return may_have_frames(file.read(FRAMES_START))
    return False


def may_have_frames(start: bytes) -> bool:
    """Tell whether a picture may have several frames or pages.

    Args:
        start: the first `FRAMES_START` bytes of the file.
    """
    if start.startswith((b"GIF8", *TIFF)):
        return True
    if start.startswith(b"\x89PNG"):
        return b"acTL" in start
    if start[8:12] == b"WEBP":
        return b"ANIM" in start
    return start[4:8] == b"ftyp" and b"avis" in start[:64]

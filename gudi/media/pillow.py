"""What OpenCV cannot do with photos, done by Pillow: HEIC, AVIF, JPEG XL, and EXIF's orientation.

OpenCV reads orientations of one number type only, does not turn AVIF pictures, and reads no HEIC or
JPEG XL.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from gudi.errors import PhotoError
from gudi.media.decoding import MAX_DECODED_PIXELS, TooManyPixels, Undecodable
from gudi.media.hdr import is_hdr, map_tones

ORIENTATION = 0x0112  # EXIF's tag

# How a picture of shape (h, w, 3) is turned and mirrored for each orientation.
UPRIGHT = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).transpose(1, 0, 2),
    8: lambda image: np.rot90(image, 1),
}

# The boxes of HEIC that turn and mirror a picture; EXIF repeats what they say. Samsung's phones
# leave them out, so that EXIF alone says it.
HEIF_TURNS = (b"irot", b"imir")

# The package that reads a format which Pillow does not read by itself, as pip knows it.
PACKAGES = {"HEIF": "pillow-heif", "JXL": "pillow-jxl-plugin"}


def decode(data: bytes, format: str) -> npt.NDArray[np.uint8]:
    """Return a picture, upright, as uint8 of shape (h, w, 3) in BGR order.

    Args:
        data: the content of the file.
        format: Pillow's name of its format.

    Raises:
        PhotoError: it needs a package that is missing.
        Exception: it cannot be decoded. Damaged pictures can raise anything.
    """
    register(format)
    with quiet(), open_picture(io.BytesIO(data), (format,)) as image:
        pixels = as_bgr(ImageOps.exif_transpose(image))
        transfer = (image.info.get("nclx_profile") or {}).get("transfer_characteristics", 0)
    if is_hdr(transfer):  # as some cameras store HEIC
        pixels = map_tones(pixels.astype(np.uint16) * 257, transfer)
    return turn_upright(pixels, _unheeded_orientation(data, image))


def decode_8_bit(data: bytes, format: str) -> npt.NDArray[np.uint8]:
    """Return a picture as `decode` does; raise `Undecodable` if it has more than 8 bits."""
    with open_picture(io.BytesIO(data), (format,)) as image:
        if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"):
            raise Undecodable
    return decode(data, format)


def _unheeded_orientation(data: bytes, image: Image.Image) -> int:
    """Return EXIF's orientation of a HEIC picture if nothing else says how it is turned, else 1."""
    orientation = image.info.get("original_orientation")  # only of HEIC
    start = data.find(b"meta") - 4
    meta = data[start : start + int.from_bytes(data[start : start + 4], "big")]
    if orientation is None or any(each in meta for each in HEIF_TURNS):
        return 1
    return int(orientation) if orientation in UPRIGHT else 1


def open_picture(file: IO[bytes], formats: tuple[str, ...]) -> Image.Image:
    """Open a picture of one of these formats; it does not close `file`.

    Raises:
        Undecodable: it is not of these formats, or its start is damaged.
        TooManyPixels: it would take too much memory.
    """
    try:
        with quiet():
            image = Image.open(file, formats=formats)
    except UnidentifiedImageError as error:
        raise Undecodable from error
    if image.width * image.height > MAX_DECODED_PIXELS:
        raise TooManyPixels
    return image


def as_bgr(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Return the pixels of a picture as uint8 of shape (h, w, 3), BGR, without transparency."""
    return np.ascontiguousarray(np.asarray(image.convert("RGB"), np.uint8)[..., ::-1])


def upright_pixels(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Return the pixels of a picture that somebody else opened, as `decode` does.

    Raises:
        PhotoError: its mode does not say which level is white.
        TooManyPixels: it would take too much memory.
        Exception: it cannot be decoded. Damaged pictures can raise anything.
    """
    if image.width * image.height > MAX_DECODED_PIXELS:
        raise TooManyPixels
    if image.mode in ("I", "F"):
        raise PhotoError(f"its mode is {image.mode}; convert it to L or RGB")
    with quiet():
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16"):  # Pillow would make all levels above 255 white
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        return as_bgr(image)


def exif_orientation(data: bytes) -> int | None:
    """Return EXIF's orientation of a picture, 1 to 8; None if it has none that can be read.

    Args:
        data: the content of a JPEG, PNG or WebP file.
    """
    try:
        with quiet(), open_picture(io.BytesIO(data), ("JPEG", "PNG", "WEBP", "MPO")) as image:
            tags = Image.Exif()
            tags.load(image.info.get("exif", b""))
            orientation = _number(tags.get(ORIENTATION))
    except Exception:  # Pillow raises anything for damaged EXIF, and the picture may still be good
        return None
    return orientation if orientation in UPRIGHT else 1


def upright_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a JPEG picture as it is shown; None if they cannot be read."""
    try:
        with quiet(), open_picture(io.BytesIO(data), ("JPEG", "MPO")) as image:
            width, height = image.size
    except Exception:  # as above
        return None
    return (height, width) if (exif_orientation(data) or 1) > 4 else (width, height)


def turn_upright(image: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """Return a picture of shape (h, w, 3) turned as its EXIF orientation says."""
    return np.ascontiguousarray(UPRIGHT[orientation](image))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide Pillow's warnings about damaged or large pictures; its errors are reported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _number(value: Any) -> int:
    """Return the number in a tag of any type."""
    if isinstance(value, tuple):
        value = value[0]
    if isinstance(value, bytes):
        value = value[0] if len(value) == 1 else value.strip(b"\0 ").decode("ascii")
    return int(value)


def register(format: str) -> None:
    """Let Pillow read a format that needs another package.

    Raises:
        PhotoError: the package is missing.
    """
    if format not in PACKAGES:
        return
    package = PACKAGES[format]
    try:
        if format == "HEIF":
            import pillow_heif

            pillow_heif.register_heif_opener(thumbnails=False)
        else:
            import pillow_jxl  # noqa: F401
    except ImportError:
        raise PhotoError(
            f"it is a {format} picture, which needs the package {package}: pip install {package}"
        ) from None

"""What a photo says besides its pixels: its colour space, date, place and camera."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms

from gudi.media.content import START, identify
from gudi.media.pillow import ORIENTATION, open_picture, quiet, register

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")

# Copies keep these tags of EXIF, and those about the exposure and the place.
BASE = ExifTags.Base
KEPT = (
    BASE.ImageDescription, BASE.Make, BASE.Model, BASE.Software, BASE.DateTime, BASE.Artist,
    BASE.Copyright, BASE.XPTitle, BASE.XPComment, BASE.XPAuthor, BASE.XPKeywords, BASE.XPSubject,
)  # fmt: skip

# They do without what is true of the original only: places of bytes, sizes, colours.
LEFT_OUT = (
    BASE.MakerNote,
    BASE.ExifImageWidth,
    BASE.ExifImageHeight,
    BASE.ExifInteroperabilityOffset,
)
SRGB = 1  # the value of `ColorSpace`

MAX_EXIF = 65_000  # what a JPEG holds, in bytes


@dataclass(frozen=True)
class Metadata:
    """What a photo says besides its pixels.

    Attributes:
        exif: the EXIF of an upright copy in sRGB, without `Exif` before it; empty if there is none.
        profile: the ICC profile of its colours; empty if there is none.
    """

    exif: bytes = b""
    profile: bytes = b""

    @classmethod
    def of(cls, data: bytes) -> Metadata:
        """Return what the content of a photo's file says, as far as it can be read."""
        content = identify(data[:START])
        format = content.pillow if content is not None else ""
        try:
            register(format)
            formats = (format,) if format else FORMATS
            with quiet(), open_picture(io.BytesIO(data), formats) as image:
                profile = image.info.get("icc_profile") or b""
                return cls(_exif(image), profile if image.mode != "CMYK" else b"")
        except Exception:  # Pillow raises anything for damaged files, and the pixels may be good
            return cls()

    def in_srgb(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return an image, uint8 of shape (h, w, 3), BGR, in sRGB, or itself if it is already."""
        if not self.profile:
            return image
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(self.profile))
            if "sRGB" in ImageCms.getProfileDescription(profile):
                return image
            picture = Image.fromarray(np.ascontiguousarray(image[..., ::-1]))
            srgb = ImageCms.createProfile("sRGB")
            ImageCms.profileToProfile(picture, profile, srgb, inPlace=True)
        except (OSError, ImageCms.PyCMSError):  # a damaged profile, or one of grey pictures
            return image
        return np.ascontiguousarray(np.asarray(picture)[..., ::-1])


def _exif(image: Image.Image) -> bytes:
    original, copy = image.getexif(), Image.Exif()
    copy.update({tag: original[tag] for tag in KEPT if tag in original})
    exposure, place = (original.get_ifd(each) for each in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo))
    kept = {tag: value for tag, value in exposure.items() if tag not in LEFT_OUT}
    if not (copy or kept or place):
        return b""
    copy[ORIENTATION] = 1
    copy.get_ifd(ExifTags.IFD.Exif).update(kept | {BASE.ColorSpace: SRGB})
    copy.get_ifd(ExifTags.IFD.GPSInfo).update(place)
    exif = copy.tobytes().removeprefix(b"Exif\0\0")
    return exif if len(exif) <= MAX_EXIF else b""

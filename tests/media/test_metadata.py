"""Annotated photos keep date, place and camera, and are in sRGB."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from conftest import draw_face
from PIL import ExifTags, Image, ImageCms

from gudi.media.content import IMAGE
from gudi.media.photo import read_photo
from gudi.media.source import Source
from gudi.outputs.drawing.picture_files import writable_name
from gudi.pipeline.draw_work import PhotoDrawing, draw
from gudi.recognizer import Recognizer
from gudi.records import Box, Face

UPRIGHT = draw_face()[:250, :, ::-1]  # RGB


def camera_exif():
    """Return the EXIF of a camera that was turned."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0132] = 6, "Maker", "2020:01:02 03:04:05"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (52.0, 30.0, 0.0)})
    exif.get_ifd(ExifTags.IFD.Exif).update({0x9003: "2020:01:02 03:04:05", 0x927C: b"x" * 9000})
    return exif


def profile_with_red_and_green_exchanged():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, other in ((b"rXYZ", b"none"), (b"gXYZ", b"rXYZ"), (b"none", b"gXYZ")):
        profile = profile.replace(name, other, 1)
    return profile.replace("sRGB".encode("utf-16-be"), "RGBs".encode("utf-16-be"))


def draw_copy(path):
    """Draw a face onto a copy of a photo, and return the copy's path and the thumbnail's."""
    height, width = read_photo(path).shape[:2]
    copy = path.parent / "out" / writable_name(path.name, max(width, height))
    face = Face(Box(5, 5, 20, 20), 9.0, np.full(7, 1 / 7, np.float32), [*"abcdefg"])
    source = Source(path.name, str(path), IMAGE)
    draw(PhotoDrawing(source, (width, height), [face], copy, path.parent / "thumbnail.jpg"))
    return copy, path.parent / "thumbnail.jpg"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".heic", ".avif"])
def test_annotated_photos_keep_date_place_and_camera_and_are_upright(tmp_path, suffix):
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    path = tmp_path / f"photo{suffix}"
    lying = np.rot90(UPRIGHT)
    Image.fromarray(lying.copy()).save(path, exif=camera_exif().tobytes())
    copy, _ = draw_copy(path)
    with Image.open(copy) as picture:
        exif = picture.getexif()
        assert picture.size == (300, 250)
        assert (exif.get(0x0112, 1), exif[0x010F], exif[0x0132]) == (
            1, "Maker", "2020:01:02 03:04:05",
        )  # fmt: skip
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)[2] == (52.0, 30.0, 0.0)
        assert exif.get_ifd(ExifTags.IFD.Exif)[0x9003] == "2020:01:02 03:04:05"
        assert 0x927C not in exif.get_ifd(ExifTags.IFD.Exif)
    assert np.abs(read_photo(copy)[100:, 100:, ::-1].astype(int) - UPRIGHT[100:, 100:]).mean() < 9


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_copies_and_thumbnails_of_photos_with_a_colour_profile_are_in_srgb(tmp_path, suffix):
    path = tmp_path / f"photo{suffix}"
    red = Image.new("RGB", (300, 250), (200, 40, 30))
    red.save(path, icc_profile=profile_with_red_and_green_exchanged())
    for copy in draw_copy(path):
        assert "icc_profile" not in Image.open(copy).info
        blue, green, red = cv2.imread(str(copy))[-50:, -50:].mean(axis=(0, 1))
        assert (blue, green, red) == pytest.approx((30, 200, 40), abs=12)


@pytest.mark.parametrize("profile", [b"damaged", None])
def test_damaged_and_grey_profiles_leave_the_colours_as_they_are(tmp_path, profile):
    path = tmp_path / "photo.jpg"
    Image.fromarray(UPRIGHT.copy()).save(path, quality=95, icc_profile=profile)
    copy, _ = draw_copy(path)
    assert np.abs(read_photo(copy)[100:, 100:, ::-1].astype(int) - UPRIGHT[100:, 100:]).mean() < 4


def test_heic_is_turned_by_exif_if_nothing_else_turns_it(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    lying, buffer = Image.fromarray(np.rot90(UPRIGHT).copy()), io.BytesIO()
    lying.save(buffer, "HEIF", exif=camera_exif(), quality=90)
    for content in (buffer.getvalue(), buffer.getvalue().replace(b"irot", b"free")):
        (tmp_path / "photo.heic").write_bytes(content)
        image = read_photo(tmp_path / "photo.heic")
        assert image.shape == UPRIGHT.shape
        assert np.abs(image[..., ::-1].astype(int) - UPRIGHT).mean() < 4


def test_real_photos_of_a_samsung_phone_and_in_prophoto(shared, tmp_path):
    with Recognizer() as recognizer:
        (face,) = recognizer(shared / "reports" / "samsung_exif_only.heic")
        assert face.box.width > 200
    path = tmp_path / "prophoto.jpg"
    path.write_bytes((shared / "reports" / "prophoto.jpg").read_bytes())
    before, after = (
        cv2.cvtColor(read_photo(each), cv2.COLOR_BGR2HSV)[..., 1].mean()
        for each in (path, draw_copy(path)[0])
    )
    assert after > 1.2 * before  # saturation

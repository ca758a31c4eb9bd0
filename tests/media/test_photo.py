"""Decoding photos."""

from __future__ import annotations

import os
import zlib

import cv2
import numpy as np
import PIL.Image
import pytest
from conftest import draw_face, save

from gudi.errors import PhotoError
from gudi.media import sources
from gudi.media.photo import read_photo


def write_photo(tmp_path, mode, suffix, **options):
    picture = PIL.Image.fromarray(draw_face()[:, :, ::-1]).convert(mode)
    path = tmp_path / f"picture{suffix}"
    picture.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [(mode, ".png") for mode in ("L", "LA", "RGB", "RGBA", "P", "1", "I;16")]
    + [("RGB", suffix) for suffix in (".jpg", ".bmp", ".tif", ".webp", ".ppm")],
)
def test_every_format_is_decoded_to_bgr(tmp_path, mode, suffix):
    if mode == "I;16":
        path = save(tmp_path / "picture.png", draw_face()[:, :, 1].astype(np.uint16) * 257)
    else:
        path = write_photo(tmp_path, mode, suffix)
    image = read_photo(path)
    assert (image.shape, image.dtype) == ((300, 300, 3), np.uint8)
    if mode not in ("1", "P"):
        difference = np.abs(image[:, :, 1].astype(int) - draw_face()[:, :, 1])
        assert difference.mean() < 15


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_photos_are_rotated_upright(tmp_path, suffix):
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:20, :20] = 255  # a bright corner, upper left
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate a quarter to the right
    lying = PIL.Image.fromarray(np.rot90(upright).copy())
    lying.save(tmp_path / f"picture{suffix}", exif=exif)
    image = read_photo(tmp_path / f"picture{suffix}")
    assert image.shape == upright.shape
    assert image[:15, :15].min() > 200
    assert image[25:, 25:].max() < 50


def test_format_is_detected_from_the_content_not_the_suffix(tmp_path):
    path = write_photo(tmp_path, "RGB", ".png").rename(tmp_path / "lies.jpg")
    assert read_photo(path).shape == (300, 300, 3)


def write_bad_photo(tmp_path, kind):
    path = tmp_path / "bad.jpg"
    good = cv2.imencode(".jpg", draw_face())[1].tobytes()
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("this is no picture")
    elif kind == "truncated":
        path.write_bytes(good[: len(good) // 2])
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "bomb":
        path.write_bytes(png_header(60_000, 60_000))
    return path


def png_header(width, height):
    """Return a PNG that claims to be large and has no data."""
    small = cv2.imencode(".png", np.zeros((1, 1), np.uint8))[1].tobytes()
    chunk = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + small[24:29]
    return small[:12] + chunk + zlib.crc32(chunk).to_bytes(4, "big") + small[33:]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "empty"),
        ("text", "not a picture"),
        ("truncated", "cut short"),
        ("folder", "folder|directory"),
        ("pipe", "named pipe"),
        ("bomb", "more pixels than the 512 million"),
        ("missing", "no such file"),
    ],
)
def test_bad_photo_raises_an_error_that_says_what_is_wrong(tmp_path, kind, message):
    with pytest.raises(PhotoError, match=message):
        read_photo(write_bad_photo(tmp_path, kind))


def test_real_photos_are_decoded(shared):
    found = list(sources.find([str(shared / "photos")]))
    assert len(found) == 163
    assert {read_photo(source.path).ndim for source in found} == {3}

"""Decoding photos."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from fractions import Fraction

import av
import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from conftest import draw_face, save

from gudi.errors import PhotoError
from gudi.media.find import find_sources
from gudi.media.photo import open_photo, read_photo


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


def exif_with_orientation(orientation, number_type, order):
    """Return EXIF data whose orientation is a number of the given type of TIFF."""
    code, kind = number_type
    entry = struct.pack(order + "HHI", 0x0112, code, 1)
    if kind == "II":  # a fraction: the entry says where it is
        entry += struct.pack(order + "III", 26, 0, orientation) + struct.pack(order + "I", 1)
    else:
        entry += struct.pack(order + kind, orientation).ljust(4, b"\0") + bytes(4)
    start = b"II" if order == "<" else b"MM"
    return b"Exif\0\0" + start + struct.pack(order + "HIH", 42, 8, 1) + entry


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little-endian", "big-endian"])
@pytest.mark.parametrize(
    "number_type",
    [(1, "B"), (3, "H"), (4, "I"), (5, "II"), (6, "b"), (8, "h"), (9, "i")],
    ids=["byte", "short", "long", "fraction", "signed byte", "signed short", "signed long"],
)
def test_orientation_may_have_any_number_type(tmp_path, format, order, number_type):
    upright = np.full((40, 60, 3), 60, np.uint8)
    upright[:20, :20] = 250  # a bright corner, upper left
    path = tmp_path / "photo"
    for orientation, turned in {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright),
        7: np.rot90(upright, 2).transpose(1, 0, 2), 8: np.rot90(upright, -1),
    }.items():  # fmt: skip
        exif = exif_with_orientation(orientation, number_type, order)
        PIL.Image.fromarray(turned.copy()).save(path, format, exif=exif)
        image = read_photo(path)
        assert image.shape == upright.shape, orientation
        assert np.abs(image.astype(int) - upright).mean() < 6, orientation


@pytest.mark.parametrize("compression", ["lzma", "zstd"])
def test_tiff_pictures_of_all_compressions_are_read(tmp_path, compression):
    try:
        path = write_photo(tmp_path, "RGB", ".tif", compression=compression)
    except (RuntimeError, OSError):
        pytest.skip(f"this Pillow does not write {compression}")
    np.testing.assert_array_equal(read_photo(path), draw_face())


def test_jpeg_2000_pictures_whose_colours_have_fewer_pixels_are_read(tmp_path):
    encoder = av.CodecContext.create("jpeg2000", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 300, 300, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(draw_face(), format="bgr24")
    packets = encoder.encode(frame.reformat(format="yuv420p")) + encoder.encode(None)
    (tmp_path / "photo.jp2").write_bytes(b"".join(map(bytes, packets)))
    image = read_photo(tmp_path / "photo.jp2")
    assert np.abs(image.astype(int) - draw_face()).mean() < 20  # 16 is black, 235 white


def test_damaged_exif_leaves_the_picture_as_it_is(tmp_path):
    path = tmp_path / "photo.jpg"
    PIL.Image.fromarray(draw_face()).save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_photo(path).shape == (300, 300, 3)


@pytest.mark.parametrize("suffix", [".heic", ".avif", ".jxl"])
def test_newer_formats_are_read_under_any_name(tmp_path, suffix):
    pillow_heif = pytest.importorskip("pillow_heif")
    pytest.importorskip("pillow_jxl")
    picture = PIL.Image.fromarray(draw_face()[:250, :, ::-1])
    if suffix == ".heic":
        pillow_heif.register_heif_opener()
    picture.save(tmp_path / f"photo{suffix}", quality=95)
    path = (tmp_path / f"photo{suffix}").rename(tmp_path / "photo.jpg")
    image = read_photo(path)
    assert (image.shape, image.dtype) == ((250, 300, 3), np.uint8)
    assert np.abs(image.astype(int) - draw_face()[:250]).mean() < 4
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(PhotoError):
        read_photo(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_pictures_are_turned_upright(tmp_path, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation  # Pillow writes it as the boxes irot and imir
    picture = PIL.Image.fromarray(draw_face()[:250, :, ::-1])
    picture.save(tmp_path / "photo.avif", exif=exif, quality=95)
    expected = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(tmp_path / "photo.avif")))
    assert expected.shape[:2] == ((250, 300) if orientation < 5 else (300, 250))
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.avif"), expected[:, :, ::-1])


@pytest.mark.parametrize(
    ("package", "start", "message"),
    [
        ("pillow_heif", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "pip install pillow-heif"),
        ("pillow_jxl", b"\xff\x0a\0\0", "pip install pillow-jxl-plugin"),
    ],
)
def test_missing_package_is_named(tmp_path, monkeypatch, package, start, message):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "photo.jpg").write_bytes(start)
    with pytest.raises(PhotoError, match=message):
        read_photo(tmp_path / "photo.jpg")


@pytest.mark.parametrize("progressive", [0, 1])
def test_jpeg_without_end_marker_is_read_unless_it_lacks_pixels(tmp_path, progressive):
    path = tmp_path / "photo.jpg"
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    complete = cv2.imencode(".jpg", draw_face(), options)[1].tobytes()
    path.write_bytes(complete)
    expected = read_photo(path)
    path.write_bytes(complete[:-2])
    np.testing.assert_array_equal(read_photo(path), expected)
    for cut in (complete[:-5], complete[:-500], complete[: len(complete) // 2] + bytes(5000)):
        path.write_bytes(cut)
        with pytest.raises(PhotoError, match="cut short"):
            read_photo(path)


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
        ("text", "a text file, not a photo"),
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
    found = list(find_sources([str(shared / "photos")]))
    assert len(found) == 163
    assert {read_photo(source.path).ndim for source in found} == {3}


@pytest.mark.parametrize("orientation", [1, 6])
def test_large_jpeg_is_decoded_in_the_size_that_is_needed(tmp_path, orientation):
    upright = cv2.resize(draw_face(), (2501, 1801), interpolation=cv2.INTER_CUBIC)
    stored = np.rot90(upright) if orientation == 6 else upright
    exif = exif_with_orientation(orientation, (3, "H"), "<")
    path = tmp_path / "photo.jpg"
    PIL.Image.fromarray(stored[:, :, ::-1].copy()).save(path, exif=exif, quality=98)
    photo = open_photo(path, 600)
    assert photo.size == (2501, 1801)
    for side, divisor in ((625, 4), (600, 4), (626, 2), (1251, 1), (None, 1)):
        copy, times = photo.at_least(side)
        assert times == divisor
        assert copy.shape == (-(-1801 // divisor), -(-2501 // divisor), 3)
        expected = cv2.resize(upright, copy.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(copy.astype(int) - expected).mean() < 2
    np.testing.assert_array_equal(photo.image, read_photo(path))


def test_large_jpeg_that_is_cut_short_is_refused_in_every_size(tmp_path):
    path = tmp_path / "photo.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    data = cv2.imencode(".jpg", noise)[1].tobytes()
    path.write_bytes(data[: len(data) // 2])
    for side in (None, 200):
        with pytest.raises(PhotoError, match="cut short"):
            open_photo(path, side)

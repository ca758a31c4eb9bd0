"""TIFF files of cameras: thumbnails, previews, raw data."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from conftest import draw_face

from gudi.errors import PhotoError
from gudi.media.find import find_sources
from gudi.media.photo import read_photo

FULL = cv2.resize(draw_face(), (320, 240))
THUMBNAIL = np.full((40, 40), 90, np.uint8)
REDUCED, RAW = {254: 1}, {262: 32803}


def jpeg(image):
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def grey(image):
    """Return tags and content of an uncompressed picture."""
    image = image if image.ndim == 2 else image[:, :, 1]
    height, width = image.shape
    return {256: width, 257: height, 258: 8, 259: 1, 262: 1, 277: 1, 278: height}, image.tobytes()


def preview(image):
    """Return tags and content of a JPEG file in a TIFF file, as Nikon and Sony store it."""
    return {}, jpeg(image)


def strip(image):
    """Return the same as Canon stores it."""
    return {256: image.shape[1], 257: image.shape[0], 259: 6}, jpeg(image)


def write_tiff(path, pictures, order="<", below_first=True):
    """Write a TIFF file.

    Args:
        path: the file.
        pictures: for each, its tags and content, and further tags.
        order: of the bytes.
        below_first: whether all pictures but the first one are parts of that, or follow it.
    """
    starts, position = [], 8
    for tags, content, more in pictures:
        starts.append(position)
        position += 2 + 12 * (len(tags | more) + 3) + 4 + 4 * len(pictures) + len(content)
    data = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    for number, (tags, content, more) in enumerate(pictures):
        entries = tags | more
        below = starts[1:] if below_first and number == 0 else []
        end = starts[number] + 2 + 12 * (len(entries) + 3) + 4
        lists, place = end, end + 4 * len(pictures)
        entries |= {513: place, 514: len(content)} if not tags else {273: place, 279: len(content)}
        # Tag 330 leads to the pictures below, 305 is text that nobody needs.
        values = {tag: (4, 1, value) for tag, value in entries.items()}
        values[330 if below else 305] = (4, len(below), lists) if below else (2, 4, 0)
        if len(below) == 1:
            values[330] = (4, 1, below[0])
        following = starts[number + 1] if not below_first and number + 1 < len(starts) else 0
        data += struct.pack(order + "H", len(values))
        for tag, (kind, count, value) in sorted(values.items()):
            data += struct.pack(order + "HHII", tag, kind, count, value)
        data += struct.pack(order + "I", following)
        data += struct.pack(f"{order}{len(below)}I", *below).ljust(4 * len(pictures), b"\0")
        data += content
        data = data.ljust(position if number + 1 == len(starts) else starts[number + 1], b"\0")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("pictures", "below_first"),
    [
        ([(*grey(THUMBNAIL), REDUCED), (*grey(FULL), {})], True),
        ([(*grey(THUMBNAIL), REDUCED), (*grey(FULL), {})], False),
        ([(*grey(THUMBNAIL), REDUCED), (*preview(FULL), {}), (*grey(FULL), RAW)], True),
        ([(*strip(FULL), {}), (*preview(THUMBNAIL), REDUCED), (*grey(FULL), RAW)], False),
    ],
    ids=["part", "page", "NEF", "CR2"],
)
def test_largest_picture_of_a_camera_is_searched_not_its_thumbnail(
    tmp_path, pictures, below_first, order
):
    path = write_tiff(tmp_path / "photo.nef", pictures, order, below_first)
    (source,) = find_sources([str(path)])
    assert source.kind == "image"
    image = read_photo(path)
    assert image.shape == FULL.shape
    assert np.abs(image[:, :, 1].astype(int) - FULL[:, :, 1]).mean() < 3


@pytest.mark.parametrize("picture", [grey, preview])
def test_largest_picture_is_turned_as_the_camera_was(tmp_path, picture):
    turned = np.rot90(FULL).copy()
    pictures = [(*grey(THUMBNAIL), REDUCED | {274: 6}), (*picture(turned), {})]
    image = read_photo(write_tiff(tmp_path / "photo.nef", pictures))
    assert image.shape == FULL.shape
    assert np.abs(image[:, :, 1].astype(int) - FULL[:, :, 1]).mean() < 3


def test_raw_picture_with_a_thumbnail_only_is_an_error_that_says_so(tmp_path):
    pictures = [(*grey(THUMBNAIL), REDUCED), (*grey(FULL), RAW)]
    with pytest.raises(PhotoError, match="camera's raw picture without a large preview"):
        read_photo(write_tiff(tmp_path / "photo.dng", pictures))


def test_real_file_like_a_camera_has_its_large_picture(shared):
    assert read_photo(shared / "reports" / "raw_like.nef").shape == (320, 320, 3)

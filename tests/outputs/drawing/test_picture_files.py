"""Encoding of annotated pictures and thumbnails."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from conftest import draw_face

from gudi.outputs.drawing import picture_files


@pytest.mark.parametrize(
    ("name", "longer_side", "expected"),
    [
        ("a.JPG", 65500, "a.JPG"),
        ("a.jpg", 65501, "a.jpg.png"),
        ("a.webp", 16384, "a.webp.png"),
        ("a.gif", 10, "a.gif.png"),
        ("a", 10, "a.png"),
    ],
)
def test_name_gets_png_appended_unless_its_format_can_hold_the_picture(name, longer_side, expected):
    assert picture_files.writable_name(name, longer_side) == expected


@pytest.mark.parametrize("suffix", picture_files.WRITABLE_SUFFIXES)
def test_every_writable_suffix_is_encoded(suffix):
    decoded = cv2.imdecode(np.frombuffer(picture_files.encode(draw_face(), suffix), np.uint8), 1)
    assert np.abs(decoded.astype(int) - draw_face()).mean() < 3

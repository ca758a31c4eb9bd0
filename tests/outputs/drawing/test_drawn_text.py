"""Text in any language."""

from __future__ import annotations

import numpy as np
import pytest

from gudi.outputs.drawing import text


@pytest.mark.parametrize(("name", "ascii_name"), [
    ("wütend", "wutend"), ("très gai", "tres gai"), ("сердитый", "????????"), ("θυμός", "?????"),
    ("žalostný", "zalostny"), ("😀", "?"), ("غاضب", "????"),
])  # fmt: skip
def test_letters_of_other_languages_are_drawn_as_they_are(name, ascii_name):
    assert text.undrawable([name]) == ""
    drawn, other = text.render(name, 24), text.render(ascii_name, 24)
    assert drawn.mask.shape != other.mask.shape or (drawn.mask != other.mask).any()
    boxes = text.render(text.NO_CHARACTER * len(name), 24)
    assert drawn.mask.shape != boxes.mask.shape


def test_letters_that_no_font_has_are_known():
    note = text.undrawable(["happy", "\U00013080", "wütend"])
    assert note.startswith("no font here has the letters of \U00013080: ")
    assert text.undrawable(["happy", "wütend"]) == ""


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "\x1b[31m", "a\u2028b", "\ud83d"])
def test_control_characters_are_one_line(name):
    drawn = text.render(name, 20)
    assert drawn.mask.max() > 100
    assert len(drawn.mask) < 30


@pytest.mark.parametrize("size", [9, 16, 48, 100, 300])
def test_capitals_are_as_high_as_the_size_says(size):
    drawn = text.render("HAPPY", size)
    rows = np.flatnonzero(drawn.mask.max(axis=1) > 100)
    assert abs(len(rows) - text.CAPITALS * size) <= 1
    assert abs(rows[-1] + 1 - drawn.baseline) <= 1
    assert abs(len(text.render("gjpqyfdl", size).mask) - len(drawn.mask)) <= 1


def test_what_is_too_long_ends_with_an_ellipsis():
    assert text.shorten("happy", 16, 200) == "happy"
    short = text.shorten("flabbergasted" * 1000, 16, 100)
    assert short.startswith("flab")
    assert short.endswith("…")
    assert 60 < text.render(short, 16).width <= 100
    assert text.shorten("happy", 16, 1) == "h…"


def test_paint_outside_of_the_picture_is_cut_off():
    image = np.zeros((10, 10, 3), np.uint8)
    mask = np.full((6, 6), 255, np.uint8)
    for x, y in ((-3, -3), (7, 7), (20, 20), (-9, 4)):
        text.blend(image, mask, x, y, (10, 20, 30))
    assert (image[:3, :3] == (10, 20, 30)).all()
    assert (image[7:, 7:] == (10, 20, 30)).all()
    assert (image > 0).any(axis=2).sum() == 18

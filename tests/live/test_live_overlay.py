"""What `gudi live` draws onto a frame."""

from __future__ import annotations

import numpy as np
import pytest

from gudi.constants import EMOTIONS
from gudi.live.face_overlay import draw_face
from gudi.outputs.drawing import overlay
from gudi.records import Box, Face

PROBABILITIES = np.array([0.05, 0, 0.1, 0.6, 0.05, 0.15, 0.05], np.float32)


@pytest.mark.parametrize(
    ("width", "height"),
    [(24, 24), (60, 40), (30, 500), (500, 30), (160, 120), (321, 241)],
)
def test_what_does_not_fit_is_omitted(width, height):
    image = np.full((height, width, 3), 100, np.uint8)
    side = min(width, height, 100)
    face = Face(Box(width - side, height - side, side, side), 9.0, PROBABILITIES, EMOTIONS)
    draw_face(image, face)
    overlay.write_note(image, "12.3 fps")
    large = width > 300
    assert (image[0, 0] < 50).all() == (large and height > 200)


def test_emoji_of_the_top_emotion_is_below_the_bars():
    plain, drawn = (np.full((360, 640, 3), 200, np.uint8) for _ in range(2))
    face = Face(Box(300, 200, 100, 100), 9.0, PROBABILITIES, EMOTIONS)
    panel = overlay.draw_bars(plain, face)
    draw_face(drawn, face)
    assert (drawn[: panel.height, : panel.width] == plain[: panel.height, : panel.width]).all()
    below = drawn[panel.height : panel.height + 110, : panel.width]
    yellow = (below[..., 0] < 150) & (below[..., 1] > 150) & (below[..., 2] > 200)
    assert yellow.sum() > 2000


@pytest.mark.parametrize(
    ("parts", "label", "bars", "emoji"),
    [
        ((), False, False, False),
        (("box",), True, False, False),
        (("box", "bars"), False, True, False),
        (("box", "emoji"), True, False, True),
        (("box", "bars", "emoji"), False, True, True),
    ],
)
def test_only_what_is_asked_for_is_drawn(parts, label, bars, emoji):
    image = np.full((360, 640, 3), 200, np.uint8)
    draw_face(image, Face(Box(400, 200, 100, 100), 9.0, PROBABILITIES, EMOTIONS), parts)
    assert (image != 200).any() == bool(parts)
    assert (image[180:195, 400:500] == overlay.BACKING_COLOUR).all(axis=2).any() == label
    assert (image == overlay.TRACK_COLOUR).all(axis=2).any() == bars
    left = image[:, :250]
    yellow = (left[..., 0] < 150) & (left[..., 1] > 150) & (left[..., 2] > 200)
    assert (yellow.sum() > 2000) == emoji


def test_other_emotions_have_bars_but_no_emoji():
    image = np.full((360, 640, 3), 200, np.uint8)
    values = np.array([0.2, 0.8], np.float32)
    draw_face(image, Face(Box(300, 200, 100, 100), 9.0, values, ("calm", "bored")))
    assert (image[5, 5] < 200).all()
    assert (image[100:200, :250] == 200).all()

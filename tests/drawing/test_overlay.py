"""Boxes, labels, bars and notes on pictures."""

from __future__ import annotations

import numpy as np

from gudi.constants import EMOTIONS
from gudi.detection import Box
from gudi.drawing import overlay

PROBABILITIES = [0.05, 0, 0.1, 0.6, 0.05, 0.15, 0.05]


def test_bars_are_as_long_as_the_probabilities():
    image = np.full((360, 640, 3), 200, np.uint8)
    panel = overlay.draw_bars(image, PROBABILITIES, EMOTIONS)
    assert (panel.x, panel.y) == (0, 0)
    assert (image[panel.height :] == 200).all()
    assert (image[:, panel.width :] == 200).all()
    top, other, track = (
        (image == colour).all(axis=2)
        for colour in (overlay.TEXT_COLOUR, overlay.BAR_COLOUR, overlay.TRACK_COLOUR)
    )
    bar = top | other | track
    columns = bar.sum(axis=0) > 50  # seven bars, not words
    rows = np.flatnonzero(bar[:, columns].all(axis=1))
    bars = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    lengths = [(top | other)[bar[0], columns].mean() for bar in bars]
    np.testing.assert_allclose(lengths, PROBABILITIES, atol=0.01)
    assert [top[bar[0], columns].any() for bar in bars] == [p > 0.5 for p in PROBABILITIES]


def test_bars_go_to_a_corner_without_faces_and_labels():
    image = np.zeros((360, 640, 3), np.uint8)

    def corner(*boxes):
        # A label stands above its box.
        taken = overlay.annotate(image, [(box, "surprised", 0.9) for box in boxes])
        panel = overlay.draw_bars(image, PROBABILITIES, EMOTIONS, taken)
        return panel.x > 300, panel.y > 100

    upper_left, upper_right, below = Box(50, 20, 90, 90), Box(500, 20, 90, 90), Box(9, 135, 90, 90)
    assert corner(Box(300, 20, 90, 90)) == (False, False)
    assert corner(upper_left) == corner(below) == (True, False)
    assert corner(upper_left, upper_right) == (True, True)
    assert corner(upper_left, upper_right, Box(500, 250, 90, 90)) == (False, True)
    assert corner(Box(50, 20, 500, 300)) == (False, False)  # no corner is free


def test_labels_stay_inside_the_picture():
    image = np.zeros((120, 160, 3), np.uint8)
    labels = [(Box(130, 0, 30, 30), "surprised", 0.9), (Box(0, 90, 30, 30), "surprised", 0.9)]
    drawn = overlay.annotate(image, labels)
    assert len(drawn) == 4
    for words in drawn[2:]:
        assert words.x >= 0
        assert words.y >= 0
        assert words.x + words.width <= 160
        assert words.y + words.height <= 120


def test_pictures_are_blended_by_their_alpha():
    image = np.full((4, 4, 3), 100, np.uint8)
    picture = np.zeros((2, 2, 4), np.uint8)
    picture[0] = (200, 0, 50, 255)
    picture[1] = (200, 0, 50, 51)
    overlay.draw_over(image, picture, 1, 2)
    assert (image[2, 1:3] == (200, 0, 50)).all()
    assert (image[3, 1:3] == (120, 80, 90)).all()
    assert (image[:2] == 100).all()

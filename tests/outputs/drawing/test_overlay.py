"""Boxes, labels, bars and notes on pictures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gudi.constants import EMOTIONS
from gudi.outputs.drawing import overlay
from gudi.outputs.drawing.layout import overlap
from gudi.records import Box, Face

PROBABILITIES = [0.05, 0, 0.1, 0.6, 0.05, 0.15, 0.05]
BOX = Box(0, 0, 9, 9)


def labelled(box, emotion, confidence):
    """Return a face whose label says this."""
    return Face(box, 9.0, np.array([confidence, 0], np.float32), (emotion, "other"))


def face_with_bars(box):
    return Face(box, 9.0, np.array(PROBABILITIES, np.float32), EMOTIONS)


def test_bars_are_as_long_as_the_probabilities():
    image = np.full((360, 640, 3), 200, np.uint8)
    panel = overlay.draw_bars(image, face_with_bars(BOX))
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
        taken = overlay.annotate(image, [labelled(box, "surprised", 0.9) for box in boxes])
        panel = overlay.draw_bars(image, face_with_bars(BOX), taken)
        return panel.x > 300, panel.y > 100

    upper_left, upper_right, below = Box(50, 20, 90, 90), Box(500, 20, 90, 90), Box(9, 135, 90, 90)
    assert corner(Box(300, 20, 90, 90)) == (False, False)
    assert corner(upper_left) == corner(below) == (True, False)
    assert corner(upper_left, upper_right) == (True, True)
    assert corner(upper_left, upper_right, Box(500, 250, 90, 90)) == (False, True)
    assert corner(Box(50, 20, 500, 300)) == (False, False)  # no corner is free


def test_labels_stay_inside_the_picture():
    image = np.zeros((120, 160, 3), np.uint8)
    corners = Box(130, 0, 30, 30), Box(0, 90, 30, 30)
    labels = [labelled(box, "surprised", 0.9) for box in corners]
    drawn = overlay.annotate(image, labels)
    assert len(drawn) == 4
    for words in drawn[2:]:
        assert words.x >= 0
        assert words.y >= 0
        assert words.x + words.width <= 160
        assert words.y + words.height <= 120


def annotated(size, boxes, emotion="surprised", **options):
    """Return a black picture of `size` with labelled boxes, and the boxes of the labels."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    drawn = overlay.annotate(image, [labelled(box, emotion, 0.93) for box in boxes], **options)
    return image, drawn[len(boxes) :]


def text_height(image, label):
    """Return the height of the letters of a label of a digit, in pixels."""
    part = image[label.y : label.y + label.height, label.x : label.x + label.width]
    return int((part[..., 1] > 100).any(axis=1).sum())


@pytest.mark.parametrize(
    ("side", "face", "least", "most"),
    [
        (100, 60, 7, 10), (100, 20, 7, 9), (350, 300, 9, 14), (350, 40, 7, 10),
        (1200, 900, 28, 42), (1200, 60, 9, 16), (4000, 3000, 90, 130), (4000, 60, 30, 45),
        (4000, 500, 45, 70),
    ],
)  # fmt: skip
def test_letters_are_legible_and_follow_face_and_picture(side, face, least, most):
    image, (label,) = annotated((side, side), [Box(side // 20, side // 5, face, face)], "SAD")
    assert least <= text_height(image, label) <= most
    assert label.height < side / 4


@pytest.mark.parametrize("size", [(100, 100), (350, 350), (1200, 800), (4000, 3000), (640, 360)])
@pytest.mark.parametrize("gap", [0.25, 0.6, 1])
def test_labels_cover_neither_other_faces_nor_labels(size, gap):
    face = max(34, size[1] // 9) if gap > 0.5 else max(60, size[1] // 9)
    step = round(face * (1 + gap))
    boxes = [
        Box(x, y, face, face)
        for x in range(5, size[0] - face, step)
        for y in range(9, size[1] - face, step)
    ]
    if size[0] == 100:
        boxes = boxes[:2]
    _, labels = annotated(size, boxes, "happy")
    assert len(labels) == len(boxes)
    for number, label in enumerate(labels):
        others = boxes[:number] + boxes[number + 1 :]
        assert not any(overlap(label, each) for each in others)
    assert not any(overlap(*pair) for pair in itertools.combinations(labels, 2))
    assert all(each.x >= 0 and each.x + each.width <= size[0] for each in labels)
    assert all(each.y >= 0 and each.y + each.height <= size[1] for each in labels)


def test_narrow_label_keeps_its_percentage_in_smaller_letters():
    def digits(face):
        """Return the height of the label's end, which is the percentage, and of its beginning."""
        image, (label,) = annotated((640, 360), [Box(300, 200, face, face)], "HHHHHHHH")
        words = image[label.y : label.y + label.height, label.x : label.x + label.width, 1] > 100
        columns = np.flatnonzero(words.any(axis=0))
        last, first = words[:, columns[-1] - 6 : columns[-1]], words[:, : columns[0] + 5]
        return [int(part.any(axis=1).sum()) for part in (last, first)]

    percentage, name = digits(140)
    assert abs(percentage - name) <= 1
    percentage, name = digits(40)
    assert 6 <= percentage < name


def test_label_of_a_face_at_the_upper_edge_goes_below_it():
    _, (label,) = annotated((640, 360), [Box(200, 3, 150, 150)])
    assert label.y >= 153
    _, (label,) = annotated((300, 300), [Box(0, 0, 300, 300)])
    assert label.y >= 0
    assert label.y + label.height <= 300


@pytest.mark.parametrize(
    ("size", "face"), [((4000, 3000), 60), ((5000, 350), 300), ((120, 120), 60)]
)
def test_lines_are_thin_beside_face_and_picture(size, face):
    image, _ = annotated(size, [Box(size[0] // 3, size[1] // 8, face, face)])
    row = image[size[1] // 8 + face // 2]
    lines = int((row == overlay.BOX_COLOUR).all(axis=1).sum()) / 2
    assert 1 <= lines <= min(face / 12, size[1] / 80 + 1)


def test_crowded_labels_can_be_left_out():
    boxes = [Box(x, y, 25, 25) for x in range(0, 100, 25) for y in range(0, 100, 25)]
    assert len(annotated((100, 100), boxes)[1]) == 16
    assert len(annotated((100, 100), boxes, crowded=False)[1]) < 16


def test_name_that_is_wider_than_the_picture_is_shortened():
    _, (label,) = annotated((120, 120), [Box(30, 40, 60, 60)], "exasperated and bewildered" * 9)
    assert 90 < label.width <= 120


@pytest.mark.parametrize("box", [Box(-30, -20, 90, 90), Box(80, 80, 60, 60), Box(0, 0, 1, 1)])
@pytest.mark.parametrize("size", [(100, 100), (1, 1), (30, 2000), (2000, 8)])
def test_boxes_beyond_the_edges_and_odd_pictures_are_drawn(box, size):
    for emoji in (False, True):
        image, labels = annotated(size, [box], emoji=emoji)
        assert len(labels) == 1
        assert image.any() or size == (1, 1)


def test_letters_of_other_languages_are_not_question_marks():
    box = [Box(100, 100, 200, 200)]
    drawn, _ = annotated((400, 400), box, "wütend")
    for other in ("w??tend", "wutend"):
        assert (drawn != annotated((400, 400), box, other)[0]).any()


def test_label_starts_with_the_number_of_the_track():
    pictures = []
    for emotion, track in (("happy", 12), ("#12 happy", None)):
        face = labelled(Box(100, 100, 200, 200), emotion, 0.9)
        face.track = track
        pictures.append(np.zeros((400, 400, 3), np.uint8))
        overlay.annotate(pictures[-1], [face])
    np.testing.assert_array_equal(*pictures)


def test_emoji_is_in_the_label_of_an_emotion_that_has_one():
    box = Box(200, 150, 200, 200)
    image, (label,) = annotated((640, 360), [box], "happy", emoji=True)
    part = image[label.y : label.y + label.height, label.x : label.x + label.height]
    yellow = (part[..., 0] < 150) & (part[..., 1] > 150) & (part[..., 2] > 200)
    assert yellow.mean() > 0.3
    assert annotated((640, 360), [box], "bored", emoji=True)[1] == annotated(
        (640, 360), [box], "bored"
    )[1]  # fmt: skip


def panels(image):
    """Return the picture's left and right half's numbers of rows with bars."""
    tracks = (image == overlay.TRACK_COLOUR).all(axis=2)
    return [int((half.sum(axis=1) > 20).sum()) for half in np.array_split(tracks, 2, axis=1)]


def test_bars_are_beside_each_face_that_has_room():
    faces = [Box(100, 100, 150, 150), Box(760, 100, 140, 140)]
    image = np.full((500, 1200, 3), 200, np.uint8)
    drawn = image.copy()
    overlay.draw_bars_beside(drawn, [face_with_bars(box) for box in faces], [])
    for box in faces:
        part = np.s_[box.y : box.y + box.height, box.x : box.x + box.width]
        assert (drawn[part] == image[part]).all()
    left, right = panels(drawn)
    assert left >= 50
    assert right >= 50


def test_bars_of_a_face_that_fills_the_picture_are_in_its_corner_but_on_no_other_face():
    image = np.full((350, 350, 3), 200, np.uint8)
    overlay.draw_bars_beside(image, [face_with_bars(Box(20, 20, 310, 310))], [])
    assert max(panels(image)) >= 40
    crowd = [Box(x, y, 80, 80) for x in range(0, 350, 85) for y in range(0, 350, 85)]
    image[:] = 200
    overlay.draw_bars_beside(image, [face_with_bars(box) for box in crowd], [])
    assert (image == 200).all()


def test_pictures_are_blended_by_their_alpha():
    image = np.full((4, 4, 3), 100, np.uint8)
    picture = np.zeros((2, 2, 4), np.uint8)
    picture[0] = (200, 0, 50, 255)
    picture[1] = (200, 0, 50, 51)
    overlay.draw_over(image, picture, 1, 2)
    assert (image[2, 1:3] == (200, 0, 50)).all()
    assert (image[3, 1:3] == (120, 80, 90)).all()
    assert (image[:2] == 100).all()

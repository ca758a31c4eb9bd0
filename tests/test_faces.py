"""Detection and crops."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from conftest import draw_face

from gudi import faces
from gudi.errors import PhotoError
from gudi.faces import Box


def two_faces():
    return np.hstack([draw_face(120, 250, 300, 60, 80), draw_face(160, 250, 300, 30, 60)])


def test_boxes_are_around_the_faces_and_in_order():
    first, second = faces.detect(two_faces())
    assert first.x < second.x
    assert abs(first.x + first.width / 2 - 120) < 15
    assert abs(second.x + second.width / 2 - (250 + 110)) < 15


def test_grey_and_colour_give_the_same():
    image = two_faces()
    assert faces.detect(image) == faces.detect(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))


def test_no_face():
    assert faces.detect(np.full((200, 200, 3), 128, np.uint8)) == []
    assert faces.detect(np.zeros((1, 1), np.uint8)) == []


def test_the_largest():
    (box,) = faces.detect(two_faces(), largest=True)
    assert box == max(faces.detect(two_faces()), key=lambda box: box.width)


def test_smaller_faces_are_left_out():
    small, large = sorted(faces.detect(two_faces()), key=lambda box: box.width)
    between = (small.width + large.width) // 2
    (box,) = faces.detect(two_faces(), min_face=between)
    assert box.width > between
    assert abs(box.x - large.x) < 0.05 * large.width


def test_boxes_from_a_smaller_copy_are_in_pixels_of_the_photo():
    image = cv2.resize(draw_face(), None, fx=4, fy=4)
    (full,) = faces.detect(image)
    (quick,) = faces.detect(image, max_side=300)
    for here, there in zip(full, quick):
        assert abs(here - there) < 0.05 * full.width
    assert faces.detect(image, max_side=1200) == [full]
    right, bottom = quick.x + quick.width, quick.y + quick.height
    assert right <= image.shape[1]
    assert bottom <= image.shape[0]


def test_too_many_pixels_are_refused_before_opencv_crashes_on_them():
    image = np.zeros((20_000, 20_000), np.uint8)
    with pytest.raises(PhotoError, match="20000×20000 pixels are too many.*--max-side"):
        faces.detect(image)
    assert faces.detect(image, max_side=1000) == []


def test_a_crop_is_what_the_network_takes():
    image = draw_face()
    (box,) = faces.detect(image)
    face = faces.crop(image, box)
    assert (face.shape, face.dtype) == ((48, 48), np.uint8)
    # The original: grey, cut out, INTER_CUBIC.
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    cut = grey[box.y : box.y + box.height, box.x : box.x + box.width]
    expected = cv2.resize(cut, (48, 48), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(face, expected)


def test_a_box_is_a_tuple_of_plain_numbers():
    (box,) = faces.detect(draw_face())
    assert isinstance(box, Box)
    assert all(type(value) is int for value in box)

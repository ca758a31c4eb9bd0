"""Detecting faces with the Haar cascade."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from conftest import draw_face, needs_opencv_4, opencv_cascade

from gudi import detection
from gudi.detection import Box
from gudi.errors import PhotoError


def two_faces():
    return np.hstack([draw_face(120, 250, 300, 60, 80), draw_face(160, 250, 300, 30, 60)])


def test_boxes_surround_the_faces_in_order():
    first, second = detection.detect(two_faces())
    assert first.x < second.x
    assert abs(first.x + first.width / 2 - 120) < 15
    assert abs(second.x + second.width / 2 - (250 + 110)) < 15


def test_grey_and_colour_give_the_same_boxes():
    image = two_faces()
    assert detection.detect(image) == detection.detect(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))


def test_image_without_a_face_has_no_boxes():
    assert detection.detect(np.full((200, 200, 3), 128, np.uint8)) == []
    assert detection.detect(np.zeros((1, 1), np.uint8)) == []


def test_only_the_largest_face_is_returned_on_request():
    (box,) = detection.detect(two_faces(), faces="largest")
    assert box == max(detection.detect(two_faces()), key=lambda box: box.width)


def test_faces_below_the_minimum_are_skipped():
    small, large = sorted(detection.detect(two_faces()), key=lambda box: box.width)
    between = (small.width + large.width) // 2
    (box,) = detection.detect(two_faces(), min_face=between)
    assert box.width > between
    assert abs(box.x - large.x) < 0.05 * large.width


def test_boxes_from_a_smaller_copy_are_in_pixels_of_the_photo():
    image = cv2.resize(draw_face(), None, fx=4, fy=4)
    (full,) = detection.detect(image)
    (quick,) = detection.detect(image, max_side=300)
    for here, there in zip(full, quick):
        assert abs(here - there) < 0.05 * full.width
    assert detection.detect(image, max_side=1200) == [full]
    right, bottom = quick.x + quick.width, quick.y + quick.height
    assert right <= image.shape[1]
    assert bottom <= image.shape[0]


def test_too_many_pixels_are_rejected_before_opencv_crashes():
    image = np.zeros((20_000, 20_000), np.uint8)
    with pytest.raises(PhotoError, match="20000×20000 pixels are too many.*--max-side"):
        detection.detect(image)
    assert detection.detect(image, max_side=1000) == []


@pytest.fixture
def one_thread():
    """OpenCV with one thread: with several, the order of its results varies."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


def detect_with_opencv(image, scale_factor, min_neighbors):
    """Return the faces that OpenCV finds with its own cascade file, in its own order."""
    found = opencv_cascade().detectMultiScale(image, scale_factor, min_neighbors)
    return [tuple(map(int, box)) for box in found]


def assert_same_as_opencv(image, scale_factor, min_neighbors):
    expected = detect_with_opencv(image, scale_factor, min_neighbors)
    settings = {"scale_factor": scale_factor, "min_neighbors": min_neighbors}
    assert detection.detect(image, **settings) == sorted(expected)
    largest = [max(expected, key=lambda box: box[2] * box[3])] if expected else []
    assert detection.detect(image, **settings, faces="largest") == largest


@needs_opencv_4
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("min_neighbors", [0, 1, 5])
@pytest.mark.parametrize("scale_factor", [1.05, 1.1, 1.3, 2])
def test_drawn_faces_are_the_same_as_with_opencv(scale_factor, min_neighbors):
    noise = np.random.default_rng(3).integers(0, 256, (90, 130), np.uint8)
    for image in (
        detection.grey(two_faces()),
        detection.grey(np.hstack([draw_face()] * 2)),  # of equal size
        detection.grey(draw_face(30, 40, 60, 5, 3)),  # close to the minimum
        detection.grey(draw_face(200, 200, 200, 0, 0)),  # touches the edges
        cv2.resize(noise, None, fx=3, fy=3),
        noise,
    ):
        assert_same_as_opencv(image, scale_factor, min_neighbors)


@needs_opencv_4
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("scale_factor", "min_neighbors"), [(1.1, 5), (1.1, 0), (1.3, 3)])
def test_real_faces_are_the_same_as_with_opencv(original, scale_factor, min_neighbors):
    paths = sorted(original.pictures.glob("*.??g"))
    for path in paths[:: 1 + len(paths) // 7]:
        assert_same_as_opencv(cv2.imread(str(path), 0), scale_factor, min_neighbors)
    for picture in np.load(original.faces)[::6]:
        bordered = cv2.copyMakeBorder(picture, *[51] * 4, cv2.BORDER_CONSTANT, value=200)
        assert_same_as_opencv(bordered, scale_factor, min_neighbors)


def test_box_is_a_tuple_of_plain_integers():
    (box,) = detection.detect(draw_face())
    assert isinstance(box, Box)
    assert all(type(value) is int for value in box)

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


@pytest.fixture
def one_thread():
    """OpenCV in one thread: several name what they find in the order in which they find it."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


def found_by_opencv(image, scale_factor, min_neighbors):
    """Return what OpenCV finds with the cascade as it comes, in OpenCV's order."""
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    found = cascade.detectMultiScale(image, scale_factor, min_neighbors)
    return [tuple(map(int, box)) for box in found]


def assert_as_opencv(image, scale_factor, min_neighbors):
    expected = found_by_opencv(image, scale_factor, min_neighbors)
    settings = {"scale_factor": scale_factor, "min_neighbors": min_neighbors}
    assert faces.detect(image, **settings) == sorted(expected)
    largest = [max(expected, key=lambda box: box[2] * box[3])] if expected else []
    assert faces.detect(image, **settings, largest=True) == largest


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("min_neighbors", [0, 1, 5])
@pytest.mark.parametrize("scale_factor", [1.05, 1.1, 1.3, 2])
def test_drawn_faces_are_where_opencv_finds_them(scale_factor, min_neighbors):
    noise = np.random.default_rng(3).integers(0, 256, (90, 130), np.uint8)
    for image in (
        faces.grey(two_faces()),
        faces.grey(np.hstack([draw_face()] * 2)),  # of one size
        faces.grey(draw_face(30, 40, 60, 5, 3)),  # about as small as can be found
        faces.grey(draw_face(200, 200, 200, 0, 0)),  # up to the edges
        cv2.resize(noise, None, fx=3, fy=3),
        noise,
    ):
        assert_as_opencv(image, scale_factor, min_neighbors)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("scale_factor", "min_neighbors"), [(1.1, 5), (1.1, 0), (1.3, 3)])
def test_real_faces_are_where_opencv_finds_them(shared, scale_factor, min_neighbors):
    for path in sorted((shared / "photos").glob("*.jpg"))[::25]:
        assert_as_opencv(cv2.imread(str(path), 0), scale_factor, min_neighbors)
    with np.load(shared / "fer2013" / "fer2013.npz") as rows:
        pictures = rows["pixels"][::700]
    for picture in pictures:
        bordered = cv2.copyMakeBorder(picture, *[51] * 4, cv2.BORDER_CONSTANT, value=200)
        assert_as_opencv(bordered, scale_factor, min_neighbors)


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

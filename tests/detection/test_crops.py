"""Cropping faces for the network."""

from __future__ import annotations

import cv2
import numpy as np
from conftest import draw_face

from gudi import detection
from gudi.picture import Picture
from gudi.records import Box


def test_crop_equals_the_original():
    image = draw_face()
    (box,) = detection.detect(image)
    face = detection.crop(image, box)
    assert (face.shape, face.dtype) == ((48, 48), np.uint8)
    # The original converts to grey, cuts out and resizes with INTER_CUBIC.
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    cut = grey[box.y : box.y + box.height, box.x : box.x + box.width]
    expected = cv2.resize(cut, (48, 48), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(face, expected)


class Halved(Picture):
    """A picture that has a copy of half its size."""

    def at_least(self, side):
        half = cv2.resize(self.image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        return (half, 2) if max(half.shape) >= side else (self.image, 1)


def test_crop_of_a_smaller_copy_shows_the_same_places():
    image = draw_face(300, 400, 400, 40, 50)
    for box in (Box(41, 53, 299, 297), Box(-31, 99, 333, 333), Box(7, 8, 97, 97)):
        whole, copied = detection.crop(image, box), detection.crop(Halved(image), box)
        assert np.abs(whole.astype(int) - copied).mean() < 2
        assert (whole == copied).all() == (box.width < 2 * 96)

"""Cropping faces for the network."""

from __future__ import annotations

import cv2
import numpy as np
from conftest import draw_face

from gudi import detection


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

"""Pictures and their smaller copies."""

from __future__ import annotations

import numpy as np
import pytest

from gudi.picture import Picture


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(480, 120, (60, 240)), (3, 960, (240, 1)), (50, 40, (40, 50))],
)
def test_copies_have_a_limited_side_and_can_be_drawn_on(width, height, expected):
    image = np.full((height, width, 3), 128, np.uint8)
    picture = Picture(image)
    assert picture.reduced(240).shape[:2] == expected
    copy = picture.drawable(240)
    assert copy.shape[:2] == expected
    copy[:] = 0
    assert (picture.image == 128).all()

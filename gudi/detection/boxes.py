"""The boxes around faces."""

from __future__ import annotations

from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle in an image, in pixels from the upper left corner."""

    x: int
    y: int
    width: int
    height: int

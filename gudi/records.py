"""The records that the steps of recognition hand on."""

from __future__ import annotations

from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle in an image, in pixels from the upper left corner."""

    x: int
    y: int
    width: int
    height: int


class Detection(NamedTuple):
    """A face in an image.

    Attributes:
        box: where it is. The CNN's boxes may reach beyond the edges of the image.
        score: how sure the detector is. For Haar the number of overlapping hits, from
            `min_neighbors` upwards; for the CNN 0 to 100.
    """

    box: Box
    score: float

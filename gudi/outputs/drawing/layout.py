"""Positions of labels and bars: next to the face they belong to, and not onto others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from gudi.detection import Box

Size = tuple[int, int]  # width, height

# Penalty per covered pixel: other faces, existing labels, the labelled face itself. A single pixel
# of another face costs more than all of the labelled face.
OTHER_FACE, DRAWN, OWN_FACE = 1e12, 1e10, 1.0

# For a few boxes, plain Python is faster than NumPy.
FEW = 20


class Layout:
    """The occupied and the free parts of an image.

    Attributes:
        taken: the boxes of all faces, and of all that was drawn.

    Args:
        size: width and height of the image.
        faces: the boxes of all faces.
    """

    def __init__(self, size: Size, faces: Sequence[Box]) -> None:
        self._size = size
        self.taken = list(faces)
        # Rows are appended one by one, and the arrays grow by doubling.
        self._edges = _edges(faces)
        self._costs = np.full(len(faces), OTHER_FACE)

    def add(self, box: Box) -> None:
        """Mark a box as drawn on."""
        count = len(self.taken)
        if count == len(self._edges):
            self._edges = np.concatenate([self._edges, np.zeros((count + 8, 4), np.int64)])
            self._costs = np.concatenate([self._costs, np.full(count + 8, DRAWN)])
        self._edges[count] = _edges([box])
        self.taken.append(box)

    def place(self, candidates: Iterable[Box], own: int) -> tuple[Box, float]:
        """Return the first of `candidates` with the lowest penalty, moved into the image.

        Args:
            candidates: possible boxes, the best first.
            own: number of the face that it belongs to.

        Returns:
            The box, and its penalty: 0 if it covers nothing, at most `OWN_FACE` if it covers
            nothing but its own face.
        """
        boxes = list(candidates)
        if len(self.taken) <= FEW and self._is_free(boxes[0]):
            return boxes[0], 0
        places = self._moved_inside(_edges(boxes))
        near, costs = self._near(places, own)
        start = np.maximum(places[:, np.newaxis, :2], near[:, :2])
        end = np.minimum(places[:, np.newaxis, 2:], near[:, 2:])
        covered = np.clip(end - start, 0, None).prod(axis=2)
        areas = (places[:, 2:] - places[:, :2]).prod(axis=1)
        # Shares of what is placed, weighted by what they cover.
        penalties = (covered * costs).sum(axis=1) / np.maximum(areas, 1)
        best = int(penalties.argmin())
        left, top, right, bottom = places[best].tolist()
        return Box(left, top, right - left, bottom - top), float(penalties[best])

    def _is_free(self, box: Box) -> bool:
        """Return whether `box` is inside the image and covers nothing."""
        width, height = self._size
        inside = box.x >= 0 <= box.y and box.x + box.width <= width and box.y + box.height <= height
        return inside and not any(overlap(box, other) for other in self.taken)

    def _near(
        self, places: npt.NDArray[np.int64], own: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the edges of all boxes that some of `places` could cover, and their penalties."""
        count = len(self.taken)
        edges = self._edges[:count]
        left, top = places[:, :2].min(axis=0)
        right, bottom = places[:, 2:].max(axis=0)
        near = np.flatnonzero(
            (edges[:, 0] < right)
            & (edges[:, 2] > left)
            & (edges[:, 1] < bottom)
            & (edges[:, 3] > top)
        )
        costs = self._costs[near]
        costs[near == own] = OWN_FACE
        return edges[near], costs

    def _moved_inside(self, edges: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Move boxes into the image, by their upper left corner if they are larger than it."""
        for axis in (0, 1):
            length = edges[:, axis + 2] - edges[:, axis]
            edges[:, axis] = np.clip(edges[:, axis], 0, np.maximum(0, self._size[axis] - length))
            edges[:, axis + 2] = edges[:, axis] + length
        return edges


def around(face: Box, size: Size, gap: int) -> list[Box]:
    """Return places of `size` above, below and beside a face, in the order of preference."""
    (width, height), right, bottom = size, face.x + face.width, face.y + face.height
    above, below = face.y - gap - height, bottom + gap
    return [
        Box(x, y, width, height)
        for x, y in (
            (face.x, above),
            (right - width, above),
            (face.x, below),
            (right - width, below),
            (right + gap, face.y),
            (face.x - gap - width, face.y),
            (right + gap, bottom - height),
            (face.x - gap - width, bottom - height),
        )
    ]


def beside(face: Box, size: Size, gap: int) -> list[Box]:
    """Return the places of `around`, those to the right and to the left first."""
    places = around(face, size, gap)
    return places[4:] + places[:4]


def corners(picture: Size, size: Size) -> list[Box]:
    """Return the corners of an image: upper left, upper right, lower right, lower left."""
    right, bottom = picture[0] - size[0], picture[1] - size[1]
    return [Box(x, y, *size) for x, y in ((0, 0), (right, 0), (right, bottom), (0, bottom))]


def inside(face: Box, size: Size, gap: int) -> list[Box]:
    """Return places of `size` inside a face, at its upper and at its lower edge."""
    width, height = size
    return [
        Box(face.x, face.y + gap, width, height),
        Box(face.x, face.y + face.height - gap - height, width, height),
    ]


def overlap(one: Box, other: Box) -> bool:
    """Return whether two boxes have a pixel in common."""
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def _edges(boxes: Sequence[Box]) -> npt.NDArray[np.int64]:
    """Return left, top, right and bottom of boxes, int64 of shape (n, 4)."""
    edges = np.array(boxes, np.int64).reshape(-1, 4)
    edges[:, 2:] += edges[:, :2]
    return edges

"""OpenCV's frontal-face search, vectorised: the same boxes to the last bit, several times as fast.

The search is Viola and Jones' (2001) with the cascade that Lienhart trained and OpenCV ships. The
compiled module `gudi.detection._haar` runs it on the same pyramid with the same arithmetic. Where
that module is missing, `cv2.CascadeClassifier` runs it. The environment variable GUDI_HAAR forces
one of them: `opencv`, or one of `VARIANTS`.
"""

from __future__ import annotations

import functools
import math
import os
import threading
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree

import cv2
import numpy as np
import numpy.typing as npt
from cv2.data import haarcascades

try:
    from gudi.detection import _haar

    VARIANTS = _haar.variants()
except ImportError:  # there was no compiler when gudi was installed
    VARIANTS = []

CASCADE = "haarcascade_frontalface_default.xml"

# A window counts as a face if it passes every stage of the cascade (`predictOrderedStump` in
# OpenCV's cascadedetect.hpp), so the order of the stages only decides how soon the others are
# rejected. In this order, instead of the file's, by size, OpenCV takes 8% less time on photos and
# 5% less on FER2013. The order was found by moving single stages as long as that reduced the
# number of weak classifiers evaluated on samples of both. The first stage has to stay: OpenCV
# skips the window next to one that fails it.
STAGES = (0, 1, 3, 7, 9, 8, 12, 17, 22, 15, 18, 21, 24, 11, 20, 23, 19, 14, 16, 4, 13, 10, 5, 6, 2)

WINDOW = 24  # side of the cascade's window, in pixels
GROUP_EPS = 0.2  # how far boxes of one group may differ, as in OpenCV's detectMultiScale
MAX_SCALES = 100_000

# The shapes of the cascade's features: how often the corners of their rectangles are added up from
# the integral image. `weights` in native/cascade.c lists the same.
SHAPES = (
    (1, 1, -1, -1, 2, -2),
    (1, 1, -1, -1, 3, 3, -3, -3),
    (1, 1, 1, 1, -2, -2, -2, -2, 4),
    (-1, -1, -1, -1, 2, 2, 2, 2, -4),
)
SHAPE_NUMBERS = {tuple(sorted(shape)): number for number, shape in enumerate(SHAPES)}
MAX_POINTS = 9
MAX_PARTS = 4


class Group(NamedTuple):
    """A face: overlapping hits, merged into one box."""

    box: tuple[int, int, int, int]  # x, y, width, height, in pixels
    hits: int


class Rectangle(NamedTuple):
    """A rectangle of a feature, in pixels of the window."""

    x: int
    y: int
    width: int
    height: int
    weight: int


class UnsupportedCascadeError(ValueError):
    """The cascade has features that the compiled module cannot evaluate exactly."""


def search(
    grey: npt.NDArray[np.uint8], scale_factor: float, min_neighbors: int, min_size: int = 0
) -> list[tuple[int, int, int, int]]:
    """Return the faces of `grey` as `detectMultiScale` does: same boxes, same order.

    Args:
        grey: uint8 of shape (h, w).
        scale_factor: how much larger the search window gets from one pass to the next, above 1.
        min_neighbors: overlapping hits that make a face; with 0, each hit is returned.
        min_size: width and height of the smallest face, in pixels.

    Returns:
        Boxes as x, y, width, height, in pixels.

    Raises:
        TypeError: `grey` is not uint8 of shape (h, w).
        ValueError: `scale_factor` is not above 1, or so close to it that the search never ends.
    """
    return [group.box for group in find_groups(grey, scale_factor, min_neighbors, min_size)]


def find_groups(
    grey: npt.NDArray[np.uint8], scale_factor: float, min_neighbors: int, min_size: int = 0
) -> list[Group]:
    """Return the faces of `grey` with the number of hits of each; see `search`."""
    if not (isinstance(grey, np.ndarray) and grey.dtype == np.uint8 and grey.ndim == 2):
        received = f"{getattr(grey, 'dtype', type(grey).__name__)} {getattr(grey, 'shape', '')}"
        raise TypeError(f"a picture to search must be uint8 of shape (h, w), not {received}")
    height, width = grey.shape
    scales = _scales(width, height, float(scale_factor), int(min_size))
    if not len(scales):
        return []
    variant = _variant()
    if variant is None:
        return _opencv.find_groups(grey, scale_factor, min_neighbors, min_size)
    hits = _compiled_cascade(variant).hits(np.ascontiguousarray(grey), scales)
    boxes = np.frombuffer(hits, np.int32).reshape(-1, 4)
    return _grouped(boxes, min_neighbors, width, height)


def implementation() -> str:
    """Return what searches, for people."""
    variant = _variant()
    return "OpenCV's classifier" if variant is None else f"gudi's own, {variant}"


def _variant() -> str | None:
    """Return the variant of the compiled search to use, or None to use OpenCV."""
    wanted = os.environ.get("GUDI_HAAR")
    if not VARIANTS or wanted == "opencv":
        return None
    return _usable_variant(wanted or VARIANTS[0])


@functools.cache
def _usable_variant(variant: str) -> str | None:
    try:
        _compiled_cascade(variant)
    except UnsupportedCascadeError:
        return None
    return variant


@functools.lru_cache(maxsize=256)
def _scales(width: int, height: int, scale_factor: float, min_size: int) -> npt.NDArray[np.float32]:
    """Return by how much the picture is shrunk in each pass, as float32, as OpenCV does.

    If all windows are smaller than `min_size`, OpenCV searches at the scale that is closest.
    """
    side = min(width, height)
    if not 1 < scale_factor < math.inf:
        raise ValueError(f"the scale factor must be above 1, not {scale_factor}")
    if math.log(max(side, WINDOW) / WINDOW) > MAX_SCALES * math.log(scale_factor):
        raise ValueError(f"a scale factor of {scale_factor} is too close to 1")
    factors = []
    factor = 1.0
    while round(WINDOW * factor) <= side:
        factors.append(factor)
        factor *= scale_factor
    scales = np.array(factors, np.float32)
    windows = np.rint(WINDOW * scales)
    wanted = scales[(windows >= min_size) & (windows <= side)]
    if not len(wanted) and len(scales):
        wanted = scales[[np.argmin(np.abs(windows - min_size))]]
    wanted.flags.writeable = False
    return wanted


def _grouped(
    hits: npt.NDArray[np.int32], min_neighbors: int, width: int, height: int
) -> list[Group]:
    """Merge hits, and cut the boxes to the picture, as `detectMultiScale` does."""
    boxes: Sequence[Sequence[int]] = hits.tolist()
    counts: Sequence[int] = [1] * len(boxes)
    if min_neighbors > 0:
        boxes, counts = cv2.groupRectangles(boxes, min_neighbors, GROUP_EPS)
    groups = []
    for box, count in zip(boxes, counts):
        x, y, box_width, box_height = map(int, box)
        inside = (x, y, min(box_width, width - x), min(box_height, height - y))
        groups.append(Group(inside, int(count)))
    return groups


class _OpenCV(threading.local):
    """A classifier per thread: OpenCV's keeps the picture that it searches inside itself."""

    @functools.cached_property
    def cascade(self) -> cv2.CascadeClassifier:
        text = ElementTree.tostring(_cascade_xml(), "unicode", xml_declaration=True)
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        cascade = cv2.CascadeClassifier()
        cascade.read(storage.getFirstTopLevelNode())
        return cascade

    def find_groups(
        self,
        grey: npt.NDArray[np.uint8],
        scale_factor: float,
        min_neighbors: int,
        min_size: int,
    ) -> list[Group]:
        boxes, counts = self.cascade.detectMultiScale2(
            grey, scale_factor, min_neighbors, minSize=(min_size, min_size)
        )
        found = []
        for box, count in zip(boxes, counts):
            x, y, width, height = map(int, box)
            found.append(Group((x, y, width, height), int(count)))
        return found


_opencv = _OpenCV()


def _cascade_xml() -> ElementTree.Element:
    """Return OpenCV's cascade, its stages in the order `STAGES`."""
    root = ElementTree.parse(haarcascades + CASCADE).getroot()
    stages = _child(root, "cascade/stages")
    stages[:] = [stages[number] for number in STAGES]
    return root


def _child(element: ElementTree.Element, path: str) -> ElementTree.Element:
    child = element.find(path)
    if child is None:
        raise UnsupportedCascadeError(f"OpenCV's {CASCADE} has no <{path}>")
    return child


def _numbers(element: ElementTree.Element, path: str) -> list[float]:
    return list(map(float, (_child(element, path).text or "").split()))


@functools.cache
def _compiled_cascade(variant: str) -> _haar.Cascade:
    """Return OpenCV's cascade for a variant of the compiled search.

    Raises:
        UnsupportedCascadeError: the search could not repeat exactly what OpenCV computes.
    """
    cascade = _child(_cascade_xml(), "cascade")
    features = [_feature_parts(_rectangles(item)) for item in _child(cascade, "features")]
    sizes, thresholds, stumps, counts, parts = [], [], [], [], []
    for stage in _child(cascade, "stages"):
        weak = _child(stage, "weakClassifiers")
        sizes.append(len(weak))
        # OpenCV's THRESHOLD_EPS, subtracted in float32.
        thresholds.append(np.float32(_numbers(stage, "stageThreshold")[0]) - np.float32(1e-5))
        for stump in weak:
            left, right, number, threshold = _numbers(stump, "internalNodes")
            if (left, right) != (0, -1):
                raise UnsupportedCascadeError(f"OpenCV's {CASCADE} has trees, not only stumps")
            stumps.append([threshold, *_numbers(stump, "leafValues")])
            counts.append(len(features[int(number)]))
            parts += features[int(number)]
    return _haar.Cascade(
        variant,
        np.array(sizes, np.int32),
        np.array(thresholds, np.float32),
        np.array(stumps, np.float32),
        np.array(counts, np.uint8),
        np.array(parts, np.uint8),
    )


def _rectangles(feature: ElementTree.Element) -> list[Rectangle]:
    numbers = [list(map(float, (item.text or "").split())) for item in _child(feature, "rects")]
    whole = all(number.is_integer() for rectangle in numbers for number in rectangle)
    if feature.find("tilted") is not None or not whole:
        raise UnsupportedCascadeError(f"OpenCV's {CASCADE} has tilted or weighted features")
    return [Rectangle(*map(int, rectangle)) for rectangle in numbers]


def _feature_parts(rectangles: list[Rectangle]) -> list[list[int]]:
    """Return a feature as the compiled search takes it: a row of numbers per part.

    The search adds up in 16 bits. Features whose values may not fit into them are cut in two,
    until their parts do. Values are whole numbers of less than 24 bits, so it does not matter
    that OpenCV adds their rectangles as float32.
    """
    pieces = [rectangles]
    while len(pieces) <= MAX_PARTS and any(map(_is_wide, pieces)):
        pieces = [half for piece in pieces for half in _halves(piece)]
    parts = [part for piece in pieces if (part := _part(piece))]
    if len(parts) != len(pieces) or len(parts) > MAX_PARTS:
        raise UnsupportedCascadeError(f"OpenCV's {CASCADE} has features of unknown shape")
    return parts


def _is_wide(rectangles: list[Rectangle]) -> bool:
    """Whether the value of a feature for some picture does not fit into 16 bits."""
    if 255 * sum(abs(each.weight) * each.width * each.height for each in rectangles) < 2**15:
        return False
    weights = np.zeros((WINDOW, WINDOW), np.int32)
    for x, y, width, height, weight in rectangles:
        weights[y : y + height, x : x + width] += weight
    # Pixels of 255 where weights are of one sign, and of 0 elsewhere, give the extremes.
    return bool(255 * (abs(weights).sum() + abs(weights.sum())) >= 2**16)


def _halves(rectangles: list[Rectangle]) -> list[list[Rectangle]]:
    """Cut a feature in two that have one of the known shapes."""
    halves = _upper_and_lower(rectangles)
    if all(map(_part, halves)):
        return halves
    left_and_right = _upper_and_lower([_turned(rectangle) for rectangle in rectangles])
    return [list(map(_turned, half)) for half in left_and_right]


def _upper_and_lower(rectangles: list[Rectangle]) -> list[list[Rectangle]]:
    _, top, _, height, _ = rectangles[0]
    middle = top + height // 2
    halves = []
    for start, stop in ((top, middle), (middle, top + height)):
        half = []
        for each in rectangles:
            y, bottom = max(each.y, start), min(each.y + each.height, stop)
            if y < bottom:
                half.append(each._replace(y=y, height=bottom - y))
        halves.append(half)
    return halves


def _turned(rectangle: Rectangle) -> Rectangle:
    x, y, width, height, weight = rectangle
    return Rectangle(y, x, height, width, weight)


def _points(rectangles: list[Rectangle]) -> dict[tuple[int, int], int]:
    """Return how often which entries (row, column) of the integral image are added up."""
    points: dict[tuple[int, int], int] = {}
    for x, y, width, height, weight in rectangles:
        for row, column, sign in (
            (y, x, 1),
            (y, x + width, -1),
            (y + height, x, -1),
            (y + height, x + width, 1),
        ):
            points[row, column] = points.get((row, column), 0) + sign * weight
    return {place: weight for place, weight in points.items() if weight}


def _part(rectangles: list[Rectangle]) -> list[int] | None:
    """Return the number of a part's shape, the rows of its points, and their columns."""
    points = _points(rectangles)
    number = SHAPE_NUMBERS.get(tuple(sorted(points.values())))
    if number is None:
        return None
    order = sorted(points, key=lambda place: SHAPES[number].index(points[place]))
    unused = [0] * (MAX_POINTS - len(order))
    return [
        number,
        *(row for row, _ in order),
        *unused,
        *(column for _, column in order),
        *unused,
    ]

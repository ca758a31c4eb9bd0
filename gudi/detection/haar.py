"""OpenCV's frontal-face search, vectorised: the same boxes to the last bit, several times as fast.

The search is Viola and Jones' (2001) with the cascade that Lienhart trained and OpenCV 4 ships.
The compiled library runs it on the same pyramid with the same arithmetic. Where that is missing,
OpenCV 4's classifier runs it. The environment variable GUDI_HAAR forces one of them: `opencv`, or
one of `VARIANTS`.
"""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gudi.detection import compiled, opencv
from gudi.errors import UsageError

VARIANTS = list(compiled.variants())

TABLES = Path(__file__).with_name("frontalface.npz")  # made by native/make_tables.py
CASCADE = "haarcascade_frontalface_default.xml"  # the same in OpenCV 4

WINDOW = 24  # side of the cascade's window, in pixels
MAX_SCALES = 100_000

HOW_TO_COMPILE = (
    "install a C compiler, such as gcc, and repeat pip install --force-reinstall --no-deps . in "
    "gudi's repository"
)
SLOW = (
    "gudi was installed without its compiled face search; OpenCV's takes 7 times as long. To get "
    f"the compiled one, {HOW_TO_COMPILE}"
)
NO_SEARCH = (
    "gudi was installed without its compiled face search, and OpenCV 5 has no Haar cascades: "
    f"{HOW_TO_COMPILE}; or pip install 'opencv-python<5'; or use --detector cnn"
)


class Group(NamedTuple):
    """A face: overlapping hits, merged into one box."""

    box: tuple[int, int, int, int]  # x, y, width, height, in pixels
    hits: int


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
        UsageError: nothing can search here.
    """
    return [group.box for group in find_groups(grey, scale_factor, min_neighbors, min_size)]


def find_groups(
    grey: npt.NDArray[np.uint8], scale_factor: float, min_neighbors: int, min_size: int = 0
) -> list[Group]:
    """Return the faces of `grey` with the number of hits of each; see `search`."""
    if not (isinstance(grey, np.ndarray) and grey.dtype == np.uint8 and grey.ndim == 2):
        received = f"{getattr(grey, 'dtype', type(grey).__name__)} {getattr(grey, 'shape', '')}"
        raise TypeError(f"an image to search must be uint8 of shape (h, w), not {received}")
    height, width = grey.shape
    scales = _scales(width, height, float(scale_factor), int(min_size))
    if not len(scales):
        return []
    variant = _variant()
    if variant is None:
        return _find_with_opencv(grey, scale_factor, min_neighbors, min_size)
    found = _cascade(variant).find(np.ascontiguousarray(grey), scales, int(min_neighbors))
    return [
        # Like OpenCV's, boxes are cut to the image.
        Group((x, y, min(side, width - x), min(side, height - y)), hits)
        for x, y, side, hits in found.tolist()
    ]


def implementation() -> str:
    """Return the name of the implementation in use. Loads it."""
    variant = _variant()
    if variant is None:
        return "OpenCV's classifier"
    _cascade(variant)
    return f"gudi's own, {variant}"


def warning() -> str:
    """Return what to tell people about a slow search, or "".

    Raises:
        UsageError: nothing can search here.
    """
    if _variant() is None and not opencv.AVAILABLE:
        raise UsageError(NO_SEARCH)
    return "" if VARIANTS else SLOW


def _variant() -> str | None:
    """Return the variant of the compiled search to use, or None to use OpenCV."""
    wanted = os.environ.get("GUDI_HAAR")
    return None if not VARIANTS or wanted == "opencv" else wanted or VARIANTS[0]


@functools.cache
def _cascade(variant: str) -> compiled.Cascade:
    with np.load(TABLES) as tables:
        return compiled.Cascade(variant, **tables)


@functools.lru_cache(maxsize=256)
def _scales(width: int, height: int, scale_factor: float, min_size: int) -> npt.NDArray[np.float32]:
    """Return by how much the image is shrunk in each pass, as float32, as OpenCV does.

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


def _find_with_opencv(
    grey: npt.NDArray[np.uint8], scale_factor: float, min_neighbors: int, min_size: int
) -> list[Group]:
    if not opencv.AVAILABLE:
        raise UsageError(NO_SEARCH)
    boxes, counts = opencv.classifier(CASCADE).detectMultiScale2(
        grey, scale_factor, min_neighbors, minSize=(min_size, min_size)
    )
    found = []
    for box, count in zip(boxes, counts):
        x, y, width, height = map(int, box)
        found.append(Group((x, y, width, height), int(count)))
    return found

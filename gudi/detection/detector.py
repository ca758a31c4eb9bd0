"""Detect faces and eyes with OpenCV's Haar cascades."""

from __future__ import annotations

import functools
import threading

import cv2
import numpy as np
import numpy.typing as npt
from cv2.data import haarcascades

from gudi.constants import MIN_NEIGHBORS, SCALE_FACTOR
from gudi.detection.boxes import Box
from gudi.detection.crops import grey
from gudi.detection.haar import search
from gudi.errors import PhotoError

EYE_CASCADE = "haarcascade_eye_tree_eyeglasses.xml"

# OpenCV's own search, without the compiled one, needs about 48 bytes of memory per pixel, and
# its 32-bit offsets overflow (a segmentation fault) between 256 and 324 megapixels. At this
# limit a worker needs 6 GB. Pictures from today's cameras are smaller.
MAX_SEARCHED_PIXELS = 120_000_000


class _EyeCascade(threading.local):
    """The classifier of one thread. OpenCV's stores the image that it searches in itself."""

    @functools.cached_property
    def classifier(self) -> cv2.CascadeClassifier:
        return cv2.CascadeClassifier(haarcascades + EYE_CASCADE)


_eyes = _EyeCascade()


def detect(
    image: npt.NDArray[np.uint8],
    *,
    scale_factor: float = SCALE_FACTOR,
    min_neighbors: int = MIN_NEIGHBORS,
    min_face: int = 0,
    max_side: int | None = None,
    largest: bool = False,
) -> list[Box]:
    """Return the faces in `image`, ordered by x, then y.

    With the defaults, this is the original's detection: OpenCV's frontal-face Haar cascade (Viola
    and Jones 2001, as trained by Lienhart) on the whole grey image.

    Args:
        image: uint8 of shape (h, w, 3), BGR, or (h, w).
        scale_factor: how much larger the search window gets from one pass to the next, above 1.
        min_neighbors: number of overlapping hits that make a face.
        min_face: smallest face to detect, in pixels of `image`; 0 for the cascade's own 24.
        max_side: search a copy whose longer side is reduced to this many pixels. Boxes are still
            in pixels of `image`. None searches `image` itself.
        largest: return only the face with the largest area.

    Raises:
        PhotoError: there are more than `MAX_SEARCHED_PIXELS` to search.
    """
    searched, ratio = _shrunk(grey(image), max_side)
    if searched.size > MAX_SEARCHED_PIXELS:
        raise PhotoError(
            f"{image.shape[1]}×{image.shape[0]} pixels are too many to search (at most "
            f"{MAX_SEARCHED_PIXELS // 10**6} million); --max-side 4000 searches a smaller copy"
        )
    smallest = round(min_face * ratio)
    boxes = [Box(*box) for box in search(searched, scale_factor, min_neighbors, smallest)]
    if ratio != 1:
        height, width = image.shape[:2]
        boxes = [_enlarged(box, 1 / ratio, width, height) for box in boxes]
    if largest and boxes:
        # Among equals, the first that OpenCV returns, as in the original.
        boxes = [max(boxes, key=lambda box: box.width * box.height)]
    return sorted(boxes)


def detect_eyes(image: npt.NDArray[np.uint8], face: Box) -> list[Box]:
    """Return the eyes in the box `face` of `image`, ordered by x, then y, in pixels of `image`.

    As in `predict_cam&video.py` of the original, this uses OpenCV's cascade for eyes with and
    without glasses, with its default settings. Unlike there, only the upper two thirds of the face
    are searched, because the cascade mistakes mouths for eyes.

    Args:
        image: uint8 of shape (h, w, 3), BGR, or (h, w).
        face: a box within `image`.
    """
    upper = image[face.y : face.y + face.height * 2 // 3, face.x : face.x + face.width]
    found = (Box(*map(int, box)) for box in _eyes.classifier.detectMultiScale(grey(upper)))
    return sorted(box._replace(x=face.x + box.x, y=face.y + box.y) for box in found)


def _shrunk(
    image: npt.NDArray[np.uint8], max_side: int | None
) -> tuple[npt.NDArray[np.uint8], float]:
    """Return `image` with its longer side at most `max_side`, and new size / old size."""
    longer = max(image.shape)
    if max_side is None or longer <= max_side:
        return image, 1.0
    ratio = max_side / longer
    height, width = (max(1, round(side * ratio)) for side in image.shape)
    shrunk = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8), ratio


def _enlarged(box: Box, ratio: float, width: int, height: int) -> Box:
    """Return `box` scaled by `ratio` and cut off at the edges of a `width` × `height` image."""
    left, top = round(box.x * ratio), round(box.y * ratio)
    right = min(width, round((box.x + box.width) * ratio))
    bottom = min(height, round((box.y + box.height) * ratio))
    return Box(left, top, right - left, bottom - top)

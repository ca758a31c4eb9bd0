"""Detect faces and cut them out as the network wants them: the original's `format_image`."""

from __future__ import annotations

import functools
import threading
from typing import NamedTuple

import cv2
import numpy as np

from gudi.detection import haar
from gudi.emotions import FACE_SIZE, MIN_NEIGHBORS, SCALE_FACTOR
from gudi.errors import PhotoError

EYE_CASCADE = "haarcascade_eye_tree_eyeglasses.xml"

# OpenCV's cascade takes about 48 bytes of memory for each pixel that it searches, and its 32-bit
# offsets overflow (a segmentation fault) somewhere between 256 and 324 megapixels. This is where
# a worker needs 6 GB; the pictures of today's cameras lie below.
MAX_SEARCHED_PIXELS = 120_000_000


class Box(NamedTuple):
    """A face's place in an image, in pixels from the upper left corner."""

    x: int
    y: int
    width: int
    height: int


class _Cascades(threading.local):
    """Classifiers of one thread: OpenCV's keep the image that they search inside themselves."""

    @functools.cached_property
    def eye(self) -> cv2.CascadeClassifier:
        return cv2.CascadeClassifier(cv2.data.haarcascades + EYE_CASCADE)


_cascades = _Cascades()


def grey(image: np.ndarray) -> np.ndarray:
    """Return `image`, uint8 of shape (h, w, 3) in OpenCV's BGR order or (h, w), as (h, w)."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def detect(
    image: np.ndarray,
    *,
    scale_factor: float = SCALE_FACTOR,
    min_neighbors: int = MIN_NEIGHBORS,
    min_face: int = 0,
    max_side: int | None = None,
    largest: bool = False,
) -> list[Box]:
    """Return the faces of `image` ordered by x, then y.

    With the defaults this is the original's detection: OpenCV's frontal-face Haar cascade (Viola
    and Jones 2001, as trained by Lienhart) over the whole grey image.

    Args:
        image: uint8 of shape (h, w, 3), BGR, or (h, w).
        scale_factor: how much larger the search window gets from one pass to the next, above 1.
        min_neighbors: overlapping hits that make a face.
        min_face: smallest face to look for, in pixels of `image`; 0 for the cascade's own 24.
        max_side: search a copy shrunk to this many pixels on the longer side; boxes are still in
            pixels of `image`. None searches `image` itself.
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
    boxes = [Box(*box) for box in haar.search(searched, scale_factor, min_neighbors, smallest)]
    if ratio != 1:
        height, width = image.shape[:2]
        boxes = [_enlarged(box, 1 / ratio, width, height) for box in boxes]
    if largest and boxes:
        # Of equals the first that OpenCV names, as in the original.
        boxes = [max(boxes, key=lambda box: box.width * box.height)]
    return sorted(boxes)


def detect_eyes(image: np.ndarray, face: Box) -> list[Box]:
    """Return the eyes in the box `face` of `image`, ordered by x, then y, in pixels of `image`.

    As in the original's `predict_cam&video.py`, with OpenCV's cascade for eyes with and without
    glasses and its own settings, but only in the upper two thirds: it takes mouths for eyes.

    Args:
        image: uint8 of shape (h, w, 3), BGR, or (h, w).
        face: a box within `image`.
    """
    upper = image[face.y : face.y + face.height * 2 // 3, face.x : face.x + face.width]
    found = (Box(*map(int, box)) for box in _cascades.eye.detectMultiScale(grey(upper)))
    return sorted(box._replace(x=face.x + box.x, y=face.y + box.y) for box in found)


def crop(image: np.ndarray, box: Box) -> np.ndarray:
    """Return the face in `box` as the network takes it: uint8 of shape (48, 48), 0-255.

    `INTER_CUBIC` as in the original; its division by 255 is done by the predictor.
    """
    x, y, width, height = box
    face = grey(image[y : y + height, x : x + width])
    return cv2.resize(face, (FACE_SIZE, FACE_SIZE), interpolation=cv2.INTER_CUBIC)


def _shrunk(image: np.ndarray, max_side: int | None) -> tuple[np.ndarray, float]:
    """Return `image` with its longer side at most `max_side`, and new size / old size."""
    longer = max(image.shape)
    if max_side is None or longer <= max_side:
        return image, 1.0
    ratio = max_side / longer
    height, width = (max(1, round(side * ratio)) for side in image.shape)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), ratio


def _enlarged(box: Box, ratio: float, width: int, height: int) -> Box:
    """Return `box` times `ratio`, inside an image of `width` × `height`."""
    left, top = round(box.x * ratio), round(box.y * ratio)
    right = min(width, round((box.x + box.width) * ratio))
    bottom = min(height, round((box.y + box.height) * ratio))
    return Box(left, top, right - left, bottom - top)

"""Detect the eyes of a face."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gudi.detection import opencv
from gudi.detection.crops import grey
from gudi.records import Box

EYE_CASCADE = "haarcascade_eye_tree_eyeglasses.xml"


def detect_eyes(image: npt.NDArray[np.uint8], face: Box) -> list[Box]:
    """Return the eyes in the box `face` of `image`, ordered by x, then y, in pixels of `image`.

    As in `predict_cam&video.py` of the original, this uses OpenCV's cascade for eyes with and
    without glasses, with its default settings. Unlike there, only the upper two thirds of the face
    are searched, because the cascade mistakes mouths for eyes. OpenCV 5 finds no eyes.

    Args:
        image: uint8 of shape (h, w, 3), BGR, or (h, w).
        face: a box within `image`.
    """
    if not opencv.AVAILABLE:
        return []
    upper = image[face.y : face.y + face.height * 2 // 3, face.x : face.x + face.width]
    boxes = opencv.classifier(EYE_CASCADE).detectMultiScale(grey(upper))
    found = (Box(*map(int, box)) for box in boxes)
    return sorted(box._replace(x=face.x + box.x, y=face.y + box.y) for box in found)

"""Recognise the largest face of a frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gudi import detection
from gudi.predictor import Predictor
from gudi.records import Face
from gudi.settings import DetectionOptions


def recognize_largest(
    image: npt.NDArray[np.uint8], options: DetectionOptions, predictor: Predictor
) -> Face | None:
    """Return the largest face of `image`, or None if there is none.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        options: how to detect faces, with `faces="largest"`.
        predictor: an open predictor.
    """
    found = detection.find_faces(image, options)
    if not found:
        return None
    box, score = found[0]
    (probabilities,) = predictor.predict(detection.crop(image, box)[np.newaxis])
    return Face(box, score, probabilities, predictor.emotions)

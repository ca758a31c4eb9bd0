"""Recognise the largest face of a frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gudi import detection
from gudi.detection import Box
from gudi.predictor import Predictor
from gudi.settings import DetectionOptions


@dataclass(frozen=True)
class LiveFace:
    """The largest face of a frame.

    Attributes:
        box: where it is, in pixels.
        probabilities: one per emotion, float32 of shape (classes,).
    """

    box: Box
    probabilities: npt.NDArray[np.float32]


def recognize_largest(
    image: npt.NDArray[np.uint8], options: DetectionOptions, predictor: Predictor
) -> LiveFace | None:
    """Return the largest face of `image`, or None if there is none.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        options: how to detect faces, with `faces="largest"`.
        predictor: an open predictor.
    """
    found = detection.find_faces(image, options)
    if not found:
        return None
    box = found[0].box
    face = detection.crop(image, box)
    return LiveFace(box, predictor.predict(face[np.newaxis])[0])

"""Recognise the largest face of a frame."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from gudi import detection
from gudi.detection import Box
from gudi.predictor import Predictor
from gudi.settings import DetectionSettings


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
    image: npt.NDArray[np.uint8], settings: DetectionSettings, predictor: Predictor
) -> LiveFace | None:
    """Return the largest face of `image`, or None if there is none.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        settings: how to detect faces. Only the largest one is used, whatever they say.
        predictor: an open predictor.
    """
    boxes = detection.detect(image, **asdict(replace(settings, largest=True)))
    if not boxes:
        return None
    face = detection.crop(image, boxes[0])
    return LiveFace(boxes[0], predictor.predict(face[np.newaxis])[0])

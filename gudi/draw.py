"""Draw what was found onto a picture."""

from __future__ import annotations

import os
from collections.abc import Iterable

import cv2
import numpy as np

from gudi.faces import Box

# Blue boxes and green words, as predict_pic.py draws them (BGR).
BOX_COLOUR = (255, 0, 0)
TEXT_COLOUR = (0, 255, 0)
BACKING_COLOUR = (0, 0, 0)

FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_HEIGHT = 22  # of FONT's capitals at scale 1, in pixels

# Lines and letters are this share of the picture's longer side, so that a 12-megapixel photo can
# be read when it is shown on a screen; a small one keeps to what can be read at all.
LINE_SHARE = 1 / 400
TEXT_SHARE = 1 / 55
MIN_TEXT_HEIGHT = 9

# Formats that hold an 8-bit colour picture and that everyone can open, with the longest side that
# they can have.
WRITTEN_ENDINGS = {
    ".bmp": 2**20,
    ".jpe": 65500,
    ".jpeg": 65500,
    ".jpg": 65500,
    ".png": 10**6,
    ".tif": 2**20,
    ".tiff": 2**20,
    ".webp": 16383,
}


def annotate(image: np.ndarray, labels: Iterable[tuple[Box, str, float]]) -> None:
    """Draw boxes with emotions and probabilities onto `image` in place.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        labels: box, emotion and its probability (0 to 1) of each face.
    """
    longer = max(image.shape[:2])
    thickness = max(1, round(longer * LINE_SHARE))
    scale = max(MIN_TEXT_HEIGHT, longer * TEXT_SHARE) / FONT_HEIGHT
    labels = list(labels)
    for box, _, _ in labels:
        corner = (box.x + box.width, box.y + box.height)
        cv2.rectangle(image, (box.x, box.y), corner, BOX_COLOUR, thickness)
    for box, emotion, share in labels:
        _write(image, box, emotion, share, scale, thickness)


def _write(
    image: np.ndarray, box: Box, emotion: str, share: float, scale: float, thickness: int
) -> None:
    """Label `box` above it, or inside where there is no room, never beyond the edge."""
    weight = max(1, round(scale * 1.5))
    text = f"{emotion} {share:.0%}"
    if cv2.getTextSize(text, FONT, scale, weight)[0][0] > box.width:
        text = emotion  # small faces stand close together
    (width, height), below = cv2.getTextSize(text, FONT, scale, weight)
    line = height + below + thickness
    left = max(0, min(box.x, image.shape[1] - width))
    top = box.y - line if box.y >= line else box.y + thickness
    cv2.rectangle(image, (left, top), (left + width, top + line), BACKING_COLOUR, cv2.FILLED)
    at = (left, top + height + thickness)
    cv2.putText(image, text, at, FONT, scale, TEXT_COLOUR, weight, cv2.LINE_AA)


def writable_name(name: str, longer_side: int) -> str:
    """Return `name`, with `.png` behind it where its ending cannot be that of such a picture."""
    longest = WRITTEN_ENDINGS.get(os.path.splitext(name)[1].lower(), 0)
    return name if longer_side <= longest else f"{name}.png"


def encode(image: np.ndarray, ending: str) -> bytes:
    """Return `image` as the bytes of a file with `ending`, one of `WRITTEN_ENDINGS`."""
    encoded, data = cv2.imencode(ending, image)
    if not encoded:
        raise ValueError(f"OpenCV could not write a picture as {ending}")
    return data.tobytes()

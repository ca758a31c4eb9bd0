"""Draw a face, its eyes and its emotions onto a frame."""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np
import numpy.typing as npt

from gudi import detection
from gudi.detection import Box
from gudi.outputs.drawing import overlay
from gudi.outputs.drawing.emoji import load_emoji
from gudi.records import Face
from gudi.settings import BARS, BOX, EMOJI, PARTS

FACE_COLOUR = (0, 255, 0)  # BGR
EYE_COLOUR = (0, 220, 255)

LINE_RATIO = 1 / 300  # of the image's longer side
EMOJI_RATIO = 1 / 4  # of its shorter side
MIN_EMOJI = 16  # pixels


def draw_face(image: npt.NDArray[np.uint8], face: Face, parts: Collection[str] = PARTS) -> None:
    """Draw `face`, its eyes, a bar per emotion and the top emotion's emoji onto `image` in place.

    Args:
        image: uint8 of shape (h, w, 3), BGR, of any size. What does not fit is omitted.
        face: a face in `image`.
        parts: which of `gudi.settings.PARTS` to draw. Without bars, the box has a label.
    """
    if BOX not in parts:
        return
    eyes = detection.detect_eyes(image, face.box)
    # Videos store one colour per 2×2 pixels, so thinner lines would look pale.
    thickness = max(2, round(max(image.shape[:2]) * LINE_RATIO))
    x, y, width, height = face.box
    cv2.rectangle(image, (x, y), (x + width, y + height), FACE_COLOUR, thickness)
    for eye in eyes:
        centre = (eye.x + eye.width // 2, eye.y + eye.height // 2)
        radius = (eye.width + eye.height) // 4
        cv2.circle(image, centre, radius, EYE_COLOUR, thickness, cv2.LINE_AA)
    bars = None
    if BARS in parts:
        bars = overlay.draw_bars(image, face, [face.box])
    else:
        overlay.draw_label(image, face, thickness)
    if EMOJI in parts:
        _draw_emoji(image, face.emotion, bars or Box(0, 0, 0, 0))


def _draw_emoji(image: npt.NDArray[np.uint8], emotion: str, bars: Box) -> None:
    """Draw the emoji below the bars, or above bars at the bottom, if there is room."""
    height, width = image.shape[:2]
    size = round(min(height, width) * EMOJI_RATIO)
    margin = size // 8
    top = bars.y - margin - size if bars.y else bars.height + margin
    if size < MIN_EMOJI or top < 0 or top + size > height:
        return
    emoji = load_emoji(emotion, size)
    if emoji is not None:
        overlay.draw_over(image, emoji, width - size - margin if bars.x else margin, top)

"""Draw boxes, labels, bars and notes onto a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from gudi.detection import Box

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]  # BGR
Point = tuple[int, int]

# Blue boxes and green words, as in predict_pic.py.
BOX_COLOUR = (255, 0, 0)
TEXT_COLOUR = (0, 255, 0)
BACKING_COLOUR = (0, 0, 0)

# The bar of the top emotion has the colour of the text.
WORD_COLOUR = (255, 255, 255)
BAR_COLOUR = (200, 170, 130)
TRACK_COLOUR = (90, 90, 90)
SHADE = 0.35  # brightness that remains behind the bars

FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_HEIGHT = 22  # of FONT's capitals at scale 1, in pixels

# Size of lines and letters relative to the picture's longer side, so that they are legible when a
# 12-megapixel photo is shown on a screen. In small pictures, letters keep a minimum size.
LINE_RATIO = 1 / 400
TEXT_RATIO = 1 / 55
MIN_TEXT_HEIGHT = 9

# The same for bars, and the largest part of the picture's width or height that they may take.
BAR_TEXT_RATIO = 1 / 70
MIN_BAR_TEXT_HEIGHT = 7
MAX_BARS_RATIO = 0.55


class TextStyle(NamedTuple):
    """How to write text.

    Attributes:
        scale: of FONT.
        weight: thickness of the strokes in pixels.
    """

    scale: float
    weight: int

    def width(self, text: str) -> int:
        """Return the width of `text` in pixels."""
        return cv2.getTextSize(text, FONT, self.scale, self.weight)[0][0]

    def write(self, image: Image, text: str, at: Point, colour: Colour) -> None:
        """Write `text` onto `image` in place, with the left end of its baseline `at` a point."""
        cv2.putText(image, text, at, FONT, self.scale, colour, self.weight, cv2.LINE_AA)


def annotate(image: Image, labels: Iterable[tuple[Box, str, float]]) -> list[Box]:
    """Draw boxes with emotions and probabilities onto `image` in place.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        labels: box, emotion and probability (0 to 1) of each face.

    Returns:
        The boxes of all that was drawn.
    """
    longer_side = max(image.shape[:2])
    thickness = max(1, round(longer_side * LINE_RATIO))
    scale = max(MIN_TEXT_HEIGHT, longer_side * TEXT_RATIO) / FONT_HEIGHT
    style = TextStyle(scale, max(1, round(scale * 1.5)))
    labels = list(labels)
    for box, _, _ in labels:
        corner = (box.x + box.width, box.y + box.height)
        cv2.rectangle(image, (box.x, box.y), corner, BOX_COLOUR, thickness)
    words = [
        _write_label(image, box, emotion, probability, style, thickness)
        for box, emotion, probability in labels
    ]
    return [_enlarged(box, thickness) for box, _, _ in labels] + words


def _enlarged(box: Box, margin: int) -> Box:
    return Box(box.x - margin, box.y - margin, box.width + 2 * margin, box.height + 2 * margin)


def _write_label(
    image: Image, box: Box, emotion: str, probability: float, style: TextStyle, thickness: int
) -> Box:
    """Label `box`: above it or, if there is no room, inside it, and never beyond the edge.

    Returns:
        The box of the label.
    """
    text = f"{emotion} {probability:.0%}"
    if style.width(text) > box.width:
        text = emotion  # small faces may be close together
    (width, height), descent = cv2.getTextSize(text, FONT, style.scale, style.weight)
    line = height + descent + thickness
    left = max(0, min(box.x, image.shape[1] - width))
    top = box.y - line if box.y >= line else box.y + thickness
    cv2.rectangle(image, (left, top), (left + width, top + line), BACKING_COLOUR, cv2.FILLED)
    style.write(image, text, (left, top + height + thickness), TEXT_COLOUR)
    return Box(left, top, width, line)


def draw_bars(
    image: Image,
    probabilities: Sequence[float],
    emotions: Sequence[str],
    taken: Sequence[Box] = (),
) -> Box | None:
    """Draw a labelled bar for each emotion onto `image` in place, in one of its corners.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        probabilities: one per emotion, 0 to 1. They are the lengths of the bars.
        emotions: their names, in the same order.
        taken: what not to cover. The bars go to the first free corner of upper left, upper right,
            lower right and lower left, or to the upper left if none is free.

    Returns:
        The box of the bars. None if they do not fit into `image`; then nothing is drawn.
    """
    height, style = _bar_text(image)
    words = max(style.width(name) for name in emotions)
    line, longest = round(height * 1.8), height * 8
    size = (3 * height + words + longest, height + line * len(emotions))
    panel = _free_corner(image, size, taken)
    if panel is None:
        return None
    _shade(image, panel)
    left = panel.x + 2 * height + words
    highest = max(probabilities)
    for row, (name, probability) in enumerate(zip(emotions, probabilities)):
        baseline = panel.y + height // 2 + row * line + (line + height) // 2
        is_top = probability == highest
        style.write(
            image, name, (panel.x + height, baseline), TEXT_COLOUR if is_top else WORD_COLOUR
        )
        corner = (left, baseline - height)
        _fill(image, corner, (left + longest, baseline), TRACK_COLOUR)
        end = (left + round(longest * float(probability)), baseline)
        _fill(image, corner, end, TEXT_COLOUR if is_top else BAR_COLOUR)
    return panel


def write_note(image: Image, text: str) -> None:
    """Write `text` into the lower left corner of `image` in place, if it fits into the left half.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        text: a few ASCII characters.
    """
    height, style = _bar_text(image)
    if style.width(text) + height > image.shape[1] / 2:
        return
    at = (height, image.shape[0] - height)
    style._replace(weight=3 * style.weight).write(image, text, at, BACKING_COLOUR)
    style.write(image, text, at, WORD_COLOUR)


def draw_over(image: Image, picture: Image, x: int, y: int) -> None:
    """Draw `picture` onto `image` in place, blended by its alpha.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        picture: uint8 of shape (ph, pw, 4), BGR and alpha.
        x, y: its upper left corner in `image`. All of it must be inside.
    """
    part = image[y : y + picture.shape[0], x : x + picture.shape[1]]
    alpha = picture[..., 3:] / np.float32(255)
    part[:] = np.rint(part + (picture[..., :3] - part.astype(np.float32)) * alpha)


def _bar_text(image: Image) -> tuple[int, TextStyle]:
    """Return the height in pixels and the style of the text next to bars."""
    height = round(max(MIN_BAR_TEXT_HEIGHT, max(image.shape[:2]) * BAR_TEXT_RATIO))
    return height, TextStyle(height / FONT_HEIGHT, max(1, round(height / 12)))


def _free_corner(image: Image, size: tuple[int, int], taken: Sequence[Box]) -> Box | None:
    """Return a box of `size` (width, height) in a corner of `image`, away from `taken` if possible.

    None if it would be too large for the image.
    """
    (width, height), (rows, columns) = size, image.shape[:2]
    if width > columns * MAX_BARS_RATIO or height > rows * MAX_BARS_RATIO:
        return None
    right, bottom = columns - width, rows - height
    corners = [
        Box(x, y, width, height) for x, y in ((0, 0), (right, 0), (right, bottom), (0, bottom))
    ]
    free = (each for each in corners if not any(_overlap(each, other) for other in taken))
    return next(free, corners[0])


def _overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def _shade(image: Image, box: Box) -> None:
    part = image[box.y : box.y + box.height, box.x : box.x + box.width]
    part[:] = part * SHADE


def _fill(image: Image, start: Point, end: Point, colour: Colour) -> None:
    """Fill the pixels from `start` to just before `end`. There may be none."""
    image[start[1] : end[1], start[0] : end[0]] = colour

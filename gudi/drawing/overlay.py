"""Draw what was found onto a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from gudi.detection import Box

# Blue boxes and green words, as predict_pic.py draws them (BGR).
BOX_COLOUR = (255, 0, 0)
TEXT_COLOUR = (0, 255, 0)
BACKING_COLOUR = (0, 0, 0)

# Bars are the same green where the emotion is the strongest.
WORD_COLOUR = (255, 255, 255)
BAR_COLOUR = (200, 170, 130)
TRACK_COLOUR = (90, 90, 90)
SHADE = 0.35  # how much of the picture's light is left behind bars

FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_HEIGHT = 22  # of FONT's capitals at scale 1, in pixels

# Lines and letters are this share of the picture's longer side, so that a 12-megapixel photo can
# be read when it is shown on a screen; a small one keeps to what can be read at all.
LINE_SHARE = 1 / 400
TEXT_SHARE = 1 / 55
MIN_TEXT_HEIGHT = 9

# The same for bars, and the largest share of the picture's width or height that all of them take.
BAR_TEXT_SHARE = 1 / 70
MIN_BAR_TEXT_HEIGHT = 7
MAX_BARS_SHARE = 0.55


def annotate(image: np.ndarray, labels: Iterable[tuple[Box, str, float]]) -> list[Box]:
    """Draw boxes with emotions and probabilities onto `image` in place.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        labels: box, emotion and its probability (0 to 1) of each face.

    Returns:
        Where boxes and words are.
    """
    longer = max(image.shape[:2])
    thickness = max(1, round(longer * LINE_SHARE))
    scale = max(MIN_TEXT_HEIGHT, longer * TEXT_SHARE) / FONT_HEIGHT
    labels = list(labels)
    for box, _, _ in labels:
        corner = (box.x + box.width, box.y + box.height)
        cv2.rectangle(image, (box.x, box.y), corner, BOX_COLOUR, thickness)
    words = [_write(image, box, emotion, share, scale, thickness) for box, emotion, share in labels]
    return [_grown(box, thickness) for box, _, _ in labels] + words


def _grown(box: Box, margin: int) -> Box:
    sides = box.width + 2 * margin, box.height + 2 * margin
    return Box(box.x - margin, box.y - margin, *sides)


def _write(
    image: np.ndarray, box: Box, emotion: str, share: float, scale: float, thickness: int
) -> Box:
    """Label `box` above it, or inside where there is no room, never beyond the edge.

    Returns:
        Where the label is.
    """
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
    return Box(left, top, width, line)


def draw_bars(
    image: np.ndarray,
    probabilities: Sequence[float],
    emotions: Sequence[str],
    taken: Sequence[Box] = (),
) -> Box | None:
    """Draw a labelled bar for each emotion onto `image` in place, in one of its corners.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        probabilities: of a face's emotions, 0 to 1: the lengths of the bars.
        emotions: what they are called, in the same order.
        taken: what is not to be covered: of upper left, upper right, lower right and lower left
            the first corner where it is not is taken, and the first one where it is everywhere.

    Returns:
        Where the bars are; None if they do not fit into `image`, and nothing is drawn.
    """
    height, scale, weight = _bar_text(image)
    words = max(cv2.getTextSize(name, FONT, scale, weight)[0][0] for name in emotions)
    line, longest = round(height * 1.8), height * 8
    panel = _beside(taken, 3 * height + words + longest, height + line * len(emotions), image)
    if panel is None:
        return None
    _shade(image, panel)
    left = panel.x + 2 * height + words
    for row, (name, share) in enumerate(zip(emotions, probabilities)):
        bottom = panel.y + height // 2 + row * line + (line + height) // 2
        strongest = share == max(probabilities)
        colour = TEXT_COLOUR if strongest else WORD_COLOUR
        at = (panel.x + height, bottom)
        cv2.putText(image, name, at, FONT, scale, colour, weight, cv2.LINE_AA)
        corner = (left, bottom - height)
        _fill(image, corner, (left + longest, bottom), TRACK_COLOUR)
        end = (left + round(longest * float(share)), bottom)
        _fill(image, corner, end, TEXT_COLOUR if strongest else BAR_COLOUR)
    return panel


def write_note(image: np.ndarray, text: str) -> None:
    """Write `text` into the lower left corner of `image` in place, if it fits into its left half.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        text: a few ASCII characters.
    """
    height, scale, weight = _bar_text(image)
    if cv2.getTextSize(text, FONT, scale, weight)[0][0] + height > image.shape[1] / 2:
        return
    at = (height, image.shape[0] - height)
    for colour, thickness in ((BACKING_COLOUR, 3 * weight), (WORD_COLOUR, weight)):
        cv2.putText(image, text, at, FONT, scale, colour, thickness, cv2.LINE_AA)


def _bar_text(image: np.ndarray) -> tuple[int, float, int]:
    """Return the height, scale and weight of words that go with bars."""
    height = round(max(MIN_BAR_TEXT_HEIGHT, max(image.shape[:2]) * BAR_TEXT_SHARE))
    return height, height / FONT_HEIGHT, max(1, round(height / 12))


def _beside(taken: Sequence[Box], width: int, height: int, image: np.ndarray) -> Box | None:
    """Return a box of this size in a corner of `image`, off what is `taken` if possible."""
    rows, columns = image.shape[:2]
    if width > columns * MAX_BARS_SHARE or height > rows * MAX_BARS_SHARE:
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


def _shade(image: np.ndarray, box: Box) -> None:
    part = image[box.y : box.y + box.height, box.x : box.x + box.width]
    part[:] = part * SHADE


def _fill(
    image: np.ndarray, start: tuple[int, int], end: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    """Fill the pixels from `start` to just before `end`, of which there may be none."""
    image[start[1] : end[1], start[0] : end[0]] = colour


def draw_over(image: np.ndarray, picture: np.ndarray, x: int, y: int) -> None:
    """Draw `picture` onto `image` in place, as far as its alpha says.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        picture: uint8 of shape (ph, pw, 4), BGR and alpha.
        x, y: upper left corner in `image`, which has to hold all of `picture`.
    """
    part = image[y : y + picture.shape[0], x : x + picture.shape[1]]
    alpha = picture[..., 3:] / np.float32(255)
    part[:] = np.rint(part + (picture[..., :3] - part.astype(np.float32)) * alpha)

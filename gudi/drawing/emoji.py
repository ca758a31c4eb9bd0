"""Draw the face that stands for an emotion, at any size."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import cv2
import numpy as np

# Drawn so many times larger in each direction and then shrunk: smooth edges and soft alpha.
SUPERSAMPLING = 4

# BGR. Skins from the middle to the edge of the face.
YELLOW = ((120, 225, 255), (20, 165, 245))
RED = ((90, 140, 255), (30, 40, 215))
GREEN = ((120, 225, 185), (50, 150, 85))
BLUE = ((150, 215, 250), (215, 135, 90))
LINE = (30, 45, 75)
MOUTH = (35, 30, 110)
TONGUE = (110, 110, 235)
WHITE = (255, 255, 255)
TEAR = (245, 185, 80)

Point = tuple[float, float]
Colour = tuple[int, int, int]


class _Canvas:
    """A square to draw on; x and y run from -1 to 1, to the right and down."""

    def __init__(self, size: int, skin: tuple[Colour, Colour]) -> None:
        self.half = size / 2
        steps = (np.arange(size) + 0.5) / self.half - 1
        # Lit from above.
        distance = np.hypot(steps[None, :], steps[:, None] + 0.35)
        share = np.clip(distance / 1.35, 0, 1)[..., None] ** 2
        middle, edge = (np.array(colour, float) for colour in skin)
        self.image = (middle + (edge - middle) * share).astype(np.uint8)

    def _pixels(self, *lengths: float) -> tuple[int, ...]:
        return tuple(round(length * self.half) for length in lengths)

    def _place(self, at: Point) -> tuple[int, ...]:
        return self._pixels(at[0] + 1, at[1] + 1)

    def ellipse(
        self,
        at: Point,
        axes: Point,
        colour: Colour = LINE,
        *,
        turned: float = 0,
        arc: tuple[float, float] = (0, 360),
        thickness: float = 0,
    ) -> None:
        """Draw an ellipse or an arc of it: filled, or as a line of `thickness`. Degrees."""
        width = max(1, *self._pixels(thickness)) if thickness else cv2.FILLED
        cv2.ellipse(self.image, self._place(at), self._pixels(*axes), turned, *arc, colour, width)

    def line(self, points: Sequence[Point], thickness: float, colour: Colour = LINE) -> None:
        """Draw a line with round ends through `points`."""
        places = np.array([self._place(point) for point in points], np.int32)
        width = max(1, *self._pixels(thickness))
        cv2.polylines(self.image, [places], False, colour, width)
        for place in places:
            cv2.circle(self.image, tuple(map(int, place)), width // 2, colour, cv2.FILLED)

    def eyes(self, axes: Point = (0.1, 0.15), y: float = -0.18, colour: Colour = LINE) -> None:
        """Draw two plain eyes."""
        for side in (-1, 1):
            self.ellipse((side * 0.34, y), axes, colour)

    def brows(self, inner: float, outer: float) -> None:
        """Draw two eyebrows, at these heights at their ends."""
        for side in (-1, 1):
            self.line([(side * 0.17, inner), (side * 0.56, outer)], 0.1)

    def wide_eyes(self, radius: float, pupil: float, y: float) -> None:
        """Draw two eyes that show their white."""
        self.eyes((radius, radius * 1.15), y, WHITE)
        self.eyes((pupil, pupil), y)


def _angry(canvas: _Canvas) -> None:
    canvas.eyes((0.11, 0.13), y=-0.08)
    canvas.brows(inner=-0.2, outer=-0.46)
    canvas.ellipse((0, 0.62), (0.36, 0.26), arc=(200, 340), thickness=0.1)


def _disgusted(canvas: _Canvas) -> None:
    for side in (-1, 1):
        # Eyes that are screwed up: > <
        tip, ends = (side * 0.2, -0.16), (side * 0.52, 0.15)
        canvas.line([(ends[0], tip[1] - ends[1]), tip, (ends[0], tip[1] + ends[1])], 0.09)
    canvas.ellipse((0, 0.66), (0.42, 0.34), MOUTH, arc=(180, 360))
    canvas.ellipse((0.05, 0.66), (0.2, 0.22), TONGUE, arc=(0, 180))
    canvas.ellipse((0.05, 0.66), (0.2, 0.12), TONGUE, arc=(180, 360))
    canvas.line([(0.05, 0.64), (0.05, 0.76)], 0.03, MOUTH)


def _fearful(canvas: _Canvas) -> None:
    canvas.brows(inner=-0.66, outer=-0.5)
    canvas.wide_eyes(0.2, 0.08, y=-0.18)
    # Teeth that chatter.
    canvas.ellipse((0, 0.5), (0.42, 0.2))
    canvas.ellipse((0, 0.5), (0.36, 0.14), WHITE)
    wave = [(-0.36 + 0.12 * step, 0.5 + (0.05, -0.05)[step % 2]) for step in range(7)]
    canvas.line(wave, 0.05)


def _happy(canvas: _Canvas) -> None:
    for side in (-1, 1):
        canvas.ellipse((side * 0.36, -0.1), (0.18, 0.2), arc=(190, 350), thickness=0.1)
    canvas.ellipse((0, 0.14), (0.58, 0.6), MOUTH, arc=(0, 180))
    canvas.ellipse((0, 0.6), (0.3, 0.13), TONGUE)
    canvas.ellipse((0, 0.14), (0.53, 0.17), WHITE, arc=(0, 180))


def _sad(canvas: _Canvas) -> None:
    canvas.brows(inner=-0.52, outer=-0.36)
    canvas.eyes((0.1, 0.13), y=-0.12)
    canvas.ellipse((0, 0.72), (0.34, 0.28), arc=(200, 340), thickness=0.1)
    canvas.ellipse((0.44, 0.3), (0.12, 0.14), TEAR)
    canvas.ellipse((0.44, 0.24), (0.085, 0.24), TEAR, arc=(180, 360))


def _surprised(canvas: _Canvas) -> None:
    for side in (-1, 1):
        canvas.ellipse((side * 0.36, -0.5), (0.2, 0.16), arc=(200, 340), thickness=0.08)
    canvas.eyes((0.12, 0.17), y=-0.2)
    canvas.ellipse((0, 0.46), (0.23, 0.3), MOUTH)
    canvas.ellipse((0, 0.62), (0.14, 0.1), TONGUE)


def _neutral(canvas: _Canvas) -> None:
    canvas.eyes()
    canvas.line([(-0.36, 0.42), (0.36, 0.42)], 0.1)


_FACES: dict[str, tuple[tuple[Colour, Colour], Callable[[_Canvas], None]]] = {
    "angry": (RED, _angry),
    "disgusted": (GREEN, _disgusted),
    "fearful": (BLUE, _fearful),
    "happy": (YELLOW, _happy),
    "sad": (YELLOW, _sad),
    "surprised": (YELLOW, _surprised),
    "neutral": (YELLOW, _neutral),
}


@functools.lru_cache(maxsize=32)
def draw_emoji(emotion: str, size: int) -> np.ndarray | None:
    """Return the face for `emotion`, or None where there is none: forks have other emotions.

    Args:
        emotion: one of `gudi.constants.EMOTIONS`.
        size: sides of the picture in pixels, at least 1.

    Returns:
        uint8 of shape (size, size, 4), BGR and alpha; not to be written to.
    """
    if emotion not in _FACES:
        return None
    skin, draw = _FACES[emotion]
    large = size * SUPERSAMPLING
    canvas = _Canvas(large, skin)
    draw(canvas)
    alpha = np.zeros((large, large), np.uint8)
    cv2.circle(alpha, (large // 2, large // 2), large // 2 - 1, 255, cv2.FILLED)
    drawn = cv2.resize(np.dstack([canvas.image, alpha]), (size, size), interpolation=cv2.INTER_AREA)
    drawn.flags.writeable = False  # the next caller gets the same one
    return drawn

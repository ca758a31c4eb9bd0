"""Labels of faces: their sizes and positions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gudi.outputs.drawing.emoji import load_emoji
from gudi.outputs.drawing.layout import OWN_FACE, Layout, Size, around, inside
from gudi.outputs.drawing.text import Text, font_size, render, shorten
from gudi.records import Box, Face

Image = npt.NDArray[np.uint8]

TEXT_COLOUR = (0, 255, 0)  # BGR; green, as in predict_pic.py
BACKING_COLOUR = (0, 0, 0)

# Letters of pure colours on black are drawn by copying their masks into these channels.
TEXT_CHANNELS = [channel for channel, value in enumerate(TEXT_COLOUR) if value]

# Height of a label's capitals. "happy 93%" is about as wide as its face, unless its letters would
# be too small to read, or too large, when the whole image is shown on a screen.
FACE_TEXT_RATIO = 1 / 9  # of the face's width
LEAST_TEXT_RATIO, MOST_TEXT_RATIO = 1 / 110, 1 / 36  # of the image's longer side
MAX_TEXT_RATIO = 1 / 10  # of its shorter side
LEAST_TEXT_HEIGHT, MOST_TEXT_HEIGHT = 8, 10  # pixels, in small images

# Where faces are so close together that labels would cover others, letters may be this small.
MIN_FONT_SIZE = 9
SHRINK = 0.8  # from one size to the next

# Size of the percentage, relative to the name's, if the label is wider than its face.
PERCENTAGE = 0.8
MIN_PERCENTAGE_SIZE = 10

# The part of a label beside a face that may cover the face.
SLIVER = 0.1

EMOJI_LINES = 2  # size of a label's emoji, in heights of its line


class Label(NamedTuple):
    """A label of one size, ready to be drawn.

    Attributes:
        name, percentage: the texts.
        gap: between the texts and around them, in pixels.
        emoji: uint8 of shape (side, side, 4), BGR and alpha, which is drawn to their left, or None.
    """

    name: Text
    percentage: Text
    gap: int
    emoji: Image | None

    @property
    def line(self) -> tuple[int, int]:
        """Height of the texts, and their baseline."""
        texts = (self.name, self.percentage)
        baseline = max(text.baseline for text in texts)
        return baseline + max(len(text.mask) - text.baseline for text in texts), baseline

    @property
    def size(self) -> Size:
        """Width and height."""
        side = 0 if self.emoji is None else len(self.emoji)
        width = side + self.name.width + self.percentage.width + 4 * self.gap
        return width, max(side, self.line[0] + self.gap)

    def draw(self, image: Image, x: int, y: int) -> None:
        """Draw the label onto `image`, BGR, in place. What does not fit is cut off."""
        width, height = self.size
        label = np.zeros((height, width, 3), np.uint8)  # BACKING_COLOUR
        left = self.gap
        if self.emoji is not None:
            side = len(self.emoji)
            picture, alpha = self.emoji[..., :3], self.emoji[..., 3:] / np.float32(255)
            label[:side, :side] = np.rint(picture * alpha)
            left += side
        line, baseline = self.line
        for text in (self.name, self.percentage):
            top = (height - line + 1) // 2 + baseline - text.baseline
            field = label[top : top + len(text.mask), left : left + text.width]
            for channel in TEXT_CHANNELS:
                field[..., channel] = text.mask
            left += text.width + 2 * self.gap
        part = image[y : y + height, x : x + width]
        part[:] = label[: part.shape[0], : part.shape[1]]


class LabelMaker:
    """The labels of one face.

    Args:
        size: width and height of the image.
        face: what the label says.
        emoji: whether the emotion's emoji is drawn, if it has one.
    """

    def __init__(self, size: Size, face: Face, *, emoji: bool) -> None:
        self._picture_width, self._face_width = size[0], face.box.width
        self._emotion, self._percentage = face.emotion, f"{face.confidence:.0%}"
        self._name = face.emotion if face.track is None else f"#{face.track} {face.emotion}"
        self._emoji = emoji
        limit = max(LEAST_TEXT_HEIGHT, min(size) * MAX_TEXT_RATIO)
        least = min(limit, max(LEAST_TEXT_HEIGHT, max(size) * LEAST_TEXT_RATIO))
        most = min(limit, max(MOST_TEXT_HEIGHT, max(size) * MOST_TEXT_RATIO))
        self.legible = font_size(least)
        self.largest = font_size(min(most, max(least, face.box.width * FACE_TEXT_RATIO)))

    def labels(self) -> Iterator[tuple[Label, bool]]:
        """Yield the label in all sizes, the largest first, and whether each is legible."""
        size, fits = self.largest, False
        while (width := self._label(size, size).size[0]) > self._face_width and size > self.legible:
            size = max(self.legible, min(size - 1, size * self._face_width // width))
        while True:
            label = self._label(size, size)
            fits = fits or label.size[0] <= self._face_width
            if not fits:
                small = round(size * PERCENTAGE)
                label = self._label(size, max(small, min(size, MIN_PERCENTAGE_SIZE)))
            yield label, size >= self.legible
            if size <= MIN_FONT_SIZE:
                return
            size = max(MIN_FONT_SIZE, int(size * SHRINK))

    def _label(self, size: int, percentage_size: int) -> Label:
        """Return the label with these sizes of text, its name shortened to fit into the image."""
        name, percentage = render(self._name, size), render(self._percentage, percentage_size)
        gap, side = max(1, size // 8), EMOJI_LINES * len(name.mask)
        emoji = load_emoji(self._emotion, side) if self._emoji else None
        room = self._picture_width - percentage.width - 4 * gap - (0 if emoji is None else side)
        if name.width > room:
            name = render(shorten(self._name, size, room), size)
        return Label(name, percentage, gap, emoji)


def place_label(maker: LabelMaker, layout: Layout, face: int, gap: int) -> tuple[Label, Box, float]:
    """Return the largest label of a face that covers nothing, and its position.

    If there is none, that is the largest one that covers nothing but its own face, or the one that
    covers the least. Legible ones come first.

    Args:
        maker: makes the labels.
        layout: the contents of the image.
        face: number of the face in `layout`.
        gap: pixels between the face and its label.

    Returns:
        The label, its position, and the penalty, see `Layout.place`.
    """
    box, labels = layout.taken[face], maker.labels()
    first, legible = next(labels)
    found = (first, *layout.place(around(box, first.size, gap), face))
    if not found[2]:
        return found
    sizes = itertools.chain([(first, legible)], labels)
    # Labels are made as they are needed. Legible ones come first.
    for _, group in itertools.groupby(sizes, key=lambda each: each[1]):
        alike = [label for label, _ in group]
        places: Callable[[Box, Size, int], list[Box]]
        for places, accepted in ((around, SLIVER * OWN_FACE), (inside, OWN_FACE)):
            for label in alike:
                place, penalty = layout.place(places(box, label.size, gap), face)
                if penalty <= accepted:
                    return label, place, penalty
                if penalty < found[2]:
                    found = (label, place, penalty)
    return found

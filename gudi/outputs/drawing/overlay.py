"""Draw boxes, labels, bars and notes onto an image."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from gudi.outputs.drawing.labels import BACKING_COLOUR, TEXT_COLOUR, LabelMaker, place_label
from gudi.outputs.drawing.layout import OWN_FACE, Layout, Size, beside, corners, overlap
from gudi.outputs.drawing.text import CAPITALS, blend, render, shorten
from gudi.records import Box, Face

Image = npt.NDArray[np.uint8]

BOX_COLOUR = (255, 0, 0)  # BGR; blue, as in predict_pic.py

# The bar of the top emotion has the colour of the text.
WORD_COLOUR = (255, 255, 255)
BAR_COLOUR = (200, 170, 130)
TRACK_COLOUR = (90, 90, 90)
SHADE = 0.35  # brightness that remains behind the bars

# Thickness of lines relative to the image's longer side, so that they are visible when a
# 12-megapixel photo is shown on a screen, and at most relative to the shorter sides of image and
# face.
LINE_RATIO = 1 / 400
MAX_LINE_RATIO, MAX_FACE_LINE_RATIO = 1 / 120, 1 / 20

# Height of the text next to bars, relative to the image's longer side, and the largest part of
# the image's width or height that the bars may take.
BAR_TEXT_RATIO = 1 / 70
MIN_BAR_TEXT_HEIGHT = 7
MAX_BARS_RATIO = 0.55

# Height of the text of bars beside a face: relative to the face's height, so that both are about as
# high, and at least and at most relative to the image's longer side.
FACE_BAR_TEXT_RATIO = 1 / 14
FACE_BAR_TEXT_RATIOS = 1 / 130, 1 / 50
BAR_SHRINK = 0.8  # from one size to the next, where there is little room

MAX_NAME_RATIO = 14  # longest name next to a bar, in heights of the text


def annotate(
    image: Image,
    faces: Sequence[Face],
    *,
    emoji: bool = False,
    crowded: bool = True,
) -> list[Box]:
    """Draw boxes with emotions and probabilities onto `image` in place.

    A label goes above its box or, if there is no room, below it, beside it, or inside it. Where
    faces are close together, labels are smaller rather than covering another face.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        faces: with their probabilities.
        emoji: draw the emoji of the emotion in the label, if it has one.
        crowded: draw even labels that cover another face or label wherever they go.

    Returns:
        The boxes of all that was drawn: first those around the faces, then those of the labels.
    """
    size, boxes = (image.shape[1], image.shape[0]), [face.box for face in faces]
    lines = [_draw_box(image, box) for box in boxes]
    layout = Layout(size, boxes)
    for number, face in enumerate(faces):
        maker = LabelMaker(size, face, emoji=emoji)
        label, place, penalty = place_label(maker, layout, number, gap=(lines[number] + 1) // 2)
        if crowded or penalty <= OWN_FACE:
            label.draw(image, place.x, place.y)
            layout.add(place)
    return [*map(_enlarged, boxes, lines), *layout.taken[len(boxes) :]]


def draw_label(image: Image, face: Face, thickness: int) -> None:
    """Draw the label of a single face onto `image` in place, as `annotate` does.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        face: with its probabilities.
        thickness: of the lines around the face.
    """
    size = (image.shape[1], image.shape[0])
    maker = LabelMaker(size, face, emoji=False)
    label, place, _ = place_label(maker, Layout(size, [face.box]), 0, gap=(thickness + 1) // 2)
    label.draw(image, place.x, place.y)


def _draw_box(image: Image, box: Box) -> int:
    """Draw a box and return the thickness of its lines."""
    longer, shorter = max(image.shape[:2]), min(image.shape[:2])
    most = min(shorter * MAX_LINE_RATIO, min(box.width, box.height) * MAX_FACE_LINE_RATIO)
    thickness: int = max(1, round(min(longer * LINE_RATIO, most)))
    corner = (box.x + box.width, box.y + box.height)
    cv2.rectangle(image, (box.x, box.y), corner, BOX_COLOUR, thickness)
    return thickness


def _enlarged(box: Box, margin: int) -> Box:
    return Box(box.x - margin, box.y - margin, box.width + 2 * margin, box.height + 2 * margin)


def draw_bars(image: Image, face: Face, taken: Sequence[Box] = ()) -> Box | None:
    """Draw a labelled bar for each emotion onto `image` in place, in one of its corners.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        face: its probabilities are the lengths of the bars.
        taken: what not to cover. The bars go to the first free corner of upper left, upper right,
            lower right and lower left, or to the upper left if none is free.

    Returns:
        The box of the bars. None if they do not fit into `image`; then nothing is drawn.
    """
    bars = _bars(face.emotions, _text_height(image))
    if not bars.fit_into(image):
        return None
    places = corners((image.shape[1], image.shape[0]), bars.size)
    free = (each for each in places if not any(overlap(each, other) for other in taken))
    panel = next(free, places[0])
    bars.draw(image, panel, face.probabilities.tolist())
    return panel


def draw_bars_beside(image: Image, faces: Sequence[Face], taken: Sequence[Box]) -> None:
    """Draw a labelled bar for each emotion beside each face that has room, onto `image` in place.

    The largest face, if it has no room beside it, gets its bars in a corner of the image, even
    onto itself, but not onto another face.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        faces: with their probabilities.
        taken: what else not to cover, such as labels.
    """
    layout = Layout((image.shape[1], image.shape[0]), [face.box for face in faces])
    for each in taken:
        layout.add(each)
    by_size = sorted(range(len(faces)), key=lambda number: -_area(faces[number].box))
    for number in by_size:
        found = _bars_with_room(
            image, layout, number, faces[number].emotions, or_corner=number == by_size[0]
        )
        if found is not None:
            bars, panel = found
            bars.draw(image, panel, faces[number].probabilities.tolist())
            layout.add(panel)


def _area(box: Box) -> int:
    return box.width * box.height


def _bars_with_room(
    image: Image, layout: Layout, face: int, emotions: tuple[str, ...], *, or_corner: bool
) -> tuple[_Bars, Box] | None:
    """Return the largest bars of a face for which there is room, and their box."""
    size, box = (image.shape[1], image.shape[0]), layout.taken[face]
    least, most = (
        max(MIN_BAR_TEXT_HEIGHT, round(max(size) * ratio)) for ratio in FACE_BAR_TEXT_RATIOS
    )
    height = min(most, max(least, round(box.height * FACE_BAR_TEXT_RATIO)))
    while True:
        bars = _bars(emotions, height)
        places = beside(box, bars.size, gap=height // 2)
        if or_corner:
            places += corners(size, bars.size)
        panel, penalty = layout.place(places, face)
        smallest = height <= least
        on_itself = or_corner and smallest and penalty <= OWN_FACE and bars.fit_into(image)
        if on_itself or (not penalty and _is_inside(panel, size)):
            return bars, panel
        if smallest:
            return None
        height = max(least, int(height * BAR_SHRINK))


def _is_inside(box: Box, size: Size) -> bool:
    return box.x + box.width <= size[0] and box.y + box.height <= size[1]


class _Bars:
    """A labelled bar for each emotion.

    Attributes:
        size: width and height of all of them together.

    Args:
        emotions: the names.
        height: of the text's capitals, in pixels.
    """

    def __init__(self, emotions: Sequence[str], height: int) -> None:
        text_size, self._height = round(height / CAPITALS), height
        room = MAX_NAME_RATIO * height
        self._names = [render(shorten(name, text_size, room), text_size) for name in emotions]
        self._words = max(name.width for name in self._names)
        self._line, self._longest = round(height * 1.8), height * 8
        self.size = (3 * height + self._words + self._longest, height + self._line * len(emotions))

    @functools.cached_property
    def _background(self) -> tuple[npt.NDArray[np.float32], Image]:
        """Return how the panel changes an image; it is the same for each frame of a video.

        Returns:
            The factor of the image, and the names that are added to it.
        """
        width, height = self.size
        cover = np.zeros((height, width), np.uint8)
        for row, name in enumerate(self._names):
            top = self._baseline(row) - name.baseline
            part = cover[max(0, top) : top + len(name.mask), self._height :]
            part[:, : name.width] = name.mask[max(0, -top) :][: len(part)]
        names = np.repeat(cover[..., np.newaxis], 3, axis=2)  # WORD_COLOUR
        return (SHADE * (1 - names / np.float32(255))).astype(np.float32), names

    def _baseline(self, row: int) -> int:
        return self._height // 2 + row * self._line + (self._line + self._height) // 2

    def fit_into(self, image: Image) -> bool:
        """Return whether they leave enough of the image."""
        (width, height), (rows, columns) = self.size, image.shape[:2]
        return bool(width <= columns * MAX_BARS_RATIO and height <= rows * MAX_BARS_RATIO)

    def draw(self, image: Image, panel: Box, probabilities: Sequence[float]) -> None:
        """Draw them onto `image` in place, in the box `panel`."""
        part = image[panel.y : panel.y + panel.height, panel.x : panel.x + panel.width]
        factors, names = self._background
        shaded = np.asarray(cv2.multiply(part, factors, dtype=cv2.CV_8U), np.uint8)
        part[:] = cv2.add(shaded, names)
        left, highest = 2 * self._height + self._words, max(probabilities)
        for row, probability in enumerate(probabilities):
            bottom, is_top = self._baseline(row), probability == highest
            if is_top:
                # From its accents to its descenders, but not to those of the name above.
                line = np.s_[bottom - round(1.4 * self._height) : bottom + self._line // 3, :left]
                part[line] = cv2.add(shaded[line], names[line] & np.array(TEXT_COLOUR, np.uint8))
            top = bottom - self._height
            part[top:bottom, left : left + self._longest] = TRACK_COLOUR
            end = left + round(self._longest * float(probability))
            part[top:bottom, left:end] = TEXT_COLOUR if is_top else BAR_COLOUR


# The frames of a video have bars of one size. In a large image they take megabytes.
_bars = functools.lru_cache(maxsize=2)(_Bars)


def write_note(image: Image, text: str) -> None:
    """Write `text` into the lower left corner of `image` in place, if it fits into the left half.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        text: a few characters.
    """
    height = _text_height(image)
    size = round(height / CAPITALS)
    words = render(text, size)
    if words.width + height > image.shape[1] / 2:
        return
    stroke = max(1, round(height / 12))
    outline = render(text, size, stroke)
    bottom = image.shape[0] - height
    blend(image, outline.mask, height - stroke, bottom - outline.baseline, BACKING_COLOUR)
    blend(image, words.mask, height, bottom - words.baseline, WORD_COLOUR)


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


def _text_height(image: Image) -> int:
    """Return the height in pixels of the text next to bars."""
    height: int = round(max(image.shape[:2]) * BAR_TEXT_RATIO)
    return max(MIN_BAR_TEXT_HEIGHT, height)

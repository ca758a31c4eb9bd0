"""Text on images. OpenCV's own fonts have ASCII only."""

from __future__ import annotations

import functools
import importlib.util
import math
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from gudi.errors import one_line

Mask = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]  # BGR

# Of DejaVu Sans: height of capitals and of the highest letters, and depth of the deepest letters,
# relative to the size of the font.
CAPITALS, ASCENT, DESCENT = 0.73, 0.77, 0.24

# DejaVu Sans has the letters of Europe, Arabic and Hebrew. For others: what systems come with, by
# the names of the files, which Pillow searches for in the system's folders of fonts.
OTHER_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "DroidSansFallback.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansBengali-Regular.ttf",
    "NotoSansTamil-Regular.ttf",
    "NotoSansThai-Regular.ttf",
    "FreeSans.ttf",
    "unifont.ttf",
    "unifont.otf",
    "msyh.ttc",  # Windows: Chinese, Japanese, Korean, of India, Thai
    "YuGothM.ttc",
    "malgun.ttf",
    "Nirmala.ttf",
    "Nirmala.ttc",
    "LeelawUI.ttf",
    "PingFang.ttc",  # macOS
    "Hiragino Sans GB.ttc",
    "AppleSDGothicNeo.ttc",
    "Arial Unicode.ttf",
)

# No font has a glyph for this code point, so it is drawn as every missing letter.
NO_CHARACTER = "\U0010ffff"

# How many masks are kept of fonts up to these sizes. Each takes about 5 bytes × size², so none of
# the largest is kept.
KEPT = {32: 2048, 160: 128}


class Text(NamedTuple):
    """Text to be drawn.

    Attributes:
        mask: uint8 of shape (h, w): how much of each pixel is covered.
        baseline: the row of the mask below the letters.
    """

    mask: Mask
    baseline: int

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.mask.shape[1])


def render(text: str, size: int, stroke: int = 0) -> Text:
    """Return one line of text. Equal texts may share their mask, which is read-only.

    Args:
        text: any characters; those that cannot be printed are replaced.
        size: of the font in pixels; capitals are `CAPITALS` of it high.
        stroke: make the letters thicker by this many pixels on each side.
    """
    kept = next((_RENDER[each] for each in KEPT if size <= each), _render)
    return kept(text, size, stroke)


def font_size(height: float) -> int:
    """Return the size of the font whose capitals have this height, in steps of about a tenth.

    The steps keep labels in videos from changing their size with every frame.
    """
    size = max(1, round(height / CAPITALS))
    step = max(1, 2 ** math.floor(math.log2(size / 8))) if size > 8 else 1
    return int(size // step * step)


def shorten(text: str, size: int, width: float) -> str:
    """Return `text`, with an ellipsis instead of its end if it would be wider than `width`."""
    if render(text, size).width <= width:
        return text
    length = min(len(text), max(1, int(width)))  # few letters are narrower than a pixel
    while length > 1 and render(f"{text[:length]}…", size).width > width:
        length -= max(1, length // 8)
    return f"{text[:length]}…"


def undrawable(texts: Iterable[str]) -> str:
    """Return "", or a note that no font on this machine has all letters of some of `texts`."""
    lacking = [text for text in texts if not _has(_font(_font_file(text), 16), text)]
    if not lacking:
        return ""
    return (
        f"no font here has the letters of {', '.join(map(one_line, lacking))}: boxes are "
        "drawn in their place; install a font that has them, such as Noto Sans CJK"
    )


def blend(image: npt.NDArray[np.uint8], mask: Mask, x: int, y: int, colour: Colour) -> None:
    """Blend `colour` into `image` in place, weighted by `mask`.

    Args:
        image: uint8 of shape (h, w, 3), BGR.
        mask: uint8 of shape (h, w).
        x, y: upper left corner of the mask in `image`. What is outside is not painted.
        colour: of the paint.
    """
    mask = mask[max(0, -y) :, max(0, -x) :]
    x, y = max(0, x), max(0, y)
    part = image[y : y + mask.shape[0], x : x + mask.shape[1]]
    cover = mask[: part.shape[0], : part.shape[1], np.newaxis] / np.float32(255)
    part[:] = np.rint(part + (np.array(colour, np.float32) - part) * cover)


def _render(text: str, size: int, stroke: int = 0) -> Text:
    text = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
    font = _font(_font_file(text), size)
    left, top, right, bottom = font.getbbox(text, anchor="ls", stroke_width=stroke)
    baseline = math.ceil(max(ASCENT * size + stroke, -top))
    height = baseline + math.ceil(max(DESCENT * size + stroke, bottom))
    image = Image.new("L", (max(1, math.ceil(right - min(0, left))), height))
    at = (-min(0, left), baseline)
    ImageDraw.Draw(image).text(at, text, 255, font, anchor="ls", stroke_width=stroke)
    return Text(np.asarray(image), baseline)


_RENDER = {size: functools.lru_cache(maxsize=count)(_render) for size, count in KEPT.items()}


@functools.lru_cache(maxsize=64)
def _font(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)


@functools.lru_cache(maxsize=256)
def _font_file(text: str) -> str:
    """Return the first font that has all characters of `text`, or DejaVu Sans if none has."""
    if text.isascii():
        return _dejavu()
    for file in (_dejavu(), *OTHER_FONTS):
        try:
            if _has(_font(file, 16), text):
                return file
        except OSError:
            continue  # not on this machine
    return _dejavu()


def _has(font: ImageFont.FreeTypeFont, text: str) -> bool:
    missing = bytes(font.getmask(NO_CHARACTER))
    # Marks and formatting characters change the letter before them.
    letters = {each for each in text if unicodedata.category(each)[0] not in "MCZ"}
    return all(each.isascii() or bytes(font.getmask(each)) != missing for each in letters)


@functools.cache
def _dejavu() -> str:
    """Return the path of the DejaVu Sans that comes with matplotlib, which loads slowly."""
    package = importlib.util.find_spec("matplotlib")
    assert package is not None, "matplotlib is not installed"
    assert package.origin is not None
    return str(Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf")

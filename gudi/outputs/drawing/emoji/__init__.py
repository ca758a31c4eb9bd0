"""Seven faces, one per emotion, as PNG files that were drawn for gudi."""

from __future__ import annotations

import functools
from importlib import resources

import cv2
import numpy as np
import numpy.typing as npt

from gudi.constants import EMOTIONS


@functools.lru_cache(maxsize=32)
def load_emoji(emotion: str, size: int) -> npt.NDArray[np.uint8] | None:
    """Return the emoji for `emotion`, or None if it is not one of `gudi.constants.EMOTIONS`.

    Args:
        emotion: a class of the network.
        size: the width and height of the image in pixels, at least 1.

    Returns:
        Read-only uint8 of shape (size, size, 4), BGR and alpha.
    """
    if emotion not in EMOTIONS:
        return None
    data = resources.files(__name__).joinpath(f"{emotion}.png").read_bytes()
    drawn = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert drawn is not None, f"{emotion}.png is damaged"
    enlarge = size > len(drawn)
    resized = cv2.resize(
        drawn, (size, size), interpolation=cv2.INTER_CUBIC if enlarge else cv2.INTER_AREA
    )
    emoji = np.asarray(resized, np.uint8)
    emoji.flags.writeable = False  # later callers get the same array
    return emoji

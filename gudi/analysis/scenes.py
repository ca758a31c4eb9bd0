"""Detect the cuts of a video."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

# Signature: an 8-level grey histogram of each quadrant, sampled on a 128x96 grid.
WIDTH, HEIGHT = 128, 96
LEVELS = 8

# Bytes of a signature.
SIZE = 4 * LEVELS

# Share of the pixels that change their level at a cut. Motion changes up to 5% of them from one
# frame to the next, and 15% in a fifth of a second; cuts change 18% and more.
CUT = 0.16

# With more than this many seconds between two frames, motion changes as much as some cuts do (up to
# 27% in two seconds, measured on talking people), so only larger changes are cuts.
LONG, LONG_CUT = 0.5, 0.25


def signature(image: npt.NDArray[np.uint8]) -> bytes:
    """Return the signature of an image, uint8 of shape (h, w, 3), BGR, or (h, w), grey.

    Returns:
        `SIZE` bytes.
    """
    small = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
    if small.ndim == 3:
        small = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    levels = np.asarray(small, np.uint8) // (256 // LEVELS)
    quarters = levels.reshape(2, HEIGHT // 2, 2, WIDTH // 2).transpose(0, 2, 1, 3).reshape(4, -1)
    counts = np.stack([np.bincount(each, minlength=LEVELS) for each in quarters])
    return bytes(np.rint(counts * (255 / quarters.shape[1])).astype(np.uint8))


def is_cut(before: bytes, after: bytes, seconds: float = 0.0) -> bool:
    """Return whether there is a cut between two frames with these signatures, `seconds` apart."""
    one, other = (np.frombuffer(each, np.uint8).astype(int) for each in (before, after))
    return bool(np.abs(one - other).sum() / (2 * 4 * 255) > (LONG_CUT if seconds > LONG else CUT))

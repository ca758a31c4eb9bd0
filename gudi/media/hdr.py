"""Map the tones of HDR videos and photos, HLG and PQ (ITU-R BT.2100), to those of ordinary ones.

Ordinary ones are made for displays with a white of 100 nits. Up to about a third of that, HDR
looks the same on them; what is brighter is compressed as in ITU-R BT.2390, up to 1000 nits.
"""

from __future__ import annotations

import functools
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

# FFmpeg's numbers of the transfer functions.
PQ, HLG = 16, 18

WHITE, PEAK = 100.0, 1000.0  # nits
GAMMA = 2.4  # of ordinary displays (ITU-R BT.1886)
SYSTEM_GAMMA = 1.2  # from the light of a scene in HLG to that of a display of 1000 nits

# The constants of the two functions.
HLG_A, HLG_B, HLG_C = 0.17883277, 0.28466892, 0.55991073
PQ_M1, PQ_M2, PQ_C1, PQ_C2, PQ_C3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
PQ_PEAK = 10_000.0  # nits

# From linear BT.2020 to linear BT.709; both in the order blue, green, red.
TO_BT709 = np.array(
    [[1.1187, -0.1006, -0.0182], [-0.0083, 1.1329, -0.1246], [-0.0728, -0.5876, 1.6605]],
    np.float32,
)

LEVELS = 4096  # entries of the tables below
ROWS = 64  # that are mapped at a time, so that they stay in the CPU's cache

Floats: TypeAlias = "npt.NDArray[np.float64]"


def is_hdr(transfer: int) -> bool:
    """Return whether a transfer function, as FFmpeg numbers it, is one of HDR."""
    return transfer in (HLG, PQ)


def map_tones(image: npt.NDArray[np.uint16], transfer: int) -> npt.NDArray[np.uint8]:
    """Return an HDR picture as an ordinary one.

    Args:
        image: uint16 of shape (h, w, 3), BGR, in BT.2020 with this transfer function.
        transfer: `HLG` or `PQ`.

    Returns:
        uint8 of shape (h, w, 3), BGR, in BT.709.
    """
    linear, shown = _tables(transfer)
    mapped = np.empty(image.shape, np.uint8)
    for start in range(0, len(image), ROWS):
        light = linear.take(image[start : start + ROWS] >> 4)
        light = np.asarray(cv2.transform(light, TO_BT709), np.float32)
        # Tables of square roots are fine enough for shadows.
        root = np.sqrt(np.clip(light, 0, 1, out=light), out=light)
        root *= LEVELS - 1
        mapped[start : start + ROWS] = shown.take(np.rint(root, out=root).astype(np.uint16))
    return mapped


@functools.cache
def _tables(transfer: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Return the linear light of each signal, 0 to 1, and what is shown for its square root."""
    signal = np.linspace(0, 1, LEVELS)
    if transfer == HLG:
        bright = (np.exp((signal - HLG_C) / HLG_A) + HLG_B) / 12
        linear, nits = np.where(signal <= 0.5, signal**2 / 3, bright), signal ** (2 * SYSTEM_GAMMA)
    else:
        linear, nits = _pq_light(signal) / PEAK, signal**2
    shown = (_compressed(nits * PEAK) / WHITE) ** (1 / GAMMA)
    return linear.astype(np.float32), np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)


def _compressed(nits: Floats) -> Floats:
    """Return light of 0 to `PEAK` nits compressed to 0 to `WHITE` (ITU-R BT.2390, 5.4.1)."""
    peak = _pq_signal(np.array(PEAK))
    signal, white = _pq_signal(nits) / peak, _pq_signal(np.array(WHITE)) / peak
    knee = 1.5 * white - 0.5
    t = np.maximum((signal - knee) / (1 - knee), 0)
    bent = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * white
    )
    return _pq_light(np.where(signal < knee, signal, bent) * peak)


def _pq_light(signal: Floats) -> Floats:
    """Return the light in nits of signals of PQ, 0 to 1."""
    root = signal ** (1 / PQ_M2)
    light = np.maximum(root - PQ_C1, 0) / (PQ_C2 - PQ_C3 * root)
    return np.asarray(PQ_PEAK * light ** (1 / PQ_M1))


def _pq_signal(nits: Floats) -> Floats:
    """Return the signals of PQ for light in nits."""
    root = (nits / PQ_PEAK) ** PQ_M1
    return np.asarray(((PQ_C1 + PQ_C2 * root) / (1 + PQ_C3 * root)) ** PQ_M2)

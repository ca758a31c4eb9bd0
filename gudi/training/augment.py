"""Vary faces for training: mirrored, turned, shifted, scaled, lighter or darker, partly hidden."""

from __future__ import annotations

import cv2
import numpy as np

from gudi.constants import FACE_SIZE

MAX_ANGLE = 12.0  # degrees
MAX_SHIFT = 4.0  # pixels of 48
# FER2013's pictures show a face with some room around it; detected faces are cut more closely,
# which is like a picture enlarged by up to a third.
ZOOM = (0.95, 1.3)
CONTRAST = (0.75, 1.25)
MAX_BRIGHTNESS = 0.1  # of the range from black to white

# Every other face has a rectangle of one grey on it, with sides of so many pixels ("random
# erasing", Zhong et al. 2017): what is learned must not hang on a single spot.
HIDDEN_SHARE = 0.5
HIDDEN_SIDES = (8, 20)

CENTRE = ((FACE_SIZE - 1) / 2, (FACE_SIZE - 1) / 2)


def augment(faces: np.ndarray, random: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """Return a variation of each face, float32 of shape (n, 48, 48), 0 to 1.

    Args:
        faces: float32 of shape (n, 48, 48), 0 to 1.
        random: where chance comes from.
        strength: share of the ranges above that is used, 0 to 1; mirrored is half of the faces
            in any case.
    """
    count = len(faces)
    angles = strength * random.uniform(-MAX_ANGLE, MAX_ANGLE, count)
    zooms = 1 + strength * (random.uniform(*ZOOM, count) - 1)
    shifts = strength * random.uniform(-MAX_SHIFT, MAX_SHIFT, (count, 2))
    mirrored = random.random(count) < 0.5
    varied = np.empty((count, FACE_SIZE, FACE_SIZE), np.float32)
    for number, face in enumerate(faces):
        matrix = cv2.getRotationMatrix2D(CENTRE, angles[number], zooms[number])
        matrix[:, 2] += shifts[number]
        if mirrored[number]:
            face = np.ascontiguousarray(face[:, ::-1])
        varied[number] = cv2.warpAffine(
            face, matrix, (FACE_SIZE, FACE_SIZE), borderMode=cv2.BORDER_REPLICATE
        )
    contrast = 1 + strength * (random.uniform(*CONTRAST, (count, 1, 1)) - 1)
    brightness = strength * random.uniform(-MAX_BRIGHTNESS, MAX_BRIGHTNESS, (count, 1, 1))
    means = varied.mean(axis=(1, 2), keepdims=True)
    varied = np.clip((varied - means) * contrast + means + brightness, 0, 1).astype(np.float32)
    for number in np.flatnonzero(random.random(count) < strength * HIDDEN_SHARE):
        _hide(varied[number], random)
    return varied


def _hide(face: np.ndarray, random: np.random.Generator) -> None:
    """Lay a grey rectangle onto `face`."""
    height, width = random.integers(*HIDDEN_SIDES, 2, endpoint=True)
    top, left = random.integers(0, (FACE_SIZE - height + 1, FACE_SIZE - width + 1))
    face[top : top + height, left : left + width] = random.random()

"""Vary faces for training: mirror, rotate, shift, scale, brighten, darken and partly hide them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from gudi.constants import FACE_SIZE

MAX_ANGLE = 12.0  # degrees
MAX_SHIFT = 4.0  # pixels, of 48
# FER2013's pictures show some room around the face. Detected faces are cropped more closely, as if
# such a picture was enlarged by up to a third.
ZOOM = (0.95, 1.3)
CONTRAST = (0.75, 1.25)
MAX_BRIGHTNESS = 0.1  # of the range from black to white

# Half of the faces get a rectangle of one grey level, with sides of 8 to 20 pixels ("random
# erasing", Zhong et al. 2017), so that the network does not rely on a single spot.
HIDDEN_FRACTION = 0.5
HIDDEN_SIDES = (8, 20)

CENTRE = ((FACE_SIZE - 1) / 2, (FACE_SIZE - 1) / 2)


def augment(
    faces: npt.NDArray[np.float32], random: np.random.Generator, strength: float = 1.0
) -> npt.NDArray[np.float32]:
    """Return a variation of each face, float32 of shape (n, 48, 48), 0 to 1.

    Args:
        faces: float32 of shape (n, 48, 48), 0 to 1.
        random: the source of randomness.
        strength: how much of the ranges above is used, 0 to 1. Half of the faces are mirrored in
            any case.
    """
    count = len(faces)
    angles = strength * random.uniform(-MAX_ANGLE, MAX_ANGLE, count)
    zooms = 1 + strength * (random.uniform(*ZOOM, count) - 1)
    shifts = strength * random.uniform(-MAX_SHIFT, MAX_SHIFT, (count, 2))
    mirrored = random.random(count) < 0.5
    warped = np.empty((count, FACE_SIZE, FACE_SIZE), np.float32)
    for index, face in enumerate(faces):
        matrix = cv2.getRotationMatrix2D(CENTRE, angles[index], zooms[index])
        matrix[:, 2] += shifts[index]
        if mirrored[index]:
            face = np.ascontiguousarray(face[:, ::-1])
        warped[index] = cv2.warpAffine(
            face, matrix, (FACE_SIZE, FACE_SIZE), borderMode=cv2.BORDER_REPLICATE
        )
    contrast = 1 + strength * (random.uniform(*CONTRAST, (count, 1, 1)) - 1)
    brightness = strength * random.uniform(-MAX_BRIGHTNESS, MAX_BRIGHTNESS, (count, 1, 1))
    means = warped.mean(axis=(1, 2), keepdims=True)
    varied: npt.NDArray[np.float32] = np.clip(
        (warped - means) * contrast + means + brightness, 0, 1
    ).astype(np.float32)
    for partly_hidden in np.flatnonzero(random.random(count) < strength * HIDDEN_FRACTION):
        _hide_part(varied[partly_hidden], random)
    return varied


def _hide_part(face: npt.NDArray[np.float32], random: np.random.Generator) -> None:
    """Draw a grey rectangle on `face`, in place."""
    height, width = random.integers(*HIDDEN_SIDES, 2, endpoint=True)
    top, left = random.integers(0, (FACE_SIZE - height + 1, FACE_SIZE - width + 1))
    face[top : top + height, left : left + width] = random.random()

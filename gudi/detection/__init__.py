"""Detect faces in images and crop them."""

from gudi.detection.crops import check_image, crop, grey
from gudi.detection.detector import (
    DETECTORS,
    Detector,
    detect,
    find_faces,
    note_slow_search,
)
from gudi.detection.eyes import detect_eyes
from gudi.records import Box, Detection
from gudi.settings import CNN, HAAR

__all__ = [
    "CNN",
    "DETECTORS",
    "HAAR",
    "Box",
    "Detection",
    "Detector",
    "check_image",
    "crop",
    "detect",
    "detect_eyes",
    "find_faces",
    "grey",
    "note_slow_search",
]

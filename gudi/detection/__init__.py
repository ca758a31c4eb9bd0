"""Detect faces in pictures and crop them."""

from gudi.detection.boxes import Box
from gudi.detection.crops import crop, grey
from gudi.detection.detector import detect, detect_eyes

__all__ = ["Box", "crop", "detect", "detect_eyes", "grey"]

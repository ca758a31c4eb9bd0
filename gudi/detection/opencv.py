"""OpenCV 4's classifier for Haar cascades. OpenCV 5 has neither classifier nor cascades."""

from __future__ import annotations

import threading
from typing import Any

import cv2
from cv2.data import haarcascades

# By name, because mypy reads the types of whichever version is installed.
_CascadeClassifier: Any = getattr(cv2, "CascadeClassifier", None)

AVAILABLE = _CascadeClassifier is not None


class _Loaded(threading.local):
    """The classifiers of one thread. OpenCV's store the image that they search in themselves."""

    def __init__(self) -> None:
        self.classifiers: dict[str, Any] = {}


_loaded = _Loaded()


def classifier(cascade: str) -> Any:
    """Return this thread's `cv2.CascadeClassifier` for a file such as `haarcascade_eye.xml`."""
    if cascade not in _loaded.classifiers:
        _loaded.classifiers[cascade] = _CascadeClassifier(haarcascades + cascade)
    return _loaded.classifiers[cascade]

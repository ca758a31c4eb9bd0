"""Recognise facial expressions in photos and videos.

`batch` writes a result folder, as `gudi batch` does. A `Recognizer` recognises single pictures and
videos. `detect`, `crop` and `Predictor` are its steps. Every error that gudi raises on purpose is a
`GudiError`. Importing this package is cheap: NumPy, OpenCV and TensorFlow load on first use.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gudi.version import __version__

if TYPE_CHECKING:
    from gudi.api import batch
    from gudi.batch_result import BatchResult
    from gudi.detection import crop, detect
    from gudi.errors import GudiError
    from gudi.outputs.data_frames import to_dataframe
    from gudi.predictor import Predictor
    from gudi.recognizer import Recognizer
    from gudi.records import Box, Face

__all__ = [
    "BatchResult",
    "Box",
    "Face",
    "GudiError",
    "Predictor",
    "Recognizer",
    "__version__",
    "batch",
    "crop",
    "detect",
    "to_dataframe",
]

_MODULES = {
    "BatchResult": "gudi.batch_result",
    "Box": "gudi.records",
    "Face": "gudi.records",
    "GudiError": "gudi.errors",
    "Predictor": "gudi.predictor",
    "Recognizer": "gudi.recognizer",
    "batch": "gudi.api",
    "crop": "gudi.detection",
    "detect": "gudi.detection",
    "to_dataframe": "gudi.outputs.data_frames",
}


# ONNX Runtime reads this when it is imported. Without it, 1.29 and later write a device ID and a
# database of events below the home folder, look up a server to send them to, and a forked process
# may never exit.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'gudi' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

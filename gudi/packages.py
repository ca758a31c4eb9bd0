"""Optional packages, and errors if they are missing."""

from __future__ import annotations

import importlib.util
import sys

from gudi.errors import GudiError


def has_tensorflow() -> bool:
    """Return whether TensorFlow and TFLearn are installed, without importing them."""
    return all(importlib.util.find_spec(name) for name in ("tensorflow", "tflearn"))


def check_tensorflow(purpose: str) -> None:
    """Raise `GudiError` unless TensorFlow and TFLearn are installed.

    Args:
        purpose: what needs them, as the start of the message.
    """
    if not has_tensorflow():
        python = ".".join(map(str, sys.version_info[:2]))
        raise GudiError(
            f"{purpose} needs TensorFlow and TFLearn, which this Python {python} lacks; in Python "
            "3.10 to 3.13: pip install tensorflow tflearn"
        )

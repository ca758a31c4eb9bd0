"""Hide what libraries write to stderr from C++ code."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import IO

from gudi.errors import GudiError

DEBUG_VARIABLE = "GUDI_DEBUG"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide the output of TensorFlow, tflearn and ONNX Runtime, unless `$GUDI_DEBUG` is set.

    Their C++ code writes to file descriptor 2 before any of their settings takes effect, so the
    descriptor itself is redirected. If the block fails unexpectedly, the hidden output is shown.
    Several threads may use this at the same time.
    """
    if os.environ.get(DEBUG_VARIABLE):
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    _STDERR.hide()
    try:
        yield
    except (GudiError, OSError, KeyboardInterrupt):
        raise  # these explain themselves
    except BaseException:
        _STDERR.show_hidden()
        raise
    finally:
        _STDERR.restore()


def silence_opencv() -> None:
    """Keep OpenCV from writing to stderr, for the rest of this process."""
    import cv2

    # OpenCV 4.12 has it in one place, 4.14 in the other.
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    set_level(0)


class _Stderr:
    """Redirects file descriptor 2 to a temporary file while at least one thread needs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._redirected: tuple[int, IO[bytes]] | None = None  # the real descriptor, the file
        self._level = logging.NOTSET

    def hide(self) -> None:
        """Redirect the descriptor, until `restore` has been called as often as this method."""
        with self._lock:
            if not self._users:
                self._redirected = _redirect_stderr()
                logger = logging.getLogger("tensorflow")
                self._level = logger.level
                logger.setLevel(logging.ERROR)
            self._users += 1

    def show_hidden(self) -> None:
        """Write what has been hidden so far to the real descriptor."""
        with self._lock:
            if self._redirected is not None:
                descriptor, file = self._redirected
                sys.stderr.flush()
                file.seek(0)
                os.write(descriptor, file.read())
                file.seek(0)  # where descriptor 2 writes next
                file.truncate()

    def restore(self) -> None:
        """Undo one call of `hide`."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            logging.getLogger("tensorflow").setLevel(self._level)
            if self._redirected is not None:
                descriptor, file = self._redirected
                sys.stderr.flush()
                os.dup2(descriptor, 2)
                os.close(descriptor)
                file.close()


def _redirect_stderr() -> tuple[int, IO[bytes]] | None:
    """Return a copy of descriptor 2 and the file that it is redirected to; None if it is closed."""
    try:
        descriptor = os.dup(2)
    except OSError:
        return None
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 (`_Stderr` closes it)
    except OSError:
        os.close(descriptor)
        raise
    sys.stderr.flush()
    os.dup2(file.fileno(), 2)
    return descriptor, file


_STDERR = _Stderr()

"""Write a video as its frames come, whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import cv2
import numpy as np
from av.error import FFmpegError

from gudi.errors import InputError, OutputError, UsageError
from gudi.files import atomic_path, check_writable
from gudi.media.encode import Encoder

ENDING = ".mp4"
RATE = Fraction(30)  # frames a second, what the encoder plans with; nobody knows what is to come


def check_recording(path: Path, *, overwrite: bool, source: str | os.PathLike) -> None:
    """Raise what can be known to keep a recording from being written to `path`.

    Args:
        path: the file to be.
        overwrite: replace it where it is there already.
        source: what is looked at; a video of this name is not to be replaced.

    Raises:
        UsageError: its name does not end in .mp4.
        InputError: it is `source`.
        OutputError: it is there already, or cannot be written.
    """
    if path.suffix.lower() != ENDING:
        raise UsageError(f"{path} cannot be written: the video is an MP4, so its name ends in .mp4")
    if path.is_dir():
        raise OutputError(f"{path} cannot be written: it is a folder")
    if path.exists():
        if os.path.exists(source) and os.path.samefile(path, source):
            raise InputError(f"{path} is the video that is read; save under another name")
        if not overwrite:
            raise OutputError(f"{path} is there already; --overwrite replaces it")
    check_writable(path.parent)


class Recording:
    """An MP4 video that takes its place at `path` when it is complete.

    A context manager. However the block ends, with an error, too, the frames that were added are
    kept. The file is made with the first one; without any there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open = contextlib.ExitStack()
        self._container: Any = None
        self._encoder: Encoder | None = None
        self._size = (0, 0)

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def add(self, image: np.ndarray, time: float) -> None:
        """Write a frame.

        Args:
            image: uint8 of shape (h, w, 3), BGR. All are scaled to the size of the first.
            time: when it is shown, in seconds from the beginning.

        Raises:
            OutputError: it cannot be written. The file is given up.
        """
        with self._given_up():
            if self._encoder is None:
                self._begin(image)
            if image.shape[1::-1] != self._size:
                image = cv2.resize(image, self._size)
            self._encoder.add(time, image)

    def close(self) -> None:
        """Complete the file and put it in its place. Closing twice does no harm."""
        with self._given_up():
            if self._encoder is not None:
                self._encoder.finish()
                self._encoder = None
                self._container.close()
            self._open.close()

    def _begin(self, image: np.ndarray) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._open.enter_context(atomic_path(self.path))
        # Its table of contents comes first, so that it can be played while it is loaded.
        options = {"movflags": "faststart"}
        self._container = av.open(str(beside), "w", ENDING[1:], options=options)
        self._encoder = Encoder(self._container, image, RATE)
        self._size = image.shape[1::-1]

    @contextlib.contextmanager
    def _given_up(self) -> Iterator[None]:
        """Leave nothing behind when what is done in the block fails."""
        try:
            yield
        except (OSError, FFmpegError) as error:
            self._encoder = None
            with contextlib.suppress(OSError):
                self._open.__exit__(type(error), error, error.__traceback__)
            raise OutputError(f"{self.path} cannot be written: {error.strerror}") from error

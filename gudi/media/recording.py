"""Write a video while its frames arrive. The file appears complete or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer
from av.error import FFmpegError

from gudi.errors import InputError, OutputError, UsageError
from gudi.files import atomic_path, check_parent, write_errors
from gudi.media.encode import MP4_OPTIONS, Encoder

SUFFIX = ".mp4"
RATE = Fraction(30)  # frames per second: a guess for the encoder, since the real rate is not known


def check_recording(path: Path, *, overwrite: bool, source: str | os.PathLike[str]) -> None:
    """Check, as far as possible beforehand, that a recording can be written to `path`.

    Args:
        path: the future file.
        overwrite: whether it may replace an existing file.
        source: what is recorded. If this is a video, it must not be replaced.

    Raises:
        UsageError: the name does not end in .mp4.
        InputError: it is `source`.
        OutputError: it already exists, or cannot be written.
    """
    if path.suffix.lower() != SUFFIX:
        raise UsageError(f"cannot write {path}: the video is an MP4, so its name must end in .mp4")
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder")
    if path.exists():
        if os.path.exists(source) and os.path.samefile(path, source):
            raise InputError(f"{path} is the video that is read; save under another name")
        if not overwrite:
            raise OutputError(f"{path} already exists; --overwrite replaces it")
    check_parent(path)


class Recording:
    """An MP4 video that appears at `path` when it is complete.

    Use it as a context manager. However the block ends, even with an error, the frames that were
    added are kept. Without any frame there is no file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = contextlib.ExitStack()
        self._container: OutputContainer | None = None
        self._encoder: Encoder | None = None

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, image: npt.NDArray[np.uint8], time: float) -> None:
        """Write a frame.

        Args:
            image: uint8 of shape (h, w, 3), BGR. All are fitted into the size of the first one.
            time: when it is shown, in seconds from the start.

        Raises:
            OutputError: it cannot be written. The file is abandoned.
        """
        with self._abandoned_on_error():
            if self._encoder is None:
                self._encoder = self._open(image)
            self._encoder.add(time, image)

    def close(self) -> None:
        """Complete the file. Closing twice does no harm.

        Raises:
            OutputError: it cannot be written. The file is abandoned.
        """
        with self._abandoned_on_error():
            if self._encoder is not None and self._container is not None:
                self._encoder.finish()
                self._container.close()
            self._encoder = self._container = None
            self._stack.close()

    def _open(self, image: npt.NDArray[np.uint8]) -> Encoder:
        """Open the file for a video of the size of `image`."""
        temporary = self._stack.enter_context(atomic_path(self.path))
        self._container = av.open(str(temporary), "w", SUFFIX[1:], options=MP4_OPTIONS)
        return Encoder(self._container, image, RATE)

    @contextlib.contextmanager
    def _abandoned_on_error(self) -> Iterator[None]:
        """Remove the temporary file if the block fails."""
        with write_errors(self.path, FFmpegError):
            try:
                yield
            except (OSError, FFmpegError) as error:
                self._encoder = self._container = None
                with contextlib.suppress(OSError):
                    self._stack.__exit__(type(error), error, error.__traceback__)
                raise

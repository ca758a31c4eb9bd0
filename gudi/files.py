"""Write files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import filelock
import numpy as np

from gudi.errors import OutputError

TEMPORARY_PREFIX = ".gudi-"
LOCK = ".lock"


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of `path` when the block has ended without an error.

    Nothing is left behind when it has not, unless the process is killed in the middle.
    """
    with atomic_path(path) as beside, open(beside, "wb") as file:
        yield file
        file.flush()


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield the path of an empty file that takes the place of `path`, as `atomic_write` has it.

    Its name is short: one of 250 bytes has no room for an ending of ours.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent.absolute())
    try:
        yield Path(temporary)
        os.fsync(descriptor)
        os.close(descriptor)
        # mkstemp makes files that only the owner can read.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def folder_lock(folder: Path, who: str) -> Iterator[None]:
    """Keep other processes out of `folder`, which is made for as long as it is missing.

    Args:
        folder: where to put the lock.
        who: what another one that has it is, as in "another training".

    Raises:
        OutputError: another process has it, or it cannot be written to.
    """
    made, lock = not folder.exists(), filelock.FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise OutputError(f"{folder} is in use: {who} writes to it") from None
    except OSError as error:
        raise OutputError(f"{folder} cannot be written to: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()
        if made and os.listdir(folder) == [LOCK]:
            os.unlink(folder / LOCK)
            folder.rmdir()


def check_writable(folder: Path) -> None:
    """Raise `OutputError` unless `folder` can be written to, or be made where it is missing."""
    there = nearest_folder(folder)
    if not there.is_dir():
        raise OutputError(f"{folder} cannot be written to: {there} is a file, not a folder")
    if folder.is_symlink() and not folder.exists():
        raise OutputError(f"{folder} cannot be written to: it is a link to what is not there")
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} cannot be written to: no permission")


def nearest_folder(path: Path) -> Path:
    """Return `path`, or where it is not there the folder that it would be made in."""
    path = path.absolute()
    return next((each for each in (path, *path.parents) if each.exists()), path)


def _umask() -> int:
    """Return the process's umask, which cannot be read without being set."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


class NpyWriter:
    """An npy file that grows row by row and appears whole or not at all."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any = np.float64) -> None:
        self._path, self._shape, self._dtype, self._count = path, shape, np.dtype(dtype), 0

    def __enter__(self) -> NpyWriter:
        self._whole = atomic_write(self._path)
        self._file = self._whole.__enter__()
        self._header(0)
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._file.seek(0)
            self._header(self._count)
        self._whole.__exit__(*error)

    def append(self, row: np.ndarray) -> None:
        """Add one row."""
        self._file.write(row.astype(self._dtype).tobytes())
        self._count += 1

    def _header(self, count: int) -> None:
        """Write the header; NumPy leaves room in it for the first dimension to grow."""
        description = np.lib.format.dtype_to_descr(self._dtype)
        header = {
            "descr": description,
            "fortran_order": False,
            "shape": (count, *self._shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)

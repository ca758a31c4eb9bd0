"""Write files so that they appear complete or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from gudi.errors import OutputError

TEMPORARY_PREFIX = ".gudi-"


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that replaces `path` if the block ends without an error.

    If it does not, `path` stays as it is and the temporary file is removed. Only a process that is
    killed leaves its temporary file behind.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        yield file
        file.flush()


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield the path of an empty file that replaces `path`, under the terms of `atomic_write`.

    The temporary name is short, because a name of 250 bytes leaves no room for a suffix.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent.absolute())
    try:
        yield Path(temporary)
        os.fsync(descriptor)
        os.close(descriptor)
        # mkstemp creates files that only their owner can read.
        with contextlib.suppress(PermissionError):  # FAT has no modes
            os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def write_errors(path: os.PathLike[str] | str, *encoder: type[Exception]) -> Iterator[None]:
    """Turn an `OSError` while `path` is written into an `OutputError` that names it.

    Args:
        path: the file or folder.
        encoder: further exceptions, of what encodes it.
    """
    caught: tuple[type[Exception], ...] = (OSError, *encoder)
    try:
        yield
    except caught as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write {path}: {reason}") from error


def write_json(path: Path, values: Any) -> None:
    """Write `values` as a JSON file, as a whole or not at all."""
    with write_errors(path), atomic_write(path) as file:
        file.write((json.dumps(values, indent=2) + "\n").encode())


def remove_temporary_files(folder: Path, *, folders: bool = True, recursive: bool = False) -> None:
    """Remove the temporary files and folders that killed processes left in `folder`.

    These are the files and folders in `folder` whose names start with `TEMPORARY_PREFIX`. Links
    are removed, not followed.

    Args:
        folder: where to look. It may be missing.
        folders: also remove temporary folders. Pass False where a folder may be named so by users.
        recursive: also remove temporary files (not folders) at any depth below `folder`.

    Raises:
        OSError: one of them cannot be removed.
    """
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
        elif folders:
            shutil.rmtree(path)
    for parent, _, names in os.walk(folder) if recursive else ():
        for name in names:
            if name.startswith(TEMPORARY_PREFIX):
                Path(parent, name).unlink(missing_ok=True)


def check_replaceable(path: Path, *, overwrite: bool) -> None:
    """Raise `OutputError` if there is something at `path` that may not be replaced."""
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path} already exists; replace it with --overwrite")


def check_writable(folder: Path) -> None:
    """Check that `folder` can be written to or, if it is missing, created.

    Raises:
        OutputError: it cannot.
    """
    nearest = nearest_folder(folder)
    if not nearest.is_dir():
        raise OutputError(f"{folder} cannot be written to: {nearest} is a file, not a folder")
    if folder.is_symlink() and not folder.exists():
        raise OutputError(f"{folder} cannot be written to: it is a link to a missing file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} cannot be written to: no permission")


def check_parent(path: Path) -> None:
    """Check that the file `path` can be written to a folder that exists.

    Raises:
        OutputError: it cannot.
    """
    if not path.parent.exists():
        raise OutputError(f"cannot write {path}: there is no folder {path.parent}; create it first")
    check_writable(path.parent)


def nearest_folder(path: Path) -> Path:
    """Return `path` or, if it does not exist, the nearest of its parent folders that does."""
    path = path.absolute()
    return next((each for each in (path, *path.parents) if each.exists()), path)


def _umask() -> int:
    """Return the umask of the process, which cannot be read without setting it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


@contextlib.contextmanager
def npy_file(
    path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float64
) -> Iterator[Callable[[npt.NDArray[np.generic]], None]]:
    """Write an npy file row by row, which appears complete or not at all.

    Args:
        path: the file to write.
        shape: the shape of one row.
        dtype: the type that rows are converted to.

    Yields:
        A function that appends a row.
    """
    kind, count = np.dtype(dtype), 0
    with atomic_write(path) as file:

        def append(row: npt.NDArray[np.generic]) -> None:
            nonlocal count
            file.write(row.astype(kind).tobytes())
            count += 1

        def write_header() -> None:  # NumPy pads it so that the count can grow in place
            header = {
                "descr": np.lib.format.dtype_to_descr(kind),
                "fortran_order": False,
                "shape": (count, *shape),
            }
            np.lib.format.write_array_header_1_0(file, header)

        write_header()
        yield append
        file.seek(0)
        write_header()

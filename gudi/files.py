"""Write files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from gudi.errors import OutputError

TEMPORARY_PREFIX = ".gudi-"


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of `path` when the block has ended without an error.

    Nothing is left behind when it has not, unless the process is killed in the middle. The
    temporary name is short: a name of 250 bytes has no room for an ending of ours.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        # mkstemp makes files that only the owner can read.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


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

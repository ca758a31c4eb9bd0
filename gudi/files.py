"""Write files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of `path` when the block has ended without an error.

    Nothing is left behind when it has not. The temporary name is short: a name of 250 bytes has
    no room for an ending of ours.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=".gudi-", dir=path.parent)
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


def nearest_folder(path: Path) -> Path:
    """Return `path`, or where it is not there the folder that it would be made in."""
    path = path.absolute()
    return next((each for each in (path, *path.parents) if each.exists()), path)


def _umask() -> int:
    """Return the process's umask, which cannot be read without being set."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask

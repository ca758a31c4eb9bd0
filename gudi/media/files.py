"""Open files that may be anything, and describe those that are not regular files."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import IO

from gudi.media.archives import find_member, is_member, open_member

# Non-blocking, in case the path leads to a pipe. Windows has one of the flags, Linux the other.
OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class IrregularFile(OSError):
    """A path is not that of a regular file."""


@contextlib.contextmanager
def open_media(path: str | os.PathLike[str]) -> Iterator[tuple[IO[bytes], int]]:
    """Open a regular file, or a file in an archive, and yield it with its size in bytes.

    Raises:
        IrregularFile: it is a folder, a pipe or a device.
        OSError: it cannot be read.
    """
    file = open_member(path) if is_member(path) else open(path, "rb", opener=_open)  # noqa: SIM115
    with file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        yield file, size


def file_status(path: str) -> tuple[int, int]:
    """Return the size of a file, in bytes, and a number that changes with its content.

    Raises:
        OSError: it cannot be found.
    """
    if is_member(path):
        member = find_member(path)
        return member.size, member.stamp
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def _open(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | OPEN_FLAGS)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise IrregularFile(errno.EINVAL, describe_irregular(mode))
    return descriptor


def describe_irregular(mode: int) -> str:
    """Return what is wrong with a path that is not a regular file.

    Args:
        mode: its `st_mode`.
    """
    return f"it is {KINDS.get(stat.S_IFMT(mode), 'not a file')}"

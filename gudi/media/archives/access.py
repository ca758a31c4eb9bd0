"""Open archives, and what they hold, by paths."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from typing import IO

from gudi.media.archives.archive import (
    DAMAGED,
    NO_ARCHIVE,
    SEPARATOR,
    Archive,
    Member,
    archive_error,
    damage_errors,
)
from gudi.media.archives.tar_archive import TarArchive, is_tar, read_start, unpacked_file
from gudi.media.archives.zip_archive import ZipArchive

# Archives that stay open in a process: one, and another that holds it.
OPEN_ARCHIVES = 2


def member_path(archive: str, member: str) -> str:
    """Return the path of a member of the archive at `archive`."""
    return f"{archive}{SEPARATOR}{member}"


def is_member(path: str | os.PathLike[str]) -> bool:
    """Tell whether `path` is that of a member."""
    return SEPARATOR in os.fspath(path)


def file_path(path: str | os.PathLike[str]) -> str:
    """Return the path of the file on disk: of the archive for a member, else `path` itself."""
    return os.fspath(path).partition(SEPARATOR)[0]


def absolute_path(path: str) -> str:
    """Return the absolute path of a file or member."""
    file, separator, member = path.partition(SEPARATOR)
    return f"{os.path.abspath(file)}{separator}{member}"


def shown_path(path: str | os.PathLike[str]) -> str:
    """Return a path as people write it, also for a member."""
    return os.fspath(path).replace(SEPARATOR, "/")


def is_archive(path: str) -> bool:
    """Tell whether the file at `path` is an archive that can be read."""
    try:
        _open_archive(path)
    except OSError as error:
        return error.errno == DAMAGED
    return True


def list_members(path: str) -> Iterator[Member]:
    """Yield the members of the archive at `path`, except for folders, in their order in it.

    Raises:
        OSError: it cannot be read, or not to its end.
    """
    return _open_archive(path).members()


def find_member(path: str | os.PathLike[str]) -> Member:
    """Return the member at `path`.

    Raises:
        OSError: it cannot be found.
    """
    archive, _, name = os.fspath(path).rpartition(SEPARATOR)
    return _open_archive(archive).find(name)


def open_member(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open the member at `path`. What is compressed is unpacked into memory.

    Raises:
        OSError: it cannot be read, or is too large for that.
    """
    archive, _, name = os.fspath(path).rpartition(SEPARATOR)
    return _open_archive(archive).open(name)


def open_stream(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open the member at `path` to read it once from its start, whatever its size.

    Raises:
        OSError: it cannot be read. While it is read, whatever Python's packages for archives raise.
    """
    archive, _, name = os.fspath(path).rpartition(SEPARATOR)
    return _open_archive(archive).stream(name)


def _open_archive(path: str) -> Archive:
    """Return the archive at `path`, which stays open for the next call."""
    if is_member(path):
        member = find_member(path)
        return _opened(path, member.size, member.stamp)
    status = os.stat(path)
    return _opened(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(OPEN_ARCHIVES)
def _opened(path: str, size: int, mtime: int) -> Archive:
    """Open an archive; `size` and `mtime` change with its content."""
    open_file = functools.partial(_open_file, path)
    with damage_errors():
        file = open_file()
        start = read_start(file)
        if start.startswith(b"PK"):
            file.close()
            return ZipArchive(open_file)
        if is_tar(start):
            return TarArchive(open_file, False, file)
        unpacked = unpacked_file(file)
        if unpacked is not None and is_tar(read_start(unpacked)):
            return TarArchive(open_file, True, unpacked)
        file.close()
    raise archive_error("it is no archive", NO_ARCHIVE)


def _open_file(path: str) -> IO[bytes]:
    return open_member(path) if is_member(path) else open(path, "rb")

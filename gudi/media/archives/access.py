"""Open archives on disk and in other archives."""

from __future__ import annotations

import functools
import os
import zipfile
from typing import IO

from gudi.media.archives.archive import DAMAGED, NO_ARCHIVE, Archive, archive_error, damage_errors
from gudi.media.archives.tar_archive import TarArchive, is_tar, read_start, unpacked_file
from gudi.media.archives.zip_archive import ZipArchive

# Archives that stay open in a process: one, and another that holds it.
OPEN_ARCHIVES = 2


def open_archive(path: str, *member: str) -> Archive:
    """Return an archive, which stays open for the next call.

    Args:
        path: of the file on disk.
        member: names that lead to an archive within it; none for that file itself.

    Raises:
        OSError: it cannot be read.
    """
    if not member:
        status = os.stat(path)
        return _opened(path, member, status.st_size, status.st_mtime_ns)
    found = open_archive(path, *member[:-1]).find(member[-1])
    return _opened(path, member, found.size, found.stamp)


def is_archive(path: str, *member: str) -> bool:
    """Return whether a file is an archive, readable or damaged; see `open_archive`."""
    try:
        open_archive(path, *member)
    except OSError as error:
        return error.errno == DAMAGED
    return True


@functools.lru_cache(OPEN_ARCHIVES)
def _opened(path: str, member: tuple[str, ...], size: int, stamp: int) -> Archive:
    """Open an archive; `size` and `stamp` change with its content."""
    open_file = functools.partial(_open_file, path, member)
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
        is_zip = zipfile.is_zipfile(file)  # behind a program, or the last part of a split one
        file.close()
        if is_zip:
            return ZipArchive(open_file)
    raise archive_error("it is not an archive", NO_ARCHIVE)


def _open_file(path: str, member: tuple[str, ...]) -> IO[bytes]:
    return open_archive(path, *member[:-1]).open(member[-1]) if member else open(path, "rb")

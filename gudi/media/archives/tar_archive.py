"""Tar archives, compressed or not."""

from __future__ import annotations

import bz2
import gzip
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import IO

from gudi.media.archives.archive import (
    Archive,
    Member,
    archive_error,
    damage_errors,
    not_found,
    safe_name,
    window,
)

BLOCK = 512

# A header is read into memory.
MAX_HEADER = 2**24

# A compressed archive may unpack to this many times its size, and some more. Photos and videos
# hardly become smaller by compression.
MAX_RATIO, RATIO_ALLOWANCE = 200, 2**30


class TarArchive(Archive):
    """A tar archive, compressed or not.

    A compressed one can only be unpacked from its start. Members are looked for, and read, from
    where the last one ended. So reading them in their order unpacks the archive once.
    """

    def __init__(
        self, open_file: Callable[[], IO[bytes]], compressed: bool, file: IO[bytes]
    ) -> None:
        super().__init__(open_file)
        self._compressed = compressed
        with open_file() as packed:
            size = packed.seek(0, os.SEEK_END)
        self._file = _Limited(file, size * MAX_RATIO + RATIO_ALLOWANCE)
        self._tar = tarfile.TarFile(
            fileobj=self._file,  # type: ignore[arg-type]
            encoding="utf-8",
            errors="surrogateescape",
        )
        self._names: list[str] = []
        self._complete = False

    def members(self) -> Iterator[Member]:
        """Yield all members."""
        position = 0
        while True:
            with self._lock, damage_errors():
                while position == len(self._names) and not self._complete:
                    self._read_header()
                if position == len(self._names):
                    return
                member = self._index[self._names[position]]
            position += 1
            yield member

    def find(self, name: str) -> Member:
        """Return a member."""
        with self._lock, damage_errors():
            while name not in self._index and not self._complete:
                self._read_header()
        if name not in self._index:
            raise not_found()
        return self._index[name]

    def _read_header(self) -> None:
        """Read the next header, and enter its member into the index if it is a file."""
        before = self._tar.offset
        info = self._tar.next()
        if self._tar.offset < before:
            raise tarfile.ReadError("a file in it has a negative size")
        if info is None:
            self._complete = True
            while self._compressed and self._file.read(BLOCK * 128):
                pass  # there is a checksum at the end
            return
        self._tar.members = []  # type: ignore[attr-defined] # would hold all of them
        name = safe_name(info.name)
        target = self._index.get(safe_name(info.linkname)) if info.islnk() else None
        if target is not None:
            member = replace(target, name=name)
        elif info.isreg() or info.issym() or info.islnk():
            problem = "" if info.isreg() else "it is a link in an archive; unpack it first"
            if info.issparse():
                problem = "it is a sparse file in an archive; unpack it first"
            stamp = round(info.mtime * 10**9)
            member = Member(name, info.size, stamp, problem, info.offset_data)
        else:
            return
        self._names.append(self._add(member).name)

    def _start(self, member: Member) -> int | None:
        return None if self._compressed else member.position

    def _unpack(self, member: Member) -> bytes:
        content = self._file.read_at(member.position or 0, member.size)
        if len(content) < member.size:
            raise EOFError("the archive ends in this file")
        return content

    def _stream(self, member: Member) -> IO[bytes]:
        file = unpacked_file(self._open_file())
        if file is None or member.position is None:
            raise EOFError("the archive has changed")
        return window(file, member.name, member.position, member.size)


class _Limited:
    """A file of which only so much may be read, at one time and in all."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file, self._limit = file, limit

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, which belong to a header."""
        if not 0 <= size <= MAX_HEADER:
            raise archive_error("a file header in the archive is too large; unpack the archive")
        return self.read_at(self._file.tell(), size)

    def read_at(self, position: int, size: int) -> bytes:
        """Return the bytes from a position on."""
        self._check(position + size)
        self._file.seek(position)
        return self._file.read(size)

    def seek(self, position: int) -> int:
        """Go to a position."""
        self._check(position)
        return self._file.seek(position)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def _check(self, end: int) -> None:
        if end < 0:
            raise tarfile.ReadError("a file in it has a negative size")
        if end > self._limit:
            raise archive_error("the archive unpacks to far more than its size; unpack it yourself")


def read_start(file: IO[bytes]) -> bytes:
    """Return the first bytes of a file, which tell whether it is a tar archive."""
    start = file.read(BLOCK)
    file.seek(0)
    return start


def unpacked_file(file: IO[bytes]) -> IO[bytes] | None:
    """Return a file that reads what a compressed file unpacks to; None if it is not compressed."""
    start = read_start(file)
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    return bz2.BZ2File(file) if start.startswith(b"BZh") else None


def is_tar(block: bytes) -> bool:
    """Return whether a file that starts with `block` is a tar archive."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True

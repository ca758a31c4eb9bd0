"""An open archive, and files that read what it holds."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import struct
import tarfile
import threading
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import IO

from gudi.errors import one_line

# Error numbers: the archive, or something in it, cannot be read; and a file is not an archive.
DAMAGED, NO_ARCHIVE = errno.EIO, errno.ENOEXEC

# A compressed member is unpacked into memory.
MAX_IN_MEMORY = 2**28

MAX_MEMBERS = 10**6

# Exceptions of the packages for damaged archives, besides `OSError` without a number; and those
# caused by false sizes in headers.
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, struct.error)
MISLED = (ValueError, RuntimeError, OverflowError, MemoryError)


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        name: its path in the archive, with forward slashes, which leads nowhere but down.
        size: in bytes.
        stamp: a number that changes with the content: a checksum, or the time of the last change.
        problem: "" or why it cannot be read.
        position: where its content starts in the archive if it is stored there as it is; in a
            compressed tar archive, where it starts in what that unpacks to.
    """

    name: str
    size: int
    stamp: int
    problem: str = ""
    position: int | None = None


class Archive(ABC):
    """An open archive, whose members several threads may read."""

    def __init__(self, open_file: Callable[[], IO[bytes]]) -> None:
        self._open_file, self._lock = open_file, threading.RLock()
        self._index: dict[str, Member] = {}
        self._namesakes: dict[str, int] = {}  # how many members have had a name
        self._unpacked = "", b""  # the compressed member that was read last

    @abstractmethod
    def members(self) -> Iterator[Member]:
        """Yield all members."""

    @abstractmethod
    def find(self, name: str) -> Member:
        """Return a member."""

    @abstractmethod
    def _unpack(self, member: Member) -> bytes:
        """Return the content of a compressed member."""

    @abstractmethod
    def _start(self, member: Member) -> int | None:
        """Return where the content of a member starts in the file; None if it is compressed."""

    @abstractmethod
    def _stream(self, member: Member) -> IO[bytes]:
        """Return a file that unpacks a compressed member while it is read."""

    def open(self, name: str) -> IO[bytes]:
        """Open a member."""
        with self._lock, damage_errors():
            member, file = self._open_stored(name)
            if file is not None:
                return file
            if member.size > MAX_IN_MEMORY:
                raise archive_error(
                    f"it is compressed, and too large ({member.size:,} bytes) to be read in the "
                    "archive; unpack it first"
                )
            if self._unpacked[0] != name:
                self._unpacked = name, self._unpack(member)
            return _Content(self._unpacked[1], name)

    def stream(self, name: str) -> IO[bytes]:
        """Open a member to read it once."""
        with self._lock, damage_errors():
            member, file = self._open_stored(name)
            return file or self._stream(member)

    def _open_stored(self, name: str) -> tuple[Member, IO[bytes] | None]:
        """Return a member, and a file that reads it if it is not compressed."""
        member = self.find(name)
        if member.problem:
            raise archive_error(member.problem)
        start = self._start(member)
        if start is None:
            return member, None
        return member, window(self._open_file(), name, start, member.size)

    def _add(self, member: Member) -> Member:
        """Enter a member into the index, under a name that no other one has."""
        if len(self._index) == MAX_MEMBERS:
            raise archive_error(f"the archive has more than {MAX_MEMBERS:,} files; unpack it first")
        original = member.name
        folder, slash, name = original.rpartition("/")
        while member.name in self._index:
            number = self._namesakes[original] = self._namesakes.get(original, 1) + 1
            member = replace(member, name=f"{folder}{slash}{number}-{name}")
        # Headers may hold any number. The store and seeking take 63 bits.
        size, stamp = (min(max(0, each), 2**63 - 1) for each in (member.size, member.stamp))
        member = self._index[member.name] = replace(member, size=size, stamp=stamp)
        return member


def window(file: IO[bytes], name: str, start: int, size: int) -> IO[bytes]:
    """Return a part of `file` as a file of its own, called `name`; it closes `file`."""
    return io.BufferedReader(_Window(file, name, start, size))


class _Window(io.RawIOBase):
    """A part of a file, as a file of its own."""

    def __init__(self, file: IO[bytes], name: str, start: int, size: int) -> None:
        super().__init__()
        self._file = file
        self._start, self._size, self._position, self.name = start, size, 0, name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        wanted = max(0, min(len(buffer), self._size - self._position))
        self._file.seek(self._start + self._position)
        content = self._file.read(wanted)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Content(io.BytesIO):
    """An unpacked member."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def safe_name(name: str) -> str:
    """Return the name of a member such that it leads nowhere but down."""
    # As paths on disk, whose bytes need not be text in this locale.
    name = os.fsdecode(name.encode("utf-8", "surrogateescape"))
    # Stored paths consist of parts with NUL characters between them.
    name = re.sub("^[A-Za-z]:", "", name.replace("\0", ""))
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "/".join("__" if part == ".." else part for part in parts) or "__"


@contextlib.contextmanager
def damage_errors() -> Iterator[None]:
    """Turn exceptions caused by a damaged archive into an `OSError`."""
    try:
        yield
    except (*DAMAGE, *MISLED, OSError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise
        raise archive_error(f"the archive is damaged: {one_line(error)}") from error


def archive_error(problem: str, number: int = DAMAGED) -> OSError:
    """Return an error that says what is wrong with an archive or a member."""
    return OSError(number, problem)


def not_found() -> FileNotFoundError:
    """Return the error for a missing member."""
    return FileNotFoundError(errno.ENOENT, "the archive has no such file")

"""Read files in ZIP and tar archives without unpacking these to disk.

A file in an archive, a member, has a path like a file in a folder: that of the archive, a NUL
character, which no real path contains, and the name of the member. It may be an archive itself.

Archives come from strangers. Nothing is written, what one member may take of the memory is limited,
and so is what a compressed archive may unpack to.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import functools
import gzip
import io
import os
import re
import stat
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

SEPARATOR = "\0"

# Error numbers: the archive, or something in it, cannot be read; and a file is no archive.
DAMAGED, NO_ARCHIVE = errno.EIO, errno.ENOEXEC

# A compressed member is unpacked into memory, as are the headers of a tar archive.
MAX_IN_MEMORY, MAX_HEADER = 2**28, 2**24

# The table of contents of a ZIP archive takes some ten times its size in memory.
MAX_CONTENTS = 2**25

MAX_MEMBERS = 10**6

# A compressed tar archive may unpack to this many times its size, and some more. Photos and videos
# hardly become smaller by compression.
MAX_RATIO, RATIO_ALLOWANCE = 200, 2**30

# Archives that stay open in a process.
OPEN_ARCHIVES = 4

ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
ZIP_ENCRYPTED, ZIP_UTF_8 = 0x1, 0x800  # flags
ZIP_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of the name and of an extra field

TAR_BLOCK = 512

# What the packages raise for a damaged archive, besides `OSError` without a number; and what else
# they raise when they believe what it says.
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


class _Archive(ABC):
    """An open archive, whose members several threads may read."""

    def __init__(self, open_file: Callable[[], IO[bytes]]) -> None:
        self._open_file, self._lock = open_file, threading.RLock()
        self._index: dict[str, Member] = {}
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
        with self._lock, _damage():
            member, file = self._open_stored(name)
            if file is not None:
                return file
            if member.size > MAX_IN_MEMORY:
                raise _error(
                    f"it is compressed, and too large ({member.size:,} bytes) to be read in the "
                    "archive; unpack it first"
                )
            if self._unpacked[0] != name:
                self._unpacked = name, self._unpack(member)
            return _Content(self._unpacked[1], name)

    def stream(self, name: str) -> IO[bytes]:
        """Open a member to read it once."""
        with self._lock, _damage():
            member, file = self._open_stored(name)
            return file or self._stream(member)

    def _open_stored(self, name: str) -> tuple[Member, IO[bytes] | None]:
        """Return a member, and a file that reads it if it is not compressed."""
        member = self.find(name)
        if member.problem:
            raise _error(member.problem)
        start = self._start(member)
        if start is None:
            return member, None
        return member, io.BufferedReader(_Window(self._open_file(), name, start, member.size))

    def _add(self, member: Member) -> Member:
        """Enter a member into the index, under a name that no other one has."""
        if len(self._index) == MAX_MEMBERS:
            raise _error(f"the archive has more than {MAX_MEMBERS:,} files; unpack it first")
        folder, slash, name = member.name.rpartition("/")
        number = 1
        while member.name in self._index:
            number += 1
            member = replace(member, name=f"{folder}{slash}{number}-{name}")
        self._index[member.name] = member
        return member


class _ZipArchive(_Archive):
    def __init__(self, open_file: Callable[[], IO[bytes]]) -> None:
        super().__init__(open_file)
        self._file = open_file()
        _check_contents(self._file)
        self._zip = zipfile.ZipFile(self._file)
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in self._zip.infolist():
            if not info.is_dir():
                name = _safe_name(_decoded(info).replace("\\", "/"))
                member = self._add(Member(name, info.file_size, info.CRC, _zip_problem(info)))
                self._infos[member.name] = info

    def members(self) -> Iterator[Member]:
        return iter(self._index.values())

    def find(self, name: str) -> Member:
        if name not in self._index:
            raise FileNotFoundError(errno.ENOENT, "the archive has no such file")
        return self._index[name]

    def _start(self, member: Member) -> int | None:
        info = self._infos[member.name]
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            return None
        self._file.seek(info.header_offset)
        signature, name, extra = ZIP_LOCAL_HEADER.unpack(self._file.read(ZIP_LOCAL_HEADER.size))
        if signature != b"PK\3\4":
            raise zipfile.BadZipFile("no file header")
        return info.header_offset + ZIP_LOCAL_HEADER.size + int(name) + int(extra)

    def _unpack(self, member: Member) -> bytes:
        with self._zip.open(self._infos[member.name]) as file:
            return file.read(MAX_IN_MEMORY + 1)

    def _stream(self, member: Member) -> IO[bytes]:
        return self._zip.open(self._infos[member.name])


class _TarArchive(_Archive):
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
        position = 0
        while True:
            with self._lock, _damage():
                while position == len(self._names) and not self._complete:
                    self._read_header()
                if position == len(self._names):
                    return
                member = self._index[self._names[position]]
            position += 1
            yield member

    def find(self, name: str) -> Member:
        with self._lock, _damage():
            while name not in self._index and not self._complete:
                self._read_header()
        if name not in self._index:
            raise FileNotFoundError(errno.ENOENT, "the archive has no such file")
        return self._index[name]

    def _read_header(self) -> None:
        """Read the next header, and enter its member into the index if it is a file."""
        info = self._tar.next()
        if info is None:
            self._complete = True
            while self._compressed and self._file.read(TAR_BLOCK * 128):
                pass  # a checksum stands at the end
            return
        self._tar.members = []  # type: ignore[attr-defined] # would hold all of them
        name = _safe_name(info.name)
        target = self._index.get(_safe_name(info.linkname)) if info.islnk() else None
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
        file = _unpacked(self._open_file())
        if file is None or member.position is None:
            raise EOFError("the archive has changed")
        return io.BufferedReader(_Window(file, member.name, member.position, member.size))


class _Limited:
    """A file of which only so much may be read, at one time and in all."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file, self._limit = file, limit

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, which belong to a header."""
        if not 0 <= size <= MAX_HEADER:
            raise _error("a file header in the archive is too large; unpack the archive")
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
        if end > self._limit:
            raise _error("the archive unpacks to far more than its size; unpack it yourself")


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


def _open_archive(path: str) -> _Archive:
    """Return the archive at `path`, which stays open for the next call."""
    if is_member(path):
        member = find_member(path)
        return _opened(path, member.size, member.stamp)
    status = os.stat(path)
    return _opened(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(OPEN_ARCHIVES)
def _opened(path: str, size: int, mtime: int) -> _Archive:
    """Open an archive; `size` and `mtime` change with its content."""
    open_file = functools.partial(_open_file, path)
    with _damage():
        file = open_file()
        start = _read_start(file)
        if start.startswith(b"PK"):
            return _ZipArchive(open_file)
        if _is_tar(start):
            return _TarArchive(open_file, False, file)
        unpacked = _unpacked(file)
        if unpacked is not None and _is_tar(_read_start(unpacked)):
            return _TarArchive(open_file, True, unpacked)
        file.close()
    raise _error("it is no archive", NO_ARCHIVE)


def _open_file(path: str) -> IO[bytes]:
    return open_member(path) if is_member(path) else open(path, "rb")


def _read_start(file: IO[bytes]) -> bytes:
    start = file.read(TAR_BLOCK)
    file.seek(0)
    return start


def _unpacked(file: IO[bytes]) -> IO[bytes] | None:
    """Return a file that reads what a compressed file unpacks to; None if it is not compressed."""
    start = _read_start(file)
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    return bz2.BZ2File(file) if start.startswith(b"BZh") else None


def _is_tar(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def _check_contents(file: IO[bytes]) -> None:
    """Raise `OSError` if the table of contents of a ZIP archive is too large for memory."""
    size = file.seek(0, os.SEEK_END)
    tail_start = max(0, size - 2**16 - 100)
    file.seek(tail_start)
    tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) < end + 22:
        raise zipfile.BadZipFile("no table of contents")
    contents = struct.unpack_from("<12xL", tail, end)[0]
    if contents == 0xFFFFFFFF and tail[max(0, end - 20) :].startswith(b"PK\6\7"):
        file.seek(struct.unpack_from("<8xQ", tail, end - 20)[0])
        contents = struct.unpack("<40xQ", file.read(48))[0]
    if contents > MAX_CONTENTS:
        raise _error("the archive holds too many files; unpack it first")


def _decoded(info: zipfile.ZipInfo) -> str:
    """Return the name of a member of a ZIP archive, which some programs write without a flag."""
    if info.flag_bits & ZIP_UTF_8:
        return info.filename
    with contextlib.suppress(UnicodeError):
        return info.filename.encode("cp437").decode("utf-8")
    return info.filename


def _zip_problem(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & ZIP_ENCRYPTED:
        return "it is encrypted; unpack the archive first"
    if info.compress_type not in ZIP_METHODS:
        return "it is compressed in a way that gudi cannot read; unpack the archive first"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "it is a link in an archive; unpack the archive first"
    return ""


def _safe_name(name: str) -> str:
    """Return the name of a member such that it leads nowhere but down."""
    # As paths on disk, whose bytes need not be text in this locale.
    name = os.fsdecode(name.encode("utf-8", "surrogateescape"))
    name = re.sub("^[A-Za-z]:", "", name.replace(SEPARATOR, ""))
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "/".join("__" if part == ".." else part for part in parts) or "__"


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    """Turn what is raised for a damaged archive into an `OSError` that says so."""
    try:
        yield
    except (*DAMAGE, *MISLED, OSError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise
        raise _error(f"the archive is damaged: {one_line(error)}") from error


def _error(problem: str, number: int = DAMAGED) -> OSError:
    return OSError(number, problem)

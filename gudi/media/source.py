"""The path of an input: how it is opened, stored, compared, and named in tables."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import IO, TypeAlias

from gudi.media.archives import Archive, Member, is_archive, open_archive
from gudi.media.names import as_cell, printable_path

# Non-blocking, in case the path leads to a pipe. Windows has one of the flags, Linux the other.
OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

FILE_TYPES = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

SEPARATOR = "\0"  # between the parts of a stored path; no path and no member contains it

# What functions that open a file take.
SourceLike: TypeAlias = "Source | str | os.PathLike[str]"


class IrregularFile(OSError):
    """A path is not that of a regular file."""


@dataclass(frozen=True, slots=True)
class Source:
    """The path of an input, which is a file or a member of an archive.

    Attributes:
        name: as tables show it: the path as the user gave it, with forward slashes, on one line.
        path: of the file on disk; for a member, that of the archive.
        kind: `image`, `video`, `archive` or `folder`; "" if unknown.
        problem: "" or why it cannot be processed, if that is known before it is opened.
        member: () for a file; for a member its name, after those of the archives that are members
            themselves.
        extra: its values in the extra columns of a list, by name.
    """

    name: str
    path: str
    kind: str = ""
    problem: str = ""
    member: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, path: SourceLike, *member: str, kind: str = "", problem: str = "") -> Source:
        """Return the source for a path, named after it; a source is returned as it is."""
        if isinstance(path, Source):
            return path
        path = os.fspath(path)
        shown = PurePath("/".join((path, *member))).as_posix()
        return cls(as_cell(printable_path(shown)), path, kind, problem, member)

    @classmethod
    def from_stored(
        cls, stored: bytes, name: str, kind: str, extra: Mapping[str, str] | None = None
    ) -> Source:
        """Return the source of which `stored` was stored."""
        path, *member = os.fsdecode(stored).split(SEPARATOR)
        return cls(name, path, kind, member=tuple(member), extra=extra or {})

    @property
    def stored(self) -> bytes:
        """The path to open, to be stored: for a member, its names follow after NUL characters."""
        return os.fsencode(SEPARATOR.join((self.path, *self.member)))

    @property
    def canonical(self) -> bytes:
        """Where it lies: the same bytes for all paths that lead to it.

        Links are resolved in its folders, but not in its last part: a link to a file has a name of
        its own.
        """
        folder, name = os.path.split(self.path)
        if not os.path.isabs(folder):
            folder = os.path.join(os.getcwd(), folder)
        path = os.path.join(_real_path(folder), name)
        return os.fsencode(SEPARATOR.join((path, *self.member)))

    @property
    def suffix(self) -> str:
        """Its suffix in lower case, with the dot."""
        return os.path.splitext(self.member[-1] if self.member else self.path)[1].lower()

    def absolute(self) -> Source:
        """Return the source with an absolute path, and the same name."""
        return replace(self, path=os.path.abspath(self.path))

    def with_member(self, name: str, kind: str = "", problem: str = "") -> Source:
        """Return the source for a member of this archive."""
        return Source.of(self.path, *self.member, name, kind=kind, problem=problem)

    def open(self) -> IO[bytes]:
        """Open it. A compressed member is unpacked into memory.

        Raises:
            IrregularFile: it is a folder, a pipe or a device.
            OSError: it cannot be read, or is too large to be unpacked.
        """
        if self.member:
            return self._container().open(self.member[-1])
        return open(self.path, "rb", opener=_open_regular)

    def stream(self) -> IO[bytes]:
        """Open a member of any size to read it once from its start.

        Raises:
            OSError: it cannot be read. While it is read, also `gudi.media.archives.DAMAGE`.
        """
        return self._container().stream(self.member[-1])

    def status(self) -> tuple[int, int]:
        """Return its size in bytes, and a number that changes with its content.

        Raises:
            OSError: it cannot be found.
        """
        if self.member:
            member = self._container().find(self.member[-1])
            return member.size, member.stamp
        status = os.stat(self.path)
        return status.st_size, status.st_mtime_ns

    def digest(self) -> bytes:
        """Return the hash of its content, see `content_digest`.

        Raises:
            OSError: it cannot be read.
        """
        with self.open() as file:
            return content_digest(iter(functools.partial(file.read, 2**20), b""))

    def is_archive(self) -> bool:
        """Return whether it is an archive that can be read, or a damaged one."""
        return is_archive(self.path, *self.member)

    def members(self) -> Iterator[Member]:
        """Yield the members of this archive, except for folders, in their order in it.

        Raises:
            OSError: it cannot be read, or not to its end.
        """
        return open_archive(self.path, *self.member).members()

    def _container(self) -> Archive:
        """Return the archive that holds this member."""
        return open_archive(self.path, *self.member[:-1])


def content_digest(blocks: Iterable[bytes]) -> bytes:
    """Return a hash of a file's content, which is given in blocks: BLAKE2b, 16 bytes."""
    content = hashlib.blake2b(digest_size=16)
    for block in blocks:
        content.update(block)
    return content.digest()


def describe_irregular(mode: int) -> str:
    """Return what is wrong with a path that is not a regular file.

    Args:
        mode: its `st_mode`.
    """
    return f"it is {FILE_TYPES.get(stat.S_IFMT(mode), 'not a file')}"


def _open_regular(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | OPEN_FLAGS)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise IrregularFile(errno.EINVAL, describe_irregular(mode))
    return descriptor


@functools.lru_cache(1000)
def _real_path(folder: str) -> str:
    return os.path.realpath(folder)

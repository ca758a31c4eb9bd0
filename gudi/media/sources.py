"""Find the photos and videos that a run works on."""

from __future__ import annotations

import codecs
import functools
import glob
import hashlib
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gudi.errors import InputError, one_line
from gudi.media.files import describe_irregular

# Endings by which photos and videos are told from other files in a folder. A file that is named
# itself is tried whatever it ends in, and what a photo is, its content decides.
PHOTO_SUFFIXES = frozenset(
    [
        ".avif",
        ".bmp",
        ".dib",
        ".exr",
        ".gif",
        ".hdr",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".pic",
        ".png",
        ".pnm",
        ".ppm",
        ".pxm",
        ".ras",
        ".sr",
        ".tif",
        ".tiff",
        ".webp",
    ]
)
VIDEO_SUFFIXES = frozenset(
    [
        ".3gp",
        ".avi",
        ".flv",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".ogv",
        ".ts",
        ".webm",
        ".wmv",
    ]
)

# Endings of MPEG transport streams that TypeScript has, too, and what tells a stream: packets of
# 188 bytes, or 192 with a time stamp each, that begin with the letter G. It may begin within one.
SHARED_SUFFIXES = (".ts", ".mts")
PACKETS = re.compile(rb"G.{187}G.{187}G|G.{191}G.{191}G", re.DOTALL)

IMAGE, VIDEO, FOLDER = "image", "video", "folder"


@dataclass(frozen=True, slots=True)
class Source:
    """One thing to work on.

    Attributes:
        name: the path as reached from the INPUT that was typed, with forward slashes, `printable_path`.
        path: the path to open.
        kind: `image`, `video`, or `folder` for one that cannot be looked into.
        problem: why it cannot be worked on, if that is known before it is opened; or "".
    """

    name: str
    path: str
    kind: str
    problem: str = ""


def find(
    inputs: Iterable[str],
    *,
    exclude: Path | None = None,
    is_new: Callable[[str], bool] | None = None,
    stdin: BinaryIO | None = None,
    skipped: Counter | None = None,
) -> Iterator[Source]:
    """Yield what there is to work on below `inputs`, each path once.

    Folders are searched recursively and in order of names; hidden files and folders are left out,
    links are followed, each folder is visited once.

    Args:
        inputs: files, folders, glob patterns, `@FILE` for a list of paths, `-` for a list on
            standard input. A list has a path a line, or is separated by NUL characters.
        exclude: a folder to leave out: the one that results go to.
        is_new: tells whether a path leads to a place that has not come before; by default what
            has come is kept in memory.
        stdin: where `-` reads from; standard input by default.
        skipped: gets the number of files in folders that do not end as photos or videos do, by
            their endings.

    Raises:
        InputError: an input is not there, or a pattern matches nothing. What a list names and
            is not there is yielded, with its problem, and so is a link that leads nowhere.
    """
    walk = _Walk(exclude, Counter() if skipped is None else skipped)
    is_new = is_new or Seen().is_new
    for path, listed in _expand(inputs, stdin):
        for source in walk.look_at(path, listed=listed):
            if is_new(source.path):
                yield source


def canonical_path(path: str | os.PathLike) -> bytes:
    """Return where the file at `path` lies: the same for all paths by which it can be reached.

    That a link leads to the file itself is left out of account: it has a name of its own.
    """
    folder, name = os.path.split(path)
    if not os.path.isabs(folder):
        folder = os.path.join(os.getcwd(), folder)
    return os.fsencode(os.path.join(_real(folder), name))


_real = functools.lru_cache(1000)(os.path.realpath)


class Seen:
    """Remembers places in memory."""

    def __init__(self) -> None:
        self._places: set[bytes] = set()

    def is_new(self, path: str) -> bool:
        """Tell whether this place has not come before."""
        there = canonical_path(path)
        new = there not in self._places
        self._places.add(there)
        return new


def content_digest(path: str | os.PathLike) -> bytes:
    """Return a hash of the file's content: BLAKE2b, 16 bytes.

    Raises:
        OSError: it cannot be read.
    """
    content = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while piece := file.read(2**20):
            content.update(piece)
    return content.digest()


class _Walk:
    """One walk over all inputs."""

    def __init__(self, exclude: Path | None, skipped: Counter) -> None:
        self.skipped = skipped
        self.visited: set[tuple[int, int]] = set()
        if exclude is not None and exclude.exists():
            self.visited.add(_identity(os.stat(exclude)))

    def look_at(self, path: str, *, listed: bool = True) -> Iterator[Source]:
        """Yield what `path` stands for: a file itself, a folder's contents."""
        kind = _kind(path)
        try:
            status = os.stat(path)
        except OSError as error:
            if not (listed or os.path.islink(path)) and isinstance(error, FileNotFoundError):
                raise InputError(f"no such file or folder: {one_line(path)}") from None
            yield _source(path, kind or IMAGE, _unreachable(path, error))
            return
        if stat.S_ISREG(status.st_mode):
            yield _source(path, kind or IMAGE)
        elif stat.S_ISDIR(status.st_mode):
            yield from self._look_into(path)
        else:
            yield _source(path, kind or IMAGE, describe_irregular(status.st_mode))

    def _look_into(self, folder: str) -> Iterator[Source]:
        """Yield what is in `folder`, and in the folders in it however deep they are."""
        if _kind(folder):
            yield _source(folder, FOLDER, "it is a folder, though named like a file")
        waiting = [iter(self._names(folder))]
        while waiting:
            found = next(waiting[-1], None)
            if found is None:
                waiting.pop()
            elif isinstance(found, Source):
                yield found
            elif os.path.isdir(found):
                if _kind(found):
                    yield _source(found, FOLDER, "it is a folder, though named like a file")
                waiting.append(iter(self._names(found)))
            else:
                yield from self.look_at(found)

    def _names(self, folder: str) -> Iterable[str | Source]:
        """Return the paths in `folder` that are to be looked at, or what keeps it closed."""
        try:
            identity = _identity(os.stat(folder))
            if identity in self.visited:
                return []
            self.visited.add(identity)
            names = sorted(os.listdir(folder))
        except OSError as error:
            return [_source(folder, FOLDER, f"it cannot be opened: {error.strerror}")]
        paths = (os.path.join(folder, name) for name in names if not name.startswith("."))
        return (path for path in paths if self._is_wanted(path))

    def _is_wanted(self, path: str) -> bool:
        """Tell whether to look at what is in a folder; count files that are passed over."""
        if (_kind(path) and not _is_program(path)) or os.path.isdir(path):
            return True
        self.skipped[os.path.splitext(path)[1].lower()] += 1
        return False


def _expand(inputs: Iterable[str], stdin: BinaryIO | None) -> Iterator[tuple[str, bool]]:
    """Yield the paths that `inputs` name, and whether a list or a pattern named them."""
    for each in inputs:
        if each == "-":
            if stdin is None and sys.stdin is None:
                raise InputError("standard input is closed, so there is no list on it")
            yield from ((path, True) for path in _lines(stdin or sys.stdin.buffer))
        elif each.startswith("@") and not os.path.lexists(each):
            try:
                with open(each[1:], "rb") as file:
                    yield from ((path, True) for path in _lines(file))
            except OSError as error:
                raise InputError(
                    f"the list {one_line(each[1:])} cannot be read: {error.strerror}"
                ) from error
        elif glob.has_magic(each) and not os.path.lexists(each):
            matches = sorted(glob.glob(each, recursive=True))
            if not matches:
                raise InputError(f"nothing matches {one_line(each)}")
            yield from ((path, True) for path in matches)
        else:
            yield each, False


def _lines(file: BinaryIO) -> Iterator[str]:
    """Yield the paths of a list: a line each, or, where there are NULs, between those."""
    text = file.read()
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes it
        text = text.decode("utf-16", "replace").encode()
    text = text.removeprefix(codecs.BOM_UTF8)
    entries = text.split(b"\0") if b"\0" in text else text.splitlines()
    return (os.fsdecode(entry) for entry in entries if entry.strip())


def printable_path(path: str) -> str:
    """Return `path` as one line of text that no other path has.

    Bytes that are no UTF-8, control characters, line separators and backslashes become `\\xff`, a
    byte each.
    """
    # Bytes that are no text in this locale come as surrogates. Most are UTF-8 all the same.
    text = os.fsencode(path).decode("utf-8", "surrogateescape")
    return _UNSPELLABLE.sub(_escaped, text)


_UNSPELLABLE = re.compile("[\\\\\0-\x1f\x7f-\x9f\u2028\u2029\udc80-\udcff]")


def _escaped(found: re.Match) -> str:
    return "".join(f"\\x{byte:02x}" for byte in found[0].encode("utf-8", "surrogateescape"))


def _source(path: str, kind: str, problem: str = "") -> Source:
    return Source(printable_path(Path(path).as_posix()), path, kind, problem)


def _kind(path: str) -> str:
    """Return what a file is by its ending: `image`, `video`, or "" for neither."""
    ending = os.path.splitext(path)[1].lower()
    if ending in PHOTO_SUFFIXES:
        return IMAGE
    return VIDEO if ending in VIDEO_SUFFIXES else ""


def _is_program(path: str) -> bool:
    """Tell whether the file at `path` is called like a transport stream and is none."""
    if not path.lower().endswith(SHARED_SUFFIXES) or not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            return not PACKETS.search(file.read(1024))
    except OSError:
        return False  # its row says why


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _unreachable(path: str, error: OSError) -> str:
    if not isinstance(error, FileNotFoundError):
        return f"it cannot be reached: {error.strerror}"
    if os.path.islink(path):
        return f"it is a link to {one_line(os.readlink(path))}, which is not there"
    return "no such file"

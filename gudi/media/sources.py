"""Find the photos and videos that a run processes."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from gudi.errors import InputError, one_line
from gudi.media.archives import file_path, is_archive, list_members, member_path, shown_path
from gudi.media.content import (
    ARCHIVE,
    IMAGE,
    JPEG_SUFFIXES,
    VIDEO,
    identify_file,
    may_be_animation,
)
from gudi.media.files import describe_irregular, open_media
from gudi.media.inputs import expand
from gudi.media.names import SeenPaths, as_cell, canonical_path, printable_path, table_name

__all__ = [
    "FOLDER",
    "IMAGE",
    "OUTPUT",
    "PHOTO_SUFFIXES",
    "VIDEO",
    "VIDEO_SUFFIXES",
    "Source",
    "as_cell",
    "canonical_path",
    "content_digest",
    "find",
    "printable_path",
    "table_name",
]

# In folders, photos and videos are selected by suffix. A file that is named directly is processed
# whatever its suffix. The format of a file is detected from its content.
PHOTO_SUFFIXES = frozenset({
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".hdr", ".heic", ".heif", ".hif", ".j2k", ".jfif",
    ".jp2", ".jpe", ".jpeg", ".jpg", ".jpx", ".jxl", ".mpo", ".pam", ".pbm", ".pgm", ".pic", ".png",
    ".pnm", ".ppm", ".pxm", ".ras", ".sr", ".tif", ".tiff", ".webp",
})  # fmt: skip
VIDEO_SUFFIXES = frozenset({
    ".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".dvr-ms", ".f4v", ".flv",
    ".h264", ".h265", ".hevc", ".insv", ".ivf", ".lrv", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v",
    ".m4v", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mod", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg",
    ".mts", ".mxf", ".nut", ".obu", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".tod", ".ts", ".vob",
    ".vro", ".webm", ".wmv", ".wtv", ".y4m",
})  # fmt: skip

# Suffixes of photos that animations and files of several pages have, too. Those count as videos.
ANIMATION_SUFFIXES = (".apng", ".avif", ".gif", ".png", ".tif", ".tiff", ".webp")

# Suffixes of videos that other files have, too: TypeScript, modules of programs and of music.
AMBIGUOUS_SUFFIXES = (".ts", ".mts", ".mod", ".tod")

# Counts what gudi wrote among the skipped suffixes, which start with a dot.
OUTPUT = "gudi's own"

FOLDER = "folder"

FOLDER_NAMED_LIKE_FILE = "it is a folder, though named like a file"


@dataclass(frozen=True, slots=True)
class Source:
    """One input file.

    Attributes:
        name: the path as it follows from the INPUT that the user gave, with forward slashes, as
            `table_name` writes it.
        path: the path to open, see `gudi.media.archives` for a file in an archive.
        kind: `image`, `video`, or `folder` or `archive` for one that cannot be read.
        problem: "" or why the file cannot be processed, if that is known before it is opened.
        carried: names and values of the columns that a list in csv gives it; in the ledger they are
            beside the source.
    """

    name: str
    path: str
    kind: str
    problem: str = ""
    carried: tuple[tuple[str, str], ...] = field(default=(), compare=False)


def find(
    inputs: Iterable[str],
    *,
    exclude: Path | None = None,
    is_new: Callable[[str], bool] | None = None,
    stdin: BinaryIO | None = None,
    skipped: Counter[str] | None = None,
    is_output: Callable[[str, bool], bool] | None = None,
) -> Iterator[Source]:
    """Yield the photos and videos that `inputs` stand for, each path once.

    Folders are searched recursively, in the order of their names. Hidden files and folders are
    skipped. Links are followed, and each folder is visited once.

    Args:
        inputs: files, archives, folders, glob patterns, `@FILE` for a list of paths, `-` for a list
            on standard input. A list has one path per line, or is separated by NUL characters.
        exclude: a folder to skip: the one that results go to.
        is_new: tells whether a path leads to a file that has not been found before. By default,
            what has been found is remembered in memory.
        stdin: what `-` reads; standard input by default.
        skipped: receives the number of files in folders without the suffix of a photo or video,
            by suffix, and as `OUTPUT` that of files and folders for which `is_output` holds.
        is_output: tells whether a path in a folder, and whether it is a folder itself, is something
            that gudi wrote, which is skipped.

    Raises:
        InputError: an input does not exist, or a pattern matches nothing. A missing path from a
            list, or a link that leads nowhere, is yielded with its problem instead.
    """
    search = _Search(exclude, Counter() if skipped is None else skipped, is_output)
    is_new = is_new or SeenPaths().is_new
    for path, listed, carried in expand(inputs, stdin):
        for source in search.named(path, listed=listed):
            if is_new(source.path):
                yield replace(source, carried=carried) if carried else source


def content_digest(path: str | os.PathLike[str]) -> bytes:
    """Return a hash of the file's content: BLAKE2b, 16 bytes.

    Raises:
        OSError: it cannot be read.
    """
    content = hashlib.blake2b(digest_size=16)
    with open_media(path) as (file, _):
        while block := file.read(2**20):
            content.update(block)
    return content.digest()


class _Search:
    """A search through all inputs."""

    def __init__(
        self,
        exclude: Path | None,
        skipped: Counter[str],
        is_output: Callable[[str, bool], bool] | None,
    ) -> None:
        self._skipped, self._is_output = skipped, is_output
        self._visited: set[tuple[int, int]] = set()
        if exclude is not None and exclude.exists():
            self._visited.add(_identity(os.stat(exclude)))

    def named(self, path: str, *, listed: bool) -> Iterator[Source]:
        """Yield what a path among the inputs stands for: the file itself, or what is in the folder.

        Args:
            path: a file or folder.
            listed: whether a missing file is a problem of its source rather than an error.
        """
        try:
            os.stat(path)
        except OSError as error:
            archive, member = _split_archive(path)
            if member:
                yield from self._in_archive(archive, member, listed=listed)
                return
            if not (listed or os.path.islink(path)) and isinstance(error, FileNotFoundError):
                raise InputError(f"no such file or folder: {one_line(path)}") from None
        if os.path.isdir(path):
            yield from self._inside(path)
        elif _is_archive(path):
            yield from self._in_archive(path)
        else:
            kind = _kind_by_content(path)
            yield _file_source(path, VIDEO if kind == IMAGE and _is_animation(path) else kind)

    def _in_archive(
        self, archive: str, chosen: str = "", *, listed: bool = False
    ) -> Iterator[Source]:
        """Yield the photos and videos in an archive, in their order in it.

        Args:
            archive: its path.
            chosen: a member, or a folder in the archive; "" for all.
            listed: as for `named`.

        Raises:
            InputError: there is no such member.
        """
        found = False
        try:
            for member in list_members(archive):
                path = member_path(archive, member.name)
                if chosen and not f"{member.name}/".startswith(f"{chosen}/"):
                    continue
                found = True
                if member.name == chosen or self._is_wanted_member(path, member.name):
                    yield _source(path, _kind_of_member(path), member.problem)
        except OSError as error:
            found = True
            yield _source(archive, ARCHIVE, f"not all of it can be read: {error.strerror}")
        if chosen and not found:
            if not listed:
                raise InputError(f"no such file in {one_line(archive)}: {one_line(chosen)}")
            yield _source(member_path(archive, chosen), IMAGE, "no such file in the archive")

    def _is_wanted_member(self, path: str, name: str) -> bool:
        """Tell whether to process a file in an archive, and count the files to skip."""
        if any(part.startswith(".") for part in name.split("/")):
            return False
        if self._is_output is not None and self._is_output(path, False):
            self._skipped[OUTPUT] += 1
        elif _kind(path) and not _is_other(path):
            return True
        else:
            self._skipped[os.path.splitext(path)[1].lower()] += 1
        return False

    def _inside(self, folder: str) -> Iterator[Source]:
        """Yield what is in `folder` and its subfolders, however deep they are."""
        if _kind(folder):
            yield _source(folder, FOLDER, FOLDER_NAMED_LIKE_FILE)
        stack = [iter(self._entries(folder))]
        while stack:
            entry = next(stack[-1], None)
            if entry is None:
                stack.pop()
            elif isinstance(entry, Source):
                yield entry
            elif os.path.isdir(entry):
                if _kind(entry):
                    yield _source(entry, FOLDER, FOLDER_NAMED_LIKE_FILE)
                stack.append(iter(self._entries(entry)))
            else:
                is_video = _has_suffix(entry, ANIMATION_SUFFIXES) and _is_animation(entry)
                yield _file_source(entry, VIDEO if is_video else _kind(entry))

    def _entries(self, folder: str) -> Iterable[str | Source]:
        """Return the paths in `folder` to follow, or a source that says why it cannot be read."""
        try:
            identity = _identity(os.stat(folder))
            if identity in self._visited:
                return []
            self._visited.add(identity)
            names = sorted(os.listdir(folder))
        except OSError as error:
            return [_source(folder, FOLDER, f"it cannot be opened: {error.strerror}")]
        paths = (os.path.join(folder, name) for name in names if not name.startswith("."))
        return (path for path in paths if self._is_wanted(path))

    def _is_wanted(self, path: str) -> bool:
        """Tell whether to follow a path in a folder, and count the files to skip."""
        is_file = bool(_kind(path))  # a folder named like a file is a problem of its own
        is_folder = not is_file and os.path.isdir(path)
        if self._is_output is not None and self._is_output(path, is_folder):
            self._skipped[OUTPUT] += 1
            return False
        if is_folder or (is_file and not _is_other(path)) or os.path.isdir(path):
            return True
        self._skipped[os.path.splitext(path)[1].lower()] += 1
        return False


def _source(path: str, kind: str, problem: str = "") -> Source:
    return Source(table_name(Path(shown_path(path)).as_posix()), path, kind, problem)


def _file_source(path: str, kind: str) -> Source:
    """Return the source for the file at `path`. It must not be a folder."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return _source(path, kind, _describe_unreachable(path, error))
    return _source(path, kind, "" if stat.S_ISREG(mode) else describe_irregular(mode))


def _kind(path: str) -> str:
    """Return the kind of a file by its suffix: `image`, `video`, or "" for neither."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix in PHOTO_SUFFIXES:
        return IMAGE
    return VIDEO if suffix in VIDEO_SUFFIXES else ""


def _kind_by_content(path: str) -> str:
    """Return the kind of a file by its content or, if that is not clear, by its suffix."""
    kind, content = _kind(path), None
    if os.path.isfile(file_path(path)):
        content = identify_file(path)
    if content is None or content.kind not in (IMAGE, VIDEO) or _has_suffix(path, JPEG_SUFFIXES):
        return kind or IMAGE
    return content.kind


def _is_animation(path: str) -> bool:
    """Tell whether the file at `path` is a picture of several frames or pages."""
    if not may_be_animation(path):
        return False
    # Imported when it is needed: it takes OpenCV, and `gudi predict` lists its photos first.
    from gudi.media.animation import has_several_frames

    return has_several_frames(path)


def _is_archive(path: str) -> bool:
    """Tell whether a file that was named is an archive of photos and videos."""
    if _kind(path) or not os.path.isfile(path):
        return False
    content = identify_file(path)
    return (content is None or content.kind in ("", ARCHIVE)) and is_archive(path)


def _split_archive(path: str) -> tuple[str, str]:
    """Split a path that leads into an archive, which is a file; the last part is "" for others."""
    archive, member = os.path.normpath(path), ""
    while not os.path.lexists(archive) and os.path.dirname(archive) != archive:
        archive, name = os.path.split(archive)
        member = f"{name}/{member}" if member else name
    return (archive, member) if _is_archive(archive) else ("", "")


def _kind_of_member(path: str) -> str:
    if _has_suffix(path, ANIMATION_SUFFIXES) and _is_animation(path):
        return VIDEO
    return _kind(path) or _kind_by_content(path)


def _is_other(path: str) -> bool:
    """Tell whether a file has an ambiguous suffix, and is no video."""
    if not _has_suffix(path, AMBIGUOUS_SUFFIXES) or not os.path.isfile(file_path(path)):
        return False
    if not os.access(file_path(path), os.R_OK):
        return False  # its result will say why
    content = identify_file(path)
    return content is None or content.kind != VIDEO


def _has_suffix(path: str, suffixes: tuple[str, ...]) -> bool:
    return path.lower().endswith(suffixes)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _describe_unreachable(path: str, error: OSError) -> str:
    if not isinstance(error, FileNotFoundError):
        return f"it cannot be reached: {error.strerror}"
    if os.path.islink(path):
        return f"it is a link to {one_line(os.readlink(path))}, which does not exist"
    return "no such file"

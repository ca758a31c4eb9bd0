"""Find the photos and videos that a run processes."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from gudi.errors import InputError, one_line
from gudi.media.content import (
    ARCHIVE,
    IMAGE,
    JPEG_SUFFIXES,
    VIDEO,
    identify_source,
    may_be_animation,
)
from gudi.media.inputs import expand
from gudi.media.lists import InputPath
from gudi.media.source import Source, describe_irregular

# In folders, photos and videos are selected by suffix. A file that is named directly is processed
# with any suffix. The format of a file is detected from its content.
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

# A file that iCloud has not downloaded: `.IMG_1.jpg.icloud` for `IMG_1.jpg`.
PLACEHOLDER = ".icloud"

# Counts what gudi wrote among the skipped suffixes, which start with a dot.
OUTPUT = "gudi's own"

# The same for folders and files that are skipped by their names.
SYSTEM, EXCLUDED = "of the system", "excluded"

# Folders in which NAS boxes and operating systems keep thumbnails and deleted files, in lower case.
SYSTEM_FOLDERS = frozenset({
    "@eadir", "@recently-snapshot", "@recycle", "@tmp", "#recycle", "#snapshot", "$recycle.bin",
    ".@__thumb", ".thumbnails", ".trashes", "lost+found", "system volume information",
})  # fmt: skip

FOLDER = "folder"


def find_sources(
    inputs: Iterable[str],
    *,
    out: Path | None = None,
    exclude: Sequence[str] = (),
    is_new: Callable[[Source], bool] | None = None,
    stdin: BinaryIO | None = None,
    skipped: Counter[str] | None = None,
    is_output: Callable[[Source], bool] | None = None,
) -> Iterator[Source]:
    """Yield the photos and videos that `inputs` stand for, each path once.

    Folders are searched recursively, in the order of their names. Hidden files and folders are
    skipped, and so are `SYSTEM_FOLDERS`. Links are followed, and each folder is visited once.

    Args:
        inputs: files, archives, folders, glob patterns, `@FILE` for a list of paths, `-` for a list
            on standard input. A list has one path per line, or is separated by NUL characters.
        out: a folder to skip: the one that results go to.
        exclude: patterns of files and folders to skip: of names, or of the last parts of paths.
        is_new: tells whether a source has not been found before. By default, what has been found is
            remembered in memory.
        stdin: what `-` reads; standard input by default.
        skipped: receives the number of files in folders without the suffix of a photo or video,
            by suffix; as `OUTPUT` that of files and folders for which `is_output` holds; and those
            that are skipped as `SYSTEM` and `EXCLUDED`.
        is_output: tells whether a file or folder in a folder or archive is something that gudi
            wrote, which is skipped.

    Raises:
        InputError: an input does not exist, or a pattern matches nothing. A missing path from a
            list, or a link that leads nowhere, is yielded with its problem instead.
    """
    search = _Search(out, exclude, Counter() if skipped is None else skipped, is_output)
    found: set[bytes] = set()
    values: dict[bytes, Mapping[str, str]] = {}
    for given in expand(inputs, stdin):
        for source in search.named(given):
            if is_new is None:
                before = len(found)
                found.add(source.canonical)
                new = len(found) > before
            else:
                new = is_new(source)
            if given.extra:
                key = source.canonical
                if values.get(key, given.extra if new else None) != given.extra:
                    raise InputError(
                        f"{given.where}: {source.name} was among the inputs before, with other "
                        "values or none; name it once"
                    )
                values[key] = given.extra
            if new:
                yield replace(source, extra=given.extra) if given.extra else source


class _Search:
    """A search through all inputs."""

    def __init__(
        self,
        out: Path | None,
        exclude: Sequence[str],
        skipped: Counter[str],
        is_output: Callable[[Source], bool] | None,
    ) -> None:
        self._skipped, self._is_output = skipped, is_output
        self._exclude = [f"*/{os.path.normpath(each)}" for each in exclude]
        self._visited: set[tuple[int, int]] = set()
        if out is not None and out.exists():
            self._visited.add(_identity(os.stat(out)))

    def named(self, given: InputPath) -> Iterator[Source]:
        """Yield what a path among the inputs stands for: the file itself, or what is in the folder.

        A missing file is an error or, if it was listed, a problem of its source.
        """
        path, listed = given.path, given.listed
        if self._is_passed_over(path, given.matched_names):
            return
        try:
            os.stat(path)
        except OSError as error:
            archive, member = _split_archive(path)
            if archive is not None:
                yield from self._in_archive(archive, member, listed=listed)
                return
            if not (listed or os.path.islink(path)) and isinstance(error, FileNotFoundError):
                raise InputError(f"no such file or folder: {one_line(path)}") from None
        source = Source.of(path)
        if os.path.isdir(path):
            yield from self._inside(path)
        elif _is_archive(source):
            yield from self._in_archive(source)
        else:
            problem = _file_problem(path, given.missing)
            yield replace(source, kind=_kind_by_content(source), problem=problem)

    def _in_archive(
        self, archive: Source, chosen: str = "", *, listed: bool = False
    ) -> Iterator[Source]:
        """Yield the photos and videos in an archive, in their order in it.

        Args:
            archive: the archive.
            chosen: a member, or a folder in the archive; "" for all.
            listed: as for `named`.

        Raises:
            InputError: there is no such member.
        """
        found = False
        try:
            for member in archive.members():
                is_hidden = any(part.startswith(".") for part in member.name.split("/"))
                if chosen and not f"{member.name}/".startswith(f"{chosen}/"):
                    continue
                found = True
                if self._is_passed_over(f"{archive.path}/{member.name}", member.name.split("/")):
                    continue
                kind = _kind(_suffix(member.name))
                source = archive.with_member(member.name, kind, member.problem)
                if member.name == chosen:
                    yield replace(source, kind=_kind_by_content(source))
                elif not is_hidden and self._is_candidate(member.name) and self._is_wanted(source):
                    yield _with_frames(source)
        except OSError as error:
            found = True
            problem = f"not all of it can be read: {error.strerror}"
            yield replace(archive, kind=ARCHIVE, problem=problem)
        if chosen and not found:
            if not listed:
                raise InputError(f"no such file in {one_line(archive.path)}: {one_line(chosen)}")
            yield archive.with_member(chosen, IMAGE, "no such file in the archive")

    def _inside(self, folder: str) -> Iterator[Source]:
        """Yield what is in `folder` and its subfolders, however deep they are."""
        stack = [self._entries(folder)]
        while stack:
            source = next(stack[-1], None)
            if source is None:
                stack.pop()
            elif source.kind == FOLDER and not source.problem:
                stack.append(self._entries(source.path))
            else:
                yield source

    def _entries(self, folder: str) -> Iterator[Source]:
        """Yield the files and folders in `folder`, and what is wrong with it."""
        if _kind(_suffix(folder)):
            yield Source.of(folder, kind=FOLDER, problem="it is a folder, though named like a file")
        try:
            identity = _identity(os.stat(folder))
            if identity in self._visited:
                return
            self._visited.add(identity)
            names = sorted(os.listdir(folder))
        except OSError as error:
            yield Source.of(folder, kind=FOLDER, problem=f"it cannot be opened: {error.strerror}")
            return
        for name in names:
            path = os.path.join(folder, name)
            if name.startswith(".") and name.endswith(PLACEHOLDER):
                self._skipped[PLACEHOLDER] += 1
            if self._is_passed_over(path, [name]) or name.startswith("."):
                continue
            if os.path.isdir(path):
                source = Source.of(path, kind=FOLDER)
                if self._is_wanted(source):
                    yield source
            elif self._is_candidate(name):
                source = Source.of(path, kind=_kind(_suffix(name)), problem=_file_problem(path))
                if self._is_wanted(source):
                    yield _with_frames(source)

    def _is_passed_over(self, path: str, names: Iterable[str] = ()) -> bool:
        """Return whether a path is to be skipped by its name, and count it if so.

        Args:
            path: of a file or folder.
            names: those of its parts that the user has not named.
        """
        if any(map(_is_system_folder, names)):
            self._skipped[SYSTEM] += 1
        elif any(fnmatch.fnmatch(f"/{os.path.normpath(path)}", each) for each in self._exclude):
            self._skipped[EXCLUDED] += 1
        else:
            return False
        return True

    def _is_candidate(self, name: str) -> bool:
        """Return whether a file is named like a photo or video, and count it if not."""
        if _kind(_suffix(name)):
            return True
        self._skipped[_suffix(name)] += 1
        return False

    def _is_wanted(self, source: Source) -> bool:
        """Return whether to follow a path in a folder or archive, and count it if not."""
        if self._is_output is not None and self._is_output(source):
            self._skipped[OUTPUT] += 1
        elif source.kind != FOLDER and _is_other(source):
            self._skipped[source.suffix] += 1
        else:
            return True
        return False


def _is_system_folder(name: str) -> bool:
    name = name.lower()
    return name in SYSTEM_FOLDERS or re.match(r"\.trash(-|$)", name) is not None


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _file_problem(path: str, missing: str = "no such file") -> str:
    """Return "", or what is wrong with a path that is not that of a regular file."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if os.path.islink(path):
            return f"it is a link to {one_line(os.readlink(path))}, which does not exist"
        return missing
    except OSError as error:
        return f"it cannot be reached: {error.strerror}"
    return "" if stat.S_ISREG(mode) else describe_irregular(mode)


def _kind(suffix: str) -> str:
    """Return the kind of a file with this suffix: `image`, `video`, or "" for neither."""
    if suffix in PHOTO_SUFFIXES:
        return IMAGE
    return VIDEO if suffix in VIDEO_SUFFIXES else ""


def _with_frames(source: Source) -> Source:
    """Return a source whose kind follows from its suffix as a video if it is an animation."""
    is_video = source.suffix in ANIMATION_SUFFIXES and _is_animation(source)
    return replace(source, kind=VIDEO) if is_video else source


def _kind_by_content(source: Source) -> str:
    """Return the kind of a file by its content or, if that is not clear, by its suffix."""
    content, kind = identify_source(source), _kind(source.suffix) or IMAGE
    if source.suffix not in JPEG_SUFFIXES and content and content.kind in (IMAGE, VIDEO):
        kind = content.kind
    return VIDEO if kind == IMAGE and _is_animation(source) else kind


def _is_animation(source: Source) -> bool:
    """Return whether it is a picture of several frames or pages.

    False for unreadable files; decoding them reports the error.
    """
    with contextlib.suppress(OSError), source.open() as file:
        if may_be_animation(file):
            # Imported for the few that need it: it takes OpenCV, and listing comes first.
            from gudi.media.animation import is_animation

            return is_animation(file)
    return False


def _is_archive(source: Source) -> bool:
    """Return whether a file that was named is an archive of photos and videos."""
    if _kind(source.suffix) or not os.path.isfile(source.path):
        return False
    content = identify_source(source)
    return (content is None or content.kind in ("", ARCHIVE)) and source.is_archive()


def _split_archive(path: str) -> tuple[Source | None, str]:
    """Split a path that leads into an archive, which is a file; return None and "" for others."""
    archive, member = os.path.normpath(path), ""
    while not os.path.lexists(archive) and os.path.dirname(archive) != archive:
        archive, name = os.path.split(archive)
        member = f"{name}/{member}" if member else name
    source = Source.of(archive)
    return (source, member) if member and _is_archive(source) else (None, "")


def _is_other(source: Source) -> bool:
    """Return whether a file with an ambiguous suffix is not a video; unreadable ones may be."""
    if source.suffix not in AMBIGUOUS_SUFFIXES or not os.path.isfile(source.path):
        return False
    if not os.access(source.path, os.R_OK):
        return False
    content = identify_source(source)
    return content is None or content.kind != VIDEO


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino

"""The inputs of a run: list them, and describe what was skipped."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from gudi.columns import reserved_names
from gudi.errors import InputError, one_line
from gudi.media.content import VIDEO, is_media
from gudi.media.find import (
    EXCLUDED,
    FOLDER,
    OUTPUT,
    SYSTEM,
    find_sources,
)
from gudi.media.names import printable_path
from gudi.media.source import Source

VIDEO_PROBLEM = "it is a video, or has several frames or pages: use gudi batch"

# Inserted before the suffix of the pictures that `gudi predict` draws.
ANNOTATED = ".emotions"

MAX_SUFFIXES = 5  # that a note about skipped files names
MAX_RECORDED = 100  # that the run record has
MAX_PIPED = 2**28  # bytes of a photo or list that comes through a pipe


def list_sources(
    inputs: Sequence[str],
    *,
    out: Path | None = None,
    exclude: Sequence[str] = (),
    is_new: Callable[[Source], bool] | None = None,
    skipped: Counter[str] | None = None,
    stdin: BinaryIO | None = None,
) -> Iterator[Source]:
    """Yield the photos and videos that `inputs` lead to.

    Args:
        inputs, out, exclude, is_new, skipped, stdin: see `gudi.media.find`.

    Raises:
        InputError: there are none.
    """
    source, skipped = None, Counter() if skipped is None else skipped
    for source in find_sources(
        inputs,
        out=out,
        exclude=exclude,
        is_new=is_new,
        stdin=stdin,
        skipped=skipped,
        is_output=_is_output,
    ):
        yield source
    if source is not None:
        return
    if set(inputs) == {"-"}:
        raise InputError("no photos or videos: the list on standard input is empty")
    if all(each.startswith("@") for each in inputs):
        lists = one_line(", ".join(each[1:] for each in inputs))
        raise InputError(f"no photos or videos: {lists} is empty" if inputs else "no inputs")
    where = one_line(" ".join(inputs)) or "an empty list"
    described = f"; skipped {describe_skipped(skipped)}" if skipped else ""
    raise InputError(f"no photos or videos in {where}{described} (hidden files are not searched)")


def _is_output(source: Source) -> bool:
    """Return whether gudi wrote `source`: a result folder, or a picture of `gudi predict`."""
    if source.kind != FOLDER:
        return PurePosixPath(source.name).stem.endswith(ANNOTATED)
    # Imported when it is needed: it takes NumPy, and `gudi predict` lists its photos first.
    from gudi.outputs.run_record import is_result_folder
    from gudi.store import STORE

    return os.path.exists(os.path.join(source.path, STORE)) or is_result_folder(Path(source.path))


def list_photos(inputs: Sequence[str], temporary: contextlib.ExitStack) -> list[Source]:
    """Return the photos that `inputs` lead to; videos fail.

    Pictures that an earlier `gudi predict` drew are left out unless they are named.

    Args:
        inputs: see `gudi.media.find`. Standard input may also be a photo, and so may a pipe.
        temporary: keeps photos from pipes on disk until it is closed.

    Raises:
        InputError: there are none.
    """
    names, stdin, given = {}, None, list(inputs)
    for index, each in enumerate(given):
        if not _is_pipe(each):
            continue
        data = _read_pipe(each)
        if each == "-" and not is_media(data):
            stdin = io.BytesIO(data)
            continue
        folder = temporary.enter_context(tempfile.TemporaryDirectory(prefix="gudi-"))
        path = os.path.join(folder, "photo")
        Path(path).write_bytes(data)
        given[index], names[path] = path, "stdin" if each == "-" else each
    found = []
    for source in list_sources(given, stdin=stdin):
        is_named = source.path in given and not source.member
        if not is_named and PurePosixPath(source.name).stem.endswith(ANNOTATED):
            continue
        source = replace(source, name=names.get(source.path, source.name))
        if source.kind == VIDEO:
            source = replace(source, problem=source.problem or VIDEO_PROBLEM)
        found.append(source)
    return found


def _is_pipe(path: str) -> bool:
    """Return whether a path can be read only once, or only in this process."""
    if path == "-" or path.startswith(("/dev/stdin", "/dev/fd/", "/proc/self/fd/")):
        return True
    with contextlib.suppress(OSError):
        return stat.S_ISFIFO(os.stat(path).st_mode)
    return False


def _read_pipe(path: str) -> bytes:
    """Return what comes through a pipe.

    Raises:
        InputError: it cannot be read, or is too large.
    """
    try:
        if path != "-":
            with open(path, "rb") as file:
                data = file.read(MAX_PIPED + 1)
        elif sys.stdin is None:
            raise InputError("standard input is closed, so nothing can be read from it")
        else:
            data = sys.stdin.buffer.read(MAX_PIPED + 1)
    except OSError as error:
        raise InputError(f"{one_line(path)} cannot be read: {error.strerror}") from error
    if len(data) > MAX_PIPED:
        raise InputError(
            f"{one_line(path)} gives more than {MAX_PIPED // 2**20} MB; save it as a file"
        )
    return data


def check_outside(source: Source, out: Path) -> None:
    """Raise `InputError` if `source` lies in `out`, where files are replaced and removed."""
    if os.path.realpath(source.path).startswith(os.path.join(os.path.realpath(out), "")):
        raise InputError(
            f"{source.name} lies in the folder for the results, --out {out}; choose another folder"
        )


def check_extra(names: Iterable[str], emotions: Sequence[str]) -> None:
    """Raise `InputError` if a table has a column of one of these `names` of its own."""
    reserved = reserved_names(emotions)
    for name in names:
        if name in reserved:
            raise InputError(
                f"a list cannot have a column called {one_line(name)}: tables have such a column; "
                "give it another name"
            )


def describe_skipped(files: Counter[str]) -> str:
    """Return a sentence about the files that were skipped in folders, counted by suffix."""
    others, notes = Counter(files), []
    if system := others.pop(SYSTEM, 0):
        notes.append(f"{system:,} of the system's own, such as @eaDir or a recycle bin")
    if excluded := others.pop(EXCLUDED, 0):
        notes.append(f"{excluded:,} by --exclude")
    if written := others.pop(OUTPUT, 0):
        number = "1 result" if written == 1 else f"{written:,} results"
        notes.append(
            f"{number} of gudi's own in folders; to process such a file or folder, name it"
        )
    if others:
        notes.append(_describe_suffixes(others))
    return "; ".join(notes)


def list_skipped(files: Counter[str]) -> str:
    """Return the skipped files by suffix, the most frequent ones first, on one line."""
    most = files.most_common(MAX_SUFFIXES)
    kinds = [f"{count:,} {_suffix(suffix)}" for suffix, count in most]
    if more := files.total() - sum(count for _, count in most):
        kinds.append(f"{more:,} others")
    return ", ".join(kinds)


def record_skipped(files: Counter[str]) -> dict[str, int]:
    """Return the skipped files by suffix as the run record has them."""
    most = files.most_common(MAX_RECORDED)
    recorded = {_suffix(suffix): count for suffix, count in most}
    if more := files.total() - sum(recorded.values()):
        recorded["others"] = more
    return recorded


def _suffix(suffix: str) -> str:
    name = printable_path(suffix)
    return (f"{name!r}" if name.startswith(".") and " " in name else name) or "without a suffix"


def _describe_suffixes(files: Counter[str]) -> str:
    number = "1 file" if files.total() == 1 else f"{files.total():,} files"
    return (
        f"{number} not named like a photo or video ({list_skipped(files)}); to process such a "
        "file, name it, or give a pattern such as 'photos/*'"
    )

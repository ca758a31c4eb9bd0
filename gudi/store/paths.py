"""Safe paths for pictures below a result folder, whatever the sources are called."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path, PurePosixPath

from gudi.files import remove_temporary_files

# The longest file name, in bytes, that common file systems accept.
MAX_NAME = 255


class UniquePaths:
    """Gives each picture a path of its own below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._taken: set[str] = set()

    def assign(self, name: str) -> Path:
        """Return the path for the picture called `name`, a path with forward slashes."""
        path = next(path for path in safe_paths(name) if path not in self._taken)
        self._taken.add(path)
        return path_of(self.folder, path)

    def remove_temporary_files(self) -> None:
        """Remove the temporary files that killed workers left in the assigned folders."""
        for folder in {path_of(self.folder, path).parent for path in self._taken}:
            remove_temporary_files(folder, folders=False)


def path_of(folder: Path, name: str) -> Path:
    """Return the path of the picture called `name`: its bytes are UTF-8 in every locale."""
    return folder / os.fsdecode(name.encode())


def safe_paths(name: str) -> Iterator[str]:
    """Yield candidate paths, relative to a folder, for the picture called `name`.

    Roots, drives and `..` are removed. If that gives two names the same path, the later one takes
    a candidate with a number.

    Args:
        name: a path with forward slashes.
    """
    parts = [_safe_part(part) for part in PurePosixPath(name).parts if part != "/"]
    folders, file = [_shorten(part) for part in parts[:-1]], parts[-1]
    for number in count(1):
        numbered = file if number == 1 else f"{number}-{file}"
        yield "/".join((*folders, _shorten(numbered)))


def _safe_part(part: str) -> str:
    """Return one part of a path such that it leads nowhere but down."""
    # Drives contain colons, and on Windows a colon also separates a stream from its file.
    part = part.replace(":", "").replace("\\", "")
    return "__" if part in ("", ".", "..") else part


def _shorten(name: str) -> str:
    """Return `name`, shortened before its extension if file systems would refuse it."""
    stem, extension = os.path.splitext(name)
    while len((stem + extension).encode()) > MAX_NAME:
        stem = stem[:-1]
    return stem + extension

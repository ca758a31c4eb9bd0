"""Safe paths for pictures below a result folder, for any names of sources."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from gudi.files import TEMPORARY_PREFIX, remove_temporary_files, write_errors

# What exFAT, NTFS and SMB refuse in a name: characters, a dot or blank at the end, and the names of
# devices.
REFUSED = re.compile(r'[?*"<>|]|[. ]$|^(?:con|prn|aux|nul|com\d|lpt\d)(?=\.|$)', re.IGNORECASE)

# The end of a name that is kept if the name is shortened: its extension, and what comes before.
KEPT_END = 20


@dataclass(frozen=True)
class NameRules:
    """Which names a disk accepts. The lengths are in bytes, and those of common disks.

    Attributes:
        longest_name: of a file or folder.
        longest_path: of a path below the folder in question.
        refuses: whether names must not contain what is in `REFUSED`.
    """

    longest_name: int = 255
    longest_path: int = 4095
    refuses: bool = False

    @classmethod
    def of(cls, folder: Path) -> NameRules:
        """Return the rules of the disk that holds `folder`, which exists."""
        longest_name, longest_path = cls.longest_name, cls.longest_path
        if hasattr(os, "pathconf"):
            longest_name = min(longest_name, os.pathconf(folder, "PC_NAME_MAX"))
        longest_path -= len(os.fsencode(folder.absolute())) + 1
        probe = folder / f'{TEMPORARY_PREFIX}?*"<>|.'
        try:
            probe.touch()
            probe.unlink(missing_ok=True)
        except OSError:
            return cls(longest_name, longest_path, refuses=True)
        return cls(longest_name, longest_path)


ANY_DISK = NameRules()


class UniquePaths:
    """Assigns each picture a unique path below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rules: NameRules | None = None
        self._taken: set[str] = set()
        self._folders: set[Path] = set()

    def assign(self, name: str) -> Path:
        """Return the path for the picture called `name`, a path with forward slashes.

        Raises:
            OutputError: `folder` does not exist and cannot be created.
        """
        if self._rules is None:
            with write_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                self._rules = NameRules.of(self.folder)
        candidates = safe_paths(name, self._rules)
        path = next(path for path in candidates if path.casefold() not in self._taken)
        self._taken.add(path.casefold())
        found = path_of(self.folder, path)
        self._folders.add(found.parent)
        return found

    def remove_temporary_files(self) -> None:
        """Remove the temporary files that killed workers left in the assigned folders."""
        for folder in self._folders:
            remove_temporary_files(folder, folders=False)


def path_of(folder: Path, name: str) -> Path:
    """Return the path of the picture called `name`: its bytes are UTF-8 in every locale."""
    return folder / os.fsdecode(name.encode())


def safe_paths(name: str, rules: NameRules = ANY_DISK) -> Iterator[str]:
    """Yield candidate paths, relative to a folder, for the picture called `name`.

    Roots, drives and `..` are removed. If that gives two names the same path, the later one takes
    a candidate with a number.

    Args:
        name: a path with forward slashes.
        rules: of the disk.
    """
    parts = [_safe_part(part, rules) for part in name.split("/") if part not in ("", ".")]
    folders, file = [_shorten(part, rules) for part in parts[:-1]], parts[-1]
    while len("/".join(folders).encode()) + 1 + rules.longest_name > rules.longest_path and folders:
        del folders[0]
    for number in count(1):
        numbered = file if number == 1 else f"{number}-{file}"
        yield "/".join((*folders, _shorten(numbered, rules)))


def _safe_part(part: str, rules: NameRules) -> str:
    """Return one part of a path that cannot lead upwards, and that the disk accepts."""
    # Drives contain colons, and on Windows a colon also separates a stream from its file.
    part = part.replace(":", "").replace("\\", "")
    if part in ("", ".", ".."):
        return "__"
    return REFUSED.sub("_", part) if rules.refuses else part


def _shorten(name: str, rules: NameRules) -> str:
    """Return `name`, shortened before its end if the disk would refuse it."""
    start, end = name[:-KEPT_END], name[-KEPT_END:]
    while len((start + end).encode()) > rules.longest_name:
        start = start[:-1]
    return start + end

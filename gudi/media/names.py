"""Names of files: printable ones, and canonical paths."""

from __future__ import annotations

import functools
import os
import re

from gudi.media.archives import SEPARATOR
from gudi.settings import FORMULA_STARTS

_UNPRINTABLE = re.compile("[\\\\\0-\x1f\x7f-\x9f\u2028\u2029\udc80-\udcff]")


def printable_path(path: str) -> str:
    r"""Return `path` as one line of text that stands for no other path.

    Bytes that are not UTF-8, control characters, line separators and backslashes are escaped byte
    by byte, as `\xff`.
    """
    return _UNPRINTABLE.sub(_escape, utf8_path(path))


def utf8_path(path: str) -> str:
    """Return `path` as it would be in a UTF-8 locale, whatever the locale is.

    Bytes that are not text in the locale are surrogates in Python, but most of them are UTF-8.
    """
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def table_name(path: str) -> str:
    """Return the path of a file as tables name it: printable, and no formula."""
    return as_cell(printable_path(path))


def as_cell(name: str) -> str:
    """Return a path, with `./` before it if spreadsheets would take it for a formula."""
    return f"./{name}" if name.startswith(FORMULA_STARTS) else name


def _escape(match: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape"))


def canonical_path(path: str | os.PathLike[str]) -> bytes:
    """Return where the file at `path` lies: the same bytes for all paths that lead to it.

    Links are resolved in its folders, but not in its last part: a link to a file has a name of its
    own.
    """
    path, separator, member = os.fspath(path).partition(SEPARATOR)
    folder, name = os.path.split(path)
    if not os.path.isabs(folder):
        folder = os.path.join(os.getcwd(), folder)
    return os.fsencode(f"{os.path.join(_real_path(folder), name)}{separator}{member}")


@functools.lru_cache(1000)
def _real_path(folder: str) -> str:
    return os.path.realpath(folder)


class SeenPaths:
    """Remembers in memory which files have been seen."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def is_new(self, path: str) -> bool:
        """Tell whether no path to this file has been seen before, and remember it."""
        canonical = canonical_path(path)
        new = canonical not in self._seen
        self._seen.add(canonical)
        return new

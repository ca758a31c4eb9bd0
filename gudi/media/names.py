"""Paths as text: in UTF-8, on one line, and no formula."""

from __future__ import annotations

import os
import re

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


def as_cell(name: str) -> str:
    """Return a path, with `./` before it if spreadsheets would take it for a formula."""
    return f"./{name}" if name.startswith(FORMULA_STARTS) else name


def _escape(match: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape"))

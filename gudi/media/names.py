"""Paths as text: in UTF-8, on one line, and no formula."""

from __future__ import annotations

import os
import re

from gudi.settings import FORMULA_STARTS

# Control characters, those that change the direction of text, and invisible ones. Emoji and some
# scripts need a few others.
_UNPRINTABLE = re.compile(
    "[\\\\\0-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\udc80-\udcff]"
)


def printable_path(path: str) -> str:
    r"""Return `path` as one line of text, different for each path.

    Bytes that are not UTF-8, control characters (also those of the direction of text), line
    separators, invisible characters and backslashes are escaped byte by byte, as `\xff`.
    """
    return _UNPRINTABLE.sub(_escape, utf8_path(path))


def utf8_path(path: str) -> str:
    """Return `path` as it would be in a UTF-8 locale.

    Bytes that are not text in the locale are surrogates in Python, but most of them are UTF-8.
    """
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def as_cell(name: str) -> str:
    """Return a path, with `./` before it if spreadsheets would take it for a formula."""
    return f"./{name}" if name.startswith(FORMULA_STARTS) else name


def _escape(match: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape"))

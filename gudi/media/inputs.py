"""Expand what a user gives as INPUT: paths, patterns, and lists of paths."""

from __future__ import annotations

import codecs
import glob
import os
import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from gudi.errors import InputError, one_line


class InputPath(NamedTuple):
    """A path that an input names.

    Attributes:
        path: a file or folder, which may be missing.
        listed: whether it comes from a list or a pattern rather than from the user directly.
    """

    path: str
    listed: bool


def expand(inputs: Iterable[str], stdin: BinaryIO | None = None) -> Iterator[InputPath]:
    """Yield the paths that `inputs` name, in order.

    Args:
        inputs: paths, glob patterns, `@FILE` for a list of paths, `-` for a list on standard input.
            If a file of that name exists, it is taken as a path.
        stdin: what `-` reads; standard input by default.

    Raises:
        InputError: a pattern matches nothing, or a list cannot be read.
    """
    for each in inputs:
        if each == "-":
            if stdin is None and sys.stdin is None:
                raise InputError("standard input is closed, so no list can be read from it")
            yield from _listed(_read_list(stdin or sys.stdin.buffer))
        elif each.startswith("@") and not os.path.lexists(each):
            yield from _listed(_read_list_file(each[1:]))
        elif glob.has_magic(each) and not os.path.lexists(each):
            matches = sorted(glob.glob(each, recursive=True))
            if not matches:
                raise InputError(f"nothing matches {one_line(each)}")
            yield from _listed(matches)
        else:
            yield InputPath(each, listed=False)


def _listed(paths: Iterable[str]) -> Iterator[InputPath]:
    return (InputPath(path, listed=True) for path in paths)


def _read_list_file(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            return _read_list(file)
    except OSError as error:
        raise InputError(f"the list {one_line(path)} cannot be read: {error.strerror}") from error


def _read_list(file: BinaryIO) -> list[str]:
    """Return the paths of a list: one per line or, if there are NUL characters, between those."""
    text = file.read()
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes it
        text = text.decode("utf-16", "replace").encode()
    text = text.removeprefix(codecs.BOM_UTF8)
    entries = text.split(b"\0") if b"\0" in text else text.splitlines()
    return [os.fsdecode(entry) for entry in entries if entry.strip()]

"""Expand what a user gives as INPUT: paths, patterns, and lists of paths."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from gudi.errors import InputError, one_line
from gudi.media.lists import InputPath, read_list


def expand(inputs: Iterable[str], stdin: BinaryIO | None = None) -> Iterator[InputPath]:
    """Yield the paths that `inputs` name, in order.

    Args:
        inputs: paths, glob patterns, `@FILE` for a list, see `gudi.media.lists`, `-` for a list on
            standard input. If a file of that name exists, it is taken as a path.
        stdin: what `-` reads; standard input by default.

    Raises:
        InputError: a pattern matches nothing, or a list cannot be read.
    """
    for each in inputs:
        if each.startswith("~") and not os.path.lexists(each):
            each = os.path.expanduser(each)
        if each == "-":
            if stdin is None and sys.stdin is None:
                raise InputError("standard input is closed, so no list can be read from it")
            yield from read_list((stdin or sys.stdin.buffer).read(), "standard input")
        elif each.startswith("@") and not os.path.lexists(each):
            yield from _read_list_file(os.path.expanduser(each[1:]))
        elif glob.has_magic(each) and not os.path.lexists(each):
            matches = sorted(glob.glob(each, recursive=True))
            if not matches:
                raise InputError(f"nothing matches {one_line(each)}")
            yield from (InputPath(match, listed=True, pattern=each) for match in matches)
        else:
            yield InputPath(each)


def _read_list_file(path: str) -> Iterator[InputPath]:
    name = one_line(path)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise InputError(f"the list {name} cannot be read: {error.strerror}") from error
    return read_list(data, name, os.path.dirname(path))

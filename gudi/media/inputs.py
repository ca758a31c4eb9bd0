"""Expand what a user gives as INPUT: paths, patterns, and lists of paths."""

from __future__ import annotations

import codecs
import csv
import glob
import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO, NamedTuple

from gudi.errors import InputError, one_line

# Lists with these suffixes may be tables. The column `PATH_COLUMN` has the paths, the others are
# extra columns.
TABLE_SUFFIXES = (".csv", ".tsv")
PATH_COLUMN = "path"


class InputPath(NamedTuple):
    """A path that an input names.

    Attributes:
        path: a file or folder, which may be missing.
        listed: whether it comes from a list or a pattern rather than from the user directly.
        extra: values in the extra columns of the list, by their names.
    """

    path: str
    listed: bool
    extra: Mapping[str, str]


def expand(inputs: Iterable[str], stdin: BinaryIO | None = None) -> Iterator[InputPath]:
    """Yield the paths that `inputs` name, in order.

    Args:
        inputs: paths, glob patterns, `@FILE` for a list of paths or a csv file with a column
            `path`, `-` for a list on standard input.
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
            yield from _read_list_file(each[1:])
        elif glob.has_magic(each) and not os.path.lexists(each):
            matches = sorted(glob.glob(each, recursive=True))
            if not matches:
                raise InputError(f"nothing matches {one_line(each)}")
            yield from _listed(matches)
        else:
            yield InputPath(each, listed=False, extra={})


def _listed(paths: Iterable[str]) -> Iterator[InputPath]:
    return (InputPath(path, listed=True, extra={}) for path in paths)


def _read_list_file(path: str) -> Iterator[InputPath]:
    """Return what a list names: a csv file with a column `path`, or one path per line."""
    try:
        with open(path, "rb") as file:
            table = _read_table(file) if path.lower().endswith(TABLE_SUFFIXES) else None
            if table is not None:
                return iter(table)
            file.seek(0)
            return _listed(_read_list(file))
    except OSError as error:
        raise InputError(f"the list {one_line(path)} cannot be read: {error.strerror}") from error
    except csv.Error as error:
        raise InputError(f"the list {one_line(path)} is not a valid CSV file: {error}") from error


def _read_table(file: BinaryIO) -> list[InputPath] | None:
    """Return the paths and the extra columns of a csv file; None if it has no column `path`.

    The delimiter is the one that its header has most of: comma, semicolon or tab.

    Raises:
        InputError: its header has a name twice, or no name.
        csv.Error: it is not a valid CSV file.
    """
    text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
    try:
        header = text.readline()
        delimiter = max(",;\t", key=header.count)
        (names,) = csv.reader([header], delimiter=delimiter) if header.strip() else ([],)
        names = [name.strip() for name in names]
        names = [PATH_COLUMN if name.lower() == PATH_COLUMN else name for name in names]
        if PATH_COLUMN not in names:
            return None
        if len(set(names)) < len(names) or "" in names:
            raise InputError(
                f"{one_line(str(file.name))} must name each of its columns, and none twice: its "
                f"first line is {one_line(header.strip())}"
            )
        found = []
        for row in csv.reader(text, delimiter=delimiter):
            extra = dict(zip(names, row + [""] * (len(names) - len(row))))
            if path := extra.pop(PATH_COLUMN):
                found.append(InputPath(_native(path), listed=True, extra=extra))
        return found
    finally:
        text.detach()


def _native(path: str) -> str:
    """Return a path from a file, which may hold bytes that are not UTF-8."""
    return os.fsdecode(path.encode("utf-8", "surrogateescape"))


def _read_list(file: BinaryIO) -> list[str]:
    """Return the paths of a list: one per line or, if there are NUL characters, between those."""
    text = file.read()
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes it
        text = text.decode("utf-16", "replace").encode()
    text = text.removeprefix(codecs.BOM_UTF8)
    entries = text.split(b"\0") if b"\0" in text else text.splitlines()
    return [os.fsdecode(entry) for entry in entries if entry.strip()]

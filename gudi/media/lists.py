"""Read lists of inputs: one path per line, or a table as spreadsheets save it."""

from __future__ import annotations

import codecs
import csv
import glob
import io
import itertools
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gudi.errors import InputError, one_line
from gudi.media.content import START, identify, is_media

# The column of a table that has the paths is called like one of these, the first ones before the
# others. All other columns are extra columns.
PATH_COLUMNS = ("path", "file_name", "filename", "source", "file")

# A list with one of these suffixes is a table, or has one path per line and no header.
TABLE_SUFFIXES = (".csv", ".tsv")
DELIMITERS, MAX_HEADER = ",;\t", 2**16

# What spreadsheets on Windows and macOS, and those of DOS and old Unix, write besides Unicode.
CODE_PAGES = (
    "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258",
    "cp874", "cp932", "gb18030", "cp949", "cp950", "cp437", "cp850", "cp852", "cp866", "koi8_u",
    "mac_roman",
)  # fmt: skip

# What text has none of, and names of files hardly ever.
_CONTROL = re.compile(rb"[\1-\x08\x0e-\x1a\x1c-\x1f\x7f]")

_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


class InputPath(NamedTuple):
    """A path that an input names.

    Attributes:
        path: a file or folder, which may be missing.
        listed: whether it comes from a list or a pattern rather than from the user directly.
        extra: values in the extra columns of the list, by their names.
        where: the list and the line, for errors; "" without a list.
        missing: what is wrong with it if there is no such file.
        pattern: the one that it matches; "" if it was named.
    """

    path: str
    listed: bool = False
    extra: Mapping[str, str] = {}
    where: str = ""
    missing: str = "no such file"
    pattern: str = ""

    @property
    def matched_names(self) -> set[str]:
        """The parts of the path that the pattern does not name."""
        if not self.pattern:
            return set()
        return set(self.path.split(os.sep)) - set(self.pattern.split(os.sep))


class _Entry(NamedTuple):
    """A path in a list, as written there."""

    line: int
    path: str
    extra: Mapping[str, str]


def read_list(data: bytes, name: str, folder: str = "") -> Iterator[InputPath]:
    """Yield the paths of a list, in order.

    A relative path is that of a file in `folder` or, if there is none, in the current folder.
    Patterns are expanded. Paths between NUL characters are taken as they are.

    Args:
        data: the list.
        name: of the list, for errors.
        folder: the one that the list is in.

    Raises:
        InputError: it is not a list, its encoding is unknown, or a line of a table is ambiguous.
    """
    content = identify(data[:START])
    if content is not None and is_media(data):
        raise InputError(
            f"{name} is not a list but {content.what}; save a spreadsheet as CSV UTF-8, give the "
            "paths of photos and videos without @, and a photo on standard input to gudi predict -"
        )
    encoding = unicode_encoding(data)
    if encoding == "utf-8" and _CONTROL.search(data[:START]):
        first = os.fsdecode(re.split(b"[\r\n\0]", data, maxsplit=1)[0])
        if not any(map(_exists, _candidates(first, folder))):
            raise InputError(f"{name} is not a list: it is not text")
    are_raw = encoding == "utf-8" and b"\0" in data
    try:
        text = data.decode(encoding, "surrogateescape" if are_raw else "strict")
        entries = _entries(text.removeprefix("\ufeff"), name)
    except UnicodeDecodeError:
        entries = _entries_in_code_page(data, name, folder)
    for line, path, extra in entries:
        where, path = f"{name}, line {line}", _native(path)
        found, missing = ([path], "no such file") if are_raw else _resolve(path, folder)
        pattern = "" if path in found else path
        for each in found:
            yield InputPath(each, True, extra, where, missing, pattern)


def unicode_encoding(text: bytes) -> str:
    """Return `utf-16`, `utf-16-le` or `utf-16-be` for a text that is in it; else `utf-8`."""
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    first, second = text[::2].count(0), text[1::2].count(0)
    if second and not first and (text[1] == 0 or b"\n\0" in text):
        return "utf-16-le"
    if first and not second and (text[0] == 0 or b"\0\n" in text):
        return "utf-16-be"
    return "utf-8"


def _entries_in_code_page(data: bytes, name: str, folder: str) -> Sequence[_Entry]:
    """Return the entries of a list that is not in Unicode.

    The letters alone do not tell one code page from another, but files do: the right one is the one
    with which most paths exist.
    """
    texts = [data.decode("utf-8", "surrogateescape")]  # as names of files may be
    for encoding in CODE_PAGES:
        try:
            texts.append(data.decode(encoding))
        except UnicodeDecodeError:
            continue
    readings = [list(_entries(text, name)) for text in texts]
    found = [
        sum(
            _exists(each)
            for _, path, _ in reading
            if not path.isascii()
            for each in _candidates(_native(path), folder)
        )
        for reading in readings
    ]
    raw, best = readings[0], max(found)
    if not best and not any(entry.extra for entry in raw):
        return raw  # each path is an input that is missing
    chosen, *others = [
        reading
        for reading, count in zip(readings, found)
        if best and count == best and not any(map(_is_misread, _values(reading)))
    ] or [[]]
    if not chosen or any(other != chosen for other in others):
        raise InputError(
            f"{name} is neither UTF-8 nor UTF-16, and its letters may be those of several code "
            "pages; save it as CSV UTF-8"
        )
    return chosen


def _values(entries: Iterable[_Entry]) -> Iterator[str]:
    return (text for entry in entries for pair in entry.extra.items() for text in pair)


def _is_misread(text: str) -> bool:
    """Return whether letters of Latin and of another script are in one word, or bytes are left."""
    scripts = [
        unicodedata.name(each, "BYTE").partition(" ")[0]
        if each > "\x7f"
        else "LATIN" * each.isalpha()
        for each in text
    ]
    return "BYTE" in scripts or any(
        "LATIN" in pair and not set(pair) <= {"LATIN", "COMBINING", ""}
        for pair in itertools.pairwise(scripts)
    )


def _entries(text: str, name: str) -> Iterable[_Entry]:
    """Return the entries of a decoded list."""
    first = re.split("[\r\n\0]", text, maxsplit=1)[0]
    is_table = name.lower().endswith(TABLE_SUFFIXES)
    _, names = _header(first)
    if _SEPARATOR_LINE.fullmatch(first) or (
        _path_column(names) is not None and (is_table or len(names) > 1 or not _exists(first))
    ):
        return _table(text, name)
    is_header = len(names) > 1 or (first and first.isascii())
    if is_table and is_header and not _exists(_native(first.strip())):
        raise InputError(
            f"{name} has no column {PATH_COLUMNS[0]}, or {', '.join(PATH_COLUMNS[1:])}: its first "
            f"line is {one_line(first[:100])}"
        )
    lines = text.split("\0") if "\0" in text else re.split("\r\n|\r|\n", text)
    return (_Entry(number, line, {}) for number, line in enumerate(lines, 1) if line.strip())


def _header(line: str, delimiters: str = DELIMITERS) -> tuple[str, list[str]]:
    """Return the delimiter of a table with this header, and the names of its columns."""
    readings = [
        (
            each,
            [
                name.strip()
                for row in csv.reader([line[:MAX_HEADER]], delimiter=each)
                for name in row
            ],
        )
        for each in delimiters
    ]
    return max(
        readings, key=lambda reading: (_path_column(reading[1]) is not None, len(reading[1]))
    )


def _path_column(names: Sequence[str]) -> int | None:
    """Return the index of the column that has the paths."""
    lower = [name.lower() for name in names]
    return next((lower.index(name) for name in PATH_COLUMNS if name in lower), None)


def _table(text: str, name: str) -> list[_Entry]:
    """Return the entries of a table.

    Raises:
        InputError: it has no column of paths, two columns of one name, or an ambiguous line.
    """
    where = one_line(name)
    lines = io.StringIO(text, newline="")
    skipped, first = 0, lines.readline()
    delimiters = DELIMITERS
    if separator := _SEPARATOR_LINE.fullmatch(first):
        skipped, first, delimiters = 1, lines.readline(), separator[1]
    delimiter, names = _header(first, delimiters)
    column = _path_column(names)
    named = [name for name in names if name]
    if column is None or len(set(named)) < len(named):
        raise InputError(
            f"{where} must have a column {PATH_COLUMNS[0]}, and none twice: its header is "
            f"{one_line(first.strip()[:200])}"
        )
    if "\0" in text:
        number = len(re.split("\r\n|\r|\n", text[: text.index("\0")]))
        raise InputError(f"{where}, line {number}: it has a NUL character; save the list again")
    found, number = [], skipped + 2
    before = csv.field_size_limit(len(text) + 1)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                problem = _row_problem(cells, names, column, delimiter)
                if problem:
                    raise InputError(f"{where}, line {number}: {problem}")
                extra = dict(zip(names, cells + [""] * (len(names) - len(cells))))
                path = extra.pop(names[column])
                extra.pop("", None)
                found.append(_Entry(number, path, extra))
            number = skipped + 2 + reader.line_num
    except csv.Error as error:
        raise InputError(f"{where}, line {number}: a quote is not closed ({error})") from error
    finally:
        csv.field_size_limit(before)
    return found


def _row_problem(cells: Sequence[str], names: Sequence[str], column: int, delimiter: str) -> str:
    """Return "", or what is wrong with a row of a table."""
    if any(cell for cell in cells[len(names) :]):
        return f"it has {len(cells)} cells, but the header has {len(names)}"
    if any(cell and not name for name, cell in zip(names, cells)):
        return "it has a value in a column without a name; name each of its columns"
    if len(cells) <= column or not cells[column].strip():
        return "it has no path"
    for cell in cells:
        for line in re.split("[\r\n]+", cell)[1:]:
            row = next(csv.reader([line], delimiter=delimiter), [])
            if len(row) == len(names) and os.path.splitext(row[column])[1]:
                return "a quote is not closed, or a cell holds further rows"
    return ""


def _resolve(path: str, folder: str) -> tuple[Sequence[str], str]:
    """Return the files that a path or a pattern in a list names, and what is wrong otherwise."""
    for candidate in _candidates(path, folder):
        if _exists(candidate):
            return [candidate], ""
    path = path.strip()
    if glob.has_magic(path):
        for root in (glob.escape(folder), ""):
            if matches := sorted(glob.glob(os.path.join(root, path), recursive=True)):
                return matches, ""
    if folder and not os.path.isabs(path):
        return [path], f"no such file, neither in the current folder nor in {one_line(folder)}"
    return [path], "no such file"


def _candidates(path: str, folder: str) -> list[str]:
    """Return where a path in a list may lead, the best first."""
    paths = (os.path.join(root, each) for each in (path, path.strip()) for root in (folder, ""))
    return list(dict.fromkeys(paths))


def _exists(path: str) -> bool:
    """Return whether a path is that of a file or folder, or leads into an archive."""
    if os.path.lexists(path):
        return True
    while path and not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.path.isfile(path)


def _native(path: str) -> str:
    """Return a path from a file, which may hold bytes that are not UTF-8."""
    return os.fsdecode(path.encode("utf-8", "surrogateescape"))

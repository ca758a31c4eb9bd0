"""Open FER2013's csv file as people have it: in an archive, in UTF-16, with other line ends."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from gudi.errors import DatasetError, one_line
from gudi.media.archives import DAMAGE
from gudi.media.lists import unicode_encoding
from gudi.media.source import Source

# Names of the csv file in Kaggle's archives, the best first; and an archive inside one of them.
NAMES, NESTED = ("fer2013.csv", "icml_face_data.csv"), "fer2013.tar.gz"

# Bytes at the start by which encoding and line ends are recognised, and characters to convert at a
# time.
START, BLOCK = 2**16, 2**16


@contextlib.contextmanager
def open_csv(path: Path) -> Iterator[IO[bytes]]:
    r"""Open a csv file as UTF-8 text whose lines end with `\n`.

    Args:
        path: the csv file, which may be compressed by gzip or bzip2, or a ZIP or tar archive.

    Raises:
        DatasetError: it cannot be read, or the archive holds no such file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DatasetError(f"{path} must be a regular file, because it is read twice")
        with contextlib.ExitStack() as stack:
            source = Source.of(path)
            if source.is_archive():
                file = stack.enter_context(_find_csv(source).stream())
            else:
                file = stack.enter_context(_unpacked(stack.enter_context(path.open("rb"))))
            yield stack.enter_context(as_utf_8(io.BufferedReader(file, START)))  # type: ignore[arg-type]
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or one_line(error)}") from error
    except DAMAGE as error:
        raise DatasetError(f"cannot read {path}: it is damaged: {one_line(error)}") from error


def _find_csv(archive: Source) -> Source:
    """Return the csv file in an archive, or in an archive in it."""
    names = [member.name for member in archive.members()]
    by_name = {PurePosixPath(name).name.lower(): name for name in names}
    for name in NAMES:
        if name in by_name:
            return archive.with_member(by_name[name])
    if NESTED in by_name:
        return _find_csv(archive.with_member(by_name[NESTED]))
    tables = [name for name in by_name if name.endswith(".csv") and not name.startswith(".")]
    if len(tables) == 1:
        return archive.with_member(by_name[tables[0]])
    held = f"it holds {', '.join(map(one_line, names[:3]))}" if names else "it is empty"
    raise DatasetError(f"there is no {NAMES[0]} in {archive.name}: {held}")


def _unpacked(file: IO[bytes]) -> IO[bytes]:
    """Return a file that reads what `file` unpacks to, or `file` if it is not compressed."""
    start = file.read(3)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    return bz2.BZ2File(file) if start == b"BZh" else file


def as_utf_8(file: io.BufferedReader) -> io.BufferedReader:
    r"""Return `file` as UTF-8 with lines that end with `\n`, without a copy if it has these."""
    start = file.peek(START)[:START]
    encoding = unicode_encoding(start)
    if encoding == "utf-8" and not (b"\r" in start and b"\n" not in start):
        return file
    return io.BufferedReader(_Converted(io.TextIOWrapper(file, encoding, "replace")))


class _Converted(io.RawIOBase):
    """The UTF-8 bytes of a text."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        super().__init__()
        self._text, self._rest = text, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        self._rest = self._rest or self._text.read(BLOCK).encode()
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        self._text.close()
        super().close()

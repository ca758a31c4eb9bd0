"""ZIP archives."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import IO

from gudi.media.archives.archive import (
    MAX_IN_MEMORY,
    Archive,
    Member,
    archive_error,
    not_found,
    safe_name,
)
from gudi.media.archives.zip_names import member_names

# The table of contents takes some ten times its size in memory.
MAX_CONTENTS = 2**25

ZIP64_PART = 0xFFFF  # stands for the number of a part

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
ENCRYPTED = 0x1  # a flag
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of the name and of an extra field


class ZipArchive(Archive):
    """A ZIP archive."""

    def __init__(self, open_file: Callable[[], IO[bytes]]) -> None:
        super().__init__(open_file)
        self._file = open_file()
        _check_contents(self._file)
        self._zip = zipfile.ZipFile(self._file)
        self._infos: dict[str, zipfile.ZipInfo] = {}
        infos = [info for info in self._zip.infolist() if not info.is_dir()]
        for name, info in zip(member_names(infos), infos):
            name = safe_name(name.replace("\\", "/"))
            member = self._add(Member(name, info.file_size, info.CRC, _zip_problem(info)))
            self._infos[member.name] = info

    def members(self) -> Iterator[Member]:
        """Yield all members."""
        return iter(self._index.values())

    def find(self, name: str) -> Member:
        """Return a member."""
        if name not in self._index:
            raise not_found()
        return self._index[name]

    def _start(self, member: Member) -> int | None:
        info = self._infos[member.name]
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            return None
        self._file.seek(info.header_offset)
        signature, name, extra = LOCAL_HEADER.unpack(self._file.read(LOCAL_HEADER.size))
        if signature != b"PK\3\4":
            raise zipfile.BadZipFile("no file header")
        return info.header_offset + LOCAL_HEADER.size + int(name) + int(extra)

    def _unpack(self, member: Member) -> bytes:
        with self._zip.open(self._infos[member.name]) as file:
            return file.read(MAX_IN_MEMORY + 1)

    def _stream(self, member: Member) -> IO[bytes]:
        return self._zip.open(self._infos[member.name])


def _check_contents(file: IO[bytes]) -> None:
    """Raise `OSError` if the table of contents of a ZIP archive is too large for memory."""
    size = file.seek(0, os.SEEK_END)
    tail_start = max(0, size - 2**16 - 100)
    file.seek(tail_start)
    tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) < end + 22:
        raise archive_error(
            "the archive is damaged, cut short or a part of a split one: it has no table of "
            "contents; download it again, or join the parts"
        )
    if struct.unpack_from("<4xH", tail, end)[0] not in (0, ZIP64_PART):
        raise archive_error("it is the last part of a split archive; join the parts")
    contents = struct.unpack_from("<12xL", tail, end)[0]
    if tail[max(0, end - 20) :].startswith(b"PK\6\7"):
        file.seek(struct.unpack_from("<8xQ", tail, end - 20)[0])
        contents = struct.unpack("<40xQ", file.read(48))[0]
    if contents > MAX_CONTENTS:
        raise archive_error("the archive holds too many files; unpack it first")


def _zip_problem(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & ENCRYPTED:
        return "it is encrypted; unpack the archive first"
    if info.compress_type not in METHODS:
        return "it is compressed in a way that gudi cannot read; unpack the archive first"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "it is a link in an archive; unpack the archive first"
    return ""

"""The names of the members of ZIP archives, whose encoding most programs of Windows do not tell."""

from __future__ import annotations

import re
import struct
import unicodedata
import zipfile
from collections.abc import Iterable

UTF_8_FLAG, UNICODE_PATH = 0x800, 0x7075
EXTRA_HEADER = struct.Struct("<HH")  # kind and size of an extra field

_KANJI = "CJK UNIFIED|CJK COMPATIBILITY|HIRAGANA|KATAKANA|IDEOGRAPHIC|FULLWIDTH"
_HANZI = "CJK UNIFIED|IDEOGRAPHIC|FULLWIDTH"

# Encodings, the scripts of their letters, and the highest first byte of those in common use. The
# first one in which all letters fit is right: text of one looks like symbols in those before it.
_ENCODINGS = (
    ("cp437", "LATIN", 0xFF),
    ("cp932", _KANJI, 0x98),
    ("cp949", "HANGUL SYLLABLE", 0xFF),
    ("gb2312", _HANZI, 0xD7),
    ("cp950", _HANZI, 0xC6),
    ("cp866", "CYRILLIC", 0xFF),
    ("cp1251", "CYRILLIC", 0xFF),
    ("cp1252", "LATIN", 0xFF),
)
COMMON = 0.75  # part of the letters of a text that are in common use, at least

# Chinese in GB 2312 may look like rare Korean syllables, but not so many in a row.
SURELY_KOREAN = 8

# Letters that are never side by side, so the encoding is wrong.
_MISREAD = re.compile(
    "[A-Za-z][\u0370-\u1fff]|[\u0370-\u1fff][A-Za-z]|[a-z][\u3040-\uffef]|[\u3040-\uffef][a-z]"
    "|[\xdf-\xff][A-Z]|[a-z][\xc0-\xde]"
)


def member_names(infos: Iterable[zipfile.ZipInfo]) -> list[str]:
    """Return the names of members. Bytes that are not text are surrogates, as in paths on disk."""
    infos = list(infos)
    raw = [
        b"" if info.flag_bits & UTF_8_FLAG else info.orig_filename.encode("cp437") for info in infos
    ]
    encoding = _encoding({name for name in raw if not name.isascii()})
    return [
        _unicode_path(info.extra)
        or (name.decode(encoding, "surrogateescape") if name else info.orig_filename)
        for name, info in zip(raw, infos)
    ]


def _encoding(names: set[bytes]) -> str:
    """Return the encoding of all `names` of an archive; `utf-8` if it is not clear."""
    for encoding, scripts, common in (("utf-8", "", 0xFF), *_ENCODINGS):
        try:
            decoded = [name.decode(encoding) for name in names]
        except UnicodeDecodeError:
            continue
        letters = [each for name in decoded for each in name if not each.isascii()]
        if encoding == "utf-8" or (
            all(re.match(scripts, unicodedata.name(each, "?")) for each in letters)
            and sum(each.encode(encoding)[0] <= common for each in letters) >= COMMON * len(letters)
            and not any(map(_MISREAD.search, decoded))
        ):
            return "utf-8" if encoding == "cp949" and len(letters) < SURELY_KOREAN else encoding
    return "utf-8"


def _unicode_path(extra: bytes) -> str:
    """Return the name in the extra field of Info-ZIP for it; "" if there is none."""
    while len(extra) >= EXTRA_HEADER.size:
        kind, size = EXTRA_HEADER.unpack_from(extra)
        content, extra = extra[EXTRA_HEADER.size :][:size], extra[EXTRA_HEADER.size + size :]
        if kind == UNICODE_PATH:
            return content[5:].decode("utf-8", "surrogateescape")
    return ""

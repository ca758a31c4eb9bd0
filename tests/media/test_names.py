"""Names of files, whatever characters and bytes they contain."""

from __future__ import annotations

import os
import re
import sys

import pytest
from conftest import draw_face, save

from gudi.media import sources
from gudi.media.photo import read_photo


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["ünï cödé 😀.jpg", "q'uo\"te,s.jpg", "n" * 246 + ".jpg", "-x.jpg", "👩\u200d🔬.jpg"]
)
def test_printable_name_is_kept(here, name):
    save(here / "p" / name, draw_face())
    (source,) = sources.find(["p"])
    assert source.name == f"p/{name}"
    assert read_photo(source.path).shape == (300, 300, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows any bytes in names")
def test_unprintable_name_is_escaped_and_can_be_restored(here):
    escaped = {
        b"\xff.jpg": r"p/\xff.jpg",
        rb"\xff.jpg": r"p/\x5cxff.jpg",
        b"two\r\nlines.jpg": r"p/two\x0d\x0alines.jpg",
        b"\x1b[31m\x7f.jpg": r"p/\x1b[31m\x7f.jpg",
        "\x85\u2028.jpg".encode(): r"p/\xc2\x85\xe2\x80\xa8.jpg",
    }
    for name in escaped:
        save(here / "p" / os.fsdecode(name), draw_face())
    found = {source.name: source.path for source in sources.find(["p"])}
    assert sorted(found) == sorted(escaped.values())
    for name, path in found.items():
        assert read_photo(path).shape == (300, 300, 3)
        # As docs/results.md describes it.
        back = re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes.fromhex(m[1].decode()), name.encode())
        assert back == os.fsencode(path)

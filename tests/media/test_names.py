"""Names of files, whatever characters and bytes they contain."""

from __future__ import annotations

import os
import re
import sys

import numpy as np
import pytest
from conftest import call_gudi, draw_face, save
from result_folders import read_rows

from gudi.media.find import find_sources
from gudi.media.photo import read_photo


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "ünï cödé 😀.jpg",
        "q'uo\"te,s.jpg",
        "n" * 246 + ".jpg",
        "-x.jpg",
        "=1+1.jpg",
        "👩\u200d🔬.jpg",
        "at 10.15\u202fAM.jpg",
    ],
)
def test_printable_name_is_kept(here, name):
    save(here / "p" / name, draw_face())
    (source,) = find_sources(["p"])
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
        "\u200b\u2067\u202egpj.png".encode(): r"p/\xe2\x80\x8b\xe2\x81\xa7\xe2\x80\xaegpj.png",
    }
    for name in escaped:
        save(here / "p" / os.fsdecode(name), draw_face())
    found = {source.name: source.path for source in find_sources(["p"])}
    assert sorted(found) == sorted(escaped.values())
    for name, path in found.items():
        assert read_photo(path).shape == (300, 300, 3)
        # As docs/results.md describes it.
        back = re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes.fromhex(m[1].decode()), name.encode())
        assert back == os.fsencode(path)


FORMULAS = ["=1+1.jpg", "+1.jpg", "-1.jpg", "@SUM(1).jpg", "＝1.jpg", "\t=1.jpg"]


def test_no_cell_is_a_formula(tmp_path):
    for name in FORMULAS:
        save(tmp_path / name, draw_face())
    save(tmp_path / "=folder" / "a.jpg", np.full((60, 60, 3), 128, np.uint8))
    (tmp_path / "@gone.jpg").symlink_to("=nowhere")
    inputs = ["=folder", "./@gone.jpg", "--", *(f"./{name}" for name in FORMULAS[:-1]), "-1.jpg"]
    done = call_gudi("batch", "--out", "out", *inputs, FORMULAS[-1], cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    names = [row["source"] for row in read_rows(tmp_path / "out" / "files.csv")]
    escaped = [f"./{name}" for name in FORMULAS[:-1]] + [r"\x09=1.jpg"]
    assert sorted(names) == sorted(["./=folder/a.jpg", "./@gone.jpg", *escaped])
    for table in ("faces.csv", "files.csv"):
        for row in read_rows(tmp_path / "out" / table):
            assert not [cell for cell in row.values() if cell.startswith(tuple("=+-@\t\r＝"))]
    drawn = {path.name for path in (tmp_path / "out" / "annotated").iterdir()}
    assert {"=1+1.jpg", "+1.jpg", "-1.jpg"} < drawn
    # The same inputs are the same sources, and a merged folder has no formulas either.
    again = call_gudi("batch", "--out", "out", *inputs, FORMULAS[-1], cwd=tmp_path)
    assert "7 photos finished by earlier runs" in again.stderr
    (tmp_path / "out").rename(tmp_path / "=out")
    done = call_gudi("merge", "./=out", "--out", "merged", "--prefix", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    merged = {row["source"] for row in read_rows(tmp_path / "merged" / "files.csv")}
    assert "./=out/=1+1.jpg" in merged

"""Patterns and lists of paths as INPUT."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from gudi.errors import InputError
from gudi.media.find import find_sources


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*files):
    for file in files:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()


def names(*inputs, **options):
    return [source.name for source in find_sources(inputs, **options)]


@pytest.mark.usefixtures("here")
def test_patterns_are_expanded_unless_a_file_has_that_name():
    touch("p/a.jpg", "p/b.png", "p/q/c.jpg", "p/[d].jpg")
    assert names("p/*.jpg") == ["p/[d].jpg", "p/a.jpg"]
    assert names("p/**/*.jpg") == ["p/[d].jpg", "p/a.jpg", "p/q/c.jpg"]
    assert names("p/[d].jpg") == ["p/[d].jpg"]
    with pytest.raises(InputError, match=r"nothing matches p/\*\.gif"):
        names("p/*.gif")


def test_lists_name_paths_by_line_or_between_nul_characters(here):
    touch("a b.jpg", "p/ü.jpg", "two\nlines.jpg")
    (here / "list.txt").write_text("a b.jpg\r\n\np\nmissing.jpg\n", encoding="utf-8")
    found = [(source.name, source.problem) for source in find_sources(["@list.txt"])]
    assert found == [("a b.jpg", ""), ("p/ü.jpg", ""), ("missing.jpg", "no such file")]
    assert names("-", stdin=io.BytesIO(b"two\nlines.jpg\0a b.jpg\0")) == [
        "two\\x0alines.jpg",
        "a b.jpg",
    ]
    with pytest.raises(InputError, match=r"the list nothing\.txt cannot be read"):
        names("@nothing.txt")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_lists_may_have_the_encodings_of_windows(here, encoding):
    touch("p/ü.jpg", "b.jpg")
    mark = "\ufeff" if encoding.endswith("e") else ""
    (here / "list.txt").write_bytes(f"{mark}p/ü.jpg\r\nb.jpg\r\n".encode(encoding))
    assert names("@list.txt") == ["p/ü.jpg", "b.jpg"]

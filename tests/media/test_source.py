"""The path of an input, as a file and as a member of an archive."""

from __future__ import annotations

import os
import pickle
import zipfile

import pytest

from gudi.media.find import find_sources
from gudi.media.photo import read_photo
from gudi.media.source import Source


@pytest.fixture
def sources(photos, monkeypatch):
    """A photo in a folder, in an archive, and in an archive in an archive."""
    monkeypatch.chdir(photos)
    with zipfile.ZipFile("a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write("one.jpg", "below/one.jpg")
    with zipfile.ZipFile("outer.zip", "w") as archive:
        archive.write("a.zip")
    (member,) = find_sources(["a.zip"])
    nested = Source.of("outer.zip", "a.zip", "below/one.jpg", kind="image")
    return Source.of("one.jpg", kind="image"), member, nested


def test_source_is_the_same_after_it_was_stored_or_sent_to_a_worker(sources):
    assert [each.name for each in sources] == [
        "one.jpg", "a.zip/below/one.jpg", "outer.zip/a.zip/below/one.jpg",
    ]  # fmt: skip
    for source in sources:
        stored = Source.from_stored(source.stored, source.name, source.kind)
        assert stored == source == pickle.loads(pickle.dumps(source))
        assert len({source, stored}) == 1


def test_photo_has_the_same_content_wherever_it_is(sources):
    assert len({each.digest() for each in sources}) == 1
    assert len({read_photo(each).tobytes() for each in sources}) == 1
    assert {each.status()[0] for each in sources} == {os.path.getsize("one.jpg")}
    os.chdir("/")
    for source in sources:
        with pytest.raises(FileNotFoundError):
            source.open()


def test_all_paths_to_a_file_are_the_same_place(sources, photos, tmp_path):
    (tmp_path / "link").symlink_to(photos)
    for source in sources:
        reached = Source.of(tmp_path / "link" / source.path, *source.member)
        assert source.canonical == source.absolute().canonical == reached.canonical
    assert len({each.canonical for each in sources}) == 3

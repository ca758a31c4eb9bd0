"""Patterns as INPUT."""

from __future__ import annotations

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

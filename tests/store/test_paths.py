"""Paths for pictures that lead nowhere but down, each of them once."""

from __future__ import annotations

import os

import pytest

from gudi.store.paths import NameRules, UniquePaths, safe_paths


@pytest.mark.parametrize("trick", [":..", "..:", "..\\"])
def test_names_that_would_become_dots_lead_nowhere(trick, tmp_path):
    paths = UniquePaths(tmp_path / "annotated")
    for name in (
        f"p/{trick}/{trick}/{trick}/me.jpg",
        f"{trick}/me.jpg",
        trick,
        "/etc/x.jpg",
        "//etc/x.jpg",
    ):
        path = paths.assign(name)
        assert ".." not in path.parts
        assert tmp_path / "annotated" in path.parents


def test_roots_drives_and_parents_are_removed():
    assert next(safe_paths("/etc/x.jpg")) == "etc/x.jpg"
    assert next(safe_paths("C:/../x.jpg")) == "C/__/x.jpg"
    assert next(safe_paths(r"a\..\x.jpg")) == "a..x.jpg"


def test_equal_paths_are_numbered(tmp_path):
    paths = UniquePaths(tmp_path)
    found = [paths.assign("a/b.jpg").relative_to(tmp_path).as_posix() for _ in range(3)]
    assert found == ["a/b.jpg", "a/2-b.jpg", "a/3-b.jpg"]


def test_long_names_are_shortened_before_their_suffix(tmp_path):
    paths = UniquePaths(tmp_path)
    found = [paths.assign("ü" * 126 + ".jpg.png") for _ in range(3)]
    assert len(set(found)) == 3
    for path in found:
        assert path.suffix == ".png"
        path.touch()


def test_names_follow_the_rules_of_the_disk():
    fat = NameRules(longest_name=143, longest_path=500, refuses=True)
    for name, safe in {
        'who?/<a> "b"*|.jpg': "who_/_a_ _b___.jpg",
        "ends with a dot./and a blank /a.jpg": "ends with a dot_/and a blank_/a.jpg",
        "aux/con.jpg": "_/_.jpg",
        "console.jpg": "console.jpg",
        "n" * 200 + ".jpg": "n" * 139 + ".jpg",
        "/".join(["n" * 100] * 10): "/".join(["n" * 100] * 4),
    }.items():
        assert next(safe_paths(name, fat)) == safe
        assert next(safe_paths(safe)) == safe
    assert next(safe_paths('who?/"b".jpg')) == 'who?/"b".jpg'


def test_names_that_differ_in_case_alone_get_paths_of_their_own(tmp_path):
    paths = UniquePaths(tmp_path)
    assert [paths.assign(name).name for name in ("Ä.jpg", "ä.JPG")] == ["Ä.jpg", "2-ä.JPG"]


def test_temporary_files_beside_the_pictures_are_removed(tmp_path):
    paths = UniquePaths(tmp_path)
    paths.assign("a/b.jpg").parent.mkdir()
    for name in (".gudi-1", "a/.gudi-2", "a/.gudi-mine/3", "other/.gudi-4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    paths.remove_temporary_files()
    kept = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert kept == [".gudi-1", "a", "a/.gudi-mine", "a/.gudi-mine/3", "other", "other/.gudi-4"]
    assert os.listdir(tmp_path / "a") == [".gudi-mine"]

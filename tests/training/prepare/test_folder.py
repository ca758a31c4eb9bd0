"""Own pictures in a folder per emotion, or listed in a table, as data sets."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from conftest import call_gudi, draw_face, save

from training.helpers import read_prepared, write_recipe

PREPARE = ("prepare", "folder", "--workers", "1")


def write_pictures(folder, *names: str) -> None:
    """Write a picture with a face under each of these names."""
    for number, name in enumerate(names):
        save(folder / name, draw_face(120 + number))


@pytest.fixture
def own(tmp_path):
    """A set in parts, with names as other sets have them, and a picture that is none."""
    write_pictures(
        tmp_path / "own", "train/Happiness/a.jpg", "train/sad/b.png", "Val/ANGER/c.jpg",
        "test/übrig/d.jpg", "test/neutral/e.jpg",
    )  # fmt: skip
    (tmp_path / "own" / "train" / "sad" / "broken.jpg").write_text("no picture")
    (tmp_path / "own" / "train" / "sad" / "notes.txt").write_text("not a photo")
    return tmp_path


def test_folders_name_the_emotions(own):
    ended = call_gudi(*PREPARE, "own", "--label", "übrig=surprised", cwd=own)
    assert (ended.returncode, ended.stdout) == (0, "data/sf=1.1_folder_data\n"), ended.stderr
    assert "5 faces from 6 rows" in ended.stderr
    assert "train/sad/broken.jpg: it is a text file, not a photo" in ended.stderr
    images, labels = read_prepared(own / "data" / "sf=1.1_folder_data")
    assert images.shape == (5, 48, 48)
    assert sorted(labels) == [0, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("options", "faces"),
    [(("--usage", "train"), 2), (("--usage", "validation,test"), 2), ((), 4)],
)
def test_parts_of_a_set_are_taken_and_labels_left_out(own, options, faces):
    ended = call_gudi(*PREPARE, "own", "--label", "übrig=", "--whole", *options, cwd=own)
    assert ended.returncode == 0, ended.stderr
    _, labels = read_prepared(own / "data" / "whole_folder_data")
    assert len(labels) == faces


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("own",), 1, "none of angry, disgusted, fearful, happy, sad, surprised, neutral: übrig;"),
        (("own", "--label", "übrig=x"), 2, "--label übrig=x: the emotion must be one of angry"),
        (("own", "--label", "übrig"), 2, "'übrig' is not NAME=EMOTION"),
        (("own", "--label", "übrig=", "--usage", "dev"), 1, "own has no rows of dev, only of"),
        (("empty",), 1, "empty has no photos: put them in a folder per emotion"),
        (("a.csv",), 1, "a.csv must have the columns path and label"),
    ],
)
def test_what_cannot_be_prepared_is_said_in_a_line(own, arguments, code, message):
    (own / "empty").mkdir()
    (own / "a.csv").write_text("path,person\nown/test/neutral/e.jpg,Ann\n")
    ended = call_gudi(*PREPARE, *arguments, cwd=own)
    assert ended.returncode == code, ended.stderr
    assert message in ended.stderr
    assert not (own / "data").exists()


def test_numbers_are_those_of_raf_beside_its_tables(tmp_path):
    write_pictures(tmp_path / "DATASET", "train/1/a.jpg", "train/4/b.jpg", "test/7/c.jpg")
    ended = call_gudi(*PREPARE, "DATASET", cwd=tmp_path)
    assert (ended.returncode, "neutral: 7, 1, 4;" in ended.stderr) == (1, True), ended.stderr
    (tmp_path / "DATASET" / "train_labels.csv").write_text("image,label\na.jpg,1\nb.jpg,4\n")
    shutil.make_archive(str(tmp_path / "kaggle"), "zip", tmp_path, "DATASET")
    ended = call_gudi(*PREPARE, "kaggle.zip", "--usage", "train", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    _, labels = read_prepared(tmp_path / "data" / "sf=1.1_folder_data")
    assert list(labels) == [5, 3]  # surprised, happy


def test_table_of_labels_is_evaluated_with_lost_faces_as_wrong(tmp_path, made):
    write_pictures(tmp_path, "a.jpg", "b.jpg")
    save(tmp_path / "c.jpg", np.full((200, 200, 3), 128, np.uint8))
    table = "path;label\r\na.jpg;happy\r\nb.jpg;joy\r\nc.jpg;Sadness\r\n"
    (tmp_path / "labels.csv").write_text(table, "utf-16")
    arguments = ("evaluate", "labels.csv", "--checkpoint", made[0], "--workers", "1")
    ended = call_gudi(*arguments, "--json", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["whole"]["faces"], found["whole"]["lost_faces"]) == (3, 0)
    detected = found["detected"]
    assert (detected["faces"], detected["lost_faces"]) == (2, 1)
    assert detected["accuracy_with_lost"] == pytest.approx(detected["accuracy"] * 2 / 3, abs=1e-6)
    ended = call_gudi(*arguments, "--faces", "detected", cwd=tmp_path)
    assert "if the 1 photos without a face count as wrong" in ended.stdout
    assert "fewer than 100 faces" in ended.stdout


def test_own_classes_are_trained_from_a_checkpoint_of_others(tmp_path, narrow):
    for name, grey in ("calm", 60), ("tense", 200):
        for number in range(8):
            image = draw_face(grey, 48, 48, 0, 0) + np.uint8(number)
            save(tmp_path / "own" / name / f"{number}.png", image)
    ended = call_gudi(*PREPARE, "own", "--emotions", "calm,tense", "--whole", cwd=tmp_path)
    assert "calm 8, tense 8" in ended.stderr
    recipe = write_recipe(tmp_path / "recipe.toml", epochs=2, batch_size=7)
    ended = call_gudi("train", "--init", narrow, "--recipe", recipe, "--out", "ck", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "before the first epoch: validation loss" in ended.stderr
    settings = json.loads((tmp_path / "ck" / "run.json").read_text())["settings"]
    assert settings["emotions"] == ["calm", "tense"]
    assert (settings["learning_rate"], settings["units"] < 3072) == (0.001, True)
    ended = call_gudi("evaluate", "data", "--checkpoint", "ck", "--json", cwd=tmp_path)
    assert set(json.loads(ended.stdout)["faces"]["classes"]) == {"calm", "tense"}
    cv2.imwrite(str(tmp_path / "face.jpg"), draw_face())
    ended = call_gudi(
        "predict", "face.jpg", "--checkpoint", "ck", "--emotions", "calm,tense", cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr

"""Figures of a checkpoint on faces with known emotions."""

from __future__ import annotations

import csv
import json

import cv2
import numpy as np
import pytest
from conftest import call_gudi, fer_row, small_face, write_fer
from sklearn import metrics

from gudi.constants import EMOTIONS
from gudi.predictor import Predictor
from gudi.training.evaluate import EmotionScores, Evaluation, as_record, as_text


@pytest.fixture
def faces(tmp_path):
    """50 faces in `faces/`, as `gudi prepare` writes them; none of them is labelled neutral."""
    random = np.random.default_rng(5)
    images = random.integers(0, 256, (50, 48, 48), np.uint8)
    labels = random.integers(0, 6, 50)
    (tmp_path / "faces").mkdir()
    np.save(tmp_path / "faces" / "sf=1.1_data_images.npy", images / 255.0)
    np.save(tmp_path / "faces" / "sf=1.1_data_labels.npy", np.eye(7)[labels])
    return images, labels


def test_figures_are_those_of_the_predictions(made, faces, tmp_path):
    images, labels = faces
    ended = call_gudi(
        "evaluate", "faces", "--checkpoint", made[0], "--json", "--out", "out", cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    with Predictor(made[0], "cpu") as predictor:
        probabilities = predictor.predict(images)
    recognised = probabilities.argmax(axis=1)
    figures = json.loads(ended.stdout)["faces"]
    assert figures["faces"] == 50
    assert figures["accuracy"] == pytest.approx((recognised == labels).mean())
    loss = metrics.log_loss(labels, probabilities, labels=range(7))
    assert figures["cross_entropy"] == pytest.approx(loss, abs=1e-5)
    confusion = np.zeros((7, 7), int)
    for label, found in zip(labels, recognised):
        confusion[label, found] += 1
    assert figures["confusion"] == confusion.tolist()
    for number, name in enumerate(EMOTIONS):
        right = confusion[number, number]
        labelled, found = confusion[number].sum(), confusion[:, number].sum()
        scores = figures["classes"][name]
        assert scores["faces"] == labelled
        for key, count, total in (
            ("precision", right, found),
            ("recall", right, labelled),
            ("f1", 2 * right, labelled + found),
        ):
            assert scores[key] == (pytest.approx(count / total, abs=1e-6) if total else None)
    assert figures["classes"]["neutral"]["recall"] is None

    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "confusion-faces.csv", "confusion-faces.png", "evaluation.json",
    ]  # fmt: skip
    assert json.loads((out / "evaluation.json").read_text())["faces"] == figures
    with (out / "confusion-faces.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["labelled", *EMOTIONS]
    assert [row[0] for row in rows] == list(EMOTIONS)
    np.testing.assert_array_equal(np.array([row[1:] for row in rows], int), confusion)
    assert cv2.imread(str(out / "confusion-faces.png")).std() > 0


def test_text_states_n_and_shows_a_dash_for_what_is_undefined(made, faces, tmp_path):
    ended = call_gudi("evaluate", "faces/sf=1.1_data", "--checkpoint", made[0], cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("faces: accuracy 0.")
    assert "(n=50)" in lines[0]
    (angry,) = (line for line in lines[:12] if line.startswith("angry"))
    assert angry.split()[-1] == str((faces[1] == 0).sum())
    (neutral,) = (line for line in lines[:12] if line.startswith("neutral"))
    assert neutral.split()[2] == "-"  # nothing to recall
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


def test_table_and_record_of_known_figures():
    nan = float("nan")
    evaluation = Evaluation(
        scores=(
            EmotionScores("happy", 1200, 0.75, 0.5, 0.6),
            EmotionScores("sad", 0, 0.0, nan, 0.0),
            EmotionScores("neutral", 0, nan, nan, nan),
        ),
        confusion=np.array([[600, 600, 0], [0, 0, 0], [0, 0, 0]]),
        accuracy=0.5,
        loss=1.25,
        right=np.arange(1200) < 600,
    )
    assert as_text(evaluation).splitlines() == [
        "accuracy 0.5000 (n=1,200), cross-entropy 1.2500",
        "",
        "         precision  recall      f1       n",
        "happy       0.7500  0.5000  0.6000   1,200",
        "sad         0.0000       -  0.0000       0",
        "neutral          -       -       -       0",
        "",
        "Rows: labels. Columns: recognised emotions. In percent of the row:",
        "          happy     sad  neutra",
        "happy      50.0    50.0     0.0",
        "sad           -       -       -",
        "neutral       -       -       -",
    ]
    record = as_record(evaluation)
    expected = {"faces": 0, "precision": None, "recall": None, "f1": None}
    assert record["classes"]["neutral"] == expected
    json.dumps(record, allow_nan=False)


def test_csv_is_evaluated_as_whole_pictures_and_as_detected_faces(made, tmp_path):
    rows = [fer_row(n % 7, small_face(n), "PublicTest") for n in range(10)]
    rows += [fer_row(3, np.full((48, 48), 90), "PublicTest"), fer_row(1, small_face(), "Training")]
    write_fer(tmp_path / "fer2013.csv", [*rows, "3,1 2 3,PublicTest"])
    options = ("--usage", "PublicTest", "--workers", "1", "--checkpoint", made[0])
    command = ("evaluate", "fer2013.csv", *options)
    ended = call_gudi(*command, "--json", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert {name: each["faces"] for name, each in figures.items()} == {"whole": 11, "detected": 10}
    unusable = "1 of 12 rows of fer2013.csv are unusable; the first is row 14: it has 3 pixels"
    assert unusable in ended.stderr
    ended = call_gudi(*command, "--faces", "whole", cwd=tmp_path)
    assert ended.stdout.startswith("whole: accuracy")
    assert "detected" not in ended.stdout


def test_unusable_sources_and_folders_are_errors(made, faces, tmp_path):
    write_fer(tmp_path / "none.csv", [fer_row(3, np.full((48, 48), 90))])
    for source, message in (
        ("nowhere", "no data set at nowhere"),
        ("none.csv", "has no faces (detected)"),
    ):
        ended = call_gudi("evaluate", source, "--checkpoint", made[0], cwd=tmp_path)
        assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
        assert message in ended.stderr
    (tmp_path / "file").touch()
    ended = call_gudi("evaluate", "faces", "--out", "file/out", cwd=tmp_path)
    assert (ended.returncode, "file is a file, not a folder" in ended.stderr) == (1, True)
    ended = call_gudi("evaluate", "faces", "--emotions", "a,b", cwd=tmp_path)
    assert "not (50, 2)" in ended.stderr

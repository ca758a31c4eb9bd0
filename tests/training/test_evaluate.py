"""Figures of a checkpoint on faces whose expression is known."""

from __future__ import annotations

import csv
import json

import cv2
import numpy as np
import pytest
from conftest import fer_row, run_gudi, small_face, write_fer
from sklearn import metrics

from gudi.constants import EMOTIONS
from gudi.predictor import Predictor


@pytest.fixture
def faces(tmp_path):
    """Some faces with labels, as `gudi prepare` writes them, in `faces/`."""
    random = np.random.default_rng(5)
    images = random.integers(0, 256, (50, 48, 48), np.uint8)
    labels = random.integers(0, 6, 50)  # nobody is neutral
    (tmp_path / "faces").mkdir()
    np.save(tmp_path / "faces" / "sf=1.1_data_images.npy", images / 255.0)
    np.save(tmp_path / "faces" / "sf=1.1_data_labels.npy", np.eye(7)[labels])
    return images, labels


def test_the_figures_are_scikit_learns(made, faces, tmp_path):
    images, labels = faces
    done = run_gudi(
        "evaluate", "faces", "--checkpoint", made[0], "--json", "--out", "out", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    with Predictor(made[0], "cpu") as predictor:
        probabilities = predictor.predict(images)
    found = probabilities.argmax(axis=1)
    figures = json.loads(done.stdout)["faces"]
    assert figures["faces"] == 50
    assert figures["accuracy"] == pytest.approx(metrics.accuracy_score(labels, found))
    loss = metrics.log_loss(labels, probabilities, labels=range(7))
    assert figures["cross_entropy"] == pytest.approx(loss, abs=1e-5)
    confusion = metrics.confusion_matrix(labels, found, labels=range(7))
    assert figures["confusion"] == confusion.tolist()
    expected = metrics.precision_recall_fscore_support(
        labels, found, labels=range(7), zero_division=np.nan
    )
    for number, name in enumerate(EMOTIONS):
        ours = [figures["classes"][name][key] for key in ("precision", "recall", "f1", "faces")]
        theirs = [values[number] for values in expected]
        np.testing.assert_allclose(np.array(ours, float), np.array(theirs, float), atol=1e-6)
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


def test_the_table_states_n(made, faces, tmp_path):
    done = run_gudi("evaluate", "faces/sf=1.1_data", "--checkpoint", made[0], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("faces: accuracy 0.")
    assert "(n=50)" in lines[0]
    (angry,) = (line for line in lines[:12] if line.startswith("angry"))
    assert angry.split()[-1] == str((faces[1] == 0).sum())
    (neutral,) = (line for line in lines[:12] if line.startswith("neutral"))
    assert neutral.split()[2] == "-"  # nothing to recall
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


def test_a_csv_is_taken_whole_and_by_its_faces(made, tmp_path):
    rows = [fer_row(n % 7, small_face(n), "PublicTest") for n in range(10)]
    rows += [fer_row(3, np.full((48, 48), 90), "PublicTest"), fer_row(1, small_face(), "Training")]
    write_fer(tmp_path / "fer2013.csv", [*rows, "3,1 2 3,PublicTest"])
    command = ("evaluate", "fer2013.csv", "--usage", "PublicTest", "--checkpoint", made[0])
    done = run_gudi(*command, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert {name: each["faces"] for name, each in figures.items()} == {"whole": 11, "detected": 10}
    assert "1 of 12 rows of fer2013.csv are unusable; the first is row 14: it has 3" in done.stderr
    done = run_gudi(*command, "--faces", "whole", cwd=tmp_path)
    assert done.stdout.startswith("whole: accuracy")
    assert "detected" not in done.stdout


def test_what_cannot_be_evaluated(made, faces, tmp_path):
    write_fer(tmp_path / "none.csv", [fer_row(3, np.full((48, 48), 90))])
    for source, message in (
        ("nowhere", "no data set at nowhere"),
        ("none.csv", "has no faces"),
    ):
        done = run_gudi("evaluate", source, "--checkpoint", made[0], cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert message in done.stderr
    done = run_gudi("evaluate", "faces", "--usage", "PublicTest", cwd=tmp_path)
    assert done.returncode == 2
    assert "--usage is for a csv" in done.stderr
    (tmp_path / "file").touch()
    done = run_gudi("evaluate", "faces", "--out", "file/out", cwd=tmp_path)
    assert (done.returncode, "file is a file, not a folder" in done.stderr) == (1, True)
    done = run_gudi("evaluate", "faces", "--emotions", "a,b", cwd=tmp_path)
    assert "not (50, 2)" in done.stderr

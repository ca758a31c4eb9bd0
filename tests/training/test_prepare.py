"""Data sets made into the original's npy files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from conftest import (
    draw_face,
    fer_row,
    gudi_environment,
    interruptible,
    run_gudi,
    save,
    small_face,
    write_fer,
)

from gudi.constants import EMOTIONS
from gudi.errors import DatasetError
from gudi.training import dataset

BLANK = np.full((48, 48), 128, np.uint8)


def prepared(prefix):
    """Return the faces, as grey levels, and the labels of a data set."""
    images, labels = (np.load(f"{prefix}_{part}.npy") for part in ("images", "labels"))
    assert images.dtype == labels.dtype == np.float64
    np.testing.assert_array_equal(images, np.rint(images * 255) / 255.0)
    np.testing.assert_array_equal(labels.sum(axis=1), 1)
    return np.rint(images * 255).astype(np.uint8), labels.argmax(axis=1)


def test_faces_and_labels_of_fer2013(tmp_path):
    rows = [fer_row(number % 7, small_face(number)) for number in range(70)]
    rows[3] = fer_row(3, BLANK)
    write_fer(tmp_path / "fer2013.csv", rows)
    done = run_gudi("prepare", "fer", "fer2013.csv", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "data/sf=1.1_data\n")
    assert "69 faces of 70 rows" in done.stderr
    assert "no face: 1 row\n" in done.stderr
    images, labels = prepared(tmp_path / "data" / "sf=1.1_data")
    assert images.shape == (69, 48, 48)
    assert labels.tolist() == [number % 7 for number in range(70) if number != 3]

    bordered = cv2.copyMakeBorder(small_face(5), *[51] * 4, cv2.BORDER_CONSTANT, value=200)
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    ((x, y, width, height),) = cascade.detectMultiScale(bordered, 1.1, 5)
    face = cv2.resize(
        bordered[y : y + height, x : x + width], (48, 48), interpolation=cv2.INTER_CUBIC
    )
    np.testing.assert_array_equal(images[4], face)


@pytest.mark.parametrize("workers", [1, 2])
def test_it_is_what_the_original_makes(shared, tmp_path, workers):
    rows = 800
    subprocess.run(
        [sys.executable, shared / "fer2013" / "write_csv.py", "fer2013.csv", f"--rows={rows}"],
        cwd=tmp_path,
        check=True,
    )
    done = run_gudi("prepare", "fer", "fer2013.csv", "--workers", workers, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    images, labels = prepared(tmp_path / "data" / "sf=1.1_data")
    with np.load(shared / "oracle" / "prepare_sample.npz") as oracle:
        np.testing.assert_array_equal(labels, oracle["labels"][: len(labels)])
        shown = oracle["index"] < len(labels)
        expected = oracle["images"][shown].astype(int)
        difference = np.abs(images[oracle["index"][shown]].astype(int) - expected)
    # OpenCV's versions differ by a grey level in 3 images of 19,376.
    assert difference.max() <= 1
    assert (difference.max(axis=(1, 2)) > 0).sum() <= 1


def test_pictures_as_they_are(tmp_path):
    write_fer(tmp_path / "fer.csv", [fer_row(2, BLANK), fer_row(6, small_face())])
    done = run_gudi("prepare", "fer", "fer.csv", "--whole", "--out", "a b/c", cwd=tmp_path)
    assert done.stdout == "a b/c/whole_data\n"
    images, labels = prepared(tmp_path / "a b" / "c" / "whole_data")
    np.testing.assert_array_equal(images, [BLANK, small_face()])
    assert labels.tolist() == [2, 6]


def test_rows_are_chosen_by_usage(tmp_path):
    usages = ["Training", "PublicTest", "PrivateTest", "PublicTest"]
    rows = [fer_row(number, small_face(), usage) for number, usage in enumerate(usages)]
    write_fer(tmp_path / "fer.csv", rows)
    choose = ("prepare", "fer", "fer.csv", "--usage")
    done = run_gudi(*choose, "PublicTest, PrivateTest", "--scale-factor", "1.3", cwd=tmp_path)
    assert done.stdout == "data/sf=1.3_data\n", done.stderr
    assert prepared(tmp_path / "data" / "sf=1.3_data")[1].tolist() == [1, 2, 3]
    done = run_gudi(*choose, "Public,Training", "--overwrite", cwd=tmp_path)
    assert done.returncode == 1
    assert "has no rows of Public, only of Training, PublicTest, PrivateTest" in done.stderr


def test_rows_that_cannot_be_used_are_listed(tmp_path):
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
    path.write_text(path.read_text() + good[:4000])  # the download broke off
    done = run_gudi("prepare", "fer", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    account = json.loads((tmp_path / "data" / "sf=1.1_data.json").read_text())
    expected = [f"row {row}: {why}" for row, why in enumerate(rows.values(), start=2) if why]
    assert account["reasons"][:-1] == expected
    assert account["reasons"][-1].startswith("row 19: it has 2 columns, not 3")
    assert (account["rows"], account["faces"], account["rejected"]) == (18, 2, 16)
    assert "unusable: 16 rows" in done.stderr
    assert "row 3: the emotion 7" in done.stderr
    assert "and 6 more, see sf=1.1_data.json" in done.stderr


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
def test_what_is_no_fer2013(tmp_path, content, message):
    (tmp_path / "fer.csv").write_bytes(content)
    done = run_gudi("prepare", "fer", "fer.csv", cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert not list(tmp_path.glob("data/*"))


def test_columns_in_another_order(tmp_path):
    pixels = " ".join(map(str, small_face().ravel()))
    (tmp_path / "icml.csv").write_text(f'emotion, Usage, pixels\r\n4, Training, "{pixels}"\r\n')
    done = run_gudi("prepare", "fer", "icml.csv", "--usage", "Training", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert prepared(tmp_path / "data" / "sf=1.1_data")[1].tolist() == [4]


def test_nothing_is_replaced_unasked(tmp_path):
    write_fer(tmp_path / "fer.csv", [fer_row(1, small_face())])
    command = ("prepare", "fer", "fer.csv", "--whole")
    assert run_gudi(*command, cwd=tmp_path).returncode == 0
    write_fer(tmp_path / "fer.csv", [fer_row(2, small_face())])
    done = run_gudi(*command, cwd=tmp_path)
    assert done.returncode == 1
    assert "already exists; replace it with --overwrite" in done.stderr
    assert run_gudi(*command, "--overwrite", cwd=tmp_path).returncode == 0
    assert prepared(tmp_path / "data" / "whole_data")[1].tolist() == [2]
    (tmp_path / "file").write_text("")
    done = run_gudi(*command, "--out", "file/x", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_an_interruption_leaves_nothing_behind(tmp_path):
    rows = [fer_row(1, small_face(number)) for number in range(3000)]
    write_fer(tmp_path / "fer.csv", rows)
    process = subprocess.Popen(
        [sys.executable, "-m", "gudi", "prepare", "fer", "fer.csv"],
        cwd=tmp_path,
        env=gudi_environment(),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("data/.gudi-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "gudi: interrupted" in errors
    assert list((tmp_path / "data").iterdir()) == []


@pytest.fixture
def raf(tmp_path):
    """RAF-DB's basic set in its exact form, five pictures small."""
    root = tmp_path / "basic"
    listed = []
    for number, (usage, label) in enumerate(
        [("train", 1), ("train", 4), ("train", 6), ("test", 7), ("test", 3)], start=1
    ):
        name = f"{usage}_{number:05d}"
        listed.append(f"{name}.jpg {label}")
        save(root / "Image" / "original" / f"{name}.jpg", draw_face(120 + number))
        aligned = cv2.resize(draw_face(200, 200, 210, 0, 0), (100, 100))
        save(root / "Image" / "aligned" / f"{name}_aligned.jpg", aligned)
    (root / "EmoLabel").mkdir()
    (root / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(listed) + "\n")
    return root


@pytest.mark.parametrize("given", [".", ".."])
def test_raf_aligned(raf, tmp_path, given):
    done = run_gudi("prepare", "raf-aligned", raf / given, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "data/raf_aligned_data\n"), done.stderr
    images, labels = prepared(tmp_path / "data" / "raf_aligned_data")
    assert [EMOTIONS[label] for label in labels] == [
        "surprised", "happy", "angry", "neutral", "disgusted",
    ]  # fmt: skip
    picture = cv2.imread(str(raf / "Image" / "aligned" / "train_00001_aligned.jpg"))
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    expected = cv2.resize(grey, (48, 48), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(images[0], expected)


def test_raf_original(raf, tmp_path):
    listed = raf / "EmoLabel" / "list_patition_label.txt"
    trouble = "train_00009.jpg 2\ntrain_00002.jpg 8\n../../secret.jpg 1\nnonsense\n\n"
    listed.write_text(listed.read_text() + trouble)
    save(raf / "Image" / "original" / "test_00004.jpg", np.full((90, 90, 3), 128, np.uint8))
    done = run_gudi("prepare", "raf-original", raf, cwd=tmp_path)
    assert done.stdout == "data/sf=1.1_raf_origin_data\n", done.stderr
    _, labels = prepared(tmp_path / "data" / "sf=1.1_raf_origin_data")
    assert [EMOTIONS[label] for label in labels] == ["surprised", "happy", "angry", "disgusted"]
    account = json.loads((tmp_path / "data" / "sf=1.1_raf_origin_data.json").read_text())
    assert (account["no_face"], account["rejected"]) == (1, 4)
    assert account["reasons"][0].startswith("train_00009.jpg: ")
    assert account["reasons"][1] == "train_00002.jpg: the label '8' is not one of 1 to 7"
    assert account["reasons"][2].endswith("it names a path, not a file")
    done = run_gudi("prepare", "raf-original", raf, "--usage", "Test", cwd=tmp_path)
    assert "has no rows of Test, only of train, test" in done.stderr
    done = run_gudi("prepare", "raf-original", raf, "--usage", "test", "--overwrite", cwd=tmp_path)
    assert prepared(tmp_path / "data" / "sf=1.1_raf_origin_data")[1].tolist() == [1]


def test_what_is_no_raf(tmp_path):
    done = run_gudi("prepare", "raf-aligned", tmp_path, cwd=tmp_path)
    assert done.returncode == 1
    assert "there is no list_patition_label.txt in it or in EmoLabel/" in done.stderr
    (tmp_path / "list_patition_label.txt").write_text("")
    done = run_gudi("prepare", "raf-aligned", tmp_path, cwd=tmp_path)
    assert "there is no aligned/ in it or in Image/" in done.stderr


def test_data_sets_are_read_as_they_are(tmp_path):
    faces = np.random.default_rng(1).integers(0, 256, (30, 48, 48), np.uint8)
    one_hot = np.eye(7)[np.arange(30) % 7]
    np.save(tmp_path / "x_labels.npy", one_hot)
    for images in (faces, faces / 255.0, (faces / 255.0).astype("f4"), faces[..., None] / 255.0):
        np.save(tmp_path / "x_images.npy", images)
        data = dataset.load(tmp_path / "x")
        np.testing.assert_array_equal(data.faces, faces)
        np.testing.assert_array_equal(data.labels, np.arange(30) % 7)
    np.save(tmp_path / "x_images.npy", faces / 300.0)
    assert dataset.load(tmp_path / "x").faces.dtype == np.float32
    for path in (tmp_path, tmp_path / "x_images.npy", tmp_path / "x_labels.npy"):
        assert len(dataset.load(path).labels) == 30
    np.save(tmp_path / "y_images.npy", faces)
    with pytest.raises(DatasetError, match="holds several data sets; name one of them"):
        dataset.load(tmp_path)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 47, 48)), np.eye(7)[:3], "not (n, 48, 48) faces"),
        (np.zeros((0, 48, 48)), np.eye(7)[:0], "holds no faces"),
        (np.zeros((3, 48, 48)), np.eye(7)[:2], "has the shape (2, 7), not (3, 7)"),
        (np.zeros((3, 48, 48)), np.zeros((3, 7)), "is not one-hot"),
        (np.full((3, 48, 48), np.nan), np.eye(7)[:3], "not between 0 and 1"),
        (np.full((3, 48, 48), 7.0), np.eye(7)[:3], "not between 0 and 1"),
        (np.array([{}] * 3), np.eye(7)[:3], "as an npy file"),
        (np.zeros((3, 48, 48)), np.zeros((3, 7), "i4,i4"), "is not one-hot"),
    ],
)
def test_what_is_no_data_set(tmp_path, images, labels, message):
    np.save(tmp_path / "sf=1.1_data_images.npy", images, allow_pickle=True)
    np.save(tmp_path / "sf=1.1_data_labels.npy", labels)
    with pytest.raises(DatasetError) as caught:
        dataset.load(tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 48, 48)}", b"{(((", b"{'descr': 5}"],
)
def test_npy_files_with_odd_headers(tmp_path, header):
    content = b"\x93NUMPY\x01\x00" + bytes([len(header) + 1, 0]) + header + b"\n"
    (tmp_path / "x_images.npy").write_bytes(content)
    np.savez(tmp_path / "x_labels", a=1)
    (tmp_path / "x_labels.npz").rename(tmp_path / "x_labels.npy")
    with pytest.raises(DatasetError, match="cannot read .*x_images.npy as an npy file"):
        dataset.load(tmp_path / "x")
    np.save(tmp_path / "x_images.npy", np.zeros((3, 48, 48)))
    with pytest.raises(DatasetError, match="an archive of several arrays"):
        dataset.load(tmp_path / "x")


def test_a_data_set_that_is_not_there(tmp_path):
    with pytest.raises(
        DatasetError,
        match=r"the folder has no sf=1.1_data_images.npy; create one from .* with gudi prep",
    ):
        dataset.load(tmp_path)
    with pytest.raises(DatasetError, match=r"there is neither a folder nor x_images.npy"):
        dataset.load(tmp_path / "x")
    np.save(tmp_path / "x_labels.npy", np.eye(7))
    with pytest.raises(DatasetError, match=r"x_images.npy is missing"):
        dataset.load(tmp_path / "x")

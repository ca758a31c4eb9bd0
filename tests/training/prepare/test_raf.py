"""RAF-DB's basic set as the original's npy files."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from conftest import call_gudi, draw_face, save

from gudi.constants import EMOTIONS
from training.helpers import read_prepared

ALIGNED = ("prepare", "raf-aligned", "--workers", "1")
ORIGINAL = ("prepare", "raf-original", "--workers", "1")


@pytest.fixture
def raf(tmp_path):
    """RAF-DB's basic set in its exact form, but with five pictures only."""
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
def test_aligned_pictures_are_resized_only(raf, tmp_path, given):
    ended = call_gudi(*ALIGNED, raf / given, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "data/raf_aligned_data\n"), ended.stderr
    images, labels = read_prepared(tmp_path / "data" / "raf_aligned_data")
    assert [EMOTIONS[label] for label in labels] == [
        "surprised", "happy", "angry", "neutral", "disgusted",
    ]  # fmt: skip
    picture = cv2.imread(str(raf / "Image" / "aligned" / "train_00001_aligned.jpg"))
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    expected = cv2.resize(grey, (48, 48), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(images[0], expected)


def test_largest_face_of_original_pictures_is_taken(raf, tmp_path):
    listed = raf / "EmoLabel" / "list_patition_label.txt"
    trouble = "train_00009.jpg 2\ntrain_00002.jpg 8\n../../secret.jpg 1\nnonsense\n\n"
    listed.write_text(listed.read_text() + trouble)
    save(raf / "Image" / "original" / "test_00004.jpg", np.full((90, 90, 3), 128, np.uint8))
    ended = call_gudi(*ORIGINAL, raf, cwd=tmp_path)
    assert ended.stdout == "data/sf=1.1_raf_origin_data\n", ended.stderr
    _, labels = read_prepared(tmp_path / "data" / "sf=1.1_raf_origin_data")
    assert [EMOTIONS[label] for label in labels] == ["surprised", "happy", "angry", "disgusted"]
    summary = json.loads((tmp_path / "data" / "sf=1.1_raf_origin_data.json").read_text())
    assert (summary["no_face"], summary["rejected"]) == (1, 4)
    assert summary["reasons"][0].startswith("train_00009.jpg: ")
    assert summary["reasons"][1] == "train_00002.jpg: the label '8' is not one of 1 to 7"
    assert summary["reasons"][2] == "../../secret.jpg: there is no such photo"


def test_pictures_are_chosen_by_usage(raf, tmp_path):
    ended = call_gudi(*ORIGINAL, raf, "--usage", "Test", cwd=tmp_path)
    assert "has no rows of Test, only of train, test" in ended.stderr
    ended = call_gudi(*ORIGINAL, raf, "--usage", "test", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    _, labels = read_prepared(tmp_path / "data" / "sf=1.1_raf_origin_data")
    assert [EMOTIONS[label] for label in labels] == ["neutral", "disgusted"]


def test_folder_that_is_not_raf_is_refused(tmp_path):
    ended = call_gudi(*ALIGNED, tmp_path, cwd=tmp_path)
    assert ended.returncode == 1
    assert "it contains no list_patition_label.txt, not even packed" in ended.stderr
    (tmp_path / "list_patition_label.txt").write_text("")
    ended = call_gudi(*ALIGNED, tmp_path, cwd=tmp_path)
    assert "it contains no aligned/, not even packed" in ended.stderr


@pytest.mark.parametrize("packed", ["pictures", "everything", "everything twice"])
@pytest.mark.parametrize(("name", "encoding", "ends"), [
    ("list_patition_label.txt", "utf-16", "\r\n"), ("list_partition_label.txt", "utf-8-sig", "\r"),
])  # fmt: skip
def test_set_may_be_packed_and_its_list_edited(raf, tmp_path, packed, name, encoding, ends):
    call_gudi(*ALIGNED, raf, "--out", "plain", cwd=tmp_path)
    listed = raf / "EmoLabel" / "list_patition_label.txt"
    text = listed.read_text().replace("\n", ends)
    listed.unlink()
    (raf / "EmoLabel" / name).write_bytes(text.encode(encoding))
    given = raf
    if packed != "everything":
        for folder in ("aligned", "original"):
            shutil.make_archive(raf / "Image" / folder, "zip", raf / "Image", folder)
            shutil.rmtree(raf / "Image" / folder)
    if packed != "pictures":
        given = shutil.make_archive(tmp_path / "raf", "zip", tmp_path, "basic")
    ended = call_gudi(*ALIGNED, given, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    for found, expected in zip(
        read_prepared(tmp_path / "data" / "raf_aligned_data"),
        read_prepared(tmp_path / "plain" / "raf_aligned_data"),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)
    assert call_gudi(*ORIGINAL, given, cwd=tmp_path).returncode == 0

"""`predict_photos`: a few photos, their results in order, and pictures beside them."""

from __future__ import annotations

import contextlib
import os
import shutil

import cv2
import numpy as np
from clips import scene, write_video
from conftest import draw_face, run_gudi, save

from gudi import checkpoint
from gudi.pipeline.listing import VIDEO_PROBLEM, list_photos
from gudi.pipeline.predict import picture_name, predict_photos
from gudi.pipeline.workers import start_workers
from gudi.settings import BatchOptions
from gudi.store.paths import UniquePaths


def test_results_come_in_the_order_of_the_photos(photos, tmp_path):
    write_video(photos / "film.mp4", [scene(0)])
    save(photos / "old.emotions.jpg", scene(0))
    inputs = [str(photos / name) for name in ("two.bmp", "none.jpg")] + [str(photos)]
    options = BatchOptions(device="cpu")
    with contextlib.ExitStack() as stack:
        photos = list_photos(inputs, stack)
        workers = stack.enter_context(start_workers(options, 2))
        results = predict_photos(photos, tmp_path / "drawn", options, workers)
    found = [(os.path.basename(result.source.path), result.status) for result in results]
    assert found == [
        ("two.bmp", "ok"), ("none.jpg", "no_face"), ("one.png", "ok"), ("film.mp4", "failed"),
        ("one.jpg", "ok"),
    ]  # fmt: skip
    assert [result.error for result in results if result.error] == [VIDEO_PROBLEM]
    assert [face.probabilities.shape for face in results[0].faces] == [(7,), (7,)]
    pictures = [path.name for path in (tmp_path / "drawn").rglob("*.emotions.*")]
    assert sorted(pictures) == ["one.emotions.jpg", "one.emotions.png", "two.emotions.bmp"]


def test_names_of_annotated_pictures_fit_into_file_systems(tmp_path):
    assert picture_name("photos/one.jpg") == "one.emotions.jpg"
    paths = UniquePaths(tmp_path)
    for name in ("ü" * 126, "n" * 250, "n" * 250):
        path = paths.assign(picture_name(f"{name}.jpg"))
        assert path.name.endswith(".emotions.jpg")
        path.touch()


def test_checkpoint_that_says_the_same_of_every_face_is_noticed(narrow, tmp_path):
    for number in range(6):
        image = np.full((320, 320, 3), 128, np.uint8)
        face = cv2.resize(draw_face(), (200 + 10 * number,) * 2)
        if number % 2:
            face[len(face) // 2 :] = cv2.GaussianBlur(face[len(face) // 2 :], (0, 0), 9)
        image[40 : 40 + len(face), 30 : 30 + len(face)] = face
        save(tmp_path / "in" / f"{number}.png", image)
    untrained = tmp_path / "untrained.gudi"
    checkpoint.pack_checkpoint(narrow, untrained, temperature=1000)
    for command in ("predict", "batch"):
        for options in ((), ("--checkpoint", untrained)):
            run = run_gudi(command, "in", "--out", "out", *options, cwd=tmp_path)
            assert run.returncode == 0, run.stderr
            noticed = "nearly the same probabilities" in run.stderr
            assert noticed == bool(options), run.stderr
            shutil.rmtree(tmp_path / "out")

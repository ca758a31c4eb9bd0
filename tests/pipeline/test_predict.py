"""`predict_photos`: a few photos, their results in order, and pictures beside them."""

from __future__ import annotations

import os

from clips import scene, write_video
from conftest import save

from gudi.pipeline.listing import VIDEO_PROBLEM, list_photos
from gudi.pipeline.predict import picture_name, predict_photos
from gudi.pipeline.workers import start_workers
from gudi.settings import RunSettings


def test_results_come_in_the_order_of_the_photos(photos, tmp_path):
    write_video(photos / "film.mp4", [scene(0)])
    save(photos / "old.emotions.jpg", scene(0))
    inputs = [str(photos / name) for name in ("two.bmp", "none.jpg")] + [str(photos)]
    settings = RunSettings(device="cpu")
    with start_workers(settings, 2) as workers:
        results = predict_photos(list_photos(inputs), settings, workers, tmp_path / "drawn")
    found = [(os.path.basename(result.source.path), result.status) for result in results]
    assert found == [
        ("two.bmp", "ok"), ("none.jpg", "no_face"), ("one.png", "ok"), ("film.mp4", "failed"),
        ("one.jpg", "ok"),
    ]  # fmt: skip
    assert [result.error for result in results if result.error] == [VIDEO_PROBLEM]
    assert results[0].probabilities.shape == (2, 7)
    pictures = [path.name for path in (tmp_path / "drawn").rglob("*.emotions.*")]
    assert sorted(pictures) == ["one.emotions.jpg", "one.emotions.png", "two.emotions.bmp"]


def test_names_of_annotated_pictures_fit_into_file_systems():
    assert picture_name("photos/one.jpg") == "one.emotions.jpg"
    assert picture_name("ü" * 126 + ".jpg") == "ü" * 119 + ".emotions.jpg"
    assert len(os.fsencode(picture_name("n" * 250 + ".jpg"))) <= 251

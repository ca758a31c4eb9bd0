"""Annotated pictures: where they go, and what they show."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import write_video
from conftest import call_gudi, draw_face, save
from result_folders import (
    fill_ledger,
    make_result_folder,
    names_below,
    photo_result,
    random_probabilities,
    read_rows,
)

import gudi_jobs
from gudi.constants import EMOTIONS
from gudi.detection import Box
from gudi.errors import OutputError
from gudi.media import video
from gudi.media.sources import IMAGE, VIDEO, Source, content_digest
from gudi.pipeline import annotate
from gudi.pipeline.draw_work import draw
from gudi.pipeline.workers import start_workers
from gudi.results.folder import ResultFolder
from gudi.results.ledger import Ledger
from gudi.results.paths import UniquePaths
from gudi.results.records import SourceResult
from gudi.settings import ALL_FRAMES, PICTURE, THUMBNAIL, FrameSelection, RunSettings


def test_annotated_pictures_are_the_photos_with_boxes(finished_run):
    annotated = finished_run.out / "annotated"
    assert names_below(annotated) == ["one.jpg", "one.png", "two.bmp"]
    before = cv2.imread(str(finished_run.photos / "two.bmp"))
    after = cv2.imread(str(annotated / "photos" / "two.bmp"))
    assert before.shape == after.shape
    changed = (before != after).any(axis=2)
    assert 0.005 < changed.mean() < 0.2
    for row in read_rows(finished_run.out / "faces.csv"):
        if row["source"].endswith("two.bmp"):
            x, y, width = int(row["x"]), int(row["y"]), int(row["width"])
            assert (after[y + 40, x] == (255, 0, 0)).all()
            assert (after[y + 40, x + width] == (255, 0, 0)).all()


def test_equal_names_get_pictures_of_their_own_inside_the_result_folder(photos, tmp_path):
    work = tmp_path / "deep" / "er"
    # Both paths lead to annotated/__/__/photos.
    shutil.copytree(photos, work / "__" / "__" / "photos")
    before = {path for path in tmp_path.rglob("*") if "results" not in path.parts}
    inputs = ("../../photos", "__/__/photos")
    done = call_gudi("batch", *inputs, "--out", "results", "--no-report", cwd=work)
    assert done.returncode == 0, done.stderr
    assert {path for path in tmp_path.rglob("*") if "results" not in path.parts} == before
    assert read_rows(work / "results" / "faces.csv")[0]["source"] == "../../photos/below/one.png"
    assert (work / "results/annotated/__/__/photos/below/one.png").is_file()
    assert names_below(work / "results" / "annotated") == [
        "2-one.jpg", "2-one.png", "2-two.bmp", "one.jpg", "one.png", "two.bmp",
    ]  # fmt: skip


def test_photo_that_cannot_be_drawn_keeps_its_faces(photos, tmp_path):
    results = []
    for name, size in (("one.jpg", (300, 300)), ("two.bmp", (500, 300)), ("below/one.png", None)):
        path = photos / name
        width, height = size or (200, 260)
        results.append(SourceResult(
            Source(path.as_posix(), str(path), IMAGE), width=width, height=height,
            boxes=[Box(40, 50, 90, 90)], probabilities=random_probabilities(1),
        ))  # fmt: skip
    (photos / "one.jpg").unlink()
    save(photos / "two.bmp", draw_face(width=77))
    paths = UniquePaths(tmp_path / "drawn")
    with start_workers(RunSettings(), 2) as workers:
        annotate.draw_photos(results, EMOTIONS, paths, os.path.basename, workers)
    errors = {Path(result.source.path).name: result.error for result in results if result.error}
    undrawn = "the annotated picture could not be drawn"
    assert errors == {
        "one.jpg": f"{undrawn}: no such file",
        "two.bmp": f"{undrawn}: the photo has changed since its faces were detected",
    }
    assert [len(result.faces) for result in results] == [1, 1, 1]
    assert os.listdir(tmp_path / "drawn") == ["one.png"]


def test_later_run_draws_the_pictures_that_an_earlier_one_did_not(photos, tmp_path):
    out = tmp_path / "out"
    plain = ("--no-annotate", "--no-report")
    done = call_gudi("batch", photos, "--out", out, *plain)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(out)) == [
        ".lock", "faces.csv", "files.csv", "ledger.sqlite", "run.json",
    ]  # fmt: skip
    # How fast and where a run works does not change its results either.
    options = ("--workers", "1", "--batch-size", "3", "--device", "cpu")
    assert "4 photos finished by earlier runs" in call_gudi(
        "batch", photos, "--out", out, *options
    ).stderr  # fmt: skip
    assert names_below(out / "annotated") == ["one.jpg", "one.png", "two.bmp"]
    assert len(names_below(out / "thumbnails")) == 3


def test_pictures_that_were_removed_are_drawn_again(photos, tmp_path):
    command = ("batch", "photos", "--out", "out")
    assert call_gudi(*command, cwd=tmp_path).returncode == 0
    before = names_below(tmp_path / "out")
    (tmp_path / "out" / "annotated" / "photos" / "two.bmp").unlink()
    shutil.rmtree(tmp_path / "out" / "thumbnails")
    done = call_gudi(*command, cwd=tmp_path)
    assert "pictures: 3 of 3" in done.stderr
    assert names_below(tmp_path / "out") == before
    assert "pictures" not in call_gudi(*command, cwd=tmp_path).stderr


def test_full_disk_ends_the_run_and_blames_no_picture(tmp_path):
    path = tmp_path / "one.jpg"
    path.write_bytes(b"a photo")
    out = make_result_folder(tmp_path / "out", [photo_result(path)])
    settings = annotate.DrawSettings(EMOTIONS, ALL_FRAMES, PICTURE | THUMBNAIL)
    with Ledger(out / "ledger.sqlite", 7) as ledger:
        queue = annotate._DrawQueue(ledger, ResultFolder(out), settings, print)
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with pytest.raises(OutputError, match="out: No space left on device"):
            queue.receive(gudi_jobs.Outcome(next(queue), error=full))
        assert ledger.drawings.count_undrawn(PICTURE | THUMBNAIL) == 1


@pytest.mark.parametrize("frames", [ALL_FRAMES, FrameSelection(every=2)])
def test_finished_chunks_of_a_video_are_kept_after_a_kill(tmp_path, monkeypatch, frames):
    monkeypatch.setattr(annotate, "CHUNK_FRAMES", 8)
    shown = draw_face(100, 200, 180, 30, 30)
    path = write_video(tmp_path / "film.mp4", [shown] * 20, options={"g": "4"})
    result = SourceResult(
        Source("film.mp4", str(path), VIDEO), segment=0, width=200, height=180, frames=20,
        boxes=[Box(30, 30, 100, 100)] * 10, frame_times=[(2 * n, 0.08 * n) for n in range(10)],
        probabilities=random_probabilities(10), end=0.76,
    )  # fmt: skip
    out, drawn = ResultFolder(tmp_path / "out"), []
    out.path.mkdir()
    with Ledger(out.ledger, 7) as ledger:
        fill_ledger(ledger, [result])
        ledger.faces.finish(result.source, "", content_digest(path))

        def start():
            settings = annotate.DrawSettings(EMOTIONS, frames, PICTURE)
            queue = annotate._DrawQueue(ledger, out, settings, drawn.append)
            queue.receive(gudi_jobs.Outcome(next(queue), video.read_index(path)))
            return queue

        chunks = list(start())
        assert [chunk.path.name for chunk in chunks] == [f"{n:012}.nut" for n in (0, 8, 16)]
        for chunk in chunks[:2]:  # then the run is killed
            draw(EMOTIONS, chunk)
        queue = start()
        for item in queue:
            queue.receive(gudi_jobs.Outcome(item, draw(EMOTIONS, item)))
            drawn.append(item.path)
        assert drawn[0] == chunks[2].path
        assert [getattr(each, "status", each) for each in drawn[1:]] == [
            "ok", out.annotated / "film.mp4",
        ]  # fmt: skip
        assert ledger.drawings.count_undrawn(PICTURE) == 0
    assert not list(out.path.glob(".gudi-*"))
    played = [frame.image for frame in video.read_frames(out.annotated / "film.mp4")]
    # A frame that was not processed shows the faces of the frame before it.
    blue, _, red = np.moveaxis([image[70:90, 30] for image in played], 2, 0).mean(axis=2)
    expected = [frames != ALL_FRAMES or number % 2 == 0 for number in range(20)]
    assert (blue - red > 50).tolist() == expected


def test_video_whose_first_frames_cannot_be_decoded_is_drawn_all_the_same(shared, tmp_path):
    video_path = shared / "reports" / "nokey_first.mp4"
    done = call_gudi("batch", video_path, "--out", "out", "--every", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (drawn,) = (tmp_path / "out" / "annotated").rglob("*.mp4")
    assert len(list(video.read_frames(drawn))) == len(list(video.read_frames(video_path))) == 10
    (row,) = read_rows(tmp_path / "out" / "files.csv")
    assert (row["status"], row["error"]) == ("ok", "")

"""Annotated pictures: where they go, and what they show."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import write_moving_face, write_video
from conftest import call_gudi, draw_face, run_gudi, save
from result_folders import (
    fill_store,
    make_result_folder,
    names_below,
    photo_result,
    random_probabilities,
    read_rows,
)

import gudi_jobs
from gudi.analysis.scenes import SIZE
from gudi.constants import EMOTIONS
from gudi.errors import OutputError
from gudi.media import video
from gudi.media.content import IMAGE, VIDEO
from gudi.media.source import Source
from gudi.outputs.folder import ResultFolder
from gudi.pipeline import annotate
from gudi.pipeline.draw_work import draw
from gudi.pipeline.workers import start_workers
from gudi.progress import Progress
from gudi.records import Box, Face, Result, VideoFrame
from gudi.settings import ALL_FRAMES, PICTURE, THUMBNAIL, BatchOptions, FrameOptions
from gudi.store import Store
from gudi.store.paths import UniquePaths


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


def test_names_that_a_disk_refuses_are_made_safe(photos, shared, tmp_path):
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to build what refuses names")
    source, shim, out = shared / "reports" / "fat_shim.c", tmp_path / "shim.so", tmp_path / "fat"
    subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", shim, "-ldl"], check=True)
    for name in ("a?.jpg", "a*.jpg"):
        shutil.copy(photos / "one.jpg", tmp_path / name)
    write_moving_face(tmp_path / '"film|".mp4')
    names = [path.name for path in tmp_path.iterdir() if path.is_file() and path != shim]
    out.mkdir()
    command = ("batch", *names, "--out", out / "results", "--subtitles")
    run = run_gudi(*command, cwd=tmp_path, env={"LD_PRELOAD": str(shim)})
    assert run.returncode == 0, run.stderr
    found = sorted(path.name for path in (out / "results" / "annotated").iterdir())
    assert found == ["2-a_.jpg", "_film__.mp4", "_film__.vtt", "a_.jpg"]


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


def test_photos_behind_two_slashes_are_not_overwritten(tmp_path):
    save(tmp_path / "face.jpg", draw_face())
    before = (tmp_path / "face.jpg").read_bytes()
    done = call_gudi("batch", f"/{tmp_path}/face.jpg", "--out", "out", "--no-report", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "face.jpg").read_bytes() == before
    assert names_below(tmp_path / "out" / "annotated") == ["face.jpg"]


def test_photo_that_cannot_be_drawn_keeps_its_faces(photos, tmp_path):
    results = []
    for name, size in (("one.jpg", (300, 300)), ("two.bmp", (500, 300)), ("below/one.png", None)):
        path = photos / name
        width, height = size or (200, 260)
        face = Face(Box(40, 50, 90, 90), 9.0, random_probabilities(1)[0], EMOTIONS)
        source = Source(path.as_posix(), str(path), IMAGE)
        results.append(Result(source, width=width, height=height, faces=[face]))
    (photos / "one.jpg").unlink()
    save(photos / "two.bmp", draw_face(width=77))
    paths = UniquePaths(tmp_path / "drawn")
    with start_workers(BatchOptions(), 2) as workers:
        annotate.draw_photos(results, paths, os.path.basename, workers=workers)
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
        ".lock", "faces.csv", "files.csv", "results.sqlite", "run.json",
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
    assert "making pictures: 3 of 3 files" in done.stderr
    assert names_below(tmp_path / "out") == before
    assert "drawing" not in call_gudi(*command, cwd=tmp_path).stderr


def test_full_disk_ends_the_run_and_blames_no_picture(tmp_path):
    path = tmp_path / "one.jpg"
    path.write_bytes(b"a photo")
    out = make_result_folder(tmp_path / "out", [photo_result(path)])
    with Store(out / "results.sqlite") as store:
        queue = annotate._DrawQueue(store, ResultFolder(out), BatchOptions(), Progress())
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with pytest.raises(OutputError, match="out: No space left on device"):
            queue.receive(gudi_jobs.Result(next(queue), error=full))
        assert store.drawings.count_undrawn(PICTURE | THUMBNAIL) == 1


@pytest.mark.parametrize("frames", [ALL_FRAMES, FrameOptions(every=2)])
def test_finished_chunks_of_a_video_are_kept_after_a_kill(tmp_path, monkeypatch, frames):
    monkeypatch.setattr(annotate, "CHUNK_FRAMES", 8)
    shown = draw_face(100, 200, 180, 30, 30)
    path = write_video(tmp_path / "film.mp4", [shown] * 20, options={"g": "4"})
    faces = [
        Face(Box(30, 30, 100, 100), 9.0, each, EMOTIONS, frame=2 * n, time_s=0.08 * n)
        for n, each in enumerate(random_probabilities(10))
    ]
    processed = [VideoFrame(n, 0.04 * n, bytes(SIZE)) for n in range(0, 20, frames.every)]
    result = Result(
        Source("film.mp4", str(path), VIDEO), segment=0, width=200, height=180, faces=faces,
        frames=processed,
    )  # fmt: skip
    out, progress, drawn = ResultFolder(tmp_path / "out"), Progress(), []
    progress.advance = drawn.append
    out.path.mkdir()
    with Store(out.store) as store:
        fill_store(store, [result])
        store.faces.finish(result.source, "", result.source.digest())
        store.videos.store_index(store.inputs.id_of(result.source), video.read_index(path))

        def start():
            options = BatchOptions(every=frames.every, report=False)
            return annotate._DrawQueue(store, out, options, progress)

        chunks = list(start())
        assert [chunk.path.name for chunk in chunks] == [f"{n:012}.nut" for n in (0, 8, 16)]
        for chunk in chunks[:2]:  # then the run is killed
            draw(chunk)
        queue = start()
        for item in queue:
            queue.receive(gudi_jobs.Result(item, draw(item)))
            drawn.append(item.path)
        assert drawn[0] == chunks[2].path
        assert [getattr(each, "status", each) for each in drawn[1:]] == [
            "ok", out.annotated / "film.mp4",
        ]  # fmt: skip
        assert store.drawings.count_undrawn(PICTURE) == 0
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

"""`gudi batch --dry-run`: what a run would have to do."""

from __future__ import annotations

import os

import pytest
from clips import scene, write_video
from conftest import call_gudi, draw_face

from gudi.errors import InputError
from gudi.pipeline.dry_run import dry_run
from gudi.settings import BatchOptions


def test_dry_run_counts_the_inputs_and_writes_nothing(photos, tmp_path):
    (photos / "gone.jpg").symlink_to("nowhere")
    (photos / "IMG_1").write_bytes(b"without a suffix")
    done = call_gudi("batch", "photos", "--out", "out", "--dry-run", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = dict(line.split(":", 1) for line in done.stdout.splitlines() if line[0] != " ")
    assert lines["photos"].split(",")[0].strip() == "4"
    assert lines["unreadable"].strip() == "1"
    assert "gone.jpg: it is a link to nowhere, which does not exist" in done.stdout
    assert "1 file not named like a photo or video (1 without a suffix); " in lines["skipped"]
    assert lines["faces"].strip() == "about 4"
    assert "4 photos and 0 frames" in lines["time"]
    assert os.listdir(tmp_path) == ["photos"]


def test_dry_run_of_a_finished_folder_finds_nothing_to_do(finished_run):
    def estimate(*options):
        command = ("batch", "photos", "--out", "results", "--crops", "--dry-run")
        return call_gudi(*command, *options, cwd=finished_run.photos.parent)

    before = {path: path.stat().st_mtime_ns for path in finished_run.out.iterdir()}
    again = estimate()
    assert "finished:   4 by earlier runs" in again.stdout
    assert "photos:     0" in again.stdout
    restarted = estimate("--restart")
    assert "photos:     4" in restarted.stdout
    assert "finished" not in restarted.stdout
    other = estimate("--min-neighbors", "9")
    assert (other.returncode, "min_neighbors was 5, now 9" in other.stderr) == (1, True)
    assert {path: path.stat().st_mtime_ns for path in finished_run.out.iterdir()} == before


def test_dry_run_of_a_shard_counts_only_its_photos(photos, tmp_path):
    counts = [
        dry_run([str(photos)], tmp_path / "out", BatchOptions(shard=(part, 3))).photos.count
        for part in (1, 2, 3)
    ]
    assert sum(counts) == 4


def test_dry_run_of_videos_counts_the_selected_frames(tmp_path):
    film = write_video(tmp_path / "film.mp4", [draw_face(100, 200, 180, 30, 30)] * 50)
    write_video(tmp_path / "scene.mp4", [scene(n) for n in range(25)])
    found = dry_run([str(tmp_path)], tmp_path / "out", BatchOptions())
    assert (found.videos.count, found.videos.pictures) == (2, 75)
    assert found.video_seconds == pytest.approx(3, abs=0.1)
    assert (found.videos.sampled, found.videos.faces) == (12, 6)
    assert found.faces == pytest.approx(75 / 2)
    selections = ({"every": 5}, 10), ({"fps": 5}, 10), ({"fps": 90}, 50)
    for selection, count in selections:
        options = BatchOptions(**selection)
        assert dry_run([str(film)], tmp_path / "out", options).videos.pictures == count


def test_unreadable_photos_of_the_sample_stand_for_others_without_faces(photos, tmp_path):
    for number in range(4):
        (photos / f"bad {number}.jpg").write_bytes(b"no picture")
    found = dry_run([str(photos)], tmp_path / "out", BatchOptions())
    assert (found.photos.count, found.photos.sampled, found.unreadable) == (8, 8, 4)
    assert found.faces == 4
    assert (
        sorted(problem.partition(": ")[2] for problem in found.problems)
        == ["it is a text file, not a photo"] * 4
    )


def test_disk_space_depends_on_what_is_written(photos, tmp_path):
    def disk(**output):
        return dry_run([str(photos)], tmp_path / "out", BatchOptions(**output)).disk

    tables = disk(annotate=False, report=False)
    assert 0 < tables < disk(annotate=False) < disk()
    assert 0 < tables < disk(report=False)


def test_dry_run_without_inputs_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no photos or videos in"):
        dry_run([str(tmp_path)], tmp_path / "out", BatchOptions())
    assert not (tmp_path / "out").exists()

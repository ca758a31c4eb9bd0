"""`gudi live` without a window: rows, recordings, and how a run ends."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from clips import FACE_STAMPS, FACELESS, has_green_lines, read_as_player, write_moving_face
from conftest import HAS_CASCADES, call_gudi, gudi_environment, interruptible

from gudi import detection, live
from gudi.checkpoint.locate import SHIPPED
from gudi.constants import EMOTIONS
from gudi.detection import Box
from gudi.errors import InputError, OutputError
from gudi.media import video
from gudi.settings import RecognizerOptions


def call_live(*arguments, cwd):
    return call_gudi("live", "--checkpoint", SHIPPED, "--no-window", *arguments, cwd=cwd)


def run(source, **options):
    recognition = RecognizerOptions(checkpoint=SHIPPED)
    return live.run_live(str(source), recognition, window=False, **options)


def test_without_window_there_is_a_row_per_face_and_the_annotated_video(tmp_path):
    source = write_moving_face(tmp_path / "v.mkv", 321, 241, codec="mjpeg")
    frames = list(video.read_frames(source))
    haar = ("--detector", "haar")  # which `detect` uses by default
    done = call_live("--source", source, "--save", "a.mp4", *haar, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *notes, summary, _ = done.stderr.splitlines()
    assert all(note.startswith("note: ") for note in notes)
    assert any("OpenCV 5 cannot detect eyes" in note for note in notes) != HAS_CASCADES
    assert summary.startswith("8 frames, 6 with a face, in ")
    rows = list(csv.reader(done.stdout.splitlines(), delimiter="\t"))
    assert [int(row[0]) for row in rows] == [n for n in range(8) if n not in FACELESS]
    times, images = read_as_player(tmp_path / "a.mp4")
    assert len(images) == 8
    assert images[0].shape == (242, 322, 3)  # 4:2:0 has no odd sizes
    np.testing.assert_allclose(times, np.array(FACE_STAMPS) / 1000, atol=1e-3)
    for number, shown, *box, emotion, probability in rows:
        frame, box = frames[int(number)], Box(*map(int, box))
        assert float(shown) == pytest.approx(frame.time, abs=1e-3)
        assert [box] == detection.detect(frame.image, faces="largest")
        assert emotion in EMOTIONS
        assert 1 / 7 < float(probability) <= 1
        right_edge = slice(box.x + box.width - 3, box.x + box.width + 4)
        assert has_green_lines(images[int(number)][:, right_edge])
    for number in FACELESS:
        plain = images[number][:241, :321].astype(int) - frames[number].image
        assert np.abs(plain).max() < 16


def test_frames_stay_as_they_are_if_nothing_is_drawn(tmp_path):
    source = write_moving_face(tmp_path / "v.mkv", 322, 242, codec="mjpeg")
    drawn = {}
    for draw in ("none", "box"):
        done = call_live(
            "--source", source, "--save", f"{draw}.mp4", "--draw", draw, cwd=tmp_path
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 6
        drawn[draw] = list(read_as_player(tmp_path / f"{draw}.mp4"))[1]
    for number, frame in enumerate(video.read_frames(source)):
        assert np.abs(drawn["none"][number].astype(int) - frame.image).max() < 40
        changed = np.abs(drawn["box"][number].astype(int) - frame.image).max() > 100
        assert changed == (number not in FACELESS)


def test_missing_camera_is_an_error_and_nothing_is_written(tmp_path):
    done = call_live("--source", "99", "--save", "a.mp4", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("gudi: error: camera 99 gives no pictures: ")
    assert not list(tmp_path.iterdir())


def test_missing_video_is_named_before_a_window_is_tried():
    with pytest.raises(InputError, match="no such file: /nope.mp4"):
        live.run_live("/nope.mp4", RecognizerOptions(checkpoint=SHIPPED))


def test_existing_recording_is_not_replaced(tmp_path):
    (tmp_path / "old.mp4").write_text("a recording")
    with pytest.raises(OutputError, match="old.mp4 already exists; --overwrite replaces it"):
        run("99", save=tmp_path / "old.mp4")
    assert (tmp_path / "old.mp4").read_text() == "a recording"


def test_signal_ends_the_run_and_completes_the_recording(tmp_path):
    source = write_moving_face(tmp_path / "v.mp4", stamps=[40 * n for n in range(50)])
    report = run(
        source, save=tmp_path / "a.mp4", on_face=lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    )
    assert (report.exit_code, report.frames) == (130, 1)
    _, images = read_as_player(tmp_path / "a.mp4")
    assert len(images) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "v.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_pressing_ctrl_c_again_and_again_loses_nothing(tmp_path):
    write_moving_face(tmp_path / "v.mp4", stamps=[40 * n for n in range(2000)])
    process = subprocess.Popen(
        [sys.executable, "-m", "gudi", "live", "--source", "v.mp4", "--save", "a.mp4",
         "--no-window", "--checkpoint", str(SHIPPED)],
        cwd=tmp_path, env=gudi_environment(), text=True, preexec_fn=interruptible,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline()
    for _ in range(20):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    stderr = process.communicate()[1]
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert list(read_as_player(tmp_path / "a.mp4"))[1]


def test_camera_that_disconnects_fails_but_keeps_the_recording(tmp_path, monkeypatch):
    """OpenCV opens a file instead of a camera, which ends as a camera does."""
    source = write_moving_face(tmp_path / "v.mp4", stamps=[40 * n for n in range(9)])
    capture = cv2.VideoCapture(str(source))
    monkeypatch.setattr(cv2, "VideoCapture", {3: capture}.get)
    report = run("3", save=tmp_path / "a.mp4")
    assert (report.exit_code, report.faces) == (3, 6)
    # The first picture only shows that the camera works.
    assert report.problem == "camera 3: no more pictures after frame 7; is it still connected?"
    times, images = read_as_player(tmp_path / "a.mp4")
    assert len(images) == report.frames == 8
    assert list(times) == sorted(set(times))


def test_video_that_ends_unexpectedly_fails_but_keeps_the_recording(tmp_path):
    stamps = [40 * n for n in range(200)]
    source = write_moving_face(tmp_path / "v.mkv", 61, 41, stamps, size=26, top=4, codec="mjpeg")
    content = source.read_bytes()
    source.write_bytes(content[: len(content) * 6 // 10])
    sums = []
    report = run(
        source,
        save=tmp_path / "a.mp4",
        on_face=lambda frame, face: sums.append(face.probabilities.sum()),
    )
    assert report.exit_code == 3
    assert report.problem.startswith(f"{source}: it ends unexpectedly after frame ")
    _, images = read_as_player(tmp_path / "a.mp4")
    assert images[0].shape == (42, 62, 3)  # tiny frames
    assert 50 < len(images) == report.frames < 200
    assert 0 < len(sums) == report.faces < report.frames
    np.testing.assert_allclose(sums, 1, atol=1e-5)

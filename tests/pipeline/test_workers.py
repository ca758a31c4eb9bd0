"""Workers: what they load, and how they predict."""

from __future__ import annotations

import dataclasses
import hashlib
import sys

import numpy as np
import pytest
from conftest import call_gudi, draw_face, needs_tensorflow, save
from result_folders import read_record

import gudi_jobs
from gudi import checkpoint
from gudi.media.source import Source
from gudi.pipeline import workers
from gudi.pipeline.detect_work import ProcessSettings, WorkItem, process
from gudi.settings import BatchOptions


def process_and_list_packages(path):
    process(ProcessSettings(BatchOptions(detector="haar")), WorkItem(Source(path, path, "image")))
    return sorted({name.partition(".")[0] for name in sys.modules})


def test_workers_that_only_detect_do_not_load_tensorflow(photos):
    with workers.start_workers(BatchOptions(), 2) as started:
        for outcome in started.map_unordered(
            process_and_list_packages, [str(photos / "one.jpg")] * 4
        ):
            assert "cv2" in outcome.value
            assert not {"tensorflow", "tflearn", "keras", "av"} & set(outcome.value)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_photo_is_opened_once(tmp_path, suffix):
    path = save(tmp_path / f"photo{suffix}", draw_face())
    content, opened = path.read_bytes(), []
    # os.open, which open calls, has no mode.
    sys.addaudithook(lambda event, given: event == "open" and given[1] and opened.append(given[0]))
    result = process(ProcessSettings(BatchOptions(detector="haar")), WorkItem(Source.of(path)))
    assert opened.count(str(path)) == 1
    assert len(result.faces) == 1
    assert result.digest == hashlib.blake2b(content, digest_size=16).digest()


def test_workers_predict_what_the_parent_predicts(photos, finished_run, tmp_path):
    done = call_gudi(
        "batch", "photos", "--out", "out", "--predict-in", "workers", "--crops", "--no-annotate",
        "--no-report", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    tables = [(each / "faces.csv").read_bytes() for each in (finished_run.out, out)]
    assert tables[0] == tables[1]
    crops = [(each / "crops.npy").read_bytes() for each in (finished_run.out, out)]
    assert crops[0] == crops[1]
    assert np.load(out / "crops.npy").shape == (4, 48, 48)
    assert read_record(out)["processor_seconds"]["predict"] > 0


@pytest.mark.parametrize(
    ("engine", "predict_in", "per_cpu", "expected"),
    [
        ("onnx", "auto", 1, False),
        ("onnx", "auto", 9, True),
        pytest.param("tensorflow", "auto", 9, False, marks=needs_tensorflow),
        ("onnx", "parent", 9, False),
        pytest.param("tensorflow", "workers", 1, True, marks=needs_tensorflow),
    ],
)
def test_workers_predict_if_the_parent_could_not_keep_up(
    engine, predict_in, per_cpu, expected, made
):
    settings = BatchOptions(engine=engine, predict_in=predict_in)
    count = per_cpu * gudi_jobs.cpu_count()
    prediction = workers.worker_prediction(settings, checkpoint.load(made[0]), count)
    assert (prediction is not None) == expected


def with_checkpoint(prediction, path):
    options = dataclasses.replace(prediction.options, checkpoint=path)
    return dataclasses.replace(prediction, options=options)


def test_worker_with_another_checkpoint_refuses_to_predict(made):
    settings = BatchOptions(predict_in="workers", device="cpu")
    prediction = workers.worker_prediction(settings, checkpoint.load(made[0]), 2)
    assert workers._setup_error("haar", prediction) == ""
    other = with_checkpoint(prediction, None)  # the one that gudi ships
    different = "is not the checkpoint that the run was started with"
    assert different in workers._setup_error("haar", other)
    missing = with_checkpoint(prediction, str(made[0]) + "x")
    assert "no checkpoint" in workers._setup_error("haar", missing)

"""Workers: what they load, and how they predict."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
from conftest import call_gudi
from result_folders import read_record

import gudi_jobs
from gudi import checkpoint
from gudi.media.sources import Source
from gudi.pipeline import workers
from gudi.pipeline.detect_work import ProcessSettings, WorkItem, process
from gudi.settings import ALL_FRAMES, DetectionSettings, RunSettings


def process_and_list_packages(path):
    process(ProcessSettings(DetectionSettings(), ALL_FRAMES), WorkItem(Source(path, path, "image")))
    return sorted({name.partition(".")[0] for name in sys.modules})


def test_workers_that_only_detect_do_not_load_tensorflow(photos):
    with workers.start_workers(RunSettings(), 2) as started:
        for outcome in started.run(process_and_list_packages, [str(photos / "one.jpg")] * 4):
            assert "cv2" in outcome.value
            assert not {"tensorflow", "tflearn", "keras"} & set(outcome.value)


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
        ("tensorflow", "auto", 9, False),
        ("onnx", "parent", 9, False),
        ("tensorflow", "workers", 1, True),
    ],
)
def test_workers_predict_if_the_parent_could_not_keep_up(
    engine, predict_in, per_cpu, expected, made
):
    settings = RunSettings(engine=engine, predict_in=predict_in)
    count = per_cpu * gudi_jobs.cpu_count()
    prediction = workers.worker_prediction(settings, checkpoint.load(made[0]), count)
    assert (prediction is not None) == expected


def test_worker_with_another_checkpoint_refuses_to_predict(made):
    settings = RunSettings(predict_in="workers", device="cpu")
    prediction = workers.worker_prediction(settings, checkpoint.load(made[0]), 2)
    assert workers._setup_error(prediction) == ""
    other = dataclasses.replace(prediction, checkpoint=None)  # the one that gudi ships
    different = "is not the checkpoint that the run was started with"
    assert different in workers._setup_error(other)
    missing = dataclasses.replace(prediction, checkpoint=str(made[0]) + "x")
    assert "no checkpoint" in workers._setup_error(missing)

"""Both engines compute the same network."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from conftest import call_gudi, draw_face, gudi_environment, needs_tensorflow, save

from gudi import checkpoint as checkpoints
from gudi.engines import engine_for
from gudi.engines.engine import without_idle_units
from gudi.errors import UsageError
from gudi.predictor import Predictor

ENGINES = [pytest.param("tensorflow", marks=needs_tensorflow), "onnx"]


@pytest.fixture(scope="module", params=ENGINES)
def predictor(request, made):
    with Predictor(made[0], "cpu", engine=request.param) as opened:
        yield opened


def test_probabilities_are_those_of_tflearn(predictor, made):
    np.testing.assert_allclose(predictor.predict(made[1]), made[2], rtol=0, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_legacy_network_answers_as_under_tensorflow_1(legacy, original, engine):
    expected = np.load(legacy / "expected.npy")
    with Predictor(legacy, "cpu", engine=engine) as predictor:
        found = predictor.predict(np.load(original.faces))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_onnx_gives_a_face_the_same_bits_in_any_company_and_with_any_threads():
    faces = np.random.default_rng(0).integers(0, 256, (130, 48, 48), np.uint8)
    with Predictor(engine="onnx") as many, Predictor(engine="onnx", threads=1) as one:
        together = many.predict(faces)
        np.testing.assert_array_equal(one.predict(faces), together)
        for count in (1, 2, 7, 65):
            np.testing.assert_array_equal(many.predict(faces[:count]), together[:count])
        np.testing.assert_array_equal(many.predict(faces[::-1])[::-1], together)
    with Predictor(engine="onnx", batch_size=7, fixed_batches=True) as padded:
        separately = np.concatenate([padded.predict(face[None]) for face in faces[:9]])
        np.testing.assert_array_equal(separately, padded.predict(faces)[:9])


def test_idle_units_change_nothing(made):
    weights = checkpoints.load(made[0])
    values = dict(weights.values)
    for name, index in (("FullyConnected/W", np.s_[:, 5:]), ("FullyConnected/b", np.s_[5:])):
        values[name] = values[name].copy()
        values[name][index] = 0
    active = without_idle_units(values)
    assert active["FullyConnected/W"].shape == (18432, 5)
    assert active["FullyConnected_1/W"].shape == (5, 7)
    values["FullyConnected/b"][9] = 1  # active for every face
    assert without_idle_units(values)["FullyConnected/b"].shape == (6,)
    assert without_idle_units(weights.values)["FullyConnected/b"].shape == (3072,)


def test_units_are_idle_if_they_are_zero_before_or_after_the_relu():
    random = np.random.default_rng(0)
    values = {
        "FullyConnected/W": random.normal(size=(9, 6)).astype("f4"),
        "FullyConnected/b": np.array([1, -1, 1, -1, 0, -1], "f4"),
        "FullyConnected_1/W": random.normal(size=(6, 2)).astype("f4"),
    }
    values["FullyConnected/W"][:, 2:5] = 0  # unit 2 is always 1, units 3 and 4 are always 0
    values["FullyConnected_1/W"][0] = 0
    active = without_idle_units(values)
    np.testing.assert_array_equal(active["FullyConnected/b"], [-1, 1, -1])
    faces = random.normal(size=(50, 9))

    def outputs(values):
        hidden = faces @ values["FullyConnected/W"] + values["FullyConnected/b"]
        return np.maximum(hidden, 0) @ values["FullyConnected_1/W"]

    np.testing.assert_allclose(outputs(active), outputs(values))


def test_layer_keeps_at_least_one_unit():
    zeros = {
        "FullyConnected/W": np.zeros((9, 6), "f4"),
        "FullyConnected/b": np.zeros(6, "f4"),
        "FullyConnected_1/W": np.zeros((6, 2), "f4"),
    }
    assert without_idle_units(zeros)["FullyConnected/W"].shape == (9, 1)


@pytest.mark.parametrize(
    ("engine", "device", "expected"),
    [
        ("auto", "cpu", "onnx"),
        pytest.param("tensorflow", "cpu", "tensorflow", marks=needs_tensorflow),
        ("onnx", "auto", "onnx"),
        pytest.param("auto", "gpu", "tensorflow", marks=needs_tensorflow),
        pytest.param("tensorflow", "gpu:1", "tensorflow", marks=needs_tensorflow),
    ],
)
def test_engine_suits_the_device(engine, device, expected):
    assert engine_for(engine, device) == expected


@pytest.mark.parametrize(("engine", "device"), [("onnx", "gpu"), ("torch", "cpu"), ("auto", "tpu")])
def test_engine_or_device_that_does_not_exist_is_refused(engine, device):
    with pytest.raises(UsageError):
        engine_for(engine, device)


def test_photo_needs_no_tensorflow(tmp_path):
    save(tmp_path / "photo.jpg", draw_face())
    code = (
        "import sys; from gudi.cli import main\n"
        "try: main(['predict', 'photo.jpg', '--device', 'cpu'])\n"
        "except SystemExit: print(sorted({'tensorflow', 'onnx', 'tflearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=gudi_environment(),
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@needs_tensorflow
def test_resumed_run_keeps_its_engine(tmp_path):
    save(tmp_path / "photos" / "one.jpg", draw_face())
    command = ("batch", "photos", "--out", "results", "--no-annotate", "--no-report")
    assert call_gudi(*command, "--engine", "tensorflow", cwd=tmp_path).returncode == 0
    first = (tmp_path / "results" / "faces.csv").read_text()
    save(tmp_path / "photos" / "two.jpg", draw_face())
    resumed = call_gudi(*command, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert (tmp_path / "results" / "faces.csv").read_text().startswith(first)
    refused = call_gudi(*command, "--engine", "onnx", cwd=tmp_path)
    assert refused.returncode == 1
    assert "engine was tensorflow, now onnx" in refused.stderr
    assert call_gudi(*command, "--engine", "onnx", "--restart", cwd=tmp_path).returncode == 0

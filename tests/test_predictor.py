"""The network and what it predicts."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import gudi_environment

from gudi import checkpoint as checkpoints
from gudi.constants import EMOTIONS
from gudi.errors import CheckpointError, DeviceError, UsageError
from gudi.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(made):
    with Predictor(made[0], "cpu", batch_size=8) as predictor:
        yield predictor


def test_variables_are_those_of_every_gudi_checkpoint_whatever_was_built_before():
    from gudi import network

    for _ in range(2):
        for training in (False, True):
            built = network.build(training=training)
            shapes = {name: tuple(map(int, each.shape)) for name, each in built.weights.items()}
            assert shapes == checkpoints.weight_shapes()
            assert built.training_mode.op.name == "is_training"


def test_layers_are_those_of_the_original():
    from gudi import network

    graph = network.build(training=True).graph
    layers = {}
    for operation in graph.get_operations():
        if not operation.name.startswith(("gradients", "Accuracy")):
            layers.setdefault(operation.type, []).append(operation)
    assert [each.get_attr("padding") for each in layers["Conv2D"]] == [b"SAME"] * 3
    assert [each.get_attr("ksize") for each in layers["MaxPool"]] == [[1, 3, 3, 1]] * 2
    assert [each.get_attr("strides") for each in layers["MaxPool"]] == [[1, 2, 2, 1]] * 2
    assert len(layers["Relu"]) == 4
    assert len(layers["Softmax"]) == 1
    assert graph.get_collection("trainops"), "there is no regression"


def test_the_same_as_tflearn_predicts(predictor, made):
    _, faces, expected = made
    np.testing.assert_allclose(predictor.predict(faces), expected, atol=1e-5, rtol=0)


def test_probabilities(predictor, made):
    probabilities = predictor.predict(made[1])
    assert (probabilities.shape, probabilities.dtype) == ((20, 7), np.float32)
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert predictor.emotions == EMOTIONS


def test_no_dropout_so_the_same_each_time(predictor, made):
    faces = made[1]
    np.testing.assert_array_equal(predictor.predict(faces), predictor.predict(faces))


def test_fixed_batches_give_a_face_the_same_bits_in_any_company(made):
    faces = made[1]
    with Predictor(made[0], "cpu", fixed_batches=True) as predictor:
        assert_same_in_any_company(predictor, faces, tolerance=0)


def test_company_hardly_changes_a_face(predictor, made):
    assert_same_in_any_company(predictor, made[1], tolerance=1e-6)


def assert_same_in_any_company(predictor, faces, tolerance):
    together = predictor.predict(faces)
    for order in (np.arange(20)[::-1], np.random.default_rng(1).permutation(20), [7], [2, 0, 1]):
        found = predictor.predict(faces[order])
        np.testing.assert_allclose(found, together[order], rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("engine", "fixed_batches", "sizes"),
    [
        ("tensorflow", False, [1, 5, 12, 12, 8]),
        ("tensorflow", True, [12, 12, 12, 12, 12]),
        ("onnx", True, [1, 5, 12, 12, 8]),
    ],
)
def test_passes_are_no_larger_than_they_have_to_be(made, monkeypatch, engine, fixed_batches, sizes):
    """Sizes of passes for 1, 5, 12 and 20 faces."""
    passes = []
    with Predictor(made[0], "cpu", 12, engine=engine, fixed_batches=fixed_batches) as predictor:
        predict = predictor._loaded.predict

        def spy(faces):
            passes.append(len(faces))
            return predict(faces)

        monkeypatch.setattr(predictor._loaded, "predict", spy)
        for count in (1, 5, 12, 20):
            predictor.predict(made[1][:count])
    assert passes == sizes


def test_threads_share_predictors(predictor, made, legacy):
    """Eight threads use two predictors with different checkpoints at the same time."""
    faces = made[1]
    with Predictor(legacy, "cpu", batch_size=4) as other:
        expected = [each.predict(faces) for each in (predictor, other)]

        def predict(number):
            return (predictor, other)[number % 2].predict(faces)

        with ThreadPoolExecutor(8) as threads:
            for number, found in enumerate(threads.map(predict, range(24))):
                np.testing.assert_allclose(found, expected[number % 2], rtol=0, atol=1e-6)


def test_threads_can_load_predictors_at_the_same_time(made, legacy):
    """What hides TensorFlow's messages is shared by all threads: stderr has to survive it."""
    faces = made[1]
    stderr = os.fstat(2)

    def load_and_predict(checkpoint):
        with Predictor(checkpoint, "cpu", 20) as predictor:
            return predictor.predict(faces)

    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(load_and_predict, [made[0], legacy, made[0]]))
    assert os.path.samestat(os.fstat(2), stderr)
    np.testing.assert_allclose(answers[0], made[2], atol=1e-5, rtol=0)
    np.testing.assert_allclose(answers[2], made[2], atol=1e-5, rtol=0)
    assert np.abs(answers[1] - made[2]).max() > 0.01


def test_no_faces(predictor):
    assert predictor.predict(np.empty((0, 48, 48), np.uint8)).shape == (0, 7)


@pytest.mark.parametrize(
    "faces",
    [
        np.zeros((2, 48, 48), np.float32),
        np.zeros((48, 48), np.uint8),
        np.zeros((2, 48, 47), np.uint8),
        np.zeros((2, 48, 48, 1), np.uint8),
        np.zeros(0, np.uint8),
    ],
)
def test_anything_else_is_refused(predictor, faces):
    with pytest.raises(ValueError, match=r"uint8 of shape \(n, 48, 48\)\. Received: "):
        predictor.predict(faces)


def test_two_live_side_by_side(predictor, made, legacy):
    _, faces, expected = made
    with Predictor(legacy, "cpu", batch_size=4) as other:
        assert other.fingerprint != predictor.fingerprint
        theirs = other.predict(faces)
        np.testing.assert_allclose(predictor.predict(faces), expected, atol=1e-5, rtol=0)
        np.testing.assert_array_equal(other.predict(faces), theirs)
        assert np.abs(theirs - expected).max() > 0.01


def test_a_closed_one_says_so(made):
    predictor = Predictor(made[0], "cpu", batch_size=1)
    predictor.close()
    predictor.close()
    with pytest.raises(RuntimeError, match="closed"):
        predictor.predict(made[1])


def test_a_gpu_that_is_not_there(made):
    import tensorflow

    if tensorflow.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU here")
    for device in ("gpu", "gpu:1"):
        with pytest.raises(DeviceError, match=f"{device} was requested, but .* sees no GPU"):
            Predictor(made[0], device)
    with Predictor(made[0], "auto", batch_size=1) as predictor:
        assert predictor.device == "/CPU:0"


@pytest.mark.parametrize("device", ["tpu", "gpu:x", "GPU", ""])
def test_a_device_that_is_none(device):
    with pytest.raises(UsageError, match="no such device"):
        Predictor("anything", device)


def test_other_emotions_need_another_network(made):
    with pytest.raises(CheckpointError, match="has 7 classes, not 2"):
        Predictor(made[0], emotions=["good", "bad"])


def test_tensorflow_and_tflearn_keep_quiet(made):
    script = (
        "import sys, numpy\n"
        "from gudi.predictor import Predictor\n"
        "with Predictor(sys.argv[1]) as predictor:\n"
        "    predictor.predict(numpy.zeros((1, 48, 48), numpy.uint8))"
    )
    command = [sys.executable, "-c", script, str(made[0])]
    quiet = subprocess.run(command, env=gudi_environment(), capture_output=True, text=True)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    debug = gudi_environment({"GUDI_DEBUG": "1"})
    loud = subprocess.run(command, env=debug, capture_output=True, text=True)
    assert loud.returncode == 0
    assert "oneDNN" in loud.stderr or "tensorflow" in loud.stderr


def test_keras_is_for_those_who_use_it():
    script = (
        "import sys, gudi.network\n"
        "assert not {'keras', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "import tensorflow\n"
        "print(tensorflow.keras.layers.Dense.__name__)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=gudi_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "Dense\n"), done.stderr


def test_as_the_legacy_network_itself(legacy, shared):
    faces = np.load(shared / "oracle" / "faces_u8.npy")
    expected = np.load(shared / "oracle" / "faces_expected.npy")
    with Predictor(legacy) as predictor:
        np.testing.assert_allclose(predictor.predict(faces), expected, atol=1e-5, rtol=0)


def test_a_batch_that_does_not_fit_into_memory_is_halved(made, monkeypatch):
    prefix, faces, expected = made
    with Predictor(prefix, "cpu", batch_size=16) as predictor:
        whole = predictor._loaded.predict

        def small(batch):
            if len(batch) > 5:
                raise MemoryError
            return whole(batch)

        monkeypatch.setattr(predictor._loaded, "predict", small)
        np.testing.assert_allclose(predictor.predict(faces), expected, atol=1e-6)
        assert predictor.batch_size == 4

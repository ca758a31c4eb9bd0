"""What the network predicts, with each engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import needs_tensorflow

from gudi.constants import EMOTIONS
from gudi.errors import CheckpointError, DeviceError, UsageError
from gudi.predictor import Predictor

ENGINES = [pytest.param("tensorflow", marks=needs_tensorflow), "onnx"]


@pytest.fixture(scope="module", params=ENGINES)
def predictor(request, made):
    with Predictor(made[0], "cpu", batch_size=8, engine=request.param) as predictor:
        yield predictor


def test_predictions_are_tflearns(predictor, made):
    _, faces, expected = made
    np.testing.assert_allclose(predictor.predict(faces), expected, atol=1e-5, rtol=0)


def test_probabilities_are_float32_and_sum_to_one(predictor, made):
    probabilities = predictor.predict(made[1])
    assert (probabilities.shape, probabilities.dtype) == ((20, 7), np.float32)
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert predictor.emotions == EMOTIONS


def test_predictions_are_the_same_each_time(predictor, made):
    faces = made[1]
    np.testing.assert_array_equal(predictor.predict(faces), predictor.predict(faces))


def test_no_faces_have_no_probabilities(predictor):
    assert predictor.predict(np.empty((0, 48, 48), np.uint8)).shape == (0, 7)


@pytest.mark.parametrize("engine", ENGINES)
def test_fixed_batches_give_a_face_the_same_bits_in_any_company(made, engine):
    with Predictor(made[0], "cpu", engine=engine, fixed_batches=True) as predictor:
        assert_same_in_any_company(predictor, made[1], tolerance=0)


def test_company_hardly_changes_a_face(predictor, made):
    assert_same_in_any_company(predictor, made[1], tolerance=1e-6)


def assert_same_in_any_company(predictor, faces, tolerance):
    together = predictor.predict(faces)
    for order in (np.arange(20)[::-1], np.random.default_rng(1).permutation(20), [7], [2, 0, 1]):
        found = predictor.predict(faces[order])
        np.testing.assert_allclose(found, together[order], rtol=0, atol=tolerance)


class Spy:
    """An engine that records the number of faces in each pass, and may have little memory."""

    def __init__(self, engine, limit=1000):
        self.engine, self.limit, self.passes = engine, limit, []
        self.same_bits = engine.same_bits

    def predict(self, faces):
        if len(faces) > self.limit:
            raise MemoryError
        self.passes.append(len(faces))
        return self.engine.predict(faces)

    def close(self):
        self.engine.close()


@pytest.mark.parametrize(
    ("engine", "fixed_batches", "passes"),
    [
        pytest.param("tensorflow", False, [1, 5, 12, 12, 8], marks=needs_tensorflow),
        pytest.param("tensorflow", True, [12, 12, 12, 12, 12], marks=needs_tensorflow),
        ("onnx", False, [1, 5, 12, 12, 8]),
        ("onnx", True, [12, 12, 12, 12, 12]),
    ],
)
def test_only_fixed_batches_are_padded(narrow, made, engine, fixed_batches, passes):
    """Numbers of faces in each pass, for 1, 5, 12 and 20 faces."""
    with Predictor(narrow, "cpu", 12, engine=engine, fixed_batches=fixed_batches) as predictor:
        spy = predictor._loaded = Spy(predictor._loaded)
        for count in (1, 5, 12, 20):
            predictor.predict(made[1][:count])
    assert spy.passes == passes


@needs_tensorflow
@pytest.mark.parametrize(
    ("count", "fixed_batches", "passes"),
    [(20, False, [4, 4, 4, 4, 4]), (20, True, [4, 4, 4, 4, 4]), (1, True, [4])],
)
def test_batch_that_does_not_fit_into_memory_is_halved(made, count, fixed_batches, passes):
    prefix, faces, expected = made
    with Predictor(
        prefix, "cpu", batch_size=16, engine="tensorflow", fixed_batches=fixed_batches
    ) as predictor:
        spy = predictor._loaded = Spy(predictor._loaded, limit=5)
        found = predictor.predict(faces[:count])
    np.testing.assert_allclose(found, expected[:count], atol=1e-5, rtol=0)
    assert spy.passes == passes
    assert predictor.batch_size == 4


def test_face_that_does_not_fit_into_memory_is_an_error(narrow, made):
    with Predictor(narrow, "cpu") as predictor:
        predictor._loaded = Spy(predictor._loaded, limit=0)
        with pytest.raises(MemoryError):
            predictor.predict(made[1])


@needs_tensorflow
def test_passes_on_a_gpu_are_padded_to_powers_of_two(narrow, made):
    with Predictor(narrow, "cpu", engine="tensorflow") as predictor:
        expected = predictor.predict(made[1])
        engine = predictor._loaded
        engine.device = "/GPU:0"
        sizes, run = [], engine._session.run

        def record(fetches, feed):
            sizes.extend(len(value) for value in feed.values())
            return run(fetches, feed)

        engine._session.run = record
        for count in (1, 2, 5, 16, 20):
            found = predictor.predict(made[1][:count])
            np.testing.assert_allclose(found, expected[:count], atol=1e-6, rtol=0)
    assert sizes == [1, 2, 8, 16, 32]


@pytest.mark.parametrize(
    "faces",
    [
        np.zeros((2, 48, 48), np.float32),
        np.zeros((48, 48), np.uint8),
        np.zeros((2, 48, 47), np.uint8),
        np.zeros((2, 48, 48, 1), np.uint8),
        np.zeros(0, np.uint8),
    ],
    ids=lambda faces: f"{faces.dtype} {faces.shape}",
)
def test_error_about_other_arrays_says_what_was_received(predictor, faces):
    with pytest.raises(UsageError, match=r"uint8 of shape \(n, 48, 48\)\. Received: ") as caught:
        predictor.predict(faces)
    assert str(caught.value).endswith(f"{faces.dtype} of shape {faces.shape}")


def test_threads_share_predictors_of_different_checkpoints(predictor, made, narrow):
    """Eight threads use two predictors at the same time."""
    faces = made[1]
    with Predictor(narrow, "cpu", batch_size=4, engine=predictor.engine) as other:
        assert other.fingerprint != predictor.fingerprint
        both = predictor, other
        expected = [each.predict(faces) for each in both]
        assert np.abs(expected[0] - expected[1]).max() > 0.01
        with ThreadPoolExecutor(8) as threads:
            for number, found in enumerate(
                threads.map(lambda number: both[number % 2].predict(faces), range(24))
            ):
                np.testing.assert_allclose(found, expected[number % 2], rtol=0, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_can_load_predictors_at_the_same_time(made, narrow, engine):
    def load_and_predict(checkpoint):
        with Predictor(checkpoint, "cpu", engine=engine) as predictor:
            return predictor.predict(made[1])

    with ThreadPoolExecutor(3) as threads:
        first, other, second = threads.map(load_and_predict, [made[0], narrow, made[0]])
    np.testing.assert_allclose(first, made[2], atol=1e-5, rtol=0)
    np.testing.assert_allclose(second, made[2], atol=1e-5, rtol=0)
    assert np.abs(other - made[2]).max() > 0.01


def test_closed_predictor_says_so(narrow, made):
    predictor = Predictor(narrow, "cpu")
    predictor.close()
    predictor.close()
    for count in (0, 1):
        with pytest.raises(RuntimeError, match="closed"):
            predictor.predict(made[1][:count])


@needs_tensorflow
def test_missing_gpu_is_an_error_unless_the_device_is_auto(narrow):
    import tensorflow

    if tensorflow.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU here")
    for device in ("gpu", "gpu:1"):
        with pytest.raises(DeviceError, match=f"{device} was requested, but .* sees no GPU"):
            Predictor(narrow, device)
    with Predictor(narrow, "auto") as predictor:
        assert predictor.device == "/CPU:0"


@pytest.mark.parametrize("device", ["tpu", "gpu:x", "GPU", ""])
def test_unknown_device_is_refused(device):
    with pytest.raises(UsageError, match="no such device"):
        Predictor("anything", device)


def test_batch_size_must_be_at_least_one():
    with pytest.raises(UsageError, match="batch_size must be a whole number from 1"):
        Predictor("anything", batch_size=0)


def test_number_of_emotions_must_be_the_networks(made):
    with pytest.raises(CheckpointError, match="has 7 classes, not 2"):
        Predictor(made[0], emotions=["good", "bad"])


@pytest.mark.parametrize("engine", ENGINES)
def test_mirrored_prediction_is_the_mean_for_a_face_and_its_mirror_image(made, engine):
    path, faces, _ = made
    with Predictor(path, "cpu", engine=engine) as plain:
        expected = (plain.predict(faces) + plain.predict(faces[:, :, ::-1])) / 2
        assert not plain.mirror
    with Predictor(path, "cpu", 7, engine=engine, mirror=True) as mirrored:
        np.testing.assert_allclose(mirrored.predict(faces), expected, rtol=0, atol=1e-6)
        assert mirrored.mirror


def test_shipped_checkpoint_is_mirrored_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUDI_CHECKPOINT", raising=False)
    with Predictor(device="cpu") as default, Predictor(device="cpu", mirror=False) as plain:
        assert (default.mirror, plain.mirror) == (True, False)

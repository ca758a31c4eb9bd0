"""One step of training, compared with what TFLearn does."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import needs_tensorflow

from gudi import checkpoint as checkpoints
from gudi.errors import TrainingError
from gudi.quiet import quiet
from gudi.training.dataset import Dataset
from gudi.training.training_session import TrainingSession
from gudi.training.training_settings import TrainingSettings

pytestmark = needs_tensorflow

CPU = "/CPU:0"


def test_step_is_tflearns(made):
    """The same weights and faces, trained by `DNN.fit` and by a session of ours."""
    from gudi import network

    faces = (made[1][..., None] / 255.0).astype(np.float32)
    labels = np.eye(7, dtype=np.float32)[np.arange(20) % 7]
    built = network.build(training=True, keep=1.0)
    with quiet(), built.graph.as_default():
        model = network.tflearn.DNN(built.probabilities)
        model.load(str(made[0]))
        for _ in range(3):
            model.fit(faces, labels, n_epoch=1, batch_size=20, show_metric=False, shuffle=False)
        expected = model.session.run(built.weights)
        model.session.close()

    file = checkpoints.open_checkpoint(made[0])
    start = {name: file.read(name)[0] for name in file.tensors}
    before = start["Conv2D/W"].copy()
    settings = TrainingSettings(keep=1.0)
    with TrainingSession(settings, start, CPU, complete=True) as session:
        session.set_training(True)
        for step in range(3):
            session.train_batch((faces, labels), 0.001, step)
        ours = session.variables()
    assert np.abs(ours["Conv2D/W"] - before).max() > 1e-5
    for name, values in expected.items():
        np.testing.assert_allclose(ours[name], values, atol=1e-6, rtol=1e-4, err_msg=name)


@pytest.fixture(scope="module")
def faces() -> Dataset:
    random = np.random.default_rng(2)
    return Dataset(random.integers(0, 256, (300, 48, 48), np.uint8), np.arange(300) % 7)


def train_one_batch(session: TrainingSession, faces: Dataset) -> None:
    chosen = np.arange(20)
    session.set_training(True)
    targets = np.eye(7, dtype=np.float32)[faces.labels[chosen]]
    session.train_batch((faces.unit(chosen)[..., None], targets), 0.01, 0)


def test_original_recipe_uses_the_whole_network(faces):
    with TrainingSession(TrainingSettings(), {}, CPU, complete=False) as session:
        train_one_batch(session, faces)
        values = session.checkpoint_variables()
    shapes = checkpoints.weight_shapes()
    assert set(values) == set(shapes) | {f"{name}/Momentum" for name in shapes}
    for name, shape in shapes.items():
        assert values[name].shape == values[f"{name}/Momentum"].shape == shape
    assert values["FullyConnected/W/Momentum"].any(axis=0).mean() > 0.9


def test_units_that_are_not_in_use_are_zero(faces):
    settings = TrainingSettings(optimizer="adam", units=8)
    with TrainingSession(settings, {}, CPU, complete=False) as session:
        train_one_batch(session, faces)
        values = session.checkpoint_variables()
    assert values["FullyConnected/W"][:, :8].any(axis=0).all()
    assert not values["FullyConnected/W"][:, 8:].any()
    assert not values["FullyConnected/W/Momentum"].any()  # Adam has none


def test_validation_is_the_mean_over_all_faces_without_dropout(faces):
    settings = TrainingSettings(units=8, keep=0.1)
    with TrainingSession(settings, {}, CPU, complete=False) as session:
        loss, accuracy = session.validate(faces)
        assert session.validate(faces) == (loss, accuracy)
        parts = [
            session.validate(Dataset(faces.faces[part], faces.labels[part]))
            for part in (slice(0, 100), slice(100, 300))
        ]
    assert loss == pytest.approx((parts[0][0] + 2 * parts[1][0]) / 3, rel=1e-5)
    assert accuracy == pytest.approx((parts[0][1] + 2 * parts[1][1]) / 3)


def test_averages_are_validated_and_the_weights_stay_as_trained(faces):
    faces = Dataset(faces.faces[:30], faces.labels[:30])
    settings = TrainingSettings(units=8, ema_decay=0.9, keep=1.0)
    with TrainingSession(settings, {}, CPU, complete=False) as session:
        for _ in range(3):
            train_one_batch(session, faces)
        before = session.variables()
        averaged = session.validate(faces)
        after = session.variables()
        saved = session.checkpoint_variables()
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])
    average = before["Conv2D/W/ExponentialMovingAverage"]
    assert not np.array_equal(average, before["Conv2D/W"])
    np.testing.assert_array_equal(saved["Conv2D/W"], average)

    weights = {name: before[f"{name}/ExponentialMovingAverage"] for name in saved if name in before
               and f"{name}/ExponentialMovingAverage" in before}  # fmt: skip
    plain = TrainingSettings(units=8, keep=1.0)
    with TrainingSession(plain, weights, CPU, complete=False) as session:
        assert session.validate(faces) == pytest.approx(averaged, rel=1e-5)


def test_bfloat16_trains_as_float32_does(faces):
    """With summaries, and on few faces: CPUs without AVX-512 take 15 times as long."""
    chosen = np.arange(2)
    batch = (faces.unit(chosen)[..., None], np.eye(7, dtype=np.float32)[faces.labels[chosen]])
    losses = {}
    for precision in ("float32", "bfloat16"):
        changes = {"units": 8, "keep": 1.0, "precision": precision, "tensorboard_verbose": 3}
        settings = TrainingSettings(**changes)
        with TrainingSession(settings, {}, CPU, complete=False) as session:
            session.set_training(True)
            losses[precision] = [session.train_batch(batch, 0.01, step)[0] for step in range(2)]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)


def test_snapshot_without_a_variable_is_refused(faces):
    settings = TrainingSettings(units=8)
    with TrainingSession(settings, {}, CPU, complete=False) as session:
        values = session.variables()
    del values["Conv2D/b/Momentum"]
    with pytest.raises(TrainingError, match="has no variable Conv2D/b/Momentum"):
        TrainingSession(settings, values, CPU, complete=True)

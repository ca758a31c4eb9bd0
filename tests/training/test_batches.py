"""Order, targets and batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gudi.predictor import Predictor
from gudi.progress import Progress
from gudi.training.batches import (
    batches,
    class_prior,
    epoch_order,
    face_targets,
    teacher_predictions,
)
from gudi.training.dataset import Dataset, load
from gudi.training.training_settings import TrainingSettings


def test_each_epoch_shows_all_faces_in_another_order():
    data = Dataset(np.zeros((50, 48, 48), np.uint8), np.arange(50) % 7)
    settings = TrainingSettings()
    first, second = (epoch_order(data, settings, epoch) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(50))
    assert list(first) != list(second)
    np.testing.assert_array_equal(first, epoch_order(data, settings, 0))


def test_balanced_order_shows_rare_classes_as_often_as_the_most_frequent():
    data = Dataset(np.zeros((50, 48, 48), np.uint8), np.repeat([0, 1], [40, 10]))
    order = epoch_order(data, TrainingSettings(balance=1.0), 0)
    np.testing.assert_array_equal(np.bincount(data.labels[order]), [40, 40])


def test_faces_on_which_people_disagree_are_shown_less_often():
    soft = np.zeros((400, 7), np.float32)
    soft[:200, 0], soft[200:, 0], soft[200:, 1] = 1, 0.5, 0.5
    data = Dataset(np.zeros((400, 48, 48), np.uint8), np.zeros(400, np.int64), soft)
    settings = TrainingSettings(sample_weight=2.0)
    orders = [epoch_order(data, settings, epoch) for epoch in range(20)]
    assert all(np.sum(order < 200) == 200 for order in orders)
    assert np.mean([np.sum(order >= 200) for order in orders]) == pytest.approx(50, rel=0.1)


@pytest.mark.parametrize("augmentation", [0.0, 1.0])
def test_resumed_epoch_continues_with_the_same_batches(work, augmentation):
    data = load(work / "data")
    settings = TrainingSettings(batch_size=8, augmentation=augmentation)
    order = epoch_order(data, settings, 3)
    targets = face_targets(data, 0.0)
    every = list(batches(data, targets, order, settings, epoch=3))
    rest = list(batches(data, targets, order, settings, epoch=3, first=5))
    assert [len(faces) for faces, _ in every] == [8] * 7 + [4]
    assert len(rest) == 3
    for (faces, labels), (again, labels_again) in zip(every[5:], rest):
        np.testing.assert_array_equal(faces, again)
        np.testing.assert_array_equal(labels, labels_again)
    faces, labels = every[0]
    assert (faces.dtype, faces.shape) == (np.float32, (8, 48, 48, 1))
    np.testing.assert_array_equal(labels.argmax(axis=1), data.labels[order[:8]])


def test_teachers_predictions_are_half_of_each_label(work, made):
    data = load(work / "data")
    settings = TrainingSettings(teacher=(str(made[0]),), device="cpu")
    predictions = teacher_predictions(settings, data, Progress())
    with Predictor(made[0], "cpu") as predictor:
        mirrored = np.ascontiguousarray(data.faces[:, :, ::-1])
        expected = (predictor.predict(data.faces) + predictor.predict(mirrored)) / 2
    np.testing.assert_allclose(predictions, expected, atol=1e-6)
    several = teacher_predictions(replace(settings, teacher=settings.teacher * 3), data, Progress())
    np.testing.assert_allclose(several, expected, atol=1e-6)
    targets = face_targets(data, 0.07, predictions)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(
        targets[1], 0.5 * predictions[1] + 0.005 + 0.465 * np.eye(7)[1], 1e-5
    )


def test_prior_is_how_often_an_epoch_shows_each_class():
    data = Dataset(np.zeros((50, 48, 48), np.uint8), np.repeat([0, 1], [40, 10]))
    assert class_prior(data, TrainingSettings()) is None
    half = class_prior(data, TrainingSettings(logit_adjustment=0.5))
    np.testing.assert_allclose(half[:2], np.sqrt([0.8, 0.2]), rtol=1e-6)
    assert 0 < half[2] < 0.01
    balanced = class_prior(data, TrainingSettings(logit_adjustment=1.0, balance=1.0))
    np.testing.assert_allclose(balanced[:2], [0.5, 0.5], rtol=1e-6)

"""Snapshots: complete or absent, and never more than two."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import needs_tensorflow

from gudi.checkpoint import is_finite
from gudi.errors import OutputError
from gudi.training.curve import EpochMetrics
from gudi.training.snapshots import (
    TrainingState,
    read_last_snapshot,
    snapshot_folders,
    write_snapshot,
)

VALUES = {"a/W": np.arange(6, dtype=np.float32).reshape(2, 3), "a/b": np.float32([7])}


def state(step: int) -> TrainingState:
    done = [EpochMetrics(1, 4, 0.1, 2.0, 0.25, 1.5, 0.5, 3.0)]
    return TrainingState(1, step - 4, step, done, 1.25, 0.5, 2.0, 1.75, 0.375)


def test_snapshot_holds_state_and_variables(tmp_path):
    write_snapshot(tmp_path, state(5), VALUES)
    read, values = read_last_snapshot(tmp_path, pytest.fail)
    assert read == state(5)
    assert set(values) == set(VALUES)
    for name, value in VALUES.items():
        np.testing.assert_array_equal(values[name], value)


def test_only_the_last_two_snapshots_are_kept(tmp_path):
    for step in (5, 6, 7):
        write_snapshot(tmp_path, state(step), VALUES)
    names = [folder.name for folder in snapshot_folders(tmp_path)]
    assert names == ["step-000000006", "step-000000007"]
    assert [path.name for path in tmp_path.iterdir()] == ["snapshots"]


@pytest.mark.parametrize("damage", ["state", "truncated", "missing", "extra key"])
def test_damaged_snapshot_is_skipped_and_replaced(tmp_path, damage):
    for step in (5, 6):
        write_snapshot(tmp_path, state(step), VALUES)
    newest = snapshot_folders(tmp_path)[-1]
    data = next(newest.glob("*.data*"))
    if damage == "state":
        (newest / "state.json").write_text("{")
    elif damage == "extra key":
        content = json.loads((newest / "state.json").read_text())
        (newest / "state.json").write_text(json.dumps(content | {"colour": 1}))
    elif damage == "truncated":
        data.write_bytes(data.read_bytes()[:10])
    else:
        data.unlink()
    notes = []
    read, _ = read_last_snapshot(tmp_path, notes.append)
    assert read.step == 5
    (note,) = notes
    assert note.startswith(f"cannot use {newest}: ")
    write_snapshot(tmp_path, state(6), VALUES)
    assert read_last_snapshot(tmp_path, pytest.fail)[0].step == 6


def test_folder_without_snapshots_gives_none(tmp_path):
    assert read_last_snapshot(tmp_path, pytest.fail) is None


def test_snapshot_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "snapshots").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write .*step-000000005: .*--resume"):
        write_snapshot(tmp_path, state(5), VALUES)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_variables_that_are_not_finite_are_found(value):
    assert is_finite(VALUES["a/W"])
    assert not is_finite(np.float32([value, value]))


@needs_tensorflow
def test_averages_are_tensorflows():
    from gudi.network import tf

    losses = [2.0, 1.0, 4.0, 0.5]
    with tf.Graph().as_default(), tf.Session() as session:
        loss, step = tf.placeholder(tf.float32, []), tf.placeholder(tf.float32, [])
        variable = tf.Variable(0.0)
        average = tf.train.ExponentialMovingAverage(0.9, num_updates=step)
        with tf.control_dependencies([variable.assign(loss)]):
            update = average.apply([variable])
        session.run(tf.global_variables_initializer())
        ours = TrainingState()
        for number, value in enumerate(losses, start=1):
            session.run(update, {loss: value, step: number})
            ours.count_batch(value, 0.0)
        assert ours.average_loss == pytest.approx(session.run(average.average(variable)), rel=1e-5)

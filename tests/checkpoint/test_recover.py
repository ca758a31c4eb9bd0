"""Checkpoints of which only the data file is left."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct

import numpy as np
import pytest
from checkpoint_sets import DATA, ONLY_DATA, ONLY_DATA_WITH_BARE_NAME, link_files, overwritten
from conftest import NAME, call_gudi

from gudi import checkpoint as checkpoints
from gudi.errors import CheckpointIncomplete
from gudi.predictor import Predictor


def test_checkpoint_of_todays_tflearn_is_recovered_from_its_data(made, tmp_path):
    target = link_files(made[0].parent, tmp_path / "set", ONLY_DATA_WITH_BARE_NAME)
    with Predictor(target, "cpu") as predictor:
        np.testing.assert_allclose(predictor.predict(made[1]), made[2], atol=1e-5, rtol=0)
    assert "momentum, 7 classes" in predictor.recovered


@pytest.mark.parametrize("command", ["batch", "predict"])
def test_commands_say_that_the_checkpoint_was_recovered(made, photos, tmp_path, command):
    link_files(made[0].parent, tmp_path / "set", ONLY_DATA)
    done = call_gudi(command, "photos/one.jpg", "--checkpoint", "set", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.startswith(f"note: set/{NAME}: there is no index; recovered from")


@pytest.fixture(scope="module")
def data(made, tmp_path_factory):
    """A data file without an index, which tests may change if they restore it."""
    path = tmp_path_factory.mktemp("data") / f"{NAME}{DATA}"
    shutil.copyfile(made[0].with_name(path.name), path)
    return path


@contextlib.contextmanager
def resized(path, size):
    before = path.stat().st_size
    with path.open("rb") as file:
        file.seek(size)
        rest = file.read()
    os.truncate(path, size)
    try:
        yield
    finally:
        os.truncate(path, min(before, size))
        with path.open("ab") as file:
            file.write(rest)


@pytest.mark.parametrize("change", ["longer", "shorter", "zeros", "flag", "counter"])
def test_changed_data_is_rejected(data, made, change):
    size, tensors = data.stat().st_size, checkpoints.open_checkpoint(made[0]).tensors
    changes = {
        "longer": resized(data, size + 4),
        "shorter": resized(data, size - 3),
        # As after an interrupted download into a file of the full size.
        "zeros": overwritten(data, 60_000_000, bytes(100_000_000)),
        "flag": overwritten(data, tensors["is_training"].offset, b"\7"),
        "counter": overwritten(data, tensors["Global_Step"].offset, struct.pack("<f", 12.5)),
    }
    with changes[change]:
        assert_rejected(data)
    assert checkpoints.open_checkpoint(data).format == "V2 without index"


def test_noise_of_the_right_size_is_rejected(made, tmp_path):
    path = tmp_path / f"{NAME}{DATA}"
    size = made[0].with_name(path.name).stat().st_size
    noise = np.random.default_rng(3).bytes(2**20 + 1)
    with path.open("wb") as file:
        for start in range(0, size, len(noise)):
            file.write(noise[: size - start])
    assert_rejected(path)


def assert_rejected(data):
    with pytest.raises(CheckpointIncomplete, match=r"\.index is missing, and .* cannot be used"):
        checkpoints.open_checkpoint(data.parent)

"""Which networks a checkpoint contains, and which one is used."""

from __future__ import annotations

import re

import numpy as np
import pytest
from checkpoint_sets import load
from conftest import NAME

from gudi import checkpoint as checkpoints
from gudi.errors import CheckpointForeign
from gudi.predictor import Predictor


@pytest.fixture(scope="module")
def two_networks(made, tmp_path_factory):
    """A checkpoint of a process that built the network twice and trained the second one."""
    weights = load(made[0]).values
    later = {}
    for name, value in weights.items():
        kind, number, part = re.fullmatch(r"(\w+?)(?:_(\d+))?/([Wb])", name).groups()
        shift = 3 if kind == "Conv2D" else 2
        later[f"{kind}_{int(number or 0) + shift}/{part}"] = value
    stored = {name: np.zeros_like(value) for name, value in weights.items()} | later
    stored |= {f"{name}/Momentum": np.ones_like(value) for name, value in later.items()}
    prefix = tmp_path_factory.mktemp("two") / NAME
    checkpoints.write_v2(prefix, stored)
    return prefix


def test_network_without_classes_is_not_found():
    shapes = checkpoints.weight_shapes(0)
    tensors = {name: checkpoints.Tensor("float32", shape, 4) for name, shape in shapes.items()}
    assert checkpoints.find_networks(tensors) == []


def test_trained_network_is_used_unless_another_one_is_chosen(two_networks, made):
    trained = load(made[0]).fingerprint
    assert load(two_networks).fingerprint == load(two_networks, number=2).fingerprint == trained
    with Predictor(two_networks, "cpu", network=1) as predictor:
        np.testing.assert_allclose(predictor.predict(made[1]), np.full((20, 7), 1 / 7), atol=1e-6)
    assert predictor.fingerprint != trained
    with pytest.raises(CheckpointForeign, match="contains 2 networks; there is no number 3"):
        load(two_networks, number=3)


def test_inspect_describes_both_networks(two_networks):
    for number, taken in ((None, 2), (2, 2), (1, 1)):
        found = checkpoints.inspect(two_networks, number=number)
        assert [(each.first_layer, each.taken) for each in found.networks] == [
            ("Conv2D", taken == 1),
            ("Conv2D_3", taken == 2),
        ]
        assert found.usable
    found = checkpoints.inspect(two_networks, number=3)
    assert not found.usable
    assert "there is no number 3" in found.problem


def test_adopt_gives_the_trained_network_the_original_names(two_networks, made, tmp_path):
    adopted = checkpoints.adopt(two_networks, tmp_path, "renamed")
    found = checkpoints.inspect(adopted.prefix, verify=True)
    assert (found.usable, found.checksums, found.step) == (True, "good", 0)
    assert (found.optimizer, len(found.tensors)) == ("momentum", 27)
    assert load(adopted.prefix).fingerprint == load(made[0]).fingerprint
    momentum = checkpoints.open_checkpoint(adopted.prefix).read("Conv2D/b/Momentum")[0]
    np.testing.assert_array_equal(momentum, np.ones(64))

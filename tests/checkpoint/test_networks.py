"""Which networks a checkpoint contains, and which one is used."""

from __future__ import annotations

import re

import numpy as np
import pytest
from checkpoint_sets import load
from conftest import NAME, call_gudi

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


def write_renamed(prefix, made, change):
    """Write the checkpoint `made` with other names and with momentum; return its prefix."""
    values = load(made[0]).values
    values |= {f"{name}/Momentum": np.ones_like(value) for name, value in values.items()}
    checkpoints.write_v2(prefix, {change(name): value for name, value in values.items()})
    return prefix


@pytest.mark.parametrize(
    "change",
    [
        lambda name: f"Gudi/{name}",
        lambda name: f"model/Gudi/{name}",
        lambda name: re.sub("^(.*)/Momentum$", r"Momentum/\1/Momentum", f"Gudi/{name}"),
    ],
)
def test_scope_of_a_network_is_left_out_with_a_note(made, tmp_path, change):
    prefix = write_renamed(tmp_path / NAME, made, change)
    weights = load(prefix)
    assert weights.fingerprint == load(made[0]).fingerprint
    assert re.search("its variables were in the scope (model/)?Gudi/", weights.recovered)
    found = checkpoints.inspect(prefix, verify=True)
    assert (found.usable, found.optimizer, found.checksums) == (True, "momentum", "good")


FORK = {
    "Conv2D": "conv1", "Conv2D_1": "conv2", "Conv2D_2": "conv3", "FullyConnected": "net/fc1",
    "FullyConnected_1": "net/fc2",
}  # fmt: skip


def test_names_of_a_fork_are_suggested_and_mapped(made, tmp_path):
    def change(name):
        layer, part, *slot = name.split("/")
        return "/".join((FORK[layer], {"W": "kernel", "b": "bias"}[part], *slot))

    prefix = write_renamed(tmp_path / "fork", made, change)
    options = [each for new, old in FORK.items() for each in ("--rename", f"{old}={new}")]
    done = call_gudi("checkpoint", "inspect", prefix)
    assert done.returncode == 1
    assert f"try gudi checkpoint adopt {prefix} {' '.join(options)}" in done.stdout
    options[-1:] = [
        "net/fc2/kernel=FullyConnected_1/W", "--rename", "net/fc2/bias=FullyConnected_1/b"
    ]  # fmt: skip
    assert call_gudi("checkpoint", "inspect", prefix, *options).returncode == 0
    done = call_gudi("checkpoint", "adopt", prefix, "--to", tmp_path / "new", *options)
    assert done.returncode == 0, done.stderr
    assert "renamed conv1 to Conv2D" in done.stderr
    assert load(tmp_path / "new").fingerprint == load(made[0]).fingerprint
    momentum = checkpoints.open_checkpoint(tmp_path / "new").read("FullyConnected_1/b/Momentum")[0]
    assert momentum.all()


@pytest.mark.parametrize(
    ("option", "code", "problem"),
    [
        ("conv1", 2, "must be OLD=NEW"),
        ("Conv2D=Conv", 2, "the original has no Conv"),
        ("Conv2D=Conv2D_2", 1, "no layer Conv2D with the shapes of Conv2D_2"),
        ("nothing/W=Conv2D/W", 1, "has no variable nothing/W"),
    ],
)
def test_names_that_do_not_fit_are_refused(made, tmp_path, option, code, problem):
    done = call_gudi("checkpoint", "adopt", made[0], "--to", tmp_path / "new", "--rename", option)
    assert (done.returncode, problem in done.stderr) == (code, True), done.stderr
    assert not (tmp_path / "new").exists()


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

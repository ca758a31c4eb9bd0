"""`gudi checkpoint inspect`, and what it says about damaged and incomplete checkpoints."""

from __future__ import annotations

import json

import numpy as np
import pytest
from checkpoint_sets import DATA, beside, flip_bit, replace, replace_data
from conftest import call_gudi
from tables import HEADER, location, table

from gudi import checkpoint as checkpoints


def inspect(*arguments, **options):
    """Return the exit code and what `gudi checkpoint inspect --json` prints."""
    done = call_gudi("checkpoint", "inspect", "--json", *arguments, **options)
    return done.returncode, json.loads(done.stdout)


def test_json_has_everything(made):
    code, found = inspect(made[0], "--verify")
    assert code == 0
    assert list(found) == [
        "prefix", "files", "missing", "format", "written_by", "tensors", "networks", "optimizer",
        "step", "checksums", "recovered", "problem", "usable",
    ]  # fmt: skip
    assert (found["format"], found["optimizer"], found["step"]) == ("V2", "momentum", 0)
    assert (found["checksums"], found["problem"], found["usable"]) == ("good", "", True)
    assert len(found["tensors"]) == 27
    assert {"name": "Conv2D/W", "dtype": "float32", "shape": [5, 5, 1, 64]} in found["tensors"]
    assert found["networks"] == [
        {
            "classes": 7,
            "first_layer": "Conv2D",
            "optimizer": "momentum",
            "slots": 10,
            "taken": True,
        }
    ]


def test_text_tells_step_optimizer_and_verdict(made):
    lines = call_gudi("checkpoint", "inspect", made[0].parent).stdout
    assert "step:       0" in lines
    assert "trained with momentum" in lines
    assert "gudi:       can use it" in lines


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("m.onnx", b"\x08\x08\x12\x04gudi", "a network in ONNX, which gudi only writes"),
        ("photo", b"\xff\xd8\xff\xe0", "a JPEG picture"),
        ("old.tar.xz", b"\xfd7zXZ\0", "a file compressed by xz; unpack it first"),
        ("old.zip", b"PK\3\4", "a ZIP archive; unpack it first"),
    ],
)
def test_file_that_is_no_checkpoint_is_named(tmp_path, name, content, what):
    (tmp_path / name).write_bytes(content)
    code, found = inspect(tmp_path / name)
    assert (code, found["usable"]) == (1, False)
    assert f"{name} is not a checkpoint but {what}" in found["problem"]


def test_network_can_be_chosen(made):
    assert inspect(made[0], "--network", "1")[0] == 0
    code, found = inspect(made[0], "--network", "2")
    assert (code, found["usable"]) == (1, False)


def test_damaged_weights_are_found_with_verify_only(checkpoint):
    with flip_bit(beside(checkpoint, DATA), 100_000_000):
        code, found = inspect(checkpoint)
        assert (code, found["usable"]) == (0, True)
        code, found = inspect(checkpoint, "--verify")
    assert (code, found["usable"], found["checksums"]) == (1, False, "damaged: FullyConnected/W")
    assert "the checksum of FullyConnected/W is wrong" in found["problem"]


def test_missing_data_is_described_by_the_index(shared):
    code, found = inspect(shared / "legacy" / "wild")
    assert (code, found["usable"]) == (1, False)
    assert found["missing"] == [".data-00000-of-00001"]
    assert "455,064,145 bytes" in found["problem"]
    assert len(found["tensors"]) == 27


def test_packed_checkpoint_is_complete(narrow):
    code, found = inspect(narrow, "--verify")
    assert code == 0
    assert (found["format"], found["checksums"], found["missing"]) == ("packed", "good", [])
    assert found["usable"]


def test_counter_of_another_shape_is_not_a_step(checkpoint):
    replace_data(checkpoint, 4 * 10**6)
    odd = [(b"", HEADER), (b"Global_Step", location([10**6]))]
    replace(beside(checkpoint, ".index"), table(odd))
    found = checkpoints.inspect(checkpoint)
    assert (found.step, found.usable) == (None, False)
    assert "not a checkpoint of the Gudi network" in found.problem


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_missing_checkpoint_is_an_error(tmp_path, options):
    done = call_gudi("checkpoint", "inspect", "nothing", *options, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("gudi: error: no checkpoint at nothing")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FullyConnected_1/W", np.nan, "NaN"),
        ("Conv2D_1/b", np.inf, "infinite"),
        ("Conv2D/W", 0, "all weights of Conv2D/W are 0"),
    ],
)
def test_weights_that_cannot_predict_are_found_with_verify(narrow, tmp_path, name, value, message):
    file = checkpoints.open_checkpoint(narrow)
    values = dict(checkpoints.read_weights(file, checkpoints.choose_network(file)).values)
    values[name] = np.full_like(values[name], value)
    checkpoints.pack(values, tmp_path / "bad.gudi")
    assert inspect("bad.gudi", cwd=tmp_path)[0] == 0
    code, found = inspect("bad.gudi", "--verify", cwd=tmp_path)
    assert (code, found["usable"]) == (1, False)
    assert message in found["problem"]

"""Which weights are read, and which are refused."""

from __future__ import annotations

import google_crc32c
import numpy as np
import pytest
from checkpoint_sets import DATA, beside, link_second, load, overwritten, replace
from conftest import NAME, call_gudi
from tables import HEADER, gudi_index, location, table

from gudi import checkpoint as checkpoints
from gudi.errors import CheckpointCorrupt, CheckpointForeign


def test_only_weights_are_read(checkpoint):
    values = load(checkpoint).values
    assert {name: value.shape for name, value in values.items()} == checkpoints.weight_shapes()
    assert {value.dtype for value in values.values()} == {np.dtype("float32")}


def test_weights_start_on_cache_lines(checkpoint):
    """Otherwise TensorFlow copies them."""
    assert all(value.ctypes.data % 64 == 0 for value in load(checkpoint).values.values())


def test_fingerprint_does_not_depend_on_the_files(checkpoint, made):
    renamed = link_second(checkpoint, "renamed-100")
    first, second = load(made[0]), load(renamed)
    assert first.fingerprint == second.fingerprint
    assert first.source != second.source


def test_other_network_is_refused(tmp_path):
    prefix = tmp_path / "model"
    beside(prefix, DATA).write_bytes(b"\0" * 64)
    index = table([(b"", HEADER), (b"dense/kernel", location([4, 4]))])
    beside(prefix, ".index").write_bytes(index)
    with pytest.raises(CheckpointForeign, match=r"not a checkpoint of the Gudi.*Conv2D/W.*dense"):
        load(prefix)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            {"Conv2D/W": (3, 3, 1, 64)},
            r"Conv2D/W is float32 \[3, 3, 1, 64\], not .*\[5, 5, 1, 64\]",
        ),
        (
            {"FullyConnected_1/W": (3072, 8), "FullyConnected_1/b": (8,)},
            "has 8 classes, not 7; name them with --emotions: 8 names",
        ),
        ({"FullyConnected/W": (18432, 1024)}, r"FullyConnected/W is float32 \[18432, 1024\]"),
    ],
)
def test_weights_of_other_shapes_are_refused(tmp_path, shapes, message):
    prefix = tmp_path / NAME
    index, size = gudi_index(shapes)
    beside(prefix, ".index").write_bytes(index)
    with beside(prefix, DATA).open("wb") as file:
        file.truncate(size)
    with pytest.raises(CheckpointForeign, match=message):
        load(prefix)


def test_weights_that_are_not_finite_are_refused(checkpoint):
    """Even if their checksums are right."""
    tensors = checkpoints.open_checkpoint(checkpoint).tensors
    values = np.full(64, np.nan, np.float32)
    values[0], values[1] = np.inf, -np.inf
    crcs = {name: tensor.crc32c for name, tensor in tensors.items()}
    crcs["Conv2D/b"] = google_crc32c.value(values.tobytes())
    entries = [
        (name.encode(), location(tensors[name].shape, tensors[name].offset, crc=crcs[name]))
        for name in sorted(checkpoints.weight_shapes())
    ]
    replace(beside(checkpoint, ".index"), table([(b"", HEADER), *entries]))
    with (
        overwritten(beside(checkpoint, DATA), tensors["Conv2D/b"].offset, values.tobytes()),
        pytest.raises(CheckpointCorrupt, match="Conv2D/b contains NaN or infinite values"),
    ):
        load(checkpoint)


@pytest.fixture(scope="module")
def six_classes(made, tmp_path_factory):
    """A complete checkpoint with six classes, of which the fourth always wins."""
    values = load(made[0]).values
    values["FullyConnected_1/W"] = np.ascontiguousarray(values["FullyConnected_1/W"][:, :6])
    values["FullyConnected_1/b"] = np.array([0, 0, 0, 9, 0, 0], np.float32)
    prefix = tmp_path_factory.mktemp("six") / NAME
    checkpoints.save(prefix, values)
    return prefix


@pytest.mark.parametrize("command", ["batch", "predict"])
def test_commands_let_the_user_name_other_classes(six_classes, photos, tmp_path, command):
    arguments = [command, "photos/one.jpg", "--checkpoint", six_classes, "--out", "out"]
    refused = call_gudi(*arguments, cwd=tmp_path)
    assert refused.returncode == 1
    assert "has 6 classes, not 7; name them with --emotions: 6 names" in refused.stderr
    done = call_gudi(*arguments, "--emotions", "a,b,c,tired,e,f", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    if command == "batch":
        header, row = (tmp_path / "out" / "faces.csv").read_text().splitlines()
        assert header.endswith("confidence,a,b,c,tired,e,f")
        assert ",tired," in row
    else:
        assert "\ttired\t" in done.stdout

"""`gudi checkpoint adopt` and `pack`."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from checkpoint_sets import (
    COMPLETE,
    DATA,
    ONLY_DATA_WITH_BARE_NAME,
    V1_SET,
    V2_SETS,
    beside,
    flip_bit,
    link_files,
    load,
)
from conftest import NAME, call_gudi

from gudi import checkpoint as checkpoints
from gudi.checkpoint import write
from gudi.errors import OutputError

ADOPTED = [NAME, f"{NAME}{DATA}", f"{NAME}.index", f"{NAME}.meta", "checkpoint"]


@pytest.mark.parametrize("files", [COMPLETE, ONLY_DATA_WITH_BARE_NAME], ids=["all", "only data"])
def test_adopt_writes_a_complete_set_and_leaves_the_source_alone(made, tmp_path, files):
    source = link_files(made[0].parent, tmp_path / "old", files)
    before = {path.name: path.stat().st_mtime_ns for path in source.iterdir()}
    done = call_gudi("checkpoint", "adopt", "old", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"checkpoints/{NAME}\n"
    assert "every variable was read back and equals the source" in done.stderr
    assert sorted(os.listdir(tmp_path / "checkpoints")) == sorted(ADOPTED)
    assert {path.name: path.stat().st_mtime_ns for path in source.iterdir()} == before
    state_file = (tmp_path / "checkpoints" / "checkpoint").read_text()
    assert state_file.splitlines()[0] == f'model_checkpoint_path: "{NAME}"'
    assert_same_variables(tmp_path / "checkpoints", made[0])


def assert_same_variables(found, expected):
    found, expected = (checkpoints.open_checkpoint(each) for each in (found, expected))
    assert set(found.tensors) == set(expected.tensors)
    for name in expected.tensors:
        np.testing.assert_array_equal(found.read(name)[0], expected.read(name)[0])


@pytest.mark.parametrize("name", [V1_SET, V2_SETS[3]])
def test_adopt_keeps_weights_and_step_of_other_formats_and_optimizers(unpack, tmp_path, name):
    source = unpack(name)
    adopted = checkpoints.adopt(source, tmp_path, "renamed")
    found = checkpoints.inspect(adopted.prefix, verify=True)
    assert (found.usable, found.checksums, found.step) == (True, "good", 34900)
    assert (found.optimizer, len(found.tensors)) == ("momentum", 27)
    assert load(adopted.prefix).fingerprint == load(source).fingerprint
    assert any("Adam" in note for note in adopted.notes) == ("adam" in name)


def test_adopt_unpacks_a_packed_checkpoint(narrow, tmp_path):
    done = call_gudi("checkpoint", "adopt", narrow, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert checkpoints.open_checkpoint(tmp_path / "checkpoints").format == "V2"
    adopted, source = load(tmp_path / "checkpoints"), load(narrow)
    assert adopted.fingerprint == source.fingerprint
    for name, value in source.values.items():
        np.testing.assert_array_equal(adopted.values[name], value)


def test_adopt_sets_a_damaged_slot_to_zero_and_says_so(checkpoint, made, tmp_path):
    name = "FullyConnected/W/Momentum"
    offset = checkpoints.open_checkpoint(checkpoint).tensors[name].offset
    with flip_bit(beside(checkpoint, DATA), offset):
        found = checkpoints.inspect(checkpoint, verify=True)
        done = call_gudi("checkpoint", "adopt", checkpoint, cwd=tmp_path)
    assert (found.usable, found.checksums) == (True, f"damaged: {name}")
    assert done.returncode == 0, done.stderr
    assert f"{name} is damaged and was set to 0" in done.stderr
    assert not checkpoints.open_checkpoint(tmp_path / "checkpoints").read(name)[0].any()
    assert load(tmp_path / "checkpoints").fingerprint == load(made[0]).fingerprint


def test_adopt_overwrites_nothing(narrow, tmp_path):
    for name in (f"{NAME}.index", NAME, "checkpoint"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="already contains a checkpoint of that name"):
        checkpoints.adopt(narrow, tmp_path)
    checkpoints.adopt(narrow, tmp_path, "another")
    for name in (f"{NAME}.index", NAME, "checkpoint"):
        assert (tmp_path / name).read_text() == "mine"
    assert not list(tmp_path.glob(".gudi*"))


def test_adopt_does_not_replace_what_another_process_writes_meanwhile(
    narrow, tmp_path, monkeypatch
):
    compare = write._compare

    def slow(staged, values):
        compare(staged, values)
        (tmp_path / f"{NAME}.index").write_text("theirs")

    monkeypatch.setattr(write, "_compare", slow)
    with pytest.raises(OutputError, match="already contains a checkpoint of that name"):
        checkpoints.adopt(narrow, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAME}.index"]
    assert (tmp_path / f"{NAME}.index").read_text() == "theirs"


def test_adopt_checks_the_free_space_first(narrow, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**6))
    with pytest.raises(OutputError, match="has 1,000,000 bytes free"):
        checkpoints.adopt(narrow, tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_adopt_leaves_nothing_behind_on_a_full_disk(narrow, tmp_path, small_files):
    with small_files(2**20):
        done = call_gudi("checkpoint", "adopt", narrow, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"gudi: error: cannot write checkpoints/{NAME}: File too large\n"
    assert list((tmp_path / "checkpoints").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/b",
        ".x",
        "",
        "checkpoint",
        "x.index",
        "x.data",
        'a"b',
        "n" * 101,
        "a\nb",
        "a.",
        "CON",
    ],
)
def test_adopt_refuses_names_that_are_not_plain_file_names(made, tmp_path, name):
    done = call_gudi("checkpoint", "adopt", made[0], "--name", name, cwd=tmp_path)
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_pack_overwrites_nothing(made, tmp_path):
    (tmp_path / "small.gudi").write_text("mine")
    done = call_gudi("checkpoint", "pack", made[0], "small.gudi", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "already exists" in done.stderr
    assert (tmp_path / "small.gudi").read_text() == "mine"


def test_pack_requires_its_suffix(made, tmp_path):
    done = call_gudi("checkpoint", "pack", made[0], "small.zip", cwd=tmp_path)
    assert done.returncode == 2
    assert "must end in .gudi" in done.stderr
    assert list(tmp_path.iterdir()) == []

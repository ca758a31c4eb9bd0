"""Genuine checkpoints of every format: complete, renamed, and with files missing or replaced."""

from __future__ import annotations

import functools
import os
import shutil

import numpy as np
import pytest
from checkpoint_sets import (
    COMPLETE,
    DATA,
    ONLY_DATA,
    ONLY_DATA_WITH_BARE_NAME,
    V1_SET,
    V2_SETS,
    beside,
    flip_bit,
    link_files,
    load,
    replace,
    replace_data,
)
from conftest import NAME

from gudi import checkpoint as checkpoints
from gudi.errors import CheckpointIncomplete
from gudi.predictor import Predictor

# States of a set: new suffixes by the regular ones.
STATES = {
    "data moved to the bare name": {".index": ".index", DATA: "", ".meta": ".meta"},
    "data cut to .data": {".index": ".index", DATA: ".data"},
    "with a step": {".index": "-34900.index", DATA: f"-34900{DATA}", ".meta": "-34900.meta"},
    "without .meta": {".index": ".index", DATA: DATA},
    "only the data": ONLY_DATA,
    "only the data, with the bare name": ONLY_DATA_WITH_BARE_NAME,
    "only the data, as .data": {DATA: ".data"},
}


@pytest.fixture(scope="module")
def fingerprint(unpack):
    """A function that returns the fingerprint of a genuine checkpoint."""
    return functools.cache(lambda name: load(unpack(name)).fingerprint)


@pytest.mark.parametrize("name", [*V2_SETS, V1_SET])
def test_genuine_checkpoint_predicts_what_its_own_stack_predicted(unpack, original, name):
    folder = unpack(name, original.archives)
    with Predictor(folder, "cpu") as predictor:
        probabilities = predictor.predict(np.load(original.faces))
    assert predictor.recovered == ""
    np.testing.assert_allclose(probabilities, np.load(folder / "expected.npy"), atol=1e-5, rtol=0)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", V2_SETS)
def test_v2_checkpoint_with_renamed_or_missing_files_has_the_same_weights(
    unpack, fingerprint, tmp_path, name, state
):
    target = link_files(unpack(name), tmp_path / "set", STATES[state])
    found = load(target)
    assert found.fingerprint == fingerprint(name)
    assert bool(found.recovered) == (state.startswith(("only", "data")))
    if state.startswith("only"):
        assert "recovered from the size and contents" in found.recovered
    assert len(list(target.iterdir())) == len(STATES[state]), "the source was changed"


@pytest.mark.parametrize("name", [NAME, "model", f"{NAME}-34900", f"{NAME}{DATA}", "m.data"])
def test_v1_file_may_have_any_name(unpack, fingerprint, tmp_path, name):
    target = link_files(unpack(V1_SET), tmp_path / "set", {"": ""}, name)
    found = load(target if name == NAME else target / name)
    assert ("in the V1 format" in found.recovered) == (".data" in name)
    assert found.fingerprint == fingerprint(V1_SET)


def test_v1_and_v2_of_the_same_network_have_the_same_fingerprint(fingerprint):
    assert fingerprint(V1_SET) == fingerprint("tf0.12-tflearn0.2.1-v2")


def test_published_set_without_its_data_says_what_is_missing(shared):
    with pytest.raises(CheckpointIncomplete, match=rf"{DATA} is missing; .* 455,064,145 bytes"):
        checkpoints.open_checkpoint(shared / "legacy" / "wild")


def test_missing_data_is_an_error_that_names_its_size(checkpoint):
    size = beside(checkpoint, DATA).stat().st_size
    beside(checkpoint, DATA).unlink()
    with pytest.raises(CheckpointIncomplete, match=rf"{DATA} is missing.*{size:,} bytes"):
        load(checkpoint)


def test_data_that_was_cut_short_is_an_error_that_names_both_sizes(checkpoint):
    replace_data(checkpoint, 200_000_000)
    with pytest.raises(
        CheckpointIncomplete, match="200,000,000 bytes, but the index says 455.*cut short"
    ):
        load(checkpoint)


def test_graph_alone_is_an_error(made, tmp_path):
    target = link_files(made[0].parent, tmp_path / "set", {".meta": ".meta"})
    with pytest.raises(CheckpointIncomplete, match=r"there is only .*\.meta"):
        checkpoints.open_checkpoint(target / f"{NAME}.meta")


def test_complete_copy_replaces_data_that_was_cut_short(made, tmp_path):
    target = link_files(made[0].parent, tmp_path / "set", COMPLETE)
    shutil.move(target / f"{NAME}{DATA}", target / NAME)
    (target / f"{NAME}{DATA}").write_bytes(b"half uploaded")
    found = load(target)
    assert found.fingerprint == load(made[0]).fingerprint
    assert f"found in {NAME} instead of" in found.recovered


def test_sound_copy_replaces_data_with_a_wrong_checksum(made, tmp_path):
    target = link_files(made[0].parent, tmp_path / "set", {".index": ".index", DATA: ""})
    shutil.copyfile(target / NAME, target / f"{NAME}{DATA}")
    offset = checkpoints.open_checkpoint(made[0]).tensors["Conv2D_1/W"].offset
    with flip_bit(target / f"{NAME}{DATA}", offset):
        found = load(target)
        inspection = checkpoints.inspect(target, verify=True)
    assert found.fingerprint == load(made[0]).fingerprint
    note = f"{NAME}{DATA} is damaged; the data was read from {NAME}"
    assert found.recovered == inspection.recovered == note
    assert (inspection.usable, inspection.checksums) == (True, "good")


@pytest.mark.parametrize("other", [V1_SET, "tf1.15-tflearn0.3.2-adam", "tf1.15-tflearn0.3.2-v2"])
def test_index_of_another_checkpoint_is_ignored(unpack, fingerprint, tmp_path, other):
    files = {"": ""} if other == V1_SET else ONLY_DATA
    target = link_files(unpack(other), tmp_path / "set", files)
    os.link(unpack(V2_SETS[0]) / f"{NAME}.index", target / f"{NAME}.index")
    found = load(target)
    assert found.fingerprint == fingerprint(other)
    assert found.recovered.startswith(
        f"{NAME}.index belongs to another checkpoint and was not used"
    )


def test_damaged_index_is_ignored_if_the_data_suffices(made, tmp_path):
    target = link_files(made[0].parent, tmp_path / "set", ONLY_DATA)
    replace(target / f"{NAME}.index", b"an error page, for example")
    found = load(target)
    assert found.fingerprint == load(made[0]).fingerprint
    assert found.recovered.startswith(f"{NAME}.index is damaged and was not used; recovered from")

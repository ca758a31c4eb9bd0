"""V1 checkpoints that are damaged; `test_formats.py` has sound ones."""

from __future__ import annotations

import pytest
from checkpoint_sets import V1_SET, flip_bit, load
from conftest import NAME

from gudi import checkpoint as checkpoints
from gudi.errors import CheckpointCorrupt, CheckpointIncomplete


@pytest.fixture
def v1_file(unpack):
    """The genuine V1 checkpoint, which tests may change if they restore it."""
    return unpack(V1_SET) / NAME


@pytest.mark.parametrize("position", [100, 2_000_000, -200])
def test_flipped_bit_is_noticed(v1_file, position):
    offset = position % v1_file.stat().st_size
    with flip_bit(v1_file, offset), pytest.raises(CheckpointCorrupt, match=str(v1_file)):
        load(v1_file)


def test_half_a_file_is_an_error(v1_file, tmp_path):
    size = v1_file.stat().st_size // 2
    with v1_file.open("rb") as file:
        (tmp_path / NAME).write_bytes(file.read(size))
    with pytest.raises(CheckpointIncomplete):
        checkpoints.open_checkpoint(tmp_path / NAME)

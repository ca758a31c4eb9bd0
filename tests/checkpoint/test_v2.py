"""V2 checkpoints that are damaged, or that a stranger made up."""

from __future__ import annotations

import os

import numpy as np
import pytest
from checkpoint_sets import DATA, beside, flip_bit, load, overwritten, replace, replace_data
from conftest import needs_tensorflow
from tables import HEADER, field, finish, location, table, varint

from gudi import checkpoint as checkpoints
from gudi.checkpoint.v2 import parse_index
from gudi.errors import CheckpointCorrupt, CheckpointIncomplete
from gudi.quiet import quiet


@needs_tensorflow
def test_files_are_those_that_tensorflow_writes(tmp_path):
    from gudi.network import open_session, tf

    random = np.random.default_rng(0)
    values = {f"layer{n}/W/slot": random.random((n, 3), np.float32) for n in range(40)}
    values |= {
        "step": np.array(3),
        "ünsigned": np.arange(9, dtype=np.uint8),
        "yes": np.ones(2, bool),
    }
    checkpoints.write_v2(tmp_path / "ours", values)
    names = sorted(values)
    with tf.Graph().as_default(), quiet(), open_session(gpu=False) as session:
        session.run(
            tf.raw_ops.SaveV2(
                prefix=str(tmp_path / "theirs"),
                tensor_names=names,
                shape_and_slices=[""] * len(names),
                tensors=[tf.constant(values[name]) for name in names],
            )
        )
    for suffix in (".index", DATA):
        ours, theirs = (beside(tmp_path / name, suffix) for name in ("ours", "theirs"))
        assert ours.read_bytes() == theirs.read_bytes()


def test_flipped_bit_in_the_data_is_noticed(checkpoint):
    tensor = checkpoints.open_checkpoint(checkpoint).tensors["Conv2D_2/W"]
    with (
        flip_bit(beside(checkpoint, DATA), tensor.offset + 1000),
        pytest.raises(CheckpointCorrupt, match=f"{DATA} is damaged.*Conv2D_2/W"),
    ):
        load(checkpoint)


def test_damage_outside_the_weights_is_harmless(checkpoint):
    tensor = checkpoints.open_checkpoint(checkpoint).tensors["FullyConnected/W/Momentum"]
    with overwritten(beside(checkpoint, DATA), tensor.offset, b"\xff" * 1000):
        assert len(load(checkpoint).values) == 10


def test_every_flipped_byte_of_the_index_is_noticed(checkpoint):
    index = beside(checkpoint, ".index")
    good = index.read_bytes()
    tensors = checkpoints.open_checkpoint(checkpoint).tensors
    replace(index, good)
    for position in range(len(good)):
        damaged = bytearray(good)
        damaged[position] ^= 0x10
        index.write_bytes(damaged)
        try:
            _, locations = parse_index(index)
        except CheckpointCorrupt as error:
            assert str(checkpoint) in str(error)
        else:
            # In the padding of the footer, or in the empty block that is never read.
            assert locations == tensors
            assert position > len(good) // 2


def test_every_cut_of_the_index_is_noticed(checkpoint):
    index = beside(checkpoint, ".index")
    good = index.read_bytes()
    replace_data(checkpoint)
    replace(index, good)
    for size in range(len(good)):
        index.write_bytes(good[:size])
        assert_index_is_damaged(checkpoint)


def test_index_that_is_not_a_table_is_an_error(checkpoint):
    replace_data(checkpoint)
    for content in (b"", b"hello", b"\0" * 10_000, os.urandom(5000)):
        replace(beside(checkpoint, ".index"), content)
        assert_index_is_damaged(checkpoint)


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [(b"Conv2D/W", location([5, 5, 1, 64]))],
        [(b"", field(1, 2**40))],
        [(b"", field(1, b"text"))],
        [(b"", HEADER + field(2, 1)), (b"a", location([4]))],
        [(b"", HEADER), (b"a", location([2**62, 2**62], size=16))],
        [(b"", HEADER), (b"a", location([2**64 - 1], size=4))],
        [(b"", HEADER), (b"a", location([4], size=17))],
        [(b"", HEADER), (b"a", location([1] * 65))],
        [(b"", HEADER), (b"a", field(2, 5))],
        [(b"", HEADER), (b"a", field(3, 7) + location([1]))],
        [(b"", HEADER), (b"a", b"\xff" * 20)],
        [(b"", HEADER), (b"a", b"\x0a\xff\xff\xff\x7f")],
    ],
    ids=[
        "empty", "no header", "too many shards", "text for a number", "big endian", "huge shape",
        "negative side", "wrong size", "too many dimensions", "number for a shape", "no such shard",
        "endless number", "field beyond its message",
    ],
)  # fmt: skip
def test_sound_table_with_impossible_contents_is_an_error(checkpoint, entries):
    replace_data(checkpoint)
    replace(beside(checkpoint, ".index"), table(entries))
    assert_index_is_damaged(checkpoint)


def test_small_index_cannot_expand_to_many_long_names(checkpoint):
    replace_data(checkpoint)
    # Each entry but the first takes 8 bytes and shares all but one byte of a megabyte.
    name = b"n" * 2**20
    body = b"\0" + varint(len(name)) + b"\0" + name
    body += (varint(len(name)) + b"\1\0n") * 3000
    replace(beside(checkpoint, ".index"), finish(body))
    with pytest.raises(CheckpointCorrupt, match="longer names, or more of them"):
        checkpoints.open_checkpoint(checkpoint)


def test_foreign_variable_that_was_saved_in_parts_is_harmless(checkpoint):
    replace_data(checkpoint, 0)
    parts = location([100, 4], size=0) + field(7, field(1, b""))
    replace(beside(checkpoint, ".index"), table([(b"", HEADER), (b"a", parts)]))
    assert checkpoints.open_checkpoint(checkpoint).tensors["a"].dtype == "type 1"


def test_variable_beyond_the_end_of_the_data_is_an_error(checkpoint):
    replace_data(checkpoint)
    far = location([4], offset=2**62)
    replace(beside(checkpoint, ".index"), table([(b"", HEADER), (b"a", far)]))
    with pytest.raises(CheckpointIncomplete, match="cut short"):
        checkpoints.open_checkpoint(checkpoint)


def assert_index_is_damaged(prefix):
    with pytest.raises(CheckpointCorrupt, match=r"\.index is damaged"):
        checkpoints.open_checkpoint(prefix)

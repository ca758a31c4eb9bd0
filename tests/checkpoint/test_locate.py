"""Checkpoints in every state in which people have them."""

from __future__ import annotations

import os
import shutil
import struct

import google_crc32c
import numpy as np
import pytest
from conftest import NAME

from gudi import checkpoint as checkpoints
from gudi.checkpoint import sstable
from gudi.checkpoint.v2 import parse_index
from gudi.constants import CHECKPOINT_NAME
from gudi.errors import (
    CheckpointCorrupt,
    CheckpointError,
    CheckpointForeign,
    CheckpointIncomplete,
    CheckpointNotFound,
)

DATA = ".data-00000-of-00001"
WINDOWS_STATE = (
    'model_checkpoint_path: "F:\\\\PyProjects\\\\emotion-recognition\\\\data\\\\{0}"\n'
    'all_model_checkpoint_paths: "F:\\\\PyProjects\\\\emotion-recognition\\\\data\\\\{0}"\n'
)


def beside(prefix, ending):
    return prefix.with_name(prefix.name + ending)


def load(path=None, **options):
    """Read the weights of the checkpoint at `path`."""
    file = checkpoints.open_checkpoint(path)
    return checkpoints.read_weights(file, checkpoints.choose_network(file, **options))


def find(path=None, **options):
    """Return the prefix of the checkpoint that `path` stands for."""
    return checkpoints.find(path, **options).prefix


def own(path):
    """Give `path`, a link to a file of another test, content of its own; return it."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    return path


def test_the_name_is_the_originals():
    assert CHECKPOINT_NAME == NAME == "Gudi_model_100_epochs_20000_faces"


@pytest.mark.parametrize("given", ["", ".index", DATA, ".meta", "checkpoint", "folder"])
@pytest.mark.parametrize("state", ["as written", "copied to the bare name", "from Windows"])
def test_whatever_part_is_named_it_is_found(checkpoint, given, state):
    if state == "copied to the bare name":
        os.link(beside(checkpoint, DATA), checkpoint)
    if state == "from Windows":
        checkpoint.with_name("checkpoint").unlink()
        checkpoint.with_name("checkpoint").write_text(WINDOWS_STATE.format(NAME))
    named = {"folder": checkpoint.parent, "checkpoint": checkpoint.with_name("checkpoint")}
    found = checkpoints.open_checkpoint(named.get(given, beside(checkpoint, given)))
    assert (found.prefix, found.format, found.recovered) == (checkpoint, "V2", "")
    assert set(checkpoints.weight_shapes()) <= set(found.tensors)


def other_checkpoint(checkpoint, name):
    for ending in (".index", DATA):
        os.link(beside(checkpoint, ending), checkpoint.with_name(name + ending))
    return checkpoint.with_name(name)


def test_beside_other_checkpoints_the_originals_name_is_meant(checkpoint):
    other = other_checkpoint(checkpoint, "emotion_recognition-34900")
    assert find(checkpoint.parent) == checkpoint
    assert find(other) == other


def test_without_the_originals_name_the_latest_is_meant(checkpoint):
    first = other_checkpoint(checkpoint, "snapshot-349")
    second = other_checkpoint(checkpoint, "snapshot-698")
    for path in checkpoint.parent.glob(f"{NAME}*"):
        path.unlink()
    state = checkpoint.with_name("checkpoint")
    state.unlink()
    with pytest.raises(CheckpointNotFound, match=r"2 checkpoints, snapshot-349, snapshot-698"):
        find(checkpoint.parent)
    state.write_text(WINDOWS_STATE.format("snapshot-349"))
    assert find(checkpoint.parent) == first
    for path in checkpoint.parent.glob("snapshot-349*"):
        path.unlink()
    state.unlink()
    assert find(checkpoint.parent) == second


@pytest.mark.parametrize("trick", ["../../secret", "..", "/etc/passwd", "", "\\\\host\\share\\.."])
def test_a_state_file_leads_nowhere_else(checkpoint, trick):
    state = checkpoint.with_name("checkpoint")
    state.unlink()
    state.write_text(f'model_checkpoint_path: "{trick}"\n')
    assert find(state) == checkpoint


def test_a_state_file_of_nothing_but_lines_takes_no_time(checkpoint):
    state = checkpoint.with_name("checkpoint")
    state.unlink()
    state.write_bytes(b"\n" * 2**20)
    assert find(state) == checkpoint


def test_a_folder_is_no_checkpoint(tmp_path):
    (tmp_path / NAME).mkdir()
    (tmp_path / f"{NAME}.index").mkdir()
    with pytest.raises(CheckpointNotFound, match="no checkpoint in"):
        checkpoints.open_checkpoint(tmp_path)


def test_inspect_of_odd_counters_and_of_another_network(checkpoint):
    cut_data(checkpoint, 4 * 10**6)
    beside(checkpoint, ".index").unlink()
    odd = [(b"", HEADER), (b"Global_Step", entry([10**6]))]
    beside(checkpoint, ".index").write_bytes(table(odd))
    report = checkpoints.inspect(checkpoint)
    assert (report.step, report.usable) == (None, False)
    assert "not a checkpoint of the Gudi network" in report.problem


def test_nothing_there(tmp_path):
    with pytest.raises(CheckpointNotFound, match=r"no checkpoint in .*\.index"):
        find(tmp_path)
    with pytest.raises(CheckpointNotFound, match="no checkpoint at .*nothing"):
        find(tmp_path / "nothing")
    with pytest.raises(CheckpointNotFound, match="no checkpoint at"):
        find(tmp_path / "nowhere" / "nothing")


def test_a_wrong_name_is_told_what_there_is(checkpoint):
    with pytest.raises(CheckpointNotFound, match=f"contains {NAME}"):
        find(checkpoint.with_name("Gudi"))


def test_default_places(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "README.md").touch()
    assert find(environ={}).name == "default.gudi"
    shutil.copytree(checkpoint.parent, "data", copy_function=os.link)
    assert find(environ={}).as_posix() == f"data/{NAME}"
    shutil.copytree(checkpoint.parent, "checkpoints", copy_function=os.link, dirs_exist_ok=True)
    assert find(environ={}).as_posix() == f"checkpoints/{NAME}"
    assert find(environ={"GUDI_CHECKPOINT": str(checkpoint)}) == checkpoint
    with pytest.raises(CheckpointNotFound, match=r"\$GUDI_CHECKPOINT: no checkpoint at"):
        find(environ={"GUDI_CHECKPOINT": "elsewhere"})


def test_a_broken_default_is_not_passed_over(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUDI_CHECKPOINT", raising=False)
    shutil.copytree(checkpoint.parent, "checkpoints", copy_function=os.link)
    shutil.copytree(checkpoint.parent, "data", copy_function=os.link)
    os.unlink(f"checkpoints/{NAME}{DATA}")
    with pytest.raises(CheckpointIncomplete, match="checkpoints"):
        load()


def test_the_data_is_missing(checkpoint):
    size = beside(checkpoint, DATA).stat().st_size
    beside(checkpoint, DATA).unlink()
    with pytest.raises(CheckpointIncomplete, match=rf"{DATA} is missing.*{size:,} bytes"):
        load(checkpoint)


def test_the_data_is_cut_short(checkpoint):
    with own(beside(checkpoint, DATA)).open("r+b") as file:
        file.truncate(200_000_000)
    with pytest.raises(CheckpointIncomplete, match="200,000,000 bytes, but the index says 455"):
        load(checkpoint)


def test_a_flipped_bit_in_the_data_is_noticed(checkpoint):
    tensor = checkpoints.open_checkpoint(checkpoint).tensors["Conv2D_2/W"]
    with own(beside(checkpoint, DATA)).open("r+b") as file:
        file.seek(tensor.offset + 1000)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))
    with pytest.raises(CheckpointCorrupt, match=f"{DATA} is damaged.*Conv2D_2/W"):
        load(checkpoint)


def test_damage_outside_the_weights_does_no_harm(checkpoint):
    tensor = checkpoints.open_checkpoint(checkpoint).tensors["FullyConnected/W/Momentum"]
    with own(beside(checkpoint, DATA)).open("r+b") as file:
        file.seek(tensor.offset)
        file.write(b"\xff" * 1000)
    assert len(load(checkpoint).values) == 10


def cut_data(prefix, size=13):
    """Leave too little of the data to do without the index."""
    beside(prefix, DATA).unlink()
    beside(prefix, DATA).write_bytes(bytes(size))


def test_every_flipped_byte_of_the_index_is_noticed(checkpoint):
    index = own(beside(checkpoint, ".index"))
    good = index.read_bytes()
    tensors = checkpoints.open_checkpoint(checkpoint).tensors
    for position in range(len(good)):
        spoiled = bytearray(good)
        spoiled[position] ^= 0x10
        index.write_bytes(spoiled)
        try:
            _, entries = parse_index(index)
        except CheckpointCorrupt as error:
            assert str(checkpoint) in str(error)
        else:
            # In the padding of the footer, or in the empty block that nobody reads.
            assert entries == tensors
            assert position > len(good) // 2


def test_every_cut_of_the_index_is_noticed(checkpoint):
    index = own(beside(checkpoint, ".index"))
    good = index.read_bytes()
    cut_data(checkpoint)
    for size in range(len(good)):
        index.write_bytes(good[:size])
        with pytest.raises(CheckpointCorrupt, match=r"\.index is damaged"):
            checkpoints.open_checkpoint(checkpoint)


def test_no_table_at_all(checkpoint):
    index = own(beside(checkpoint, ".index"))
    cut_data(checkpoint)
    for content in (b"", b"hello", b"\0" * 10_000, os.urandom(5000)):
        index.write_bytes(content)
        with pytest.raises(CheckpointCorrupt):
            checkpoints.open_checkpoint(checkpoint)


def pairs(entries):
    """Return the entries of a block, without shared beginnings."""
    return b"".join(
        b"\0" + number(len(key)) + number(len(value)) + key + value for key, value in entries
    )


def table(entries):
    """Return an index that holds `entries`, written as TensorFlow writes it."""
    return finished(pairs(entries))


def finished(body):
    """Return the table whose one block has the entries `body`."""

    def block(body):
        body += struct.pack("<II", 0, 1)
        crc = google_crc32c.value(body + b"\0")
        masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
        return body + b"\0" + struct.pack("<I", masked)

    data, meta = block(body), block(b"")
    handle = number(0) + number(len(data) - 5)
    directory = block(pairs([(b"~", handle)]))
    footer = number(len(data)) + number(len(meta) - 5)
    footer += number(len(data) + len(meta)) + number(len(directory) - 5)
    return data + meta + directory + footer.ljust(40, b"\0") + sstable.MAGIC


def number(value):
    """Return `value` as a varint."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(key, value):
    if isinstance(value, bytes):
        return number(key << 3 | 2) + number(len(value)) + value
    return number(key << 3) + number(value)


def entry(shape, offset=0, size=None, dtype=1):
    dimensions = b"".join(field(2, field(1, each)) for each in shape)
    size = 4 * int(np.prod(shape, dtype=object)) if size is None else size
    return field(1, dtype) + field(2, dimensions) + field(4, offset) + field(5, size)


HEADER = field(1, 1)


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [(b"Conv2D/W", entry([5, 5, 1, 64]))],
        [(b"", field(1, 2**40))],
        [(b"", field(1, b"text"))],
        [(b"", HEADER + field(2, 1)), (b"a", entry([4]))],
        [(b"", HEADER), (b"a", entry([2**62, 2**62], size=16))],
        [(b"", HEADER), (b"a", entry([2**64 - 1], size=4))],
        [(b"", HEADER), (b"a", entry([4], size=17))],
        [(b"", HEADER), (b"a", entry([1] * 65))],
        [(b"", HEADER), (b"a", field(2, 5))],
        [(b"", HEADER), (b"a", field(3, 7) + entry([1]))],
        [(b"", HEADER), (b"a", b"\xff" * 20)],
        [(b"", HEADER), (b"a", b"\x0a\xff\xff\xff\x7f")],
    ],
)
def test_a_sound_table_with_impossible_contents(checkpoint, entries):
    cut_data(checkpoint)
    beside(checkpoint, ".index").unlink()
    beside(checkpoint, ".index").write_bytes(table(entries))
    with pytest.raises(CheckpointCorrupt, match=r"\.index is damaged"):
        checkpoints.open_checkpoint(checkpoint)


def test_a_small_index_that_spells_out_a_great_many_long_names(checkpoint):
    cut_data(checkpoint)
    # Each entry but the first takes 8 bytes and shares all but one of a megabyte.
    name = b"n" * 2**20
    body = b"\0" + number(len(name)) + b"\0" + name
    body += (number(len(name)) + b"\1\0n") * 3000
    beside(checkpoint, ".index").unlink()
    beside(checkpoint, ".index").write_bytes(finished(body))
    with pytest.raises(CheckpointCorrupt, match="longer names, or more of them"):
        checkpoints.open_checkpoint(checkpoint)


def test_a_foreign_variable_in_parts_does_no_harm(checkpoint):
    cut_data(checkpoint, 0)
    parts = entry([100, 4], size=0) + field(7, field(1, b""))
    beside(checkpoint, ".index").unlink()
    beside(checkpoint, ".index").write_bytes(table([(b"", HEADER), (b"a", parts)]))
    assert checkpoints.open_checkpoint(checkpoint).tensors["a"].dtype == "type 1"


def test_a_network_of_no_classes_is_none():
    shapes = checkpoints.weight_shapes(0)
    tensors = {name: checkpoints.Tensor("float32", shape, 4) for name, shape in shapes.items()}
    assert checkpoints.find_networks(tensors) == []


def test_names_that_cannot_be_looked_for(tmp_path):
    for path in (tmp_path / ("n" * 300), tmp_path / ("n" * 300) / NAME):
        with pytest.raises(CheckpointError, match="File name too long"):
            checkpoints.open_checkpoint(path)


@pytest.mark.parametrize("written", [r"D:\\gudi\\\346\227\247", r"D:\gudi\\旧", "旧", r"C:\旧"])
def test_a_state_file_with_escapes(checkpoint, written):
    for path in list(checkpoint.parent.iterdir()):
        if path.name.startswith(NAME):
            path.rename(path.with_name(path.name.replace(NAME, "旧")))
    other_checkpoint(checkpoint.with_name("旧"), "another")
    checkpoint.with_name("checkpoint").write_text(f'model_checkpoint_path: "{written}"\n')
    assert find(checkpoint.parent).name == "旧"


def test_a_v1_file_of_any_name_that_the_state_file_knows(checkpoint):
    (checkpoint.parent / "old").mkdir()
    (checkpoint.parent / "old" / "model.ckpt-900").write_bytes(table([]))
    state = checkpoint.parent / "old" / "checkpoint"
    for text in ('model_checkpoint_path: "{}"', "\ufeffmodel_checkpoint_path: '{}'"):
        state.write_text(text.format("model.ckpt-900"), encoding="utf-8")
        assert find(state.parent).name == find(state).name == "model.ckpt-900"


def test_a_folder_called_like_the_checkpoint_beside_it(checkpoint):
    checkpoint.mkdir()
    assert find(checkpoint) == checkpoint


def test_a_pipe_is_not_waited_for(checkpoint):
    for name in ("checkpoint", f"{NAME}.meta"):
        checkpoint.with_name(name).unlink()
        os.mkfifo(checkpoint.with_name(name))
    assert find(checkpoint.parent) == checkpoint
    beside(checkpoint, ".index").unlink()
    os.mkfifo(beside(checkpoint, ".index"))
    assert checkpoints.open_checkpoint(checkpoint.parent).format == "V2 without index"


def test_tensors_beyond_the_data(checkpoint):
    cut_data(checkpoint)
    beside(checkpoint, ".index").unlink()
    far = entry([4], offset=2**62)
    beside(checkpoint, ".index").write_bytes(table([(b"", HEADER), (b"a", far)]))
    with pytest.raises(CheckpointIncomplete, match="cut short"):
        checkpoints.open_checkpoint(checkpoint)


def test_another_network(tmp_path):
    prefix = tmp_path / "model"
    beside(prefix, DATA).write_bytes(b"\0" * 64)
    beside(prefix, ".index").write_bytes(table([(b"", HEADER), (b"dense/kernel", entry([4, 4]))]))
    with pytest.raises(CheckpointForeign, match=r"not a checkpoint of the Gudi.*Conv2D/W.*dense"):
        load(prefix)


def gudi_index(**shapes):
    """Return an index of a network like Gudi's, some of its shapes changed."""
    entries, offset = [(b"", HEADER)], 0
    for name, shape in sorted((checkpoints.weight_shapes() | shapes).items()):
        entries.append((name.encode(), entry(shape, offset)))
        offset += 4 * int(np.prod(shape))
    return table(entries), offset


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
def test_wrong_shapes(tmp_path, shapes, message):
    prefix = tmp_path / NAME
    index, size = gudi_index(**shapes)
    beside(prefix, ".index").write_bytes(index)
    with beside(prefix, DATA).open("wb") as file:
        file.truncate(size)
    with pytest.raises(CheckpointForeign, match=message):
        load(prefix)


def test_weights_that_are_no_numbers(checkpoint):
    bundle = checkpoints.open_checkpoint(checkpoint)
    tensor = bundle.tensors["Conv2D/b"]
    values = np.full(64, np.nan, np.float32)
    values[0], values[1] = np.inf, -np.inf
    with own(beside(checkpoint, DATA)).open("r+b") as file:
        file.seek(tensor.offset)
        file.write(values.tobytes())
    crc = google_crc32c.value(values.tobytes())
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    entries = [(b"", HEADER)]
    for name, each in sorted(bundle.tensors.items()):
        if name in checkpoints.weight_shapes():
            kept = ((each.crc32c >> 15) | (each.crc32c << 17)) + 0xA282EAD8 & 0xFFFFFFFF
            kept = masked if name == "Conv2D/b" else kept
            checksum = number(6 << 3 | 5) + struct.pack("<I", kept)
            entries.append((name.encode(), entry(each.shape, each.offset) + checksum))
    beside(checkpoint, ".index").unlink()
    beside(checkpoint, ".index").write_bytes(table(entries))
    with pytest.raises(CheckpointCorrupt, match="Conv2D/b contains NaN or infinite values"):
        load(checkpoint)


def test_the_fingerprint_is_the_networks_not_the_files(checkpoint, made):
    renamed = other_checkpoint(checkpoint, "renamed-100")
    first, second = load(made[0]), load(renamed)
    assert first.fingerprint == second.fingerprint
    assert first.source != second.source


def test_nothing_but_the_weights_is_read(checkpoint):
    weights = load(checkpoint)
    assert {name: value.shape for name, value in weights.values.items()} == (
        checkpoints.weight_shapes()
    )
    assert {value.dtype for value in weights.values.values()} == {np.dtype("float32")}
    assert all(value.ctypes.data % 64 == 0 for value in weights.values.values())

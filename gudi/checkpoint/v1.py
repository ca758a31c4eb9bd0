"""Read TensorFlow's V1 checkpoints: a single file, the default until TensorFlow 1.0.

The whole file is a table (`tensorflow/core/util/saved_tensor_slice.proto`). The empty key maps to a
list of all variables with their shapes; the values of each variable have a key that contains its
name.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gudi.checkpoint import sstable
from gudi.checkpoint.tensors import DTYPES, Array, Tensor, read_errors, size_in_bytes
from gudi.errors import CheckpointForeign
from gudi.protobuf import LENGTH_DELIMITED, VARINT, chunks, integer, tensor_shape, varint

# Field of a TensorProto (tensorflow/core/framework/tensor.proto) with packed float values.
FLOAT_VALUES = 5

# The list of variables of a Gudi checkpoint takes about 1 kB.
MAX_LIST_BLOCK = 16 * 2**20

MAX_SIDE = 2**40


@dataclass
class V1File:
    """An open V1 checkpoint; see `gudi.checkpoint.tensors.TensorFile`.

    Attributes:
        path: the file, which is named like the prefix unless somebody renamed it.
    """

    prefix: Path
    path: Path
    tensors: dict[str, Tensor]
    recovered: str = ""
    format: str = "V1"

    def read(self, name: str) -> tuple[Array, int]:
        """Return the float32 variable `name`, its block's checksum verified, and its CRC-32C."""
        tensor = self.tensors[name]
        if tensor.dtype != "float32":
            raise CheckpointForeign(f"{self.prefix}: {name} is {tensor.dtype}, not float32")
        with read_errors(self.path), self.path.open("rb") as file:
            packed = _packed_values(sstable.Table(file), name)
            if len(packed) != tensor.size:
                raise ValueError(f"{name} has {len(packed)} bytes, not {tensor.size}")
        values = np.frombuffer(packed, tensor.dtype).reshape(tensor.shape)
        return values, sstable.crc32c(packed)

    def verify(self, name: str) -> None:
        """Verify the variable `name` as `read` does, if it is float32."""
        if self.tensors[name].dtype == "float32":
            self.read(name)


def open_v1(prefix: Path, path: Path) -> V1File:
    """Open the V1 checkpoint `prefix`, which is the file at `path`."""
    with read_errors(path), path.open("rb") as file:
        table = sstable.Table(file)
        if not table.blocks or table.blocks[0].size > MAX_LIST_BLOCK:
            raise ValueError("it has no list of variables")
        key, variables = next(table.entries(table.blocks[0]), (b"?", memoryview(b"")))
        if key != b"":
            raise ValueError("it has no list of variables")
        renamed = "" if path == prefix else f"{path.name} is a checkpoint in the V1 format"
        return V1File(prefix, path, _tensors(variables), renamed)


def is_table(path: Path) -> bool:
    """Return whether the file at `path` ends as a table does."""
    if path.stat().st_size < len(sstable.MAGIC):
        return False
    with path.open("rb") as file:
        file.seek(-len(sstable.MAGIC), 2)
        return file.read() == sstable.MAGIC


def _tensors(message: memoryview) -> dict[str, Tensor]:
    """Parse the list of variables: `SavedTensorSlices.meta.tensor`, each a `SavedSliceMeta`."""
    tensors: dict[str, Tensor] = {}
    for meta in chunks(message, 1):
        for variable in chunks(meta, 1):
            name = b"".join(chunks(variable, 1)).decode("utf-8", "replace")
            shape = tensor_shape(variable)
            number = integer(variable, 3)
            dtype = DTYPES.get(number, f"type {number}")
            size = size_in_bytes(shape, dtype) if number in DTYPES else 0
            if len(tensors) >= sstable.MAX_ENTRIES:
                raise ValueError("it lists more variables than any checkpoint has")
            if any(not 0 <= side < MAX_SIDE for side in shape):
                raise ValueError(f"{name} has the shape {list(shape)}")
            tensors[name] = Tensor(dtype, shape, size)
    return tensors


def _packed_values(table: sstable.Table, name: str) -> memoryview:
    """Return the packed values of the variable `name`."""
    # Start of the key in TensorFlow's OrderedCode: the number 0, then the name.
    key = b"\0" + name.encode() + b"\0\1"
    position = bisect.bisect_left([block.last_key for block in table.blocks], key)
    blocks = table.blocks[position : position + 1]
    for block in blocks:
        # A large variable has a block of its own.
        if location := _locate(table.head(block), key):
            return table.part(block, *location)
    found = [
        value for block in blocks for each, value in table.entries(block) if each.startswith(key)
    ]
    if len(found) != 1:
        raise ValueError(f"it holds {name} {len(found)} times")
    # SavedTensorSlices.data.data, a TensorProto.
    (data,) = chunks(found[0], 2) or [memoryview(b"")]
    (tensor,) = chunks(data, 3) or [memoryview(b"")]
    (packed,) = chunks(tensor, FLOAT_VALUES) or [memoryview(b"")]
    return packed


def _locate(head: memoryview, key: bytes) -> tuple[int, int] | None:
    """Find the packed values of `key` in a block that starts with `head`.

    Returns:
        Offset and size, not verified; None if the block does not start with these values.
    """
    try:
        shared, position = varint(head, 0)
        added, position = varint(head, position)
        _, position = varint(head, position)
        if shared or bytes(head[position : position + len(key)]) != key:
            return None
        position += added
        for field in (2, 3, FLOAT_VALUES):  # SavedTensorSlices.data.data.float_val
            number = size = 0
            while number != field:
                position += size
                tag, position = varint(head, position)
                number, kind = tag >> 3, tag & 7
                if kind not in (VARINT, LENGTH_DELIMITED):
                    return None
                size, position = varint(head, position)
                if kind == VARINT:
                    number, size = 0, 0
        return position, size
    except ValueError:
        return None

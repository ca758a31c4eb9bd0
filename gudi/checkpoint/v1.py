"""Read TensorFlow's V1 checkpoints: one file, the default until TensorFlow 1.0.

The whole file is a table (`tensorflow/core/util/saved_tensor_slice.proto`). "" maps to a list of
all variables with their shapes; the values of each stand under a key that is made of its name.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gudi.checkpoint import sstable
from gudi.checkpoint.protobuf import chunks, integer, varint
from gudi.checkpoint.tensors import DTYPES, Tensor, size_in_bytes
from gudi.errors import CheckpointCorrupt, CheckpointError, CheckpointForeign

# Fields of a TensorProto (tensorflow/core/framework/tensor.proto) that values are packed in.
FLOAT_VALUES = 5

# The list of variables of a Gudi checkpoint has about 1 kB.
MAX_LIST_BLOCK = 16 * 2**20


@dataclass
class SliceFile:
    """An opened V1 checkpoint; see `gudi.checkpoint.tensors.TensorFile`.

    Attributes:
        path: the one file, which is called like the prefix unless somebody has renamed it.
    """

    prefix: Path
    path: Path
    tensors: dict[str, Tensor]
    recovered: str = ""
    format: str = "V1"

    @property
    def files(self) -> tuple[Path, ...]:
        """The one file."""
        return (self.path,)

    def read(self, name: str) -> tuple[np.ndarray, int]:
        """Return the float32 variable `name` and its CRC-32C.

        The checksum of the block that it is read from is verified.

        Raises:
            CheckpointCorrupt: the file is damaged.
            CheckpointForeign: it is no float32, or was saved in parts.
        """
        tensor = self.tensors[name]
        if tensor.dtype != "float32":
            raise CheckpointForeign(f"{self.prefix}: {name} is {tensor.dtype}, not float32")
        try:
            with self.path.open("rb") as file:
                packed, crc = _values(sstable.Table(file), name)
        except OSError as error:
            raise CheckpointError(f"{self.path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise damaged(self.path, error) from error
        if len(packed) != tensor.size:
            raise damaged(self.path, f"{name} has {len(packed)} bytes, not {tensor.size}")
        return np.frombuffer(packed, tensor.dtype).reshape(tensor.shape), crc

    def verify(self, name: str) -> None:
        """Check the variable `name` as `read` does; others than float32 cannot be."""
        if self.tensors[name].dtype == "float32":
            self.read(name)


def open_slices(prefix: Path, path: Path) -> SliceFile:
    """Open the V1 checkpoint `prefix`, which is in the file at `path`.

    Raises:
        CheckpointCorrupt: it is damaged.
    """
    try:
        with path.open("rb") as file:
            table = sstable.Table(file)
            if not table.blocks or table.blocks[0].size > MAX_LIST_BLOCK:
                raise ValueError("it has no list of variables")
            listed = next(iter(table.entries(table.blocks[0])), (b"?", b""))
            if listed[0] != b"":
                raise ValueError("it has no list of variables")
            renamed = "" if path == prefix else f"{path.name} is a checkpoint of the V1 format"
            return SliceFile(prefix, path, _tensors(listed[1]), renamed)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise damaged(path, error) from error


def is_table(path: Path) -> bool:
    """Tell whether the file at `path` ends as a table does."""
    if path.stat().st_size < len(sstable.MAGIC):
        return False
    with path.open("rb") as file:
        file.seek(-len(sstable.MAGIC), 2)
        return file.read() == sstable.MAGIC


def damaged(path: Path, why: object) -> CheckpointCorrupt:
    """Return the error that says that `path` is damaged."""
    return CheckpointCorrupt(
        f"{path} is damaged: {why}; copy the file again from where it came from"
    )


def _tensors(message: memoryview) -> dict[str, Tensor]:
    """Parse the list of variables: `SavedTensorSlices.meta.tensor`, each a `SavedSliceMeta`."""
    tensors = {}
    for meta in chunks(message, 1):
        for variable in chunks(meta, 1):
            name = b"".join(chunks(variable, 1)).decode("utf-8", "replace")
            shape = tuple(
                integer(dimension, 1)
                for shape in chunks(variable, 2)
                for dimension in chunks(shape, 2)
            )
            number = integer(variable, 3)
            dtype = DTYPES.get(number, f"type {number}")
            size = size_in_bytes(shape, dtype) if number in DTYPES else 0
            if len(tensors) >= sstable.MAX_ENTRIES:
                raise ValueError("it lists more variables than any checkpoint has")
            if any(side < 0 or side >= 2**40 for side in shape):
                raise ValueError(f"{name} has the shape {list(shape)}")
            tensors[name] = Tensor(dtype, shape, size)
    return tensors


def _values(table: sstable.Table, name: str) -> tuple[memoryview, int]:
    """Return the packed values of the variable `name`, and their CRC-32C."""
    key = _key(name)
    position = bisect.bisect_left([block.last_key for block in table.blocks], key)
    for block in table.blocks[position : position + 1]:
        # A large variable has a block of its own.
        if place := _place(table.head(block), key):
            return table.part(block, *place)
    found = [
        value
        for block in table.blocks[position : position + 1]
        for each, value in table.entries(block)
        if each.startswith(key)
    ]
    if len(found) != 1:
        raise ValueError(f"{name} is there {len(found)} times")
    # SavedTensorSlices.data.data, a TensorProto.
    (data,) = chunks(found[0], 2) or [b""]
    (tensor,) = chunks(data, 3) or [b""]
    (packed,) = chunks(tensor, FLOAT_VALUES) or [memoryview(b"")]
    return packed, sstable.crc32c(packed)


def _place(head: memoryview, key: bytes) -> tuple[int, int] | None:
    """Return where in a block, which has the beginning `head`, the packed values of `key` lie.

    Returns:
        Offset and size; None where the block does not begin with them. Not verified yet.
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
                if kind not in (0, 2):
                    return None
                size, position = varint(head, position)
                if kind == 0:
                    number, size = 0, 0
        return position, size
    except ValueError:
        return None


def _key(name: str) -> bytes:
    """Return how the key of a variable begins: number 0, its name (TensorFlow's OrderedCode)."""
    return b"\0" + name.encode() + b"\0\1"

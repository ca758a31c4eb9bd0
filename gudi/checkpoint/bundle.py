"""Read TensorFlow's V2 checkpoints: a `.index` table and `.data-?????-of-?????` files.

The index maps "" to a header and each variable's name to a `BundleEntryProto` that says where its
bytes lie (`tensorflow/core/protobuf/tensor_bundle.proto`). TensorFlow is not needed to read
them, and a damaged index reaches no C++ code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np

from gudi.checkpoint import sstable
from gudi.errors import CheckpointCorrupt, CheckpointError, CheckpointIncomplete

# The index of a Gudi checkpoint has about 1 kB; of the largest networks a few MB.
MAX_INDEX_SIZE = 16 * 2**20

# TensorFlow's DataType numbers (tensorflow/core/framework/types.proto) of the types that occur in
# Gudi checkpoints; any other is kept as its number.
DTYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 9: "int64", 10: "bool"}

# TensorFlow takes an array as it is where it starts on a cache line, and copies it otherwise.
ALIGNMENT = 64

MAX_SHARDS = 1000

READ_SIZE = 2**20


@dataclass(frozen=True)
class Tensor:
    """Where one variable lies in the data files.

    Attributes:
        dtype: NumPy's name for it, or `type N` where it is none of `DTYPES`.
        shape: its dimensions.
        shard: number of the data file.
        offset: of its first byte in that file.
        size: in bytes.
        crc32c: checksum of its bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc32c: int


@dataclass(frozen=True)
class Bundle:
    """An opened V2 checkpoint.

    Attributes:
        prefix: the path that the names of all its files begin with.
        shards: its data files.
        tensors: what the index lists, by variable name.
    """

    prefix: Path
    shards: tuple[Path, ...]
    tensors: dict[str, Tensor]

    def read(self, name: str) -> np.ndarray:
        """Return the variable `name`, its checksum verified.

        Raises:
            CheckpointCorrupt: the bytes are not those that were written.
        """
        tensor = self.tensors[name]
        values = _aligned(tensor.shape, tensor.dtype)
        buffer = memoryview(values.reshape(-1).view(np.uint8))
        path = self.shards[tensor.shard]
        crc = 0
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(tensor.offset)
                for start in range(0, tensor.size, READ_SIZE):
                    chunk = buffer[start : start + READ_SIZE]
                    if file.readinto(chunk) != len(chunk):
                        raise CheckpointIncomplete(f"{path} became shorter while it was read")
                    crc = google_crc32c.extend(crc, bytes(chunk))
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
        if crc != tensor.crc32c:
            raise CheckpointCorrupt(
                f"{path} is damaged: the checksum of {name} is wrong; copy the file again from "
                "where it came from"
            )
        return values


def index_path(prefix: Path) -> Path:
    """Return the path of the index of the checkpoint `prefix`."""
    return prefix.with_name(f"{prefix.name}.index")


def open_bundle(prefix: Path) -> Bundle:
    """Read the index of the checkpoint `prefix` and hold it against its data files.

    Raises:
        CheckpointIncomplete: a data file is missing or too short.
        CheckpointCorrupt: the index is damaged.
    """
    path = index_path(prefix)
    try:
        with path.open("rb") as file:
            table = file.read(MAX_INDEX_SIZE + 1)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if len(table) > MAX_INDEX_SIZE:
        raise CheckpointCorrupt(f"{path} is too large to be the index of a Gudi checkpoint")
    try:
        count, tensors = _parse(table)
    except ValueError as error:
        raise CheckpointCorrupt(
            f"{path} is damaged: {error}; copy the file again from where it came from"
        ) from error
    shards = tuple(
        prefix.with_name(f"{prefix.name}.data-{number:05d}-of-{count:05d}")
        for number in range(count)
    )
    for number, shard in enumerate(shards):
        _check_size(shard, [each for each in tensors.values() if each.shard == number])
    return Bundle(prefix, shards, tensors)


def _check_size(shard: Path, tensors: list[Tensor]) -> None:
    wanted = max((tensor.offset + tensor.size for tensor in tensors), default=0)
    try:
        size = shard.stat().st_size
    except FileNotFoundError:
        raise CheckpointIncomplete(
            f"{shard} is missing; by the index it has {wanted:,} bytes and holds the weights: "
            "copy it from where the checkpoint was made"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{shard} cannot be read: {error.strerror}") from error
    if size < wanted:
        raise CheckpointIncomplete(
            f"{shard} has {size:,} bytes where the index says {wanted:,}: it was cut short; copy "
            "it again"
        )


def _aligned(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return an uninitialised array that starts on a multiple of `ALIGNMENT`."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def _parse(table: bytes) -> tuple[int, dict[str, Tensor]]:
    """Return the number of data files and the tensors of an index."""
    entries = dict(sstable.entries(table))
    header = entries.pop(b"", None)
    if header is None:
        raise ValueError("it has no header")
    count = _integer(header, 1)
    if not 1 <= count <= MAX_SHARDS:
        raise ValueError(f"it names {count} data files")
    tensors = {key.decode("utf-8", "replace"): _tensor(value) for key, value in entries.items()}
    if any(tensor.shard >= count for tensor in tensors.values()):
        raise ValueError("a tensor lies in a data file that there is not")
    return count, tensors


def _tensor(entry: bytes) -> Tensor:
    """Parse a `BundleEntryProto`."""
    shape = tuple(
        _integer(dimension, 1) for shape in _messages(entry, 2) for dimension in _messages(shape, 2)
    )
    dtype = _integer(entry, 1)
    tensor = Tensor(
        dtype=DTYPES.get(dtype, f"type {dtype}"),
        shape=shape,
        shard=_integer(entry, 3),
        offset=_integer(entry, 4),
        size=_integer(entry, 5),
        crc32c=sstable.unmask(_integer(entry, 6)),
    )
    if dtype in DTYPES and math.prod(shape) * np.dtype(tensor.dtype).itemsize != tensor.size:
        raise ValueError(f"a tensor of shape {list(shape)} is said to have {tensor.size} bytes")
    return tensor


def _integer(message: bytes, wanted: int) -> int:
    """Return the field `wanted`: its last value where it occurs twice, 0 where it does not."""
    values = [value for number, value in _fields(message) if number == wanted]
    if not all(isinstance(value, int) for value in values):
        raise ValueError(f"field {wanted} is no number")
    return values[-1] if values else 0


def _messages(message: bytes, wanted: int) -> list[bytes]:
    """Return all values of the field `wanted`."""
    values = [value for number, value in _fields(message) if number == wanted]
    if not all(isinstance(value, bytes) for value in values):
        raise ValueError(f"field {wanted} is a number")
    return values


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the numbers and values of a protocol buffer message's fields.

    Integers come as int, strings and messages as bytes.
    """
    position = 0
    while position < len(message):
        tag, position = sstable.varint(message, position)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, position = sstable.varint(message, position)
        elif kind == 2:
            size, position = sstable.varint(message, position)
            value, position = message[position : position + size], position + size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value = int.from_bytes(message[position : position + size], "little")
            position += size
        else:
            raise ValueError(f"a field of unknown type {kind}")
        if position > len(message):
            raise ValueError("a field runs out of its message")
        yield number, value

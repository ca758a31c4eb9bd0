"""Read TensorFlow's V2 checkpoints: a `.index` table and `.data-?????-of-?????` files.

The index maps the empty key to a header, and each variable's name to a `BundleEntryProto` with the
location of its bytes (`tensorflow/core/protobuf/tensor_bundle.proto`). TensorFlow is not needed to
read them, so a damaged index never reaches C++ code.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gudi.checkpoint import sstable
from gudi.checkpoint.tensors import (
    DTYPES,
    Array,
    Tensor,
    aligned,
    as_bytes,
    join_notes,
    read_errors,
    size_in_bytes,
)
from gudi.errors import CheckpointCorrupt, CheckpointForeign, CheckpointIncomplete
from gudi.protobuf import chunks, integer, tensor_shape

# The index of a Gudi checkpoint takes about 1 kB; that of the largest networks, a few MB.
MAX_INDEX_SIZE = 16 * 2**20

MAX_SHARDS = 1000

LITTLE_ENDIAN = 0

# Tensors of a Gudi checkpoint have up to 4 dimensions; NumPy allows 64.
MAX_RANK = 32

T = TypeVar("T")


@dataclass(frozen=True)
class TensorLocation(Tensor):
    """A variable and its location in the data files.

    Attributes:
        shard: number of the data file.
        offset: of its first byte in that file.
        crc32c: checksum of its bytes; None if unknown.
    """

    shard: int
    offset: int
    crc32c: int | None


@dataclass
class V2File:
    """An open V2 checkpoint; see `gudi.checkpoint.tensors.TensorFile`.

    Attributes:
        index: the file with the locations of the variables; None if it is missing or unusable.
        shards: for each data file, the paths of its copies, the most likely one first.
    """

    prefix: Path
    index: Path | None
    shards: tuple[tuple[Path, ...], ...]
    tensors: dict[str, TensorLocation]
    recovered: str = ""
    format: str = "V2"

    def read(self, name: str) -> tuple[Array, int]:
        """Return the variable `name`, its checksum verified, and that checksum.

        If the data file has several copies, one with the right checksum is used.

        Raises:
            CheckpointCorrupt: the bytes are not those that were written.
            CheckpointForeign: it has a type that does not occur in Gudi checkpoints.
        """
        location = self.tensors[name]
        if location.dtype not in DTYPES.values():
            raise CheckpointForeign(f"{self.prefix}: {name} has {location.dtype}, not numbers")
        return self._read_sound_copy(name, read_at)

    def verify(self, name: str) -> None:
        """Verify `name` as `read` does, in chunks, because an untrusted file may claim any size."""
        location = self.tensors[name]
        if location.crc32c is None or location.dtype not in DTYPES.values():
            return  # a string, for example, whose checksum does not cover its bytes
        chunk = memoryview(bytearray(sstable.CRC_CHUNK))
        self._read_sound_copy(
            name,
            lambda path, location: (None, _read_into(path, location, itertools.repeat(chunk))),
        )

    def _read_sound_copy(
        self, name: str, read: Callable[[Path, TensorLocation], tuple[T, int]]
    ) -> tuple[T, int]:
        """Return the result of `read`, values and CRC, for the first copy whose CRC is right."""
        location = self.tensors[name]
        copies = self.shards[location.shard]
        for copy in copies:
            values, crc = read(copy, location)
            if location.crc32c in (None, crc):
                if copy != copies[0]:
                    self._prefer(location.shard, copy)
                return values, crc
        raise CheckpointCorrupt(
            f"{copies[0]} is damaged, or belongs to another checkpoint than its index: the "
            f"checksum of {name} is wrong; copy both again from their source"
        )

    def _prefer(self, shard: int, copy: Path) -> None:
        """Read the data file `shard` from `copy` in future, and add a note."""
        copies = self.shards[shard]
        others = tuple(each for each in copies if each != copy)
        self.shards = (*self.shards[:shard], (copy, *others), *self.shards[shard + 1 :])
        note = f"{copies[0].name} is damaged; the data was read from {copy.name}"
        self.recovered = join_notes(self.recovered, note)


def read_at(path: Path, location: TensorLocation) -> tuple[Array, int]:
    """Return the tensor at `location` in the data file `path`, and its CRC-32C."""
    values = aligned(location.shape, location.dtype)
    buffer = as_bytes(values)
    # Chunks are still in the CPU's cache when their checksum is computed.
    chunks = (buffer[start:] for start in range(0, location.size, sstable.CRC_CHUNK))
    return values, _read_into(path, location, chunks)


def _read_into(path: Path, location: TensorLocation, chunks: Iterable[memoryview]) -> int:
    """Read the bytes at `location` chunk by chunk, and return their CRC-32C.

    Args:
        path: a data file.
        location: what to read.
        chunks: memory for each `CRC_CHUNK` bytes in turn; the last chunk may be shorter.
    """
    crc = 0
    with read_errors(path), path.open("rb", buffering=0) as file:
        file.seek(location.offset)
        for start, chunk in zip(range(0, location.size, sstable.CRC_CHUNK), chunks):
            chunk = chunk[: min(sstable.CRC_CHUNK, location.size - start)]
            if file.readinto(chunk) != len(chunk):
                raise CheckpointIncomplete(f"{path} became shorter while it was read")
            crc = sstable.crc32c(chunk, crc)
    return crc


def parse_index(path: Path) -> tuple[int, dict[str, TensorLocation]]:
    """Return the number of data files, and the variables that the index at `path` lists.

    Raises:
        CheckpointCorrupt: the index is damaged.
    """
    with read_errors(path), path.open("rb") as file:
        if path.stat().st_size > MAX_INDEX_SIZE:
            raise ValueError("it is too large for the index of a Gudi checkpoint")
        table = sstable.Table(file)
        return _parse({key: value for block in table.blocks for key, value in table.entries(block)})


def data_size(locations: Iterable[TensorLocation], shard: int = 0) -> int:
    """Return the size in bytes that the data file `shard` must have."""
    return max((each.offset + each.size for each in locations if each.shard == shard), default=0)


def _parse(entries: Mapping[bytes, memoryview]) -> tuple[int, dict[str, TensorLocation]]:
    header = entries.get(b"")
    if header is None:
        raise ValueError("it has no header")
    count = integer(header, 1)
    if not 1 <= count <= MAX_SHARDS:
        raise ValueError(f"it names {count} data files")
    if integer(header, 2) != LITTLE_ENDIAN:
        raise ValueError("it was written by a computer with another byte order")
    locations = {
        key.decode("utf-8", "replace"): _location(value) for key, value in entries.items() if key
    }
    if any(location.shard >= count for location in locations.values()):
        raise ValueError("a variable is in a data file that does not exist")
    return count, locations


def _location(message: memoryview) -> TensorLocation:
    """Parse a `BundleEntryProto`."""
    shape = tensor_shape(message)
    if len(shape) > MAX_RANK:
        raise ValueError(f"a variable has {len(shape)} dimensions")
    dtype = integer(message, 1)
    known = dtype in DTYPES and not chunks(message, 7)  # field 7: the variable was saved in parts
    location = TensorLocation(
        dtype=DTYPES[dtype] if known else f"type {dtype}",
        shape=shape,
        shard=integer(message, 3),
        offset=integer(message, 4),
        size=integer(message, 5),
        crc32c=sstable.unmask(integer(message, 6)),
    )
    if known and size_in_bytes(shape, location.dtype) != location.size:
        raise ValueError(f"the size of a variable of shape {list(shape)} is {location.size} bytes")
    return location

"""Read TensorFlow's V2 checkpoints: a `.index` table and `.data-?????-of-?????` files.

The index maps "" to a header and each variable's name to a `BundleEntryProto` that says where its
bytes lie (`tensorflow/core/protobuf/tensor_bundle.proto`). TensorFlow is not needed to read
them, and a damaged index reaches no C++ code.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gudi.checkpoint import sstable
from gudi.checkpoint.protobuf import chunks, integer
from gudi.checkpoint.tensors import DTYPES, Tensor, aligned, size_in_bytes
from gudi.errors import (
    CheckpointCorrupt,
    CheckpointError,
    CheckpointForeign,
    CheckpointIncomplete,
)

# The index of a Gudi checkpoint has about 1 kB; of the largest networks a few MB.
MAX_INDEX_SIZE = 16 * 2**20

MAX_SHARDS = 1000

LITTLE_ENDIAN = 0

# Those of a Gudi checkpoint have up to 4 dimensions; NumPy takes 64.
MAX_RANK = 32


@dataclass(frozen=True)
class Entry(Tensor):
    """A variable, and where it lies in the data files.

    Attributes:
        shard: number of the data file.
        offset: of its first byte in that file.
        crc32c: checksum of its bytes; None where that is not known.
    """

    shard: int
    offset: int
    crc32c: int | None


@dataclass
class Bundle:
    """An opened V2 checkpoint; see `gudi.checkpoint.tensors.TensorFile`.

    Attributes:
        index: the file that says where the variables lie; None where it is lost.
        shards: for each data file the paths that it can be read from: copies, the likeliest first.
    """

    prefix: Path
    index: Path | None
    shards: tuple[tuple[Path, ...], ...]
    tensors: dict[str, Entry]
    recovered: str = ""
    format: str = "V2"

    @property
    def files(self) -> tuple[Path, ...]:
        """The index, where there is one, and the data files."""
        return (*([self.index] if self.index else []), *(copies[0] for copies in self.shards))

    def read(self, name: str) -> tuple[np.ndarray, int]:
        """Return the variable `name`, its checksum verified, and that checksum.

        A copy of the data whose checksum is right is taken where there is one.

        Raises:
            CheckpointCorrupt: the bytes are not those that were written.
            CheckpointForeign: it is of a type that no Gudi checkpoint has.
        """
        entry = self.tensors[name]
        if entry.dtype not in DTYPES.values():
            raise CheckpointForeign(f"{self.prefix}: {name} is of {entry.dtype}, not of numbers")
        return self._sound(name, read_at)

    def verify(self, name: str) -> None:
        """Check `name` as `read` does, in pieces: its size is what a stranger says.

        Raises:
            CheckpointCorrupt: the bytes are not those that were written.
        """
        entry, piece = self.tensors[name], memoryview(bytearray(sstable.CRC_CHUNK))
        if entry.crc32c is None or entry.dtype not in DTYPES.values():
            return  # a string, say, whose checksum is of something else than its bytes
        self._sound(
            name, lambda path, entry: (None, _read_into(path, entry, itertools.repeat(piece)))
        )

    def _sound(self, name: str, read: Callable[[Path, Entry], tuple[Any, int]]) -> tuple[Any, int]:
        """Return what `read`, which gives values and CRC, makes of the first copy that is sound."""
        entry = self.tensors[name]
        copies = self.shards[entry.shard]
        for copy in copies:
            values, crc = read(copy, entry)
            if entry.crc32c in (None, crc):
                if copy != copies[0]:
                    self._prefer(entry.shard, copy)
                return values, crc
        raise CheckpointCorrupt(
            f"{copies[0]} is damaged, or of another checkpoint than its index: the checksum of "
            f"{name} is wrong; copy both again from where they came from"
        )

    def _prefer(self, shard: int, copy: Path) -> None:
        """Take `copy` for the data file `shard` from now on, and say so."""
        copies = self.shards[shard]
        others = tuple(each for each in copies if each != copy)
        self.shards = (*self.shards[:shard], (copy, *others), *self.shards[shard + 1 :])
        note = f"{copies[0].name} is damaged, the data was taken from {copy.name}"
        self.recovered = "; ".join(filter(None, (self.recovered, note)))


def read_at(path: Path, entry: Entry) -> tuple[np.ndarray, int]:
    """Return what lies at `entry`'s place in `path`, and its CRC-32C."""
    values = aligned(entry.shape, entry.dtype)
    buffer = memoryview(values.reshape(-1).view(np.uint8))
    # In pieces that are still in the processor's cache when the checksum is taken.
    pieces = (buffer[start:] for start in range(0, entry.size, sstable.CRC_CHUNK))
    return values, _read_into(path, entry, pieces)


def _read_into(path: Path, entry: Entry, pieces: Iterable[memoryview]) -> int:
    """Read what lies at `entry`'s place in `path` piece by piece, and return its CRC-32C.

    Args:
        path: a data file.
        entry: the place.
        pieces: memory for the next `CRC_CHUNK` bytes, or fewer at the end, each.
    """
    crc = 0
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(entry.offset)
            for start, piece in zip(range(0, entry.size, sstable.CRC_CHUNK), pieces):
                piece = piece[: min(sstable.CRC_CHUNK, entry.size - start)]
                if file.readinto(piece) != len(piece):
                    raise CheckpointIncomplete(f"{path} became shorter while it was read")
                crc = sstable.crc32c(piece, crc)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    return crc


def parse_index(path: Path) -> tuple[int, dict[str, Entry]]:
    """Return the number of data files and the variables that the index at `path` lists.

    Raises:
        CheckpointCorrupt: it is damaged.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size > MAX_INDEX_SIZE:
                raise ValueError("it is too large to be the index of a Gudi checkpoint")
            table = sstable.Table(file)
            return _parse([each for block in table.blocks for each in table.entries(block)])
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointCorrupt(
            f"{path} is damaged: {error}; copy the file again from where it came from"
        ) from error


def data_size(entries: Iterable[Entry], shard: int = 0) -> int:
    """Return how many bytes the data file `shard` must have."""
    return max((each.offset + each.size for each in entries if each.shard == shard), default=0)


def _parse(pairs: Sequence[tuple[bytes, memoryview]]) -> tuple[int, dict[str, Entry]]:
    values = dict(pairs)
    header = values.pop(b"", None)
    if header is None:
        raise ValueError("it has no header")
    count = integer(header, 1)
    if not 1 <= count <= MAX_SHARDS:
        raise ValueError(f"it names {count} data files")
    if integer(header, 2) != LITTLE_ENDIAN:
        raise ValueError("it was written by a computer with another byte order")
    entries = {key.decode("utf-8", "replace"): _entry(value) for key, value in values.items()}
    if any(entry.shard >= count for entry in entries.values()):
        raise ValueError("a variable lies in a data file that there is not")
    return count, entries


def _entry(message: memoryview) -> Entry:
    """Parse a `BundleEntryProto`."""
    shape = tuple(
        integer(dimension, 1) for shape in chunks(message, 2) for dimension in chunks(shape, 2)
    )
    if len(shape) > MAX_RANK:
        raise ValueError(f"a variable has {len(shape)} dimensions")
    dtype = integer(message, 1)
    known = dtype in DTYPES and not chunks(message, 7)  # of a variable in parts, this is no part
    entry = Entry(
        dtype=DTYPES[dtype] if known else f"type {dtype}",
        shape=shape,
        shard=integer(message, 3),
        offset=integer(message, 4),
        size=integer(message, 5),
        crc32c=sstable.unmask(integer(message, 6)),
    )
    if known and size_in_bytes(shape, entry.dtype) != entry.size:
        raise ValueError(f"a variable of shape {list(shape)} is said to have {entry.size} bytes")
    return entry

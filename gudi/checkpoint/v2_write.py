"""Write TensorFlow's V2 checkpoints, byte for byte as TensorFlow does; see `gudi.checkpoint.v2`.

They have one data file, and an index so small that it is a table with a single block.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

from gudi.checkpoint import sstable
from gudi.checkpoint.tensors import DTYPES, Array, as_bytes
from gudi.protobuf import encode_chunk, encode_integer

DATA_SUFFIX = ".data-00000-of-00001"

NUMBERS = {name: number for number, name in DTYPES.items()}

FIXED_CRC = b"\x35"  # the tag of field 6, a number of 4 bytes

# A `BundleHeaderProto`: one data file, and version 1 of the format.
HEADER = encode_integer(1, 1) + encode_chunk(3, encode_integer(1, 1))


def write_v2(prefix: Path, values: Mapping[str, Array]) -> None:
    """Write `.index` and `.data-00000-of-00001`.

    Args:
        prefix: the path of both files without these suffixes.
        values: arrays of the types in `DTYPES` by variable name.
    """
    entries = {b"": HEADER}
    offset = 0
    with Path(f"{prefix}{DATA_SUFFIX}").open("wb") as file:
        for name in sorted(values, key=str.encode):
            data = as_bytes(values[name])
            file.write(data)
            entries[name.encode()] = _entry(values[name], offset, data)
            offset += len(data)
    Path(f"{prefix}.index").write_bytes(sstable.table(entries))


def _entry(values: Array, offset: int, data: memoryview) -> bytes:
    """Return the `BundleEntryProto` of a variable."""
    shape = b"".join(encode_chunk(2, _nonzero(1, side)) for side in values.shape)
    return b"".join([
        encode_integer(1, NUMBERS[values.dtype.name]),
        encode_chunk(2, shape),
        _nonzero(4, offset),
        _nonzero(5, len(data)),
        FIXED_CRC + struct.pack("<I", sstable.mask(sstable.crc32c(data))),
    ])  # fmt: skip


def _nonzero(field: int, value: int) -> bytes:
    """Return a field with a number. A missing field means 0."""
    return encode_integer(field, value) if value else b""

"""Write the index of a V2 checkpoint as TensorFlow does, with any contents."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import google_crc32c
import numpy as np

from gudi.checkpoint import sstable, weight_shapes


def table(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return an index that contains `entries`."""
    return finish(_pairs(entries))


def finish(body: bytes) -> bytes:
    """Return the table whose one block has the encoded entries `body`."""
    data, meta = _block(body), _block(b"")
    handle = varint(0) + varint(len(data) - 5)
    directory = _block(_pairs([(b"~", handle)]))
    footer = varint(len(data)) + varint(len(meta) - 5)
    footer += varint(len(data) + len(meta)) + varint(len(directory) - 5)
    return data + meta + directory + footer.ljust(40, b"\0") + sstable.MAGIC


def _pairs(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the entries of a block, without shared prefixes."""
    return b"".join(
        b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in entries
    )


def _block(body: bytes) -> bytes:
    body += struct.pack("<II", 0, 1)
    crc = google_crc32c.value(body + b"\0")
    return body + b"\0" + struct.pack("<I", mask(crc))


def mask(crc: int) -> int:
    """Return a CRC as LevelDB stores it."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value: int) -> bytes:
    """Return `value` as a base-128 number."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes) -> bytes:
    """Return a field of a protocol buffer."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def location(
    shape: Sequence[int],
    offset: int = 0,
    size: int | None = None,
    dtype: int = 1,
    crc: int | None = None,
) -> bytes:
    """Return a `BundleEntryProto`; by default of float32."""
    dimensions = b"".join(field(2, field(1, each)) for each in shape)
    size = 4 * int(np.prod(shape, dtype=object)) if size is None else size
    checksum = b"" if crc is None else varint(6 << 3 | 5) + struct.pack("<I", mask(crc))
    return field(1, dtype) + field(2, dimensions) + field(4, offset) + field(5, size) + checksum


HEADER = field(1, 1)


def gudi_index(shapes: dict[str, tuple[int, ...]]) -> tuple[bytes, int]:
    """Return the index of a network like Gudi's with some other `shapes`, and the data's size."""
    entries, offset = [(b"", HEADER)], 0
    for name, shape in sorted((weight_shapes() | shapes).items()):
        entries.append((name.encode(), location(shape, offset)))
        offset += 4 * int(np.prod(shape))
    return table(entries), offset

"""Read the sorted string table that TensorFlow keeps its checkpoints' directories in.

The format is LevelDB's (`doc/table_format.md` there, `tensorflow/core/lib/io/table.cc` here):
blocks of prefix-compressed key/value pairs, each block followed by a type byte and a masked
CRC-32C, an index block that names the others, and a footer of 48 bytes. Files come from
strangers: every length is checked against the bytes that are there before it is used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import google_crc32c

FOOTER_SIZE = 48
MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
BLOCK_TRAILER_SIZE = 5  # type byte, CRC-32C
UNCOMPRESSED = 0


def unmask(crc: int) -> int:
    """Undo LevelDB's masking, which keeps the CRC of data that holds CRCs from being trivial."""
    rotated = (crc - 0xA282EAD8) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the base-128 number at `position` and the position behind it.

    Raises:
        ValueError: it runs out of the data or of 64 bits.
    """
    number = 0
    for count in range(10):
        if position + count >= len(data):
            break
        byte = data[position + count]
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return number, position + count + 1
    raise ValueError("a number that does not end")


def entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a whole table, in order.

    Raises:
        ValueError: `table` is damaged, or no table at all.
    """
    footer = table[-FOOTER_SIZE:]
    if len(footer) < FOOTER_SIZE or not footer.endswith(MAGIC):
        raise ValueError("it does not end as a table does: cut short, or another kind of file")
    _, position = _handle(footer, 0)  # the metaindex, empty in TensorFlow's tables
    directory, _ = _handle(footer, position)
    for _, value in _block(table, *directory):
        handle, _ = _handle(value, 0)
        yield from _block(table, *handle)


def _handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    offset, position = varint(data, position)
    size, position = varint(data, position)
    return (offset, size), position


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    end = offset + size
    if end + BLOCK_TRAILER_SIZE > len(table):
        raise ValueError("a block lies outside the file")
    kind, crc = struct.unpack_from("<BI", table, end)
    if google_crc32c.value(table[offset : end + 1]) != unmask(crc):
        raise ValueError("a checksum is wrong")
    if kind != UNCOMPRESSED:
        raise ValueError(f"a block is compressed (type {kind})")
    if size < 4:
        raise ValueError("a block is too short")
    block = table[offset:end]
    (restarts,) = struct.unpack_from("<I", block, size - 4)
    stop = size - 4 * (restarts + 1)
    position, key = 0, b""
    while position < stop:
        shared, position = varint(block, position)
        added, position = varint(block, position)
        length, position = varint(block, position)
        if shared > len(key) or position + added + length > stop:
            raise ValueError("an entry runs out of its block")
        key = key[:shared] + block[position : position + added]
        position += added
        yield key, block[position : position + length]
        position += length

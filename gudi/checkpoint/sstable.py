"""Read and write the sorted string tables in which TensorFlow stores checkpoints.

The format is LevelDB's (see `doc/table_format.md` there, and `tensorflow/core/lib/io/table.cc`):
blocks of prefix-compressed key/value pairs, each followed by a type byte and a masked CRC-32C; an
index block that lists the others; and a footer of 48 bytes. The index of a V2 checkpoint is one of
these tables, and so is a whole V1 checkpoint. The files are untrusted: every length is checked
against the available bytes before it is used.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader

import google_crc32c
import numpy as np

from gudi.checkpoint.tensors import ALIGNMENT
from gudi.protobuf import Bytes, encode_varint, varint

FOOTER_SIZE = 48
MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
BLOCK_TRAILER_SIZE = 5  # type byte, CRC-32C
UNCOMPRESSED = 0

# Every how many entries a block repeats a key in full. The keys between leave out the prefix that
# they share with the key before.
RESTART_INTERVAL = 16

CRC_CHUNK = 2**20

HEAD_SIZE = 4096

# Keys share prefixes, so a small file could expand to a great many long keys.
MAX_KEY = 1024
MAX_ENTRIES = 50_000
MAX_INDEX_BLOCK = 16 * 2**20

# A block is read as a whole, and a sparse file can claim any size. The largest block of a Gudi
# checkpoint holds a matrix of 18432 by 3072 floats.
MAX_BLOCK = 2**28


@dataclass(frozen=True)
class Block:
    """The location of a block, and an upper bound of its keys."""

    last_key: bytes
    offset: int
    size: int


class Table:
    """An open table. Blocks are read on demand.

    Attributes:
        blocks: the blocks, in the order of their keys.

    Raises:
        ValueError: the file is damaged, or is not a table. Methods raise it, too.
    """

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self._count = 0
        self._size = file.seek(0, os.SEEK_END)
        file.seek(max(0, self._size - FOOTER_SIZE))
        footer = file.read(FOOTER_SIZE)
        if len(footer) < FOOTER_SIZE or not footer.endswith(MAGIC):
            raise ValueError("it does not end as a table does: it was cut short, or is another "
                             "kind of file")  # fmt: skip
        _, _, position = _location(footer, 0)  # the metaindex, empty in TensorFlow's tables
        offset, size, _ = _location(footer, position)
        if size > MAX_INDEX_BLOCK:
            raise ValueError("its list of blocks is too large")
        self.blocks: list[Block] = []
        for key, value in self.entries(Block(b"", offset, size)):
            offset, size, _ = _location(value, 0)
            self.blocks.append(Block(key, offset, size))

    def entries(self, block: Block) -> Iterator[tuple[bytes, memoryview]]:
        """Yield the keys and values of `block`, in order."""
        data = self._read(block)
        size = len(data)
        if size < 4:
            raise ValueError("a block is too short")
        (restarts,) = struct.unpack_from("<I", data, size - 4)
        stop = size - 4 * (restarts + 1)
        position, key = 0, b""
        while position < stop:
            shared, position = varint(data, position)
            added, position = varint(data, position)
            length, position = varint(data, position)
            if shared > len(key) or position + added + length > stop:
                raise ValueError("an entry does not fit into its block")
            self._count += 1
            if shared + added > MAX_KEY or self._count > MAX_ENTRIES:
                raise ValueError("it has longer names, or more of them, than any checkpoint")
            key = key[:shared] + bytes(data[position : position + added])
            position += added
            yield key, data[position : position + length]
            position += length

    def head(self, block: Block) -> memoryview:
        """Return the first bytes of `block`, not verified."""
        self._file.seek(block.offset)
        return memoryview(self._file.read(min(block.size, HEAD_SIZE)))

    def part(self, block: Block, offset: int, size: int) -> memoryview:
        """Return `size` bytes of `block` from `offset`.

        They start on a multiple of `ALIGNMENT` in memory, so TensorFlow can use them in place.
        """
        return self._read(block, offset)[offset : offset + size]

    def _read(self, block: Block, aligned: int = 0) -> memoryview:
        """Return a verified block, whose byte `aligned` starts on a multiple of `ALIGNMENT`."""
        size = block.size + BLOCK_TRAILER_SIZE
        if block.offset + size > self._size:
            raise ValueError("a block lies outside the file")
        if size > MAX_BLOCK:
            raise ValueError("a block is larger than any block of a Gudi checkpoint")
        memory = np.empty(size + ALIGNMENT, np.uint8)
        start = -(memory.ctypes.data + aligned) % ALIGNMENT
        data = memory.data[start : start + size]
        self._file.seek(block.offset)
        if self._file.readinto(data) != size:
            raise ValueError("the file became shorter while it was read")
        kind, crc = struct.unpack_from("<BI", data, block.size)
        if mask(crc32c(data[: block.size + 1])) != crc:
            raise ValueError("a checksum is wrong")
        if kind != UNCOMPRESSED:
            raise ValueError(f"a block is compressed (type {kind})")
        return data[: block.size].toreadonly()


def table(entries: dict[bytes, bytes]) -> bytes:
    """Return a table with a single block, as TensorFlow writes it, of values by sorted key."""
    blocks = (_block(entries), _block({}))
    index = _block({_successor(max(entries)): _place(0, blocks[0])})
    start = len(blocks[0]) + len(blocks[1])
    places = _place(len(blocks[0]), blocks[1]) + _place(start, index)
    padding = bytes(FOOTER_SIZE - len(MAGIC) - len(places))
    return b"".join([*blocks, index, places, padding, MAGIC])


def _block(entries: dict[bytes, bytes]) -> bytes:
    """Return a block with its trailer."""
    content, restarts, last = bytearray(), [0], b""
    for number, (key, value) in enumerate(entries.items()):
        if number and number % RESTART_INTERVAL == 0:
            restarts.append(len(content))
            last = b""
        shared = _shared(last, key)
        for length in (shared, len(key) - shared, len(value)):
            content += encode_varint(length)
        content += key[shared:] + value
        last = key
    content += struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
    content.append(UNCOMPRESSED)
    return bytes(content) + struct.pack("<I", mask(crc32c(memoryview(content))))


def _shared(one: bytes, other: bytes) -> int:
    """Return the length of the common prefix."""
    pairs = enumerate(zip(one, other))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _place(offset: int, block: bytes) -> bytes:
    """Return the location of a block that was written at `offset`."""
    return encode_varint(offset) + encode_varint(len(block) - BLOCK_TRAILER_SIZE)


def _successor(key: bytes) -> bytes:
    """Return the shortest key that is not before `key`, as LevelDB computes it."""
    for position, byte in enumerate(key):
        if byte != 0xFF:
            return key[:position] + bytes([byte + 1])
    return key


def crc32c(data: memoryview, crc: int = 0) -> int:
    """Return the CRC-32C of `data`, or of data whose CRC is `crc` followed by `data`."""
    for start in range(0, len(data), CRC_CHUNK):
        crc = google_crc32c.extend(crc, bytes(data[start : start + CRC_CHUNK]))
    return crc


def mask(crc: int) -> int:
    """Return `crc` as LevelDB stores it: a CRC of data that contains CRCs would be unreliable."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def unmask(crc: int) -> int:
    """Undo `mask`."""
    rotated = (crc - 0xA282EAD8) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def _location(data: Bytes, position: int) -> tuple[int, int, int]:
    """Parse a block's location: return its offset, its size and the position after them."""
    offset, position = varint(data, position)
    size, position = varint(data, position)
    return offset, size, position

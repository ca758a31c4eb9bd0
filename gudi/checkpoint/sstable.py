"""Read the sorted string tables that TensorFlow keeps checkpoints in.

The format is LevelDB's (`doc/table_format.md` there, `tensorflow/core/lib/io/table.cc` here):
blocks of prefix-compressed key/value pairs, each block followed by a type byte and a masked
CRC-32C, an index block that names the others, and a footer of 48 bytes. A V2 checkpoint's index is
such a table, and a V1 checkpoint is one as a whole. Files come from strangers: every length is
checked against the bytes that are there before it is used.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import google_crc32c
import numpy as np

from gudi.checkpoint.protobuf import varint
from gudi.checkpoint.tensors import ALIGNMENT

FOOTER_SIZE = 48
MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
BLOCK_TRAILER_SIZE = 5  # type byte, CRC-32C
UNCOMPRESSED = 0

CRC_CHUNK = 2**20
POLYNOMIAL = 0x82F63B78  # of CRC-32C, reflected

HEAD_SIZE = 4096

# Keys share their beginnings, so that a small file can spell out a great many long ones.
MAX_KEY = 1024
MAX_ENTRIES = 50_000
MAX_DIRECTORY = 16 * 2**20

# A block is read as a whole, and a sparse file can pretend to any size. The largest of a Gudi
# checkpoint holds a matrix of 18432 by 3072 floats.
MAX_BLOCK = 2**28


@dataclass(frozen=True)
class Block:
    """Where a block lies, and a key that none of its keys lies behind."""

    last_key: bytes
    offset: int
    size: int


class Table:
    """An open table; blocks are read when they are asked for.

    Raises:
        ValueError: the file is damaged, or no table at all.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._count = 0
        self._size = file.seek(0, os.SEEK_END)
        file.seek(max(0, self._size - FOOTER_SIZE))
        footer = file.read(FOOTER_SIZE)
        if len(footer) < FOOTER_SIZE or not footer.endswith(MAGIC):
            raise ValueError("it does not end as a table does: cut short, or another kind of file")
        _, position = _handle(footer, 0)  # the metaindex, empty in TensorFlow's tables
        (offset, size), _ = _handle(footer, position)
        if size > MAX_DIRECTORY:
            raise ValueError("its list of blocks is too large")
        self.blocks = [
            Block(bytes(key), *_handle(value, 0)[0])
            for key, value in self._entries(Block(b"", offset, size))
        ]

    def entries(self, block: Block) -> Iterator[tuple[bytes, memoryview]]:
        """Yield the keys and values of `block`, in order.

        Raises:
            ValueError: it is damaged.
        """
        return self._entries(block)

    def head(self, block: Block) -> memoryview:
        """Return the beginning of `block`, not verified."""
        self._file.seek(block.offset)
        return memoryview(self._file.read(min(block.size, HEAD_SIZE)))

    def part(self, block: Block, offset: int, size: int) -> tuple[memoryview, int]:
        """Return `size` bytes of `block` from `offset`, and their CRC-32C.

        They start on a multiple of `ALIGNMENT`, so that they need not be copied for that.

        Raises:
            ValueError: the block is damaged.
        """
        data, crc = self._read(block, offset, size)
        return data[offset : offset + size], crc

    def _entries(self, block: Block) -> Iterator[tuple[bytes, memoryview]]:
        data, _ = self._read(block)
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
                raise ValueError("an entry runs out of its block")
            self._count += 1
            if shared + added > MAX_KEY or self._count > MAX_ENTRIES:
                raise ValueError("it has longer names, or more of them, than any checkpoint")
            key = key[:shared] + bytes(data[position : position + added])
            position += added
            yield key, data[position : position + length]
            position += length

    def _read(self, block: Block, offset: int = 0, part: int = 0) -> tuple[memoryview, int]:
        """Return the contents of a block, its checksum verified, and the CRC of a part of them."""
        size = block.size + BLOCK_TRAILER_SIZE
        if block.offset + size > self._size:
            raise ValueError("a block lies outside the file")
        if size > MAX_BLOCK:
            raise ValueError("a block is larger than any of a Gudi checkpoint")
        memory = np.empty(size + ALIGNMENT, np.uint8)
        start = -(memory.ctypes.data + offset) % ALIGNMENT
        data = memoryview(memory)[start : start + size]
        self._file.seek(block.offset)
        if self._file.readinto(data) != size:
            raise ValueError("the file became shorter while it was read")
        kind, crc = struct.unpack_from("<BI", data, block.size)
        # In one pass, since the part may be nearly all of it.
        before = crc32c(data[:offset])
        behind = crc32c(data[offset : offset + part], before)
        if mask(crc32c(data[offset + part : block.size + 1], behind)) != crc:
            raise ValueError("a checksum is wrong")
        if kind != UNCOMPRESSED:
            raise ValueError(f"a block is compressed (type {kind})")
        if part < CRC_CHUNK:  # quicker to sum it once more
            own = crc32c(data[offset : offset + part])
        else:
            own = behind ^ _zeros_behind(before, part)
        return data[: block.size].toreadonly(), own


def crc32c(data: memoryview, crc: int = 0) -> int:
    """Return the CRC-32C of `data`, or of what had `crc` with `data` behind it."""
    for start in range(0, len(data), CRC_CHUNK):
        crc = google_crc32c.extend(crc, bytes(data[start : start + CRC_CHUNK]))
    return crc


def _zeros_behind(crc: int, count: int) -> int:
    """Return what `crc` contributes to the CRC-32C of data that goes on for `count` more bytes.

    CRCs are linear: that of A and B together is this of A's, xor B's own. A zero byte multiplies
    by a matrix over GF(2), and powers of it are had by squaring (as zlib's `crc32_combine` does).
    """
    # Columns of the matrix for one zero bit, in the reflected order of bits.
    matrix = [POLYNOMIAL, *(1 << bit for bit in range(31))]
    bits = 8 * count
    while bits:
        if bits & 1:
            crc = _times(matrix, crc)
        matrix = [_times(matrix, column) for column in matrix]
        bits >>= 1
    return crc


def _times(matrix: list[int], vector: int) -> int:
    """Return `matrix` times `vector` over GF(2); numbers are columns of bits."""
    product = 0
    for column in matrix:
        if vector & 1:
            product ^= column
        vector >>= 1
    return product


def mask(crc: int) -> int:
    """Return `crc` as LevelDB stores it, so that the CRC of data with CRCs is not a trivial one."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def unmask(crc: int) -> int:
    """Undo `mask`."""
    rotated = (crc - 0xA282EAD8) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def _handle(data: bytes | memoryview, position: int) -> tuple[tuple[int, int], int]:
    """Parse where a block lies: offset and size."""
    offset, position = varint(data, position)
    size, position = varint(data, position)
    return (offset, size), position

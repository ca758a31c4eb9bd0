"""Packed checkpoints: the weights of one network in an npz file of a few megabytes.

The largest matrix, 18432 by 3072 floats, becomes int8 codes with one scale per hidden unit. The
other weights stay as they are. Trailing hidden units whose weights are all 0 are cut off, and
optimizer slots are left out. The array `about` holds a JSON object in UTF-8.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from gudi.checkpoint import sstable
from gudi.checkpoint.locate import PACKED
from gudi.checkpoint.networks import MATRIX, used_units, weight_shapes
from gudi.checkpoint.tensors import Array, Tensor, aligned, as_bytes, padded, size_in_bytes
from gudi.constants import HIDDEN_UNITS
from gudi.errors import CheckpointCorrupt, one_line
from gudi.files import atomic_write
from gudi.settings import CNN, HAAR

SCALES, ABOUT = "scales", "about"

# Steps per standard deviation: 5.6 bits per weight of a normal distribution once deflated, and a
# signal 31 dB above the rounding error.
STEPS, LARGEST_CODE = 12, 127

MAX_CLASSES, MAX_ABOUT, MAX_HEADER, MAX_DIRECTORY = 1000, 2**16, 1024, 4096
CHECKED_ROWS = 64  # rows of a matrix whose checksum is computed at a time


@dataclass
class PackedFile:
    """A packed checkpoint in memory; see `gudi.checkpoint.tensors.TensorFile`.

    Attributes:
        used: the network's variables, without the hidden units that were cut off.
        mirror: whether to predict each face and its mirror image, see `gudi.predictor.Predictor`.
        detector: the one whose faces it was trained for, `haar` or `cnn`.
    """

    prefix: Path
    used: dict[str, Array]
    mirror: bool
    detector: str
    recovered: str = ""
    format: str = PACKED

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The network's variables by name."""
        shapes = weight_shapes(len(self.used["FullyConnected_1/b"]))
        return {n: Tensor("float32", s, size_in_bytes(s, "float32")) for n, s in shapes.items()}

    def read(self, name: str) -> tuple[Array, int]:
        """Return the variable `name` and its CRC-32C."""
        return padded(self.used[name], self.tensors[name].shape), self.checksum(name)

    def checksum(self, name: str) -> int:
        """Return the CRC-32C of the variable `name`, including the units that were cut off."""
        values, (_, *sides), crc = self.used[name], self.tensors[name].shape, 0
        rows = np.zeros((CHECKED_ROWS, *sides), np.float32)  # small enough for the CPU's cache
        used = tuple(map(slice, values.shape[1:]))
        for start in range(0, len(values), CHECKED_ROWS):
            part = values[start : start + CHECKED_ROWS]
            rows[(slice(len(part)), *used)] = part
            crc = sstable.crc32c(as_bytes(rows[: len(part)]), crc)
        unused = self.tensors[name].shape[0] - len(values)
        return sstable.crc32c(as_bytes(np.zeros((unused, *sides), np.float32)), crc)

    def verify(self, name: str) -> None:
        """Do nothing: the archive's checksums were verified when it was read."""


def open_packed(path: Path) -> PackedFile:
    """Read the packed checkpoint at `path`.

    Raises:
        CheckpointCorrupt: it is damaged, or is not a packed checkpoint.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            _check_directory(file)
            with np.load(file, allow_pickle=False) as npz:
                _check_arrays(npz.zip)
                arrays = dict(npz)
        about = json.loads(arrays.pop(ABOUT).tobytes())
        codes, scales = arrays[MATRIX], arrays.pop(SCALES)
        arrays[MATRIX] = np.multiply(codes, scales, aligned(codes.shape, "float32"))
        detector = CNN if about.get("detector") == CNN else HAAR
        return PackedFile(path, arrays, about.get("mirror") is True, detector)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # zipfile, zlib, NumPy and json raise many types
        raise CheckpointCorrupt(
            f"{path} is damaged, or is not a packed checkpoint: {one_line(error)}; copy the file "
            "again from its source"
        ) from error


def pack(
    values: Mapping[str, Array], path: Path, *, mirror: bool = False, detector: str = HAAR
) -> None:
    """Write weights as a packed checkpoint. Only the largest matrix is rounded.

    Args:
        values: float32 by the network's names.
        path: the file to write.
        mirror: whether to predict each face and its mirror image by default.
        detector: the one to find faces with by default, `haar` or `cnn`.
    """
    shapes = weight_shapes(len(values["FullyConnected_1/b"]), used_units(values))
    arrays: dict[str, Any] = {n: values[n][tuple(map(slice, s))] for n, s in shapes.items()}
    matrix = arrays[MATRIX].astype(np.float64)
    scales = np.maximum(matrix.std(axis=0) / STEPS, np.abs(matrix).max(axis=0) / LARGEST_CODE)
    arrays[SCALES] = np.where(scales == 0, 1, scales).astype("<f4")
    arrays[MATRIX] = np.rint(matrix / arrays[SCALES]).astype(np.int8)
    about = json.dumps({"mirror": mirror, "detector": detector})
    arrays[ABOUT] = np.frombuffer(about.encode(), np.uint8)
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)


def _check_directory(file: IO[bytes]) -> None:
    """Check that `file` is a ZIP archive whose directory is small, and go back to its start."""
    start = file.read(4)
    file.seek(max(0, file.seek(0, os.SEEK_END) - 42))
    before, end = file.read(20), file.read()
    file.seek(0)
    if start != b"PK\3\4" or not end.startswith(b"PK\5\6") or not end.endswith(b"\0\0"):
        raise ValueError("it is not a complete npz file")
    if int.from_bytes(end[12:16], "little") > MAX_DIRECTORY or before.startswith(b"PK\6\7"):
        raise ValueError("it holds too many arrays")


def _check_arrays(archive: zipfile.ZipFile) -> None:
    """Check names, types and shapes, and thereby the memory that the arrays will take."""
    headers = {info.filename[:-4]: _header(archive, info) for info in archive.infolist()}
    if headers.keys() != {*weight_shapes(), SCALES, ABOUT}:
        raise ValueError("its arrays have other names")
    (units,), (classes,), (size,) = (
        headers[name][1] for name in (SCALES, "FullyConnected_1/b", ABOUT)
    )
    shapes = weight_shapes(classes, units)
    expected = {name: ("<f4", shape) for name, shape in shapes.items()}
    expected |= {
        MATRIX: ("|i1", shapes[MATRIX]),
        SCALES: ("<f4", (units,)),
        ABOUT: ("|u1", (size,)),
    }
    allowed = 1 <= units <= HIDDEN_UNITS and 2 <= classes <= MAX_CLASSES and size <= MAX_ABOUT
    if not allowed or headers != expected:
        raise ValueError("its arrays have other types or shapes")


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[str, tuple[int, ...]]:
    """Return type and shape of an array. Its size in the directory must agree with them."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Python does not bound the memory that other methods take.
        raise ValueError(f"{info.filename} is compressed with an unknown method")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(member, MAX_HEADER)
        size = member.tell() + math.prod(shape) * dtype.itemsize
    if version != (1, 0) or fortran or size != info.file_size:
        raise ValueError(f"{info.filename} is not an npy file of its size")
    return dtype.str, shape

"""Read and write packed checkpoints: the weights alone, in one file of a few megabytes.

Nearly all of a Gudi checkpoint is one matrix of 18432 by 3072 floats, and half of the file its
momentum. A packed file is a zip archive of npy files that holds this matrix as 8-bit numbers, with
a scale for each hidden unit, the other weights as they are, and no optimizer slots; hidden units
that are not used are left out. The steps are a fixed part of each unit's standard deviation, so the
numbers are small and deflate gets close to their entropy.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gudi.checkpoint import sstable
from gudi.checkpoint.locate import PACKED
from gudi.checkpoint.networks import weight_shapes
from gudi.checkpoint.tensors import Tensor, aligned, size_in_bytes
from gudi.errors import CheckpointCorrupt, CheckpointError
from gudi.files import atomic_write

MATRIX = "FullyConnected/W"
CODES, SCALES, ABOUT = "codes", "scales", "about.json"

# Steps of a twelfth of the standard deviation: 5.6 bits a weight of a normal distribution, and a
# signal 31 dB above the rounding.
STEPS = 12
LARGEST_CODE = 127

MAX_ABOUT = 2**16
MAX_HEADER = 1024
MAX_CLASSES = 1000


@dataclass
class PackedFile:
    """An opened packed checkpoint; see `gudi.checkpoint.tensors.TensorFile`.

    Attributes:
        checksums: of each variable as it was when it was packed, CRC-32C of its bytes.
    """

    prefix: Path
    tensors: dict[str, Tensor]
    checksums: dict[str, int]
    recovered: str = ""
    format: str = PACKED

    @property
    def files(self) -> tuple[Path, ...]:
        """The one file."""
        return (self.prefix,)

    def read(self, name: str) -> tuple[np.ndarray, int]:
        """Return the variable `name`, its checksum verified, and that checksum.

        Raises:
            CheckpointCorrupt: the file is damaged.
        """
        shape = self.tensors[name].shape
        try:
            with zipfile.ZipFile(self.prefix) as archive:
                values = (
                    _unpacked(archive, shape)
                    if name == MATRIX
                    else _array(archive, name, "<f4", shape)
                )
        except _DAMAGE as error:
            raise _damaged(self.prefix, error) from error
        crc = sstable.crc32c(memoryview(values.reshape(-1).view(np.uint8)))
        if crc != self.checksums[name]:
            raise _damaged(self.prefix, f"the checksum of {name} is wrong")
        return values, crc

    def verify(self, name: str) -> None:
        """Check the variable `name` as `read` does."""
        self.read(name)


# What zipfile, zlib and we ourselves raise at archives that are not what they should be.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, EOFError, NotImplementedError,
    RuntimeError, OverflowError, OSError,
)  # fmt: skip


def open_packed(path: Path) -> PackedFile:
    """Open the packed checkpoint at `path`.

    Raises:
        CheckpointCorrupt: it is damaged, or no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            about = json.loads(_bytes(archive, ABOUT, MAX_ABOUT))
            if about["format"] != 1:
                raise ValueError(f"it is of format {about['format']}; a newer gudi may read it")
            if not 2 <= int(about["classes"]) <= MAX_CLASSES:
                raise ValueError(f"it tells {about['classes']} classes apart")
            shapes = weight_shapes(int(about["classes"]))
            checksums = {name: int(about["checksums"][name]) for name in shapes}
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    tensors = {
        name: Tensor("float32", shape, size_in_bytes(shape, "float32"))
        for name, shape in shapes.items()
    }
    return PackedFile(path, tensors, checksums)


def pack(values: Mapping[str, np.ndarray], path: Path) -> None:
    """Write the weights `values`, by their names in the network, as the packed checkpoint `path`.

    Rounding changes the big matrix; everything else stays as it is.
    """
    codes, scales = _coded(values[MATRIX])
    rounded = dict(values) | {MATRIX: _decoded(codes, scales, values[MATRIX].shape)}
    about = {
        "format": 1,
        "classes": len(values["FullyConnected_1/b"]),
        "checksums": {
            name: sstable.crc32c(memoryview(np.ascontiguousarray(each).reshape(-1).view(np.uint8)))
            for name, each in rounded.items()
        },
    }
    members = {CODES: codes, SCALES: scales}
    members |= {name: value.astype("<f4") for name, value in values.items() if name != MATRIX}
    with (
        atomic_write(path) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
    ):
        # A fixed date, so that the same weights give the same bytes.
        archive.writestr(_member(ABOUT), json.dumps(about, indent=1))
        for name, value in members.items():
            content = io.BytesIO()
            np.save(content, value, allow_pickle=False)
            archive.writestr(_member(f"{name}.npy"), content.getvalue())


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _coded(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the used columns of `matrix` as int8 numbers, and what one of them stands for."""
    used = int(np.flatnonzero(matrix.any(axis=0)).max(initial=0)) + 1
    columns = matrix[:, :used].astype(np.float64)
    scales = np.maximum(columns.std(axis=0) / STEPS, np.abs(columns).max(axis=0) / LARGEST_CODE)
    scales = np.where(scales == 0, 1, scales).astype("<f4")
    return np.rint(columns / scales).astype(np.int8), scales


def _decoded(codes: np.ndarray, scales: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    matrix = aligned(shape, "float32")
    matrix[:, codes.shape[1] :] = 0
    np.multiply(codes, scales, out=matrix[:, : codes.shape[1]], dtype=np.float32)
    return matrix


def _unpacked(archive: zipfile.ZipFile, shape: tuple[int, ...]) -> np.ndarray:
    scales = _array(archive, SCALES, "<f4", (None,))
    if not 1 <= len(scales) <= shape[1]:
        raise ValueError(f"it has {len(scales)} hidden units")
    return _decoded(_array(archive, CODES, "|i1", (shape[0], len(scales))), scales, shape)


def _array(
    archive: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int | None, ...]
) -> np.ndarray:
    """Return a member of the archive; None in `shape` is any number up to that of hidden units.

    No more is taken into memory than an array of that shape has, whatever the archive says.
    """
    largest = [weight_shapes()[MATRIX][1] if side is None else side for side in shape]
    size = math.prod(largest) * np.dtype(dtype).itemsize
    content = io.BytesIO(_bytes(archive, f"{name}.npy", size + MAX_HEADER))
    if np.lib.format.read_magic(content) != (1, 0):
        raise ValueError(f"{name} is of a version of npy files that is not used here")
    found, fortran, kind = np.lib.format.read_array_header_1_0(content, max_header_size=MAX_HEADER)
    fits = len(found) == len(shape) and all(b in (None, a) for a, b in zip(found, shape))
    if fortran or kind != np.dtype(dtype) or not fits:
        raise ValueError(f"{name} is {kind} of shape {found}")
    return np.frombuffer(content.getbuffer()[content.tell() :], dtype).reshape(found)


def _bytes(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in a way that is not used here")  # nor bounded
    if info.file_size > limit:
        raise ValueError(f"{name} is too large")
    with archive.open(info) as member:
        return member.read(limit)


def _damaged(path: Path, why: BaseException | str) -> CheckpointError:
    if isinstance(why, (FileNotFoundError, PermissionError)):
        return CheckpointError(f"{path} cannot be read: {why.strerror}")
    return CheckpointCorrupt(
        f"{path} is no packed checkpoint, or damaged: {why}; copy the file again from where it "
        "came from"
    )

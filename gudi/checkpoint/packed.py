"""Read and write packed checkpoints: only the weights, in one file of a few megabytes.

Nearly half of a Gudi checkpoint is one matrix of 18432 by 3072 floats, and nearly all of the rest
is its momentum. A packed file is a zip archive of npy files. It holds this matrix as 8-bit numbers
with one scale per hidden unit, the other weights unchanged, and no optimizer slots. Trailing hidden
units whose weights are all 0 are left out. The step between two numbers is a fixed fraction of the
unit's standard deviation, so the numbers are small, and deflate gets close to their entropy.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from gudi.checkpoint import sstable
from gudi.checkpoint.locate import PACKED
from gudi.checkpoint.networks import weight_shapes
from gudi.checkpoint.tensors import Array, Tensor, aligned, as_bytes, size_in_bytes
from gudi.errors import CheckpointCorrupt, CheckpointError
from gudi.files import atomic_write

MATRIX = "FullyConnected/W"
CODES, SCALES, ABOUT = "codes", "scales", "about.json"

# Steps per standard deviation: 5.6 bits per weight of a normal distribution, and a signal 31 dB
# above the rounding error.
STEPS = 12
LARGEST_CODE = 127

ROWS = 1024  # of the matrix, to decode at a time

MAX_ABOUT = 2**16
MAX_HEADER = 1024
MAX_CLASSES = 1000

# What zipfile, zlib and this module raise for archives that are not packed checkpoints.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, EOFError, NotImplementedError,
    RuntimeError, OverflowError, OSError,
)  # fmt: skip


@dataclass
class PackedFile:
    """An open packed checkpoint; see `gudi.checkpoint.tensors.TensorFile`.

    Attributes:
        checksums: CRC-32C of each variable's bytes when it was packed.
        mirror: whether to predict each face and its mirror image, see `gudi.predictor.Predictor`.
    """

    prefix: Path
    tensors: dict[str, Tensor]
    checksums: dict[str, int]
    mirror: bool = False
    recovered: str = ""
    format: str = PACKED

    @property
    def files(self) -> tuple[Path, ...]:
        """The only file."""
        return (self.prefix,)

    def read(self, name: str) -> tuple[Array, int]:
        """Return the variable `name`, its checksum verified, and that checksum.

        Raises:
            CheckpointCorrupt: the file is damaged.
        """
        shape = self.tensors[name].shape
        try:
            with zipfile.ZipFile(self.prefix) as archive:
                values = (
                    _read_matrix(archive, shape)
                    if name == MATRIX
                    else _read_array(archive, name, "<f4", shape)
                )
        except _DAMAGE as error:
            raise _damaged(self.prefix, error) from error
        crc = sstable.crc32c(as_bytes(values))
        if crc != self.checksums[name]:
            raise _damaged(self.prefix, f"the checksum of {name} is wrong")
        return values, crc

    def read_used_units(self) -> dict[str, Array]:
        """Return all weights, without the last hidden units if these are never active.

        The archive's own checksums are verified. A network of 1,024 used units takes a third of the
        memory and of the time that `read` takes.

        Raises:
            CheckpointCorrupt: the file is damaged.
        """
        shapes = {name: self.tensors[name].shape for name in self.tensors if name != MATRIX}
        try:
            with zipfile.ZipFile(self.prefix) as archive:
                values = {
                    name: _read_array(archive, name, "<f4", shape) for name, shape in shapes.items()
                }
                bias, head = values["FullyConnected/b"], values["FullyConnected_1/W"]
                active = np.flatnonzero((bias > 0) & head.any(axis=1))
                rows, units = self.tensors[MATRIX].shape
                matrix = _read_matrix(archive, (rows, units), int(active.max(initial=-1)) + 1)
        except _DAMAGE as error:
            raise _damaged(self.prefix, error) from error
        used = matrix.shape[1]
        return values | {
            MATRIX: matrix,
            "FullyConnected/b": bias[:used],
            "FullyConnected_1/W": head[:used],
        }

    def verify(self, name: str) -> None:
        """Verify the variable `name` as `read` does."""
        self.read(name)


def open_packed(path: Path) -> PackedFile:
    """Open the packed checkpoint at `path`.

    Raises:
        CheckpointCorrupt: it is damaged, or is not a packed checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            with _open_member(archive, ABOUT, MAX_ABOUT) as member:
                about = json.loads(member.read(MAX_ABOUT))
            if about["format"] != 1:
                raise ValueError(f"its format is {about['format']}; a newer gudi may read it")
            classes = int(about["classes"])
            if not 2 <= classes <= MAX_CLASSES:
                raise ValueError(f"it has {classes} classes")
            shapes = weight_shapes(classes)
            checksums = {name: int(about["checksums"][name]) for name in shapes}
            mirror = about.get("mirror") is True
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    tensors = {
        name: Tensor("float32", shape, size_in_bytes(shape, "float32"))
        for name, shape in shapes.items()
    }
    return PackedFile(path, tensors, checksums, mirror)


def pack(values: Mapping[str, Array], path: Path, *, mirror: bool = False) -> None:
    """Write weights as a packed checkpoint.

    Rounding changes the big matrix; everything else stays as it is.

    Args:
        values: float32 by the network's names.
        path: of the file to write.
        mirror: whether to predict each face and its mirror image by default.
    """
    codes, scales = _encode(values[MATRIX])
    rounded = dict(values) | {MATRIX: _decode([codes], scales, values[MATRIX].shape)}
    about = {
        "format": 1,
        "classes": len(values["FullyConnected_1/b"]),
        "mirror": mirror,
        "checksums": {name: sstable.crc32c(as_bytes(each)) for name, each in rounded.items()},
    }
    members: dict[str, Array] = {CODES: codes, SCALES: scales}
    members |= {name: value.astype("<f4") for name, value in values.items() if name != MATRIX}
    with (
        atomic_write(path) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
    ):
        archive.writestr(_member(ABOUT), json.dumps(about, indent=1))
        for name, value in members.items():
            content = io.BytesIO()
            np.save(content, value, allow_pickle=False)
            archive.writestr(_member(f"{name}.npy"), content.getvalue())


def _member(name: str) -> zipfile.ZipInfo:
    """Return a member with a fixed date, so that the same weights give the same bytes."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _encode(matrix: Array) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return the used columns of `matrix` as int8 numbers, and the scale of each column."""
    used = int(np.flatnonzero(matrix.any(axis=0)).max(initial=0)) + 1
    columns = matrix[:, :used].astype(np.float64)
    scales = np.maximum(columns.std(axis=0) / STEPS, np.abs(columns).max(axis=0) / LARGEST_CODE)
    scales = np.where(scales == 0, 1, scales).astype("<f4")
    return np.rint(columns / scales).astype(np.int8), scales


def _decode(codes: Iterable[Array], scales: Array, shape: tuple[int, ...]) -> Array:
    """Return the matrix of `shape` that rows of `codes`, in order, and `scales` stand for."""
    matrix = aligned(shape, "float32")
    matrix[:, len(scales) :] = 0
    start = 0
    for rows in codes:
        target = matrix[start : start + len(rows), : len(scales)]
        np.multiply(rows, scales, out=target, dtype=np.float32)
        start += len(rows)
    return matrix


def _read_matrix(
    archive: zipfile.ZipFile, shape: tuple[int, ...], used: int | None = None
) -> Array:
    """Return the matrix of `shape`, or only the columns in the file and the first `used`."""
    scales = _read_array(archive, SCALES, "<f4", (None,))
    if not 1 <= len(scales) <= shape[1]:
        raise ValueError(f"it has {len(scales)} hidden units")
    columns = shape[1] if used is None else max(used, len(scales))
    with _open_array(archive, CODES, "|i1", (shape[0], len(scales))) as (member, (rows, units)):
        # A few rows at a time, so that memory holds the matrix only once.
        counts = (min(ROWS, rows - start) for start in range(0, rows, ROWS))
        codes = (_read_rows(member, "|i1", (count, units)) for count in counts)
        return _decode(codes, scales, (shape[0], columns))


def _read_array(
    archive: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int | None, ...]
) -> Array:
    """Return an array in the archive, see `_open_array`."""
    with _open_array(archive, name, dtype, shape) as (member, found):
        return _read_rows(member, dtype, found)


def _read_rows(member: IO[bytes], dtype: str, shape: tuple[int, ...]) -> Array:
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return np.frombuffer(member.read(size), dtype).reshape(shape)


@contextlib.contextmanager
def _open_array(
    archive: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int | None, ...]
) -> Iterator[tuple[IO[bytes], tuple[int, ...]]]:
    """Open an array in the archive; yield its values as a stream, and its shape.

    Args:
        archive: a packed checkpoint.
        name: of the array.
        dtype: the type that it must have.
        shape: the shape that it must have; None stands for up to as many as there are hidden units.

    Raises:
        ValueError: it has another type or shape, or is larger than that, whatever it claims.
    """
    units = weight_shapes()[MATRIX][1]
    largest = math.prod(units if side is None else side for side in shape)
    limit = largest * np.dtype(dtype).itemsize + MAX_HEADER
    with _open_member(archive, f"{name}.npy", limit) as member:
        if np.lib.format.read_magic(member) != (1, 0):
            raise ValueError(f"{name} has an unknown version of the npy format")
        found, fortran, kind = np.lib.format.read_array_header_1_0(
            member, max_header_size=MAX_HEADER
        )
        fits = len(found) == len(shape) and all(b in (None, a) for a, b in zip(found, shape))
        if fortran or kind != np.dtype(dtype) or not fits:
            raise ValueError(f"{name} is {kind} of shape {found}")
        yield member, found
        if member.read(1):
            raise ValueError(f"{name} has more values than its shape says")


def _open_member(archive: zipfile.ZipFile, name: str, limit: int) -> IO[bytes]:
    """Open a member of the archive that must have at most `limit` bytes."""
    info = archive.getinfo(name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Python does not bound the memory that other methods take.
        raise ValueError(f"{name} is compressed with an unknown method")
    if info.file_size > limit:
        raise ValueError(f"{name} is too large")
    return archive.open(info)


def _damaged(path: Path, why: BaseException | str) -> CheckpointError:
    if isinstance(why, (FileNotFoundError, PermissionError)):
        return CheckpointError(f"cannot read {path}: {why.strerror}")
    return CheckpointCorrupt(
        f"{path} is damaged, or is not a packed checkpoint: {why}; copy the file again from its "
        "source"
    )

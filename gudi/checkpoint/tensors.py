"""Named tensors that can be read one by one: the interface of all checkpoint formats."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gudi.errors import CheckpointCorrupt, CheckpointError

# An array of any of the types in `DTYPES`.
Array = npt.NDArray[Any]

# TensorFlow's DataType numbers (tensorflow/core/framework/types.proto) of the types that occur in
# Gudi checkpoints. Any other type is kept as its number.
DTYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 9: "int64", 10: "bool"}

# TensorFlow uses an array in place if it starts on a cache line, and copies it otherwise.
ALIGNMENT = 64


@dataclass(frozen=True)
class Tensor:
    """One variable of a checkpoint.

    Attributes:
        dtype: NumPy's name of its type, or `type N` if it is not in `DTYPES`.
        shape: its dimensions.
        size: in bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    size: int


class TensorFile(Protocol):
    """An open checkpoint of any format.

    Attributes:
        prefix: the path that names the checkpoint.
        format: `V2`, `V2 without index`, `V1` or `packed`.
        tensors: its variables by name.
        recovered: "", or how an incomplete checkpoint was made usable.
    """

    recovered: str

    @property
    def prefix(self) -> Path: ...  # noqa: D102

    @property
    def format(self) -> str: ...  # noqa: D102

    @property
    def tensors(self) -> Mapping[str, Tensor]: ...  # noqa: D102

    def read(self, name: str) -> tuple[Array, int]:
        """Return the variable `name`, verified if the format has checksums, and its CRC-32C."""

    def verify(self, name: str) -> None:
        """Verify the variable `name` as `read` does, without returning it."""


@contextlib.contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turn errors while the checkpoint file `path` is read into a `CheckpointError`."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointCorrupt(
            f"{path} is damaged: {error}; copy the file again from its source"
        ) from error


def aligned(shape: tuple[int, ...], dtype: str) -> Array:
    """Return an uninitialised array that starts on a multiple of `ALIGNMENT`."""
    size = size_in_bytes(shape, dtype)
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def padded(values: Array, shape: tuple[int, ...]) -> Array:
    """Return `values` with zeros appended to each axis up to `shape`."""
    return np.pad(values, [(0, wanted - size) for wanted, size in zip(shape, values.shape)])


def as_bytes(values: Array) -> memoryview:
    """Return the bytes of `values` in C order, without a copy if it has that order already."""
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data


def is_finite(values: Array) -> bool:
    """Return whether no value is NaN or infinite.

    Checks the sum, which takes no memory, so it is also False for values that add up to 1e38.
    """
    with np.errstate(all="ignore"):
        return bool(np.isfinite(values.sum()))


def size_in_bytes(shape: tuple[int, ...], dtype: str) -> int:
    """Return the size of a tensor of one of `DTYPES`."""
    return math.prod(shape) * np.dtype(dtype).itemsize


def join_notes(*notes: str) -> str:
    """Return the notes that are not empty, joined by semicolons."""
    return "; ".join(filter(None, notes))

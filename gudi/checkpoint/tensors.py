"""What every format of checkpoint comes down to: named tensors that can be read one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

# TensorFlow's DataType numbers (tensorflow/core/framework/types.proto) of the types that occur in
# Gudi checkpoints; any other is kept as its number.
DTYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 9: "int64", 10: "bool"}

# TensorFlow takes an array as it is where it starts on a cache line, and copies it otherwise.
ALIGNMENT = 64


@dataclass(frozen=True)
class Tensor:
    """One variable of a checkpoint.

    Attributes:
        dtype: NumPy's name for it, or `type N` where it is none of `DTYPES`.
        shape: its dimensions.
        size: in bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    size: int


class TensorFile(Protocol):
    """An opened checkpoint, whatever its format.

    Attributes:
        prefix: the path that it goes by.
        format: `V2`, `V1`, or `V2 without index`.
        files: the files that hold it.
        tensors: its variables by name.
        recovered: "" or how a damaged set was made whole.
    """

    prefix: Path
    format: str
    files: tuple[Path, ...]
    tensors: Mapping[str, Tensor]
    recovered: str

    def read(self, name: str) -> tuple[np.ndarray, int]:
        """Return the variable `name`, checked as the format allows, and its CRC-32C."""

    def verify(self, name: str) -> None:
        """Check the variable `name` as `read` does, without keeping it in memory."""


def aligned(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return an uninitialised array that starts on a multiple of `ALIGNMENT`."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def size_in_bytes(shape: tuple[int, ...], dtype: str) -> int:
    """Return the size of a tensor of one of `DTYPES`."""
    return math.prod(shape) * np.dtype(dtype).itemsize

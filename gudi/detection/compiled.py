"""The compiled face search: a shared library, called through ctypes.

It uses nothing of Python's, so any C compiler builds it, and one build serves every Python. Other
threads run while it searches.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from pathlib import Path

import numpy as np
import numpy.typing as npt

LIBRARY = Path(__file__).with_name("libhaar.so")

PART_LENGTH = 19  # PART_LENGTH in native/haar.h
GROUP_LENGTH = 4  # numbers of `struct group` in native/hits.h


@functools.cache
def load() -> ctypes.CDLL:
    """Return the library.

    Raises:
        OSError: it was not compiled when gudi was installed, or for another kind of machine.
    """
    library = ctypes.CDLL(str(LIBRARY))
    number, length, pointer = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p
    library.haar_variant.argtypes = [number]
    library.haar_new.argtypes = [
        *(pointer, number),
        *(length, pointer, pointer),
        *(length, pointer, pointer),
        *(length, pointer),
    ]
    library.haar_find.argtypes = [
        *(pointer, pointer, length, length),
        *(pointer, length, length),
        *(pointer, pointer),
    ]
    library.haar_free.argtypes = library.haar_release.argtypes = [pointer]
    for function in (library.haar_variant, library.haar_new, library.haar_find):
        function.restype = ctypes.c_char_p
    library.haar_free.restype = library.haar_release.restype = None
    return library


@functools.cache
def variants() -> dict[str, int]:
    """Return the numbers of the variants that this CPU can run, by name, the fastest first.

    There are none where gudi was installed without a compiler.
    """
    found: dict[str, int] = {}
    try:
        library = load()
    except OSError:
        return found
    number = 0
    while (name := library.haar_variant(number)) is not None:
        if name:
            found[name.decode()] = number
        number += 1
    return found


class Cascade:
    """A cascade of Haar features for one variant of the search; immutable.

    Args:
        variant: one of `variants`.
        sizes: see native/make_tables.py, also for the other tables.

    Raises:
        TypeError: a table has another type or number of dimensions.
        ValueError: there is no such variant, or the tables do not fit together.
        MemoryError: there is too little memory.
    """

    def __init__(
        self,
        variant: str,
        *,
        sizes: npt.NDArray[np.int32],
        thresholds: npt.NDArray[np.float32],
        stumps: npt.NDArray[np.float32],
        counts: npt.NDArray[np.uint8],
        parts: npt.NDArray[np.uint8],
    ) -> None:
        if variant not in variants():
            raise ValueError(f'this CPU has no variant "{variant}" of the search')
        pointers = [
            _pointer("sizes", sizes, np.int32, 1),
            _pointer("thresholds", thresholds, np.float32, 1),
            _pointer("stumps", stumps, np.float32, 2),
            _pointer("counts", counts, np.uint8, 1),
            _pointer("parts", parts, np.uint8, 2),
        ]
        fit = len(sizes) == len(thresholds) and len(stumps) == len(counts)
        if not fit or stumps.shape[1] != 3 or parts.shape[1] != PART_LENGTH:
            raise ValueError("the cascade's tables do not fit together")
        self._cascade = ctypes.c_void_p()
        _check(
            load().haar_new(
                ctypes.byref(self._cascade),
                variants()[variant],
                *(len(sizes), *pointers[:2]),
                *(len(stumps), *pointers[2:4]),
                *(len(parts), *pointers[4:]),
            )
        )
        weakref.finalize(self, load().haar_free, self._cascade)

    def find(
        self, grey: npt.NDArray[np.uint8], factors: npt.NDArray[np.float32], min_neighbors: int
    ) -> npt.NDArray[np.int32]:
        """Return faces as x, y, side, number of hits: int32 of shape (n, 4), in pixels.

        Args:
            grey: uint8 of shape (h, w), contiguous.
            factors: float32 of shape (passes,): by how much to shrink the image, from 1.
            min_neighbors: overlapping hits that make a face; with 0, each hit is returned.

        Raises:
            TypeError: an array is not as described.
            ValueError: the image has too many pixels, or a factor is out of range.
            MemoryError: there is too little memory.
        """
        pixels = _pointer("the image", grey, np.uint8, 2)
        scales = _pointer("the factors", factors, np.float32, 1)
        groups, count = ctypes.c_void_p(), ctypes.c_int64()
        library = load()
        _check(
            library.haar_find(
                *(self._cascade, pixels, *grey.shape),
                *(scales, len(factors), min_neighbors),
                *(ctypes.byref(groups), ctypes.byref(count)),
            )
        )
        try:
            memory = ctypes.string_at(groups, count.value * GROUP_LENGTH * 4)
        finally:
            library.haar_release(groups)
        return np.frombuffer(memory, np.int32).reshape(-1, GROUP_LENGTH)


def _pointer(name: str, array: object, kind: type[np.generic], dimensions: int) -> int:
    """Return where the memory of `array` begins.

    Raises:
        TypeError: it is not a contiguous array of this type and number of dimensions.
    """
    if isinstance(array, np.ndarray) and array.dtype == kind and array.ndim == dimensions:
        if array.flags.c_contiguous and array.flags.aligned:
            return array.ctypes.data
        received = "one with gaps"
    else:
        shape = getattr(array, "shape", "")
        received = f"{getattr(array, 'dtype', type(array).__name__)} {shape}"
    raise TypeError(
        f"{name} must be a contiguous array of {kind.__name__} with {dimensions} dimension(s), "
        f"not {received}"
    )


def _check(error: bytes | None) -> None:
    """Raise the error that the library returned, if any."""
    if error == b"":
        raise MemoryError("too little memory to search for faces")
    if error is not None:
        raise ValueError(error.decode())

"""Pictures and tables that a face search must survive, for tests and for sanitizers.

    python hostile.py libhaar.so

searches all of them with a compiled library.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def edge_sizes() -> Iterator[np.ndarray]:
    """Noise of all the sizes around those at which a search has one window, or one vector."""
    random = np.random.default_rng(5)
    for height, width in itertools.product((0, 1, 23, 24, 25, 56, 131), repeat=2):
        yield random.integers(0, 256, (height, width), np.uint8)
    for height, width in ((24, 2000), (2000, 24), (27, 1111), (200, 267)):
        yield random.integers(0, 256, (height, width), np.uint8)


def views() -> Iterator[np.ndarray]:
    """Pictures that do not lie in memory row after row."""
    random = np.random.default_rng(6)
    noise = random.integers(0, 256, (50, 70), np.uint8).repeat(3, 0).repeat(3, 1)
    yield noise[5:100, 7:180]
    yield noise[::2, ::3]
    yield noise[::-1, ::-1]
    yield noise.T
    yield np.asfortranarray(noise)
    yield np.broadcast_to(noise[0], (60, noise.shape[1]))
    yield np.dstack([noise] * 3)[:, :, 1]
    read_only = noise.copy()
    read_only.flags.writeable = False
    yield read_only


def not_pictures() -> Iterator[object]:
    yield np.zeros((50, 50), np.float64)
    yield np.zeros((50, 50), np.int8)
    yield np.zeros((50, 50), bool)
    yield np.zeros((50, 50, 3), np.uint8)
    yield np.zeros(50, np.uint8)
    yield np.uint8(3)
    yield [[1, 2], [3, 4]]
    yield None


def tables(**changes: object) -> dict[str, object]:
    """Return the tables of a cascade with one stage of two stumps, with `changes`."""
    edge = [0, 0, 24, 0, 24, 0, 24, 0, 0, 0, 0, 24, 24, 0, 12, 12, 0, 0, 0]
    good: dict[str, object] = {
        "sizes": np.array([2], np.int32),
        "thresholds": np.array([-1], np.float32),
        "stumps": np.array([[0.1, 0.5, -0.5], [0.2, 0.25, -0.25]], np.float32),
        "counts": np.array([1, 1], np.uint8),
        "parts": np.array([edge, edge], np.uint8),
    }
    return good | changes


def some() -> dict[str, object]:
    """Return the tables of a cascade that many windows pass, in clusters."""
    stumps = np.array([[-0.01, 0.5, -0.5], [9, 0.25, -0.25]], np.float32)
    return tables(stumps=stumps, thresholds=np.array([0.7], np.float32))


def everything() -> dict[str, object]:
    """Return the tables of a cascade that every window with some contrast passes."""
    return tables(thresholds=np.array([-9], np.float32))


def bad_tables() -> Iterator[dict[str, object]]:
    """Tables that would read outside of memory, or that are no numbers to compute with."""
    good = tables()["parts"]
    assert isinstance(good, np.ndarray)
    for place, value in ((0, 4), (0, 255), (1, 25), (9, 255), (10, 25), (18, 200)):
        parts = good.copy()
        parts[1, place] = value
        yield tables(parts=parts)
    yield tables(parts=good[:1])
    yield tables(parts=good[:, :18].copy())
    yield tables(parts=np.zeros((0, 19), np.uint8))
    for sizes in ([1], [3], [1, 0, 1], [2, -1, 1], [2**31 - 1, 3], []):
        yield tables(sizes=np.array(sizes, np.int32), thresholds=np.zeros(len(sizes), np.float32))
    yield tables(thresholds=np.zeros(2, np.float32))
    for counts in ([1, 0], [2, 1], [5, 1], [1], [255, 255]):
        yield tables(counts=np.array(counts, np.uint8))
    for number in (np.nan, np.inf, 1e30, -1e30):
        yield tables(thresholds=np.array([number], np.float32))
        for place in range(3):
            stumps = np.full((2, 3), 0.5, np.float32)
            stumps[1, place] = number
            yield tables(stumps=stumps)
    yield tables(stumps=np.zeros((2, 2), np.float32))


def run(library: Path) -> None:
    """Print each variant of a compiled `library` that this CPU runs, and a digest of its faces."""
    from gudi.detection import compiled, haar

    compiled.LIBRARY = library
    compiled.load.cache_clear()
    compiled.variants.cache_clear()
    for variant in compiled.variants():
        cascade = haar._cascade(variant)
        faces = hashlib.sha256()
        for picture in (*edge_sizes(), *views()):
            contiguous = np.ascontiguousarray(picture)
            for scale_factor in (1.1, 3):
                scales = haar._scales(picture.shape[1], picture.shape[0], scale_factor, 0)
                faces.update(cascade.find(contiguous, scales, 0))
            odd_scales = np.array([1, 1.01, 3.7, 90, 1e8], np.float32)
            faces.update(cascade.find(contiguous, odd_scales, 3))
        for bad in bad_tables():
            try:
                compiled.Cascade(variant, **bad)
            except ValueError:
                continue
            raise AssertionError(f"{bad} was taken for a cascade")
        noise = np.arange(90_000, dtype=np.uint32).astype(np.uint8).reshape(300, 300) // 2
        scales = np.array([1, 2], np.float32)
        faces.update(compiled.Cascade(variant, **everything()).find(noise, scales, 0))
        corner = noise[:90, :90].copy()
        faces.update(compiled.Cascade(variant, **some()).find(corner, scales, 1))
        print(variant, faces.hexdigest())


if __name__ == "__main__":
    run(Path(sys.argv[1]))

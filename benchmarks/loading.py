"""Measure time and bytes to load a checkpoint for prediction, and compare with a lower bound.

    python benchmarks/loading.py --checkpoint PATH [--rounds 9]

load     open the checkpoint, read and verify the ten weights, build the graph
floor    read the same number of bytes of the same file in one go, build the graph
inspect  `gudi.checkpoint.inspect` without verifying

Both sides allocate new memory in each round, and for both the file is in the page cache. The bytes
are those that this process requested from the system (`rchar` in /proc/self/io).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gudi import checkpoint, network


def bytes_read() -> int:
    """Return how many bytes this process has read so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


def load(path: str) -> int:
    """Load the weights of the checkpoint at `path`; return their size in bytes."""
    file = checkpoint.open_checkpoint(path)
    weights = checkpoint.read_weights(file, checkpoint.choose_network(file))
    return sum(value.nbytes for value in weights.values.values())


def read(path: Path, size: int) -> None:
    """Read `size` bytes of the file at `path` in one go."""
    with path.open("rb", buffering=0) as file:
        file.readinto(np.empty(size, np.uint8).data)


def seconds(function: Callable[..., object], *arguments: object) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    data = checkpoint.find(options.checkpoint).data[0]
    before = bytes_read()
    size = load(options.checkpoint)
    requested = bytes_read() - before
    network.build()
    rows = [
        (
            seconds(load, options.checkpoint) + seconds(network.build),
            seconds(read, data, size) + seconds(network.build),
            seconds(checkpoint.inspect, options.checkpoint),
        )
        for _ in range(options.rounds)
    ]
    loads, floors, inspects = (statistics.median(column) for column in zip(*rows))
    ratios = [each[0] / each[1] for each in rows]
    found = checkpoint.open_checkpoint(options.checkpoint).format
    print(f"{found}, {data.name}, {data.stat().st_size:,} bytes, weights {size:,} bytes")
    print(f"bytes read: {requested:,}, {requested / size:.4f} of the weights")
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    print(f"load {loads:.3f} s, floor {floors:.3f} s, ratio {spread}")
    print(f"inspect {inspects * 1000:.1f} ms")


if __name__ == "__main__":
    main()

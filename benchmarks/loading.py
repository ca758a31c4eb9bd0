"""Time and bytes of loading a checkpoint for prediction, against what cannot be avoided.

    python benchmarks/loading.py --checkpoint PATH [--rounds 9]

load     opening the checkpoint, reading and checking the ten weights, building the graph
floor    reading the same bytes of the same file in one go, and building the graph
inspect  `gudi.checkpoint.inspect` without --verify

Both sides allocate fresh memory each round; the file is in the page cache for both. Bytes are those
that this process asked the system for (`rchar` in /proc/self/io).
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from gudi import checkpoint, network


def bytes_read() -> int:
    """Return how many bytes this process has read so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


def load(path: str) -> int:
    file = checkpoint.open_checkpoint(path)
    weights = checkpoint.read_weights(file, checkpoint.choose_network(file))
    return sum(value.nbytes for value in weights.values.values())


def floor(path: Path, size: int) -> None:
    with path.open("rb", buffering=0) as file:
        file.readinto(memoryview(np.empty(size, np.uint8)))


def timed(function, *arguments) -> float:
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    file = checkpoint.open_checkpoint(options.checkpoint)
    data = file.files[-1]
    before = bytes_read()
    size = load(options.checkpoint)
    asked = bytes_read() - before
    network.build()
    rows = [
        (
            timed(load, options.checkpoint) + timed(network.build),
            timed(floor, data, size) + timed(network.build),
            timed(checkpoint.inspect, options.checkpoint),
        )
        for _ in range(options.rounds)
    ]
    loads, floors, inspects = (statistics.median(column) for column in zip(*rows))
    ratios = [each[0] / each[1] for each in rows]
    print(f"{file.format}, {data.name}, {data.stat().st_size:,} bytes, weights {size:,} bytes")
    print(f"bytes read: {asked:,}, {asked / size:.4f} of the weights")
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    print(f"load {loads:.3f} s, floor {floors:.3f} s, ratio {spread}")
    print(f"inspect {inspects * 1000:.1f} ms")


if __name__ == "__main__":
    main()

"""Measure `gudi predict` for one photo, from the start of the process to its end.

    python benchmarks/startup.py --photo PHOTO [--rounds 9] [--before GUDI]

onnx, tensorflow  with this engine
before            with another installation of gudi, whose command GUDI is

All sides run one after the other in each round, after one round that only fills the page cache.
Seconds are wall-clock, and include drawing the annotated photo. MB is the peak of the resident
memory of the largest process.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence


def run(command: Sequence[str], folder: str) -> tuple[float, float]:
    """Return the seconds and the MB that `command` takes."""
    started = time.perf_counter()
    pid = os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, descriptor, os.path.join(folder, "output"), flags, 0o600)
            for descriptor in (1, 2)
            for flags in (os.O_WRONLY | os.O_CREAT | os.O_APPEND,)
        ],
    )
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    if status:
        with open(os.path.join(folder, "output")) as output:
            sys.exit(f"{' '.join(command)} failed:\n{output.read()}")
    return seconds, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photo", required=True)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--before")
    options = parser.parse_args()
    gudi = os.path.join(os.path.dirname(sys.executable), "gudi")
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["predict", options.photo, "--out", os.path.join(folder, "annotated")]
        sides = {
            engine: [gudi, *arguments, "--engine", engine] for engine in ("onnx", "tensorflow")
        }
        if options.before:
            sides["before"] = [options.before, *arguments]
        for command in sides.values():
            run(command, folder)
        found = [
            {side: run(command, folder) for side, command in sides.items()}
            for _ in range(options.rounds)
        ]
    print(f"{platform.machine()}, Python {platform.python_version()}, {options.rounds} rounds")
    for side in sides:
        seconds = [each[side][0] for each in found]
        memory = max(each[side][1] for each in found)
        print(
            f"{side}: {statistics.median(seconds):.2f} s ({min(seconds):.2f} to "
            f"{max(seconds):.2f}), {memory:.0f} MB"
        )


if __name__ == "__main__":
    main()

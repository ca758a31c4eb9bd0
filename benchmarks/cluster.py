"""What `gudi batch --backend dask` costs on one machine, against its own workers.

    python benchmarks/cluster.py --photos DIR --checkpoint PATH [--count 1000] [--rounds 5]

Both sides process the same photos with the same number of worker processes, in turn, round after
round, each time in a new process. `rate` counts photos per second of the `inputs` stage;
`whole_rate` counts them from the start of the command to its end: imports, checkpoint, workers or
cluster, tables. `cpu_rate` counts them per second of CPU time of all processes, from start to end;
other work on the machine disturbs it less.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sides import compare, copy, photos_in

SIDES = ("local", "dask")


def side(options: argparse.Namespace, photos: list[Path]) -> dict[str, float]:
    """Return the figures of one run with the backend `options.side`."""
    with tempfile.TemporaryDirectory() as folder:
        many, out = Path(folder, "many"), Path(folder, "out")
        copy(photos, options.count, many)
        command = [
            sys.executable, "-m", "gudi", "batch", many, "--out", out, "--backend", options.side,
            "--workers", options.workers, "--checkpoint", options.checkpoint, "--device", "cpu",
            "--no-annotate", "--no-report",
        ]  # fmt: skip
        start, cpu_before = time.perf_counter(), children_cpu_seconds()
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
        whole, cpu = time.perf_counter() - start, children_cpu_seconds() - cpu_before
        seconds = json.loads((out / "run.json").read_text())["seconds"]
    return {
        "rate": options.count / seconds["inputs"],
        "whole_rate": options.count / whole,
        "cpu_rate": options.count / cpu,
        "startup_s": seconds["startup"],
        "whole_s": whole,
        "cpu_s": cpu,
    }


def children_cpu_seconds() -> float:
    """Return the CPU time of all processes below this one that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--side", choices=SIDES)
    options = parser.parse_args()
    photos = photos_in(options.photos)
    if options.side:
        print(json.dumps(side(options, photos)))
        return
    print(
        f"{platform.machine()}, {options.workers} workers, Python {platform.python_version()}, "
        f"{len(photos)} photos, --count {options.count}"
    )
    compare(
        SIDES, options.rounds, "photos/s", against="dask", keys=("rate", "whole_rate", "cpu_rate")
    )


if __name__ == "__main__":
    main()

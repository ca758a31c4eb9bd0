"""What `gudi batch --backend dask` costs on one machine, against its own workers.

    python benchmarks/cluster.py --photos DIR --checkpoint PATH [--count 1000] [--rounds 5]

Both sides look at the same photos with the same number of processes, each in a fresh process, in
turn, round after round. `rate` is that of the `inputs` stage; `whole_rate` counts everything from
the start of the command on: imports, checkpoint, workers or cluster, tables.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sides import compare, copy, photos_in

SIDES = ("loky", "dask")


def side(options: argparse.Namespace, photos: list[Path]) -> dict[str, float]:
    """Return what one run of the backend `options.side` came to."""
    with tempfile.TemporaryDirectory() as folder:
        many, out = Path(folder, "many"), Path(folder, "out")
        copy(photos, options.count, many)
        command = [
            sys.executable, "-m", "gudi", "batch", many, "--out", out, "--backend", options.side,
            "--workers", options.workers, "--checkpoint", options.checkpoint, "--device", "cpu",
            "--no-annotate", "--no-report",
        ]  # fmt: skip
        began = time.perf_counter()
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
        whole = time.perf_counter() - began
        seconds = json.loads((out / "run.json").read_text())["seconds"]
    return {
        "rate": options.count / seconds["inputs"],
        "whole_rate": options.count / whole,
        "startup_s": seconds["startup"],
        "whole_s": whole,
    }


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
    compare(SIDES, options.rounds, "photos/s", against="dask", keys=("rate", "whole_rate"))


if __name__ == "__main__":
    main()

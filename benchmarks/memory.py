"""Memory of the parent process of `gudi batch`, for a short and for a ten times longer run.

    python benchmarks/memory.py --photos DIR --checkpoint PATH [--counts 500,5000]

Each run is a process of its own. `import` is the memory after importing what a run needs, `peak`
the peak memory of the run, `above` the difference between the two.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from sides import copy, photos_in


def peak_memory() -> float:
    """Return the peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(photos: list[Path], checkpoint: str, count: int) -> None:
    """Run one batch and print its memory."""
    import onnxruntime  # noqa: F401

    from gudi.pipeline.run import run_batch
    from gudi.settings import BatchOptions

    imports = peak_memory()

    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "photos")
        copy(photos, count, inputs)
        settings = BatchOptions(checkpoint=checkpoint, device="cpu")
        report = run_batch([str(inputs)], Path(folder, "out"), settings)
    print(
        f"{count} photos, {report.emotions.total()} faces: import {imports:.0f} MB, "
        f"peak {peak_memory():.0f} MB, above {peak_memory() - imports:.0f} MB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--counts", default="500,5000")
    options = parser.parse_args()
    photos = photos_in(options.photos)
    counts = [int(count) for count in options.counts.split(",")]
    if len(counts) == 1:
        measure(photos, options.checkpoint, counts[0])
        return
    for count in counts:
        command = [sys.executable, __file__, *sys.argv[1:], "--counts", str(count)]
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()

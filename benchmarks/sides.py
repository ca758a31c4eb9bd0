"""Compare sides: run each in its own process, one after the other, round after round.

The speed of a machine changes over time, so sides are only comparable within a round.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def measure(side: str) -> dict[str, float]:
    """Run the calling script again with `--side` and return the figures that it prints."""
    command = [sys.executable, *sys.argv, "--side", side]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def photos_in(folder: Path) -> list[Path]:
    """Return the photos in `folder` and its subfolders."""
    return sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))


def copy(photos: Sequence[Path], count: int, folder: Path) -> None:
    """Create `folder` with `count` photos, copied from `photos` in turn."""
    folder.mkdir()
    for number in range(count):
        photo = photos[number % len(photos)]
        shutil.copy(photo, folder / f"{number:06d}{photo.suffix}")


def seconds_of_batch(command: str, inputs: Path, arguments: Sequence[str]) -> float:
    """Return the time of the `inputs` stage of `gudi batch`, whose command is `command`."""
    with tempfile.TemporaryDirectory() as folder:
        line = [command, "batch", str(inputs), "--out", folder, "--no-annotate", "--no-report"]
        subprocess.run([*line, *arguments], check=True, capture_output=True)
        seconds: float = json.loads(Path(folder, "run.json").read_text())["seconds"]["inputs"]
        return seconds


def seconds_per_face(checkpoint: str, crops: Sequence[Any]) -> float:
    """Return the CPU time of predicting one of `crops`, in batches of 256."""
    import numpy as np

    from gudi.predictor import Predictor

    with Predictor(checkpoint, "cpu") as predictor:
        size = predictor.batch_size
        batch = np.array((list(crops) * size)[:size])
        predictor.predict(batch)
        started = time.process_time()
        for _ in range(4):
            predictor.predict(batch)
        return (time.process_time() - started) / (4 * size)


def compare(
    sides: Sequence[str],
    count: int,
    unit: str,
    against: str = "gudi",
    keys: Sequence[str] = ("rate",),
) -> None:
    """Measure all `sides` in `count` rounds. Print their medians and the ratios of their `keys`.

    Args:
        sides: their names, in the order in which to run them.
        count: number of rounds.
        unit: of the figure `rate`.
        against: the side that the ratios compare to the others.
        keys: the figures to compare.
    """
    rounds = []
    for number in range(count):
        rounds.append({side: measure(side) for side in sides})
        rates = "  ".join(f"{side} {rounds[-1][side]['rate']:.1f}" for side in sides)
        print(f"round {number + 1}, {unit}: {rates}", flush=True)
    for side in sides:
        medians = {
            key: round(statistics.median(each[side][key] for each in rounds), 2)
            for key in rounds[0][side]
        }
        print(f"{side}: {medians}")
    for other in sides:
        for key in keys if other != against else ():
            ratios = [each[against][key] / each[other][key] for each in rounds]
            print(
                f"{against} / {other}, {key}: median {statistics.median(ratios):.3f}, "
                f"{min(ratios):.3f} to {max(ratios):.3f}"
            )

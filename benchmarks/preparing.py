"""Seconds that it takes to prepare FER2013: gudi's way and the original's.

    python benchmarks/preparing.py --csv fer2013.csv [--rows 4000] [--rounds 3]

Both take turns, each in a new process:

gudi      `gudi prepare fer` from start to end: read, detect in worker processes, write.
original  the original's way: one process, row after row, OpenCV with its own threads, all faces in
          a list, `numpy.save` at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil


def original(path: Path, out: Path) -> None:
    """Do what the original's data_process.py does."""
    import cv2
    import numpy as np

    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    images, labels = [], []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            pixels = np.array(row["pixels"].split(), np.uint8).reshape(48, 48)
            image = cv2.copyMakeBorder(pixels, *[51] * 4, cv2.BORDER_CONSTANT, value=200)
            found = cascade.detectMultiScale(image, scaleFactor=1.1, minNeighbors=5)
            if len(found) == 0:
                continue
            x, y, width, height = max(found, key=lambda box: box[2] * box[3])
            face = cv2.resize(
                image[y : y + height, x : x + width], (48, 48), interpolation=cv2.INTER_CUBIC
            )
            images.append(face / 255.0)
            label = np.zeros(7)
            label[int(row["emotion"])] = 1
            labels.append(label)
    np.save(out / "images.npy", images)
    np.save(out / "labels.npy", labels)


def measure(command: list[str]) -> tuple[float, float]:
    """Return the seconds that `command` takes, and its peak memory in MB including children."""
    started = time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    peak, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        parent = psutil.Process(process.pid)
        while not ended.wait(0.1):
            with contextlib.suppress(psutil.NoSuchProcess):
                processes = [parent, *parent.children(recursive=True)]
                peak = max(peak, sum(each.memory_info().rss for each in processes))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    ended.set()
    watcher.join()
    if code:
        raise SystemExit(f"{command} ended with {code}")
    return time.monotonic() - started, peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--rows", type=int, help="rows of the csv to prepare; all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--original", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.original:
        original(options.csv, options.original)
        return
    with tempfile.TemporaryDirectory() as scratch:
        part = Path(scratch) / "part.csv"
        with options.csv.open() as source, part.open("w") as target:
            for count, line in enumerate(source):
                if options.rows is None or count <= options.rows:
                    target.write(line)
        count = min(count, options.rows or count)
        print(f"{platform.machine()}, Python {platform.python_version()}, {count} rows")
        ratios = []
        for number in range(1, options.rounds + 1):
            gudi, gudi_memory = measure(
                [sys.executable, "-m", "gudi", "prepare", "fer", str(part), "--out",
                 f"{scratch}/gudi", "--overwrite"]
            )  # fmt: skip
            original_seconds, original_memory = measure(
                [sys.executable, __file__, "--csv", str(part), "--original", scratch]
            )
            ratios.append(original_seconds / gudi)
            print(
                f"round {number}: gudi {gudi:.1f} s ({gudi_memory:.0f} MB including workers), "
                f"original {original_seconds:.1f} s ({original_memory:.0f} MB): "
                f"{ratios[-1]:.2f} times as fast",
                flush=True,
            )
    print(f"median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()

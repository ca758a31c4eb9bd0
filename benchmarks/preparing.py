"""Seconds that FER2013 takes to prepare, and with the original's way.

    python benchmarks/preparing.py --csv fer2013.csv [--rows 4000] [--rounds 3]

Each side is measured in a fresh process, the sides in turn:

gudi      `gudi prepare fer`, all of it: reading, detecting in worker processes, writing.
original  the original's way: one process, row after row, OpenCV with its own threads, all faces in
          a list, `numpy.save` in the end.
"""

from __future__ import annotations

import argparse
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
    """Do what the original's data_process.py does, without its own text."""
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


def measured(command: list[str]) -> tuple[float, float]:
    """Return the seconds that `command` takes and the peak of its memory with children, in MB."""
    began = time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        me = psutil.Process(process.pid)
        while not over.wait(0.1):
            try:
                everybody = [me, *me.children(recursive=True)]
                peak = max(peak, sum(each.memory_info().rss for each in everybody))
            except psutil.NoSuchProcess:
                pass

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    over.set()
    watcher.join()
    if code:
        raise SystemExit(f"{command} ended with {code}")
    return time.monotonic() - began, peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--rows", type=int, help="of the csv; all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--original", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.original:
        original(options.csv, options.original)
        return
    with tempfile.TemporaryDirectory() as scratch:
        part = Path(scratch) / "part.csv"
        with options.csv.open() as source, part.open("w") as target:
            for number, line in enumerate(source):
                if options.rows is None or number <= options.rows:
                    target.write(line)
        count = min(number, options.rows or number)
        print(f"{platform.machine()}, Python {platform.python_version()}, {count} rows")
        ratios = []
        for each in range(options.rounds):
            gudi, ours = measured(
                [sys.executable, "-m", "gudi", "prepare", "fer", str(part), "--out",
                 f"{scratch}/gudi", "--overwrite"]
            )  # fmt: skip
            theirs, memory = measured(
                [sys.executable, __file__, "--csv", str(part), "--original", scratch]
            )
            ratios.append(theirs / gudi)
            print(
                f"round {each + 1}: gudi {gudi:.1f} s ({ours:.0f} MB with its workers), original "
                f"{theirs:.1f} s ({memory:.0f} MB): {theirs / gudi:.2f} times as fast",
                flush=True,
            )
    print(f"median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()

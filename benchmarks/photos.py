"""Compare `gudi batch` on photos with the limit of the machine and with the original.

    python benchmarks/photos.py --photos DIR [--checkpoint PATH] [--count 1000] [--rounds 5]
        [--megapixels 12] [--annotate] [--options OPTIONS] [--before COMMAND] [--sides gudi,before]

Each side runs in its own process, one after the other, round after round:

limit     what the CPUs could do if only the work itself took time: the CPU time of single-threaded
          decoding and Haar detection plus that of predicting in batches of 256, divided by the
          number of CPUs that this process may use.
gudi      `gudi batch --no-annotate --no-report` with OPTIONS, its stages after start-up; with
          --annotate also the annotated copies and thumbnails. `ms_cpu` is the CPU time per photo of
          the whole command, and `peak_MB` the memory of its largest process.
before    the same with another installation of gudi; COMMAND is its path, and maybe options.
original  as in the original: one process, one photo after the other, OpenCV's search with its own
          threads, one face per `predict` of TensorFlow.
fer       the package of that name (`pip install fer`), if it is installed and --min-face is 50,
          which is its own setting.

--megapixels enlarges the photos before, and adds grain, so that their files are as large as those
of a camera.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sides import compare, copy, photos_in, seconds_per_face


def side_limit(options: argparse.Namespace, photos: list[Path]) -> dict[str, float]:
    import cv2

    from gudi import detection
    from gudi.media.photo import read_photo

    cv2.setNumThreads(1)
    crops = []
    started = time.process_time()
    for path in photos:
        grey = detection.grey(read_photo(path))
        crops += [
            detection.crop(grey, box) for box in detection.detect(grey, min_face=options.min_face)
        ]
    detecting = time.process_time() - started
    face = seconds_per_face(options.checkpoint, crops)
    seconds = detecting + face * len(crops)
    return {
        "rate": len(photos) / seconds * len(os.sched_getaffinity(0)),
        "ms_detect": 1000 * detecting / len(photos),
        "ms_face": 1000 * face,
    }


def run(command: str, options: argparse.Namespace, photos: list[Path]) -> dict[str, float]:
    """Run `gudi batch` and return what it takes. CPU time is that of all its processes."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, out = Path(folder, "in"), Path(folder, "out")
        copy(photos, options.count, inputs)
        program, *more = shlex.split(command)
        line = [program, "batch", inputs, "--out", out, "--min-face", options.min_face, *more]
        line += [] if options.annotate else ["--no-annotate", "--no-report"]
        if options.checkpoint:
            line += ["--checkpoint", options.checkpoint]
        subprocess.run([*map(str, line)], check=True, capture_output=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = json.loads((out / "run.json").read_text())["seconds"]
    return {
        "rate": options.count / (seconds["inputs"] + seconds.get("pictures", 0)),
        "ms_cpu": 1000 * (used.ru_utime + used.ru_stime) / options.count,
        "startup_s": seconds["startup"],
        "peak_MB": used.ru_maxrss / 1024,
    }


def side_gudi(options: argparse.Namespace, photos: list[Path]) -> dict[str, float]:
    gudi = Path(sys.executable).with_name("gudi")
    return run(f"{gudi} {options.options}", options, photos)


def side_before(options: argparse.Namespace, photos: list[Path]) -> dict[str, float]:
    return run(options.before, options, photos)


def side_original(options: argparse.Namespace, photos: list[Path]) -> dict[str, float]:
    import cv2

    from gudi import detection
    from gudi.predictor import Predictor

    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    smallest = (options.min_face, options.min_face)
    with Predictor(options.checkpoint, "cpu", batch_size=1, engine="tensorflow") as predictor:
        started = time.perf_counter()
        for path in photos:
            grey = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2GRAY)
            for box in cascade.detectMultiScale(grey, 1.1, 5, minSize=smallest):
                predictor.predict(detection.crop(grey, detection.Box(*map(int, box)))[None])
        return {"rate": len(photos) / (time.perf_counter() - started)}


def side_fer(options: argparse.Namespace, photos: list[Path]) -> dict[str, float]:
    import cv2
    from fer.fer import FER

    detector = FER(mtcnn=False)
    images = [cv2.imread(str(path)) for path in photos]
    detector.detect_emotions(images[0])
    started = time.perf_counter()
    for path in photos:
        detector.detect_emotions(cv2.imread(str(path)))
    return {"rate": len(photos) / (time.perf_counter() - started)}


def enlarge(photos: list[Path], megapixels: float, folder: Path) -> None:
    """Write the photos into `folder` as a camera with so many pixels does."""
    import cv2
    import numpy as np

    grain = np.random.default_rng(0)
    for path in photos:
        image = cv2.imread(str(path))
        ratio = (megapixels * 1e6 / (image.shape[0] * image.shape[1])) ** 0.5
        large = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_CUBIC)
        large = np.clip(large + grain.normal(0, 6.5, large.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{path.stem}.jpg"), large, [cv2.IMWRITE_JPEG_QUALITY, 92])


SIDES = {
    "limit": side_limit,
    "gudi": side_gudi,
    "before": side_before,
    "original": side_original,
    "fer": side_fer,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--checkpoint")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--min-face", type=int, default=0)
    parser.add_argument("--megapixels", type=float)
    parser.add_argument("--options", default="")
    parser.add_argument("--before")
    parser.add_argument("--annotate", action="store_true")
    parser.add_argument("--sides", type=lambda text: text.split(","))
    parser.add_argument("--side", choices=SIDES)
    options = parser.parse_args()
    photos = photos_in(options.photos)
    if options.side:
        print(json.dumps(SIDES[options.side](options, photos)))
        return
    sides = ["limit", "gudi", *(["before"] if options.before else []), "original"]
    if options.min_face == 50 and importlib.util.find_spec("fer"):
        sides.append("fer")
    sides = options.sides or sides
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs, Python "
          f"{platform.python_version()}, {len(photos)} photos, --count {options.count}, "
          f"--min-face {options.min_face}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        if options.megapixels:
            enlarge(photos[: options.count], options.megapixels, Path(folder))
            sys.argv += ["--photos", folder]  # of the processes that `compare` starts
        keys = ["rate", "ms_cpu"] if set(sides) <= {"gudi", "before"} else ["rate"]
        compare(sides, options.rounds, "photos/s", keys=keys)


if __name__ == "__main__":
    main()

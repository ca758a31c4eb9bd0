"""Photos per second of `gudi batch`, against what the machine allows and the original's way.

    python benchmarks/photos.py --photos DIR --checkpoint PATH [--count 1000] [--rounds 5]

Each side is measured in a fresh process, the sides in turn, round after round, because machines
change their speed while one waits:

limit     what the cores could do if nothing but the work itself took time: the processor time of
          single-threaded decoding and Haar detection plus that of predicting in batches of 256,
          divided by the number of processors this process may use.
gudi      `gudi batch --no-annotate --no-report`, its `inputs` stage; start-up is given beside it.
original  the original's way: one process, photo after photo, one face a `predict`.
fer       the package of that name (`pip install fer`), if it is there and --min-face is 50, which
          is its own setting.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

from sides import compare, copy, photos_in, seconds_a_face


def side_limit(options: argparse.Namespace, photos: list[Path]) -> dict[str, float]:
    import cv2

    from gudi import detection
    from gudi.media.photo import read_photo

    cv2.setNumThreads(1)
    crops = []
    began = time.process_time()
    for path in photos:
        grey = detection.grey(read_photo(path))
        crops += [
            detection.crop(grey, box) for box in detection.detect(grey, min_face=options.min_face)
        ]
    looking = time.process_time() - began
    face = seconds_a_face(options.checkpoint, crops)
    seconds = looking + face * len(crops)
    return {
        "rate": len(photos) / seconds * len(os.sched_getaffinity(0)),
        "ms_looking": 1000 * looking / len(photos),
        "ms_face": 1000 * face,
    }


def side_gudi(options: argparse.Namespace, photos: list[Path]) -> dict[str, float]:
    from gudi.pipeline import run as batch
    from gudi.settings import DetectionSettings, OutputSettings, RunSettings

    settings = RunSettings(
        checkpoint=options.checkpoint,
        device="cpu",
        detection=DetectionSettings(min_face=options.min_face),
    )
    output = OutputSettings(annotated=options.annotate, report=options.annotate)
    with tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder, "few"), Path(folder, "many")
        copy(photos, options.count, many)
        report = batch.run([str(many)], few, settings, output)
    return {
        "rate": options.count / report.seconds["inputs"],
        "startup_s": report.seconds["startup"],
        "pictures_s": report.seconds.get("pictures", 0),
        "peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def side_original(options: argparse.Namespace, photos: list[Path]) -> dict[str, float]:
    import cv2

    from gudi import detection
    from gudi.predictor import Predictor

    with Predictor(options.checkpoint, "cpu", batch_size=1) as predictor:
        began = time.perf_counter()
        for path in photos:
            image = cv2.imread(str(path))
            for box in detection.detect(image, min_face=options.min_face):
                predictor.predict(detection.crop(image, box)[None])
        return {"rate": len(photos) / (time.perf_counter() - began)}


def side_fer(options: argparse.Namespace, photos: list[Path]) -> dict[str, float]:
    import cv2
    from fer.fer import FER

    detector = FER(mtcnn=False)
    images = [cv2.imread(str(path)) for path in photos]
    detector.detect_emotions(images[0])
    began = time.perf_counter()
    for path in photos:
        detector.detect_emotions(cv2.imread(str(path)))
    return {"rate": len(photos) / (time.perf_counter() - began)}


SIDES = {
    "limit": side_limit,
    "gudi": side_gudi,
    "original": side_original,
    "fer": side_fer,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--min-face", type=int, default=0)
    parser.add_argument("--annotate", action="store_true")
    parser.add_argument("--side", choices=SIDES)
    options = parser.parse_args()
    photos = photos_in(options.photos)
    if options.side:
        print(json.dumps(SIDES[options.side](options, photos)))
        return
    sides = ["limit", "gudi", "original"]
    if options.min_face == 50 and importlib.util.find_spec("fer"):
        sides.append("fer")
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} processors, Python "
          f"{platform.python_version()}, {len(photos)} photos, --count {options.count}, "
          f"--min-face {options.min_face}")  # fmt: skip
    compare(sides, options.rounds, "photos/s")


if __name__ == "__main__":
    main()

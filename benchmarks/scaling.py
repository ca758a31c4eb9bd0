"""How many workers one parent can serve: real processes that sleep instead of detecting faces.

    python benchmarks/scaling.py [--workers 8,16,32,64] [--detect-ms 7.5] [--predict-ms 2.1]

Each worker sleeps for the time that decoding and detection take per photo, and returns a face for
three photos in four. Everything else is real: listing, the hand-over, batches, the ledger. The
parent's predictor sleeps as well, for `--predict-ms` per face, divided by `--parent-cpus`; with
`--predict-in workers` the workers sleep that long for each face (`--single-ms`).

Sleeping takes no CPU, so a few CPUs can stand in for many. The processes of 64 workers still take
CPU time here that a larger machine would have for them: the rates are lower bounds. `parent` is the
CPU time of the parent per photo. Its main thread can use one CPU, so that `1 / parent` is the limit
of one parent on any machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from gudi.constants import EMOTIONS, FACE_SIZE
from gudi.media.find import find_sources
from gudi.outputs.folder import ResultFolder
from gudi.pipeline import recognize as recognition
from gudi.pipeline.run import StoreSink
from gudi.pipeline.run_report import RunReport
from gudi.pipeline.workers import start_workers
from gudi.progress import Progress
from gudi.records import Box, Face, Result
from gudi.settings import ALL_FRAMES, BatchOptions
from gudi.store import Store

PROBABILITIES = np.full(len(EMOTIONS), 1 / len(EMOTIONS), np.float32)
CROP = np.zeros((FACE_SIZE, FACE_SIZE), np.uint8)


class Sleeping:
    """Stands in for `gudi.pipeline.detect_work.process` and is sent to the workers."""

    def __init__(self, detect: float, predict: float | None) -> None:
        self.detect, self.predict = detect, predict

    def __call__(self, settings: object, item: Any) -> Result:
        has_face = int(Path(item.source.path).stem) % 4 > 0
        time.sleep(self.detect + (self.predict or 0.0) * has_face)
        result = Result(item.source, digest=bytes(32))
        if has_face:
            face = Face(Box(1, 2, 30, 40), 5.0)
            if self.predict is None:
                face.crop = CROP
            else:
                face.probabilities = PROBABILITIES
            result.faces = [face]
        return result


class SleepingPredictor:
    """Stands in for `gudi.predictor.Predictor`."""

    batch_size = 256

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def predict_faces(self, faces: Any, *, keep_crops: bool) -> None:
        time.sleep(self._seconds * len(faces))
        for face in faces:
            face.crop, face.probabilities = None, PROBABILITIES


def run(workers: int, options: argparse.Namespace, *, in_workers: bool) -> str:
    """Process photos with this many workers; return the figures."""
    # Some seconds of work.
    count = round(options.seconds * min(workers / options.detect_ms * 1000, 3000))
    settings = BatchOptions(workers=workers)
    sleeping = Sleeping(options.detect_ms / 1000, options.single_ms / 1000 if in_workers else None)
    recognition.process = sleeping
    opened: Future[Any] = Future()
    opened.set_result(SleepingPredictor(options.predict_ms / 1000 / options.parent_cpus))
    with tempfile.TemporaryDirectory() as scratch:
        photos, out = Path(scratch, "photos"), ResultFolder(Path(scratch))
        photos.mkdir()
        for number in range(count):
            (photos / f"{number:06d}.jpg").touch()
        with Store(out.store) as store, start_workers(settings) as started:
            store.start_run({})
            for source in find_sources([str(photos)], is_new=store.inputs.is_new):
                store.register(source)
            store.commit()
            list(started.map_unordered(_import, range(4 * workers)))
            cpu, start = time.process_time(), time.perf_counter()
            recognition.recognize(
                store.inputs.pending(),
                options=settings,
                predictor=None if in_workers else opened,
                workers=started,
                sink=StoreSink(store, RunReport(), Progress(), ALL_FRAMES),
            )
            store.commit()
            elapsed, cpu = time.perf_counter() - start, time.process_time() - cpu
    each = options.detect_ms + (options.single_ms * 0.75 if in_workers else 0)
    ideal = workers * 1000 / each
    where = "workers" if in_workers else "parent "
    return (
        f"{workers:4} workers, predicted in {where}: {count / elapsed:7.0f} photos/s of "
        f"{ideal:.0f}, parent {1000 * cpu / count:.3f} ms of CPU per photo"
    )


def _import(_: int) -> int:
    """Import what results need, in a worker, before the clock starts."""
    import gudi.records  # noqa: F401

    time.sleep(0.05)
    return os.getpid()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default="8,16,32,64")
    parser.add_argument("--detect-ms", type=float, default=7.5)
    parser.add_argument("--predict-ms", type=float, default=2.1, help="per face, in full batches")
    parser.add_argument("--single-ms", type=float, default=5.0, help="per face, alone")
    parser.add_argument("--parent-cpus", type=float, help="as many as workers by default")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
        f"detect {options.detect_ms} ms per photo, predict {options.predict_ms} ms per face"
    )
    fixed = options.parent_cpus
    for workers in map(int, options.workers.split(",")):
        options.parent_cpus = fixed or workers
        for in_workers in (False, True):
            print(run(workers, options, in_workers=in_workers), flush=True)


if __name__ == "__main__":
    main()

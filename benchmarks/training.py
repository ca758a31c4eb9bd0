"""Seconds per training step: gudi's, a plain TensorFlow 1 step, and the original's settings.

    python benchmarks/training.py [--steps 20] [--rounds 3]

The variants take turns, each in a new process, on random faces in batches of 50:

gudi       `gudi.training.train.train` with the original's recipe, from batch to batch: data, step
           and logs.
plain      `session.run` of the same graph's step, always on the same batch, and nothing else.
bfloat16   gudi with this precision.
original   TFLearn's `DNN.fit` with the original's `tensorboard_verbose=2`.
quiet      the same with `tensorboard_verbose=0`.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BATCH = 50
WARM_UP = 3  # steps that are not counted


def data(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random faces and labels for this many steps."""
    random = np.random.default_rng(1)
    count = BATCH * (steps + WARM_UP)
    return random.integers(0, 256, (count, 48, 48), np.uint8), random.integers(0, 7, count)


def gudi(steps: int, precision: str = "float32") -> float:
    from gudi.progress import Progress
    from gudi.training.dataset import Dataset
    from gudi.training.train import train
    from gudi.training.training_settings import TrainingSettings

    times = []

    class Clock(Progress):
        def advance(self, item: object = None) -> None:
            times.append(time.perf_counter())

    faces, labels = data(steps)
    few = Dataset(faces[:10], labels[:10])
    settings = TrainingSettings(epochs=1, precision=precision)
    with tempfile.TemporaryDirectory() as out:
        train(Dataset(faces, labels), Path(out), settings, validation=few, progress=Clock())
    return statistics.median(np.diff(times)[WARM_UP - 1 :])


def plain(steps: int) -> float:
    from gudi.network import build_trainer, quiet, tf

    faces, labels = data(steps)
    trainer = build_trainer()
    feed = {
        trainer.network.faces: faces[:BATCH, ..., None] / 255.0,
        trainer.labels: np.eye(7)[labels[:BATCH]],
        trainer.learning_rate: 0.001,
    }
    with quiet(), tf.Session(graph=trainer.network.graph) as session:
        for variable in (*trainer.state.values(), trainer.network.training_mode):
            session.run(variable.initializer)
        session.run(trainer.network.training_mode.assign(True))
        times = []
        for _ in range(steps + WARM_UP):
            session.run([trainer.step, trainer.loss, trainer.accuracy], feed)
            times.append(time.perf_counter())
    return statistics.median(np.diff(times)[WARM_UP - 1 :])


def original(steps: int, verbose: int) -> float:
    from gudi.network import build, quiet, tflearn

    times = []

    class Clock(tflearn.callbacks.Callback):
        def on_batch_end(self, training_state: object, snapshot: bool = False) -> None:
            times.append(time.perf_counter())

    faces, labels = data(steps)
    built = build(training=True)
    with (
        quiet(), tempfile.TemporaryDirectory() as logs, tempfile.TemporaryFile("w") as shown,
        built.graph.as_default(),
    ):  # fmt: skip
        sys.stdout = shown
        model = tflearn.DNN(built.probabilities, tensorboard_verbose=verbose, tensorboard_dir=logs)
        model.fit(
            faces[..., None] / 255.0, np.eye(7)[labels], n_epoch=1, batch_size=BATCH,
            show_metric=True, shuffle=True, run_id="FER", callbacks=Clock(),
        )  # fmt: skip
        sys.stdout = sys.__stdout__
    return statistics.median(np.diff(times)[WARM_UP - 1 :])


VARIANTS = {
    "gudi": gudi,
    "plain": plain,
    "bfloat16": lambda steps: gudi(steps, "bfloat16"),
    "original": lambda steps: original(steps, 2),
    "quiet": lambda steps: original(steps, 0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        print(json.dumps(VARIANTS[options.variant](options.steps)))
        return
    print(f"{platform.machine()}, Python {platform.python_version()}, {options.steps} steps")
    times: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for number in range(1, options.rounds + 1):
        for variant, seconds in times.items():
            command = [sys.executable, __file__, "--variant", variant]
            ended = subprocess.run(
                [*command, "--steps", str(options.steps)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                check=True,
            )
            seconds.append(json.loads(ended.stdout.splitlines()[-1]))
        line = ", ".join(f"{variant} {seconds[-1]:.3f}" for variant, seconds in times.items())
        print(f"round {number}, s/step: {line}", flush=True)
    for first, second in (
        ("gudi", "plain"), ("original", "gudi"), ("original", "bfloat16"), ("quiet", "gudi"),
    ):  # fmt: skip
        ratios = [a / b for a, b in zip(times[first], times[second])]
        median = statistics.median(ratios)
        print(f"{first} / {second}: median {median:.3f}, {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()

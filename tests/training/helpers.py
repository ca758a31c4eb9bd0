"""Data sets and trainings for the tests of `gudi.training`."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from conftest import ROOT, call_gudi, gudi_environment, interruptible

from gudi.progress import Progress

RECIPES = ROOT / "recipes"
QUICK = ("--recipe", Path(__file__).with_name("quick.toml"))
BATCHES = 6  # of the 54 training faces in `write_data`'s data set, 10 per batch


def write_data(prefix: Path, count: int = 60) -> None:
    """Write faces that are easy to tell apart: each class has a bright square in its own spot."""
    random = np.random.default_rng(3)
    labels = np.arange(count) % 7
    images = random.integers(0, 60, (count, 48, 48)).astype(np.uint8)
    for image, label in zip(images, labels):
        row, column = divmod(int(label), 3)
        image[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] += 180
    prefix.parent.mkdir(parents=True, exist_ok=True)
    np.save(f"{prefix}_images.npy", images / 255.0)
    np.save(f"{prefix}_labels.npy", np.eye(7)[labels])


def write_recipe(path: Path, **settings: object) -> Path:
    """Write a recipe with `settings`; JSON's strings, numbers and lists are TOML's."""
    path.write_text("".join(f"{name} = {json.dumps(v)}\n" for name, v in settings.items()))
    return path


def curve(out: Path) -> list[dict[str, str]]:
    """Return the rows of a training's `learning_curve.csv`."""
    with (out / "learning_curve.csv").open() as file:
        return list(csv.DictReader(file))


def run_record(out: Path) -> dict:
    """Return the content of a training's `run.json`."""
    return json.loads((out / "run.json").read_text())


def snapshots(out: Path) -> list[Path]:
    """Return the snapshots of a training, oldest first."""
    return sorted(out.glob("snapshots/step-*"))


def link_training(source: Path, target: Path) -> Path:
    """Copy the folder of a training by links. gudi replaces its files and never changes them."""
    ignore = shutil.ignore_patterns(".lock")
    return Path(shutil.copytree(source, target, copy_function=os.link, ignore=ignore))


def start_training(folder: Path, *arguments: object) -> subprocess.Popen:
    """Start `gudi train` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "gudi", "train", *map(str, (*QUICK, *arguments))],
        cwd=folder,
        env=gudi_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
    )


def wait_until(condition, process: subprocess.Popen) -> None:
    """Wait for a running process to fulfil `condition`."""
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


class StopAfter(Progress):
    """Interrupts a training in this process after some batches, as Ctrl-C does; keeps its notes."""

    def __init__(self, batches: int) -> None:
        self.notes: list[str] = []
        self._left = batches

    def note(self, text: str) -> None:
        self.notes.append(text)

    def advance(self, item: object = None) -> None:
        self._left -= 1
        if not self._left:
            signal.raise_signal(signal.SIGINT)


def train_an_epoch(folder: Path, out: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run `gudi train` in this process until a new snapshot appears, then interrupt it.

    This takes no time for writing a checkpoint of 455 MB, which finished trainings do.
    """
    path, finished = folder / out, threading.Event()
    before = snapshots(path)

    def interrupt() -> None:
        while not finished.wait(0.02):
            if set(snapshots(path)) - set(before):
                os.kill(os.getpid(), signal.SIGINT)
                return

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    try:
        return call_gudi("train", "--out", out, "--epochs", "100000", *arguments, cwd=folder)
    finally:
        finished.set()
        watcher.join()


def read_prepared(prefix: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the faces, as grey levels, and the labels of a data set that gudi prepared."""
    images, labels = (np.load(f"{prefix}_{part}.npy") for part in ("images", "labels"))
    assert images.dtype == labels.dtype == np.float64
    np.testing.assert_array_equal(images, np.rint(images * 255) / 255.0)
    np.testing.assert_array_equal(labels.sum(axis=1), 1)
    return np.rint(images * 255).astype(np.uint8), labels.argmax(axis=1)

"""`gudi batch` with damaged inputs, and killed at random: a small `benchmarks/faults.py`."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from clips import write_video
from conftest import ROOT, call_gudi, draw_face, gudi_environment, save
from result_folders import read_rows, read_tables

specification = importlib.util.spec_from_file_location("faults", ROOT / "benchmarks" / "faults.py")
faults = importlib.util.module_from_spec(specification)
specification.loader.exec_module(faults)

OPTIONS = ("--no-annotate", "--no-report", "--timeout", "60")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A folder with good inputs in `in/good`, and the results of an undisturbed run in `whole`."""
    folder = tmp_path_factory.mktemp("faults")
    for number in range(30):
        save(folder / "in" / "good" / f"{number:02}.jpg", draw_face(120 + 3 * number))
    save(folder / "in" / "good" / "none.png", np.full((400, 500), 128, np.uint8))
    frames = [draw_face(120, 240, 200, number, 20) for number in range(12)]
    write_video(folder / "in" / "good" / "film.mp4", frames)
    done = call_gudi("batch", "in", "--out", "whole", *OPTIONS, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_damaged_inputs_cost_the_good_ones_nothing(good, tmp_path):
    folder = tmp_path / "mixed"
    shutil.copytree(good / "in", folder / "in")
    chance = random.Random(7)
    (folder / "in" / "bad").mkdir()
    photos = [good / "in" / "good" / f"{number:02}.jpg" for number in range(0, 30, 3)]
    for number, path in enumerate([*photos * 4, *[good / "in" / "good" / "film.mp4"] * 3]):
        content = faults.damaged(path.read_bytes(), chance)
        (folder / "in" / "bad" / f"{number:02}{path.suffix}").write_bytes(content)

    done = call_gudi("batch", "in", "--out", "out", *OPTIONS, cwd=folder)

    assert done.returncode in (0, 3), done.stderr
    assert "Traceback" not in done.stderr
    for name in ("faces.csv", "files.csv"):
        found = read_rows(folder / "out" / name)
        unharmed = [row for row in found if row["source"].startswith("in/good/")]
        assert unharmed == read_rows(good / "whole" / name)
    files = read_rows(folder / "out" / "files.csv")
    bad = {row["source"]: row for row in files if row["source"].startswith("in/bad/")}
    assert set(bad) == {f"in/bad/{name}" for name in os.listdir(folder / "in" / "bad")}
    assert {row["status"] for row in bad.values()} <= {"ok", "no_face", "failed"}
    assert all(row["error"] for row in bad.values() if row["status"] == "failed")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_run_killed_at_random_moments_is_resumed_to_the_same_tables(good):
    chance = random.Random(7)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "gudi", "batch", "in", "--out", "out", *OPTIONS],
            cwd=good,
            env=gudi_environment(),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(chance.uniform(1, 8))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    done = call_gudi("batch", "in", "--out", "out", *OPTIONS, cwd=good)
    assert done.returncode == 0, done.stderr
    assert read_tables(good / "out") == read_tables(good / "whole")

"""Runs that are interrupted, killed or hang: finished photos are kept, and no process remains."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import call_gudi, gudi_environment, interruptible, save
from result_folders import count_finished, names_below, read_record, read_rows, read_tables

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


def start(photos, out, *options, **keywords):
    command = [sys.executable, "-m", "gudi", "batch", photos.name, "--out", out, *options]
    return subprocess.Popen(
        list(map(str, command)),
        cwd=photos.parent,
        env=gudi_environment(),
        stderr=subprocess.PIPE,
        text=True,
        **keywords,
    )


def wait_for_a_finished_photo(process, out):
    while not count_finished(out):
        assert process.poll() is None
        time.sleep(0.1)


def assert_all_end(processes):
    psutil.wait_procs(processes, timeout=10)
    assert not any(process.is_running() for process in processes)


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1"])
def test_interrupted_run_keeps_finished_photos(photos, finished_run, tmp_path, number):
    expected = {row["source"]: row for row in read_rows(finished_run.out / "faces.csv")}
    for copy in range(3000):
        os.link(photos / "one.jpg", photos / f"copy {copy:04}.jpg")
    out = tmp_path / "out"
    process = start(photos, out, start_new_session=True, preexec_fn=interruptible)
    wait_for_a_finished_photo(process, out)
    for other in (("plot", out), ("batch", "photos", "--out", out), ("merge", out, "--out", "m")):
        refused = call_gudi(*other, cwd=tmp_path)
        assert refused.returncode == 1
        assert "out is in use: " in refused.stderr
        assert f"process {process.pid} on " in refused.stderr
    workers = psutil.Process(process.pid).children(recursive=True)
    number, shared = signal.Signals[number], set(names_below(Path("/dev/shm")))
    if number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        os.killpg(process.pid, number)  # as from a terminal
    else:
        process.send_signal(number)
    process.send_signal(number)  # people are impatient, and a closed terminal says it twice
    _, stderr = process.communicate(timeout=250)

    assert process.returncode == 130, stderr
    assert "interrupted: " in stderr
    assert "Traceback" not in stderr
    assert_all_end(workers)
    assert not {name for name in names_below(Path("/dev/shm")) if str(process.pid) in name} - shared
    files, faces = read_rows(out / "files.csv"), read_rows(out / "faces.csv")
    assert 0 < len(files) < 3004
    assert len(faces) == sum(int(row["faces"]) for row in files)
    for row in faces:
        if "copy" in row["source"]:
            assert row | {"source": "photos/one.jpg"} == expected["photos/one.jpg"]
    record = read_record(out)
    assert (out / "report.html").exists()
    assert record["state"] == "interrupted"
    assert record["counts"]["not_reached"] == 3004 - len(files)


def test_run_goes_on_after_the_terminal_is_closed_under_nohup(photos, tmp_path):
    for copy in range(100):
        os.link(photos / "one.jpg", photos / f"copy {copy:03}.jpg")
    process = start(
        photos, tmp_path / "out", "--no-annotate",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    wait_for_a_finished_photo(process, tmp_path / "out")
    process.send_signal(signal.SIGHUP)
    _, stderr = process.communicate(timeout=250)
    assert process.returncode == 0, stderr
    assert len(read_rows(tmp_path / "out" / "files.csv")) == 104


def test_run_ends_while_its_workers_hang_and_is_resumed(photos, tmp_path):
    for copy in range(500):
        os.link(photos / "one.jpg", photos / f"copy {copy:03}.jpg")
    out = tmp_path / "out"
    options = ("--no-annotate", "--no-report", "--batch-size", "8")  # faces are finished early on
    process = start(photos, out, *options)
    wait_for_a_finished_photo(process, out)
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [each for each in children if "resource_tracker" not in " ".join(each.cmdline())]
    for worker in workers:
        worker.suspend()
    process.terminate()
    _, stderr = process.communicate(timeout=250)

    assert (process.returncode, "interrupted: " in stderr) == (130, True), stderr
    assert "Traceback" not in stderr
    assert_all_end(workers)
    assert read_record(out)["state"] == "interrupted"
    assert 0 < len(read_rows(out / "files.csv")) < 504
    again = call_gudi("batch", photos.name, "--out", out, *options, cwd=photos.parent)
    assert (again.returncode, "finished by earlier runs" in again.stderr) == (0, True), again.stderr
    faces = [row for row in read_rows(out / "faces.csv") if "copy" in row["source"]]
    assert (len(faces), len(read_rows(out / "files.csv"))) == (500, 504)
    assert len({(row["x"], row["y"], row["width"], row["emotion"]) for row in faces}) == 1


def test_run_killed_in_each_stage_is_resumed_to_the_same_results(photos, tmp_path):
    for copy in range(60):  # photos without a face are finished as soon as they come
        save(photos / f"{copy:02}.jpg", np.full((400, 500), 3 * copy, np.uint8))
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert call_gudi("batch", "photos", "--out", whole, cwd=tmp_path).returncode == 0
    # While it lists, while it processes, while it draws: the number of finished photos only grows.
    for wanted in (0, 5, 64):
        process = start(photos, out, start_new_session=True)
        while process.poll() is None:
            if (out / "run.json").exists() and count_finished(out) >= wanted:
                break
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    done = call_gudi("batch", "photos", "--out", out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "64 photos finished by earlier runs" in done.stderr
    assert read_tables(out) == read_tables(whole)
    assert names_below(out / "annotated") == names_below(whole / "annotated")
    assert not list(out.rglob(".gudi-*"))


def test_interrupt_while_pictures_are_drawn_is_reported(photos, tmp_path):
    for copy in range(300):
        os.link(photos / "two.bmp", photos / f"copy {copy:03}.bmp")
    out = Path(tmp_path, "out")
    done = call_gudi("batch", "photos", "--out", out, "--no-annotate", "--no-report", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    process = start(photos, out)
    while not (out / "annotated").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    _, stderr = process.communicate(timeout=250)
    assert (process.returncode, "interrupted: some pictures not drawn" in stderr) == (130, True)
    assert read_record(out)["state"] == "interrupted"
    assert len(read_rows(out / "files.csv")) == 304
    assert not list(out.rglob(".gudi-*"))

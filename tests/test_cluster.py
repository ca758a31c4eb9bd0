"""`gudi batch` on a Dask cluster: a real scheduler and workers, one of which is killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, call_gudi, draw_face, gudi_environment, save
from result_folders import read_tables

import jobs
from gudi.errors import WorkersError
from gudi.media import sources
from gudi.pipeline.recognize import recognize
from gudi.settings import RunSettings

pytest.importorskip("distributed", reason="Dask's distributed is not installed")


def dask(*arguments, **options):
    code = "import sys; from dask.__main__ import main; sys.argv[0] = 'dask'; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        # The workers find what the tests define by its name.
        env=gudi_environment({"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **options,
    )


@pytest.fixture
def cluster(tmp_path):
    """The address of a scheduler on loopback, and its two workers."""
    file = tmp_path / "scheduler.json"
    place = ("--scheduler-file", file, "--no-dashboard")
    started = [dask("scheduler", "--host", "127.0.0.1", "--port", "0", *place)]
    try:
        while not file.exists():
            assert started[0].poll() is None
            time.sleep(0.05)
        started += [dask("worker", "--nthreads", "1", "--no-nanny", *place) for _ in range(2)]
        import distributed

        with distributed.Client(scheduler_file=str(file), timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        yield address, started[1:]
    finally:
        for process in started:
            process.kill()
            process.wait()


def slowly(number):
    time.sleep(0.05)
    return os.getpid(), number * number


def fail(number):
    raise ValueError(f"no {number}")


def test_a_worker_that_goes_away_costs_nothing_but_time(cluster):
    address, workers = cluster
    with jobs.Cluster(address) as crew:
        outcomes = []
        for outcome in crew.run(slowly, range(60)):
            outcomes.append(outcome)
            if len(outcomes) == 10:
                workers[0].kill()
        assert not [each.error for each in outcomes if each.error]
        assert sorted((each.item, each.value[1]) for each in outcomes) == [
            (number, number * number) for number in range(60)
        ]
        assert len({each.value[0] for each in outcomes}) == 2
        (failed,) = crew.run(fail, [7])
        assert str(failed.error) == "no 7"


TABLES_ONLY = ("--no-annotate", "--no-report")


def test_cluster_gives_the_same_tables(cluster, photos, tmp_path):
    for copy in range(10):
        shutil.copy(photos / "one.jpg", photos / f"{copy}.jpg")
    (photos / "bad.jpg").write_bytes(b"no picture")
    for out, more in {
        "loky": (),
        "dask": ("--backend", "dask", "--scheduler", cluster[0]),
    }.items():
        done = call_gudi("batch", "photos", "--out", out, *TABLES_ONLY, *more, cwd=tmp_path)
        assert done.returncode == 3, done.stderr
    assert read_tables(tmp_path / "dask") == read_tables(tmp_path / "loky")


def test_run_whose_cluster_loses_a_worker_gives_the_same_tables(cluster, photos, tmp_path):
    address, workers = cluster
    shutil.copy(photos / "none.jpg", photos / "00.jpg")  # without a face it is finished at once
    for copy in range(1, 100):
        save(photos / f"{copy:02}.jpg", draw_face(160 + copy % 10))
    whole = call_gudi("batch", "photos", "--out", "loky", *TABLES_ONLY, cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    log = tmp_path / "log.jsonl"
    more = ("--backend", "dask", "--scheduler", address, "--log-json", log)
    process = subprocess.Popen(
        [sys.executable, "-m", "gudi", "batch", "photos", "--out", "dask", *TABLES_ONLY, *more],
        cwd=tmp_path,
        env=gudi_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (log.exists() and '"item"' in log.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    workers[0].kill()
    assert log.read_text().count('"item"') < 104
    _, stderr = process.communicate(timeout=250)
    assert process.returncode == 0, stderr
    assert read_tables(tmp_path / "dask") == read_tables(tmp_path / "loky")


@pytest.mark.parametrize("done", [False, True])
def test_a_cluster_without_workers_ends_the_run(cluster, monkeypatch, done):
    address, workers = cluster
    monkeypatch.setattr("jobs.cluster.WORKERS_TIMEOUT", 0.5)
    monkeypatch.setattr("jobs.cluster.LOOK_INTERVAL", 0.1)
    with jobs.Cluster(address) as crew:
        outcomes = crew.run(slowly, range(100))
        next(outcomes)
        if done:  # and not yet fetched from the workers
            time.sleep(1)
        for worker in workers:
            worker.kill()
        with pytest.raises(jobs.WorkersUnavailable, match="has no workers, and none came for"):
            list(outcomes)


class Results(list):
    """A sink of `recognize` that keeps the results of photos."""

    add = list.append


class BlindWorkers(list):
    """Workers some of which do not see the file `hidden`. A list of what they processed."""

    def __init__(self, hidden, blind):
        self.hidden, self.blind = hidden, blind

    def run(self, work, items):
        for item in items:
            self.append(item.source.path)
            away = self.hidden.with_suffix(".away")
            hide = (
                item.source.path == str(self.hidden) and self.count(item.source.path) in self.blind
            )
            if hide:
                self.hidden.rename(away)
            value, error, _ = jobs.worker.call(work, item)
            if hide:
                away.rename(self.hidden)
            yield jobs.Outcome(item, value, error)


def test_photo_that_a_worker_does_not_see_is_given_to_another_worker(photos):
    hidden = photos / "none.jpg"
    (photos / "gone.jpg").write_bytes(b"soon gone")
    found = list(sources.find([str(hidden), str(photos / "gone.jpg")]))
    (photos / "gone.jpg").unlink()

    def process(blind):
        results = Results()
        recognize(found, RunSettings(), None, BlindWorkers(hidden, blind), results)
        return {Path(each.source.path).name: each.error for each in results}

    expected = {"none.jpg": "", "gone.jpg": "no such file"}
    assert process([]) == process([1]) == process([1, 2]) == expected
    with pytest.raises(
        WorkersError, match=r"cannot open .*none.jpg \(no such file\), which exists"
    ):
        process([1, 2, 3])


def test_missing_scheduler_is_an_error(photos):
    scheduler = ("--scheduler", "tcp://127.0.0.1:9")
    command = ("batch", "photos", "--out", "out")
    done = call_gudi(*command, "--backend", "dask", *scheduler, cwd=photos.parent)
    assert done.returncode == 1
    assert "gudi: error: no Dask scheduler answers at tcp://127.0.0.1:9" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    done = call_gudi(*command, *scheduler, cwd=photos.parent)
    assert (done.returncode, "requires --backend dask" in done.stderr) == (2, True)

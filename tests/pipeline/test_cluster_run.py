"""`gudi batch` on a Dask cluster: a real scheduler and workers, one of which is killed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import call_gudi, draw_face, gudi_environment, run_gudi, save
from result_folders import read_tables

import gudi_jobs
from gudi.errors import WorkersError
from gudi.media.find import find_sources
from gudi.pipeline.recognize import recognize
from gudi.settings import BatchOptions


def test_cluster_that_loses_a_worker_gives_the_same_tables(cluster, photos, tmp_path):
    shutil.copy(photos / "none.jpg", photos / "00.jpg")  # without a face it is finished at once
    (photos / "bad.jpg").write_bytes(b"no picture")
    for copy in range(1, 60):
        save(photos / f"{copy:02}.jpg", draw_face(160 + copy % 10))
    options = ("--no-annotate", "--no-report")
    local = call_gudi("batch", "photos", "--out", "local", *options, cwd=tmp_path)
    assert local.returncode == 3, local.stderr
    log = tmp_path / "log.jsonl"
    more = ("--backend", "dask", "--scheduler", cluster.address, "--log-json", log)
    process = subprocess.Popen(
        [sys.executable, "-m", "gudi", "batch", "photos", "--out", "dask", *options, *more],
        cwd=tmp_path,
        env=gudi_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (log.exists() and '"item"' in log.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    cluster.kill(cluster.workers[0])
    assert log.read_text().count('"item"') < 65
    _, stderr = process.communicate(timeout=250)
    assert process.returncode == 3, stderr
    assert read_tables(tmp_path / "dask") == read_tables(tmp_path / "local")


class Results(list):
    """A sink of `recognize` that keeps the results of photos."""

    add = list.append


class BlindWorkers(list):
    """Workers some of which do not see the file `hidden`. A list of what they processed."""

    def __init__(self, hidden, blind):
        self.hidden, self.blind = hidden, blind

    def map_unordered(self, work, items):
        for item in items:
            self.append(item.source.path)
            away = self.hidden.with_suffix(".away")
            hide = (
                item.source.path == str(self.hidden) and self.count(item.source.path) in self.blind
            )
            if hide:
                self.hidden.rename(away)
            packed = list(gudi_jobs.worker.call_pickled(work, gudi_jobs.worker.pack(item)))
            if hide:
                away.rename(self.hidden)
            for result, is_last in packed:
                yield gudi_jobs.Result.unpickle(item, result, is_last=is_last)


def test_photo_that_one_worker_does_not_see_is_given_to_another(photos):
    hidden = photos / "none.jpg"
    (photos / "gone.jpg").write_bytes(b"soon gone")
    found = list(find_sources([str(hidden), str(photos / "gone.jpg")]))
    (photos / "gone.jpg").unlink()

    def process(blind):
        results = Results()
        recognize(
            found,
            options=BatchOptions(detector="haar"),
            predictor=None,
            workers=BlindWorkers(hidden, blind),
            sink=results,
        )
        return {Path(each.source.path).name: each.error for each in results}

    expected = {"none.jpg": "", "gone.jpg": "no such file"}
    assert process([]) == process([1]) == process([1, 2]) == expected
    with pytest.raises(
        WorkersError, match=r"cannot open .*none.jpg \(no such file\), which exists"
    ):
        process([1, 2, 3])


def test_missing_scheduler_is_one_line(photos):
    command = ("batch", "photos", "--out", "out", "--scheduler", "tcp://127.0.0.1:9")
    # In a process of its own: threads that Dask left behind can upset Python 3.11's parser.
    done = run_gudi(*command, "--backend", "dask", cwd=photos.parent)
    assert done.returncode == 1
    assert "gudi: error: no Dask scheduler answers at tcp://127.0.0.1:9" in done.stderr
    assert [line.split(":")[0] for line in done.stderr.splitlines()] in (["gudi"], ["note", "gudi"])
    done = call_gudi(*command, cwd=photos.parent)
    assert (done.returncode, "scheduler requires the backend dask" in done.stderr) == (2, True)

"""A Dask cluster for tests: a real scheduler, and workers that tests may kill."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from conftest import ROOT, gudi_environment


class DaskCluster:
    """A scheduler on this machine, and its workers, of one thread each.

    Args:
        folder: gets the file that tells the workers where the scheduler is.

    Attributes:
        address: address of the scheduler.
        workers: the processes of the workers.
    """

    def __init__(self, folder: Path) -> None:
        file = folder / "scheduler.json"
        self._options = ("--scheduler-file", file, "--no-dashboard")
        self.workers: list[subprocess.Popen] = []
        self._scheduler = _start("scheduler", "--host", "127.0.0.1", "--port", "0", *self._options)
        self.fill()  # while the scheduler starts
        while not file.exists():
            assert self._scheduler.poll() is None
            time.sleep(0.05)
        import distributed

        self._client = distributed.Client(
            scheduler_file=str(file), timeout=60, set_as_default=False
        )
        self.address = self._client.scheduler.address

    def fill(self, count: int = 2) -> None:
        """Start as many workers as are missing, without waiting for them."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < count:
            self.workers.append(_start("worker", "--nthreads", "1", "--no-nanny", *self._options))

    def wait(self) -> None:
        """Wait until the scheduler knows all workers that are running, and no others."""
        end = time.monotonic() + 60
        while len(self._client.nthreads()) != len(self.workers):
            assert time.monotonic() < end
            time.sleep(0.05)

    def allow_deaths(self, count: int) -> None:
        """Let Dask give up what was with `count` workers when they died, and with one more."""
        self._client.run_on_scheduler(_set_allowed_failures, count)

    def kill(self, worker: subprocess.Popen) -> None:
        """Kill one of the workers."""
        worker.kill()
        worker.wait()

    def close(self) -> None:
        """End all processes."""
        self._client.close()
        for process in [self._scheduler, *self.workers]:
            process.kill()
            process.wait()


def _set_allowed_failures(count: int, dask_scheduler: Any) -> None:
    dask_scheduler.allowed_failures = count


def _start(*arguments: object) -> subprocess.Popen:
    code = "import sys; from dask.__main__ import main; sys.argv[0] = 'dask'; main()"
    tests = ROOT / "tests"
    path = os.pathsep.join(map(str, [ROOT, ROOT / "jobs", tests, tests / "jobs"]))
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        # The workers find what the tests define by its name.
        env=gudi_environment({"PYTHONPATH": path}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

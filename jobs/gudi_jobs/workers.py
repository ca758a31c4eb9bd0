"""The workers of a pool: their tasks, and waiting for all of them together."""

from __future__ import annotations

import contextlib
import functools
import selectors
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from gudi_jobs.process import WorkerProcess, kill
from gudi_jobs.worker import FUNCTION, ITEM

# Seconds between two checks for processes that have ended while another process that they have
# started keeps their socket open.
EXIT_INTERVAL = 1.0


@dataclass
class Task:
    """An item, and how many workers have died with it."""

    item: Any
    deaths: int = 0


class Worker(WorkerProcess):
    """A worker process and its tasks.

    Attributes:
        tasks: submitted and without a result, in this order. The process runs the first one.
        ready: it has loaded the function.
        problem: why it cannot be set up or load the function, or "".
        retiring: it takes no more tasks, and is replaced once it has finished those it has.
        ended: its process has ended.
        run_time: seconds that the first task has run, until `clock`.
        clock: when they were last counted, in seconds of `time.monotonic`.
    """

    def __init__(self, setup: bytes, *, quiet: bool) -> None:
        super().__init__(setup, quiet=quiet)
        self.tasks: deque[Task] = deque()
        self.ready, self.problem = False, ""
        self.retiring = self.ended = False
        self._function: bytes | None = None
        self.restart_clock()

    @property
    def is_available(self) -> bool:
        """Whether it takes more tasks."""
        return not (self.ended or self.retiring)

    @property
    def is_running(self) -> bool:
        """Whether it is running a task."""
        return self.ready and bool(self.tasks)

    def submit(self, task: Task, function: bytes, item: bytes) -> None:
        """Add `task` to what the next `flush` sends; `function` and `item` are pickled."""
        if self._function is not function:
            self._function, self.ready = function, False
            self.send(FUNCTION, function)
        self.send(ITEM, item)
        self.tasks.append(task)
        if len(self.tasks) == 1:
            self.restart_clock()

    def restart_clock(self) -> None:
        """Count the time of the first task from now on."""
        self.clock, self.run_time = time.monotonic(), 0.0

    def count_time(self, most: float) -> None:
        """Count the time since the last call for the first task, unless the process is suspended.

        Args:
            most: seconds to count at most. If it was longer, this process was suspended, probably
                with all others.
        """
        now = time.monotonic()
        if not self.is_suspended():
            self.run_time += min(now - self.clock, most)
        self.clock = now


class Workers:
    """Workers that are started and stopped one by one, and waited for together.

    Args:
        count: how many there should be.
        setup: the result of `pack_setup`.
        quiet: discard what the processes print.

    Attributes:
        running: those that have been started and not been stopped.
    """

    def __init__(self, count: int, setup: bytes, *, quiet: bool) -> None:
        self._setup, self._quiet = setup, quiet
        self.count, self.running = count, list[Worker]()
        self._last_check = time.monotonic()

    @functools.cached_property
    def _selector(self) -> selectors.BaseSelector:
        return selectors.DefaultSelector()

    def start(self) -> Worker:
        """Start one more worker, without waiting for it; raise `OSError` if the system cannot."""
        selector = self._selector
        worker = Worker(self._setup, quiet=self._quiet)
        self.running.append(worker)
        selector.register(worker.socket, selectors.EVENT_READ, worker)
        self._flush(worker)
        return worker

    def stop(self, workers: Collection[Worker]) -> None:
        """Kill the processes of `workers` and everything that they have started."""
        workers = [worker for worker in self.running if worker in workers]
        for worker in workers:
            with contextlib.suppress(KeyError, ValueError):  # an interruption has left it half done
                self._selector.unregister(worker.socket)
        kill(workers)
        self.running = [worker for worker in self.running if worker not in workers]

    def flush(self) -> None:
        """Send submitted tasks until the sockets are full; `wait` sends the rest."""
        for worker in self.running:
            if worker.unsent:
                self._flush(worker)

    def _flush(self, worker: Worker) -> None:
        worker.flush()
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.unsent else 0)
        self._selector.modify(worker.socket, events, worker)

    def wait(self, timeout: float) -> list[Worker]:
        """Send and receive; return the workers that have sent something or have ended, each once.

        Waits up to `timeout` seconds for one of them.
        """
        found = []
        for key, events in self._selector.select(timeout):
            worker = key.data
            if events & selectors.EVENT_WRITE:
                self._flush(worker)
            if events & selectors.EVENT_READ:
                worker.ended = not worker.receive()
                worker.restart_clock()  # results come in order: the task before has finished
                found.append(worker)
        return found + [worker for worker in self._exited() if worker not in found]

    def _exited(self) -> list[Worker]:
        """Return, once per `EXIT_INTERVAL`, workers that have ended with their socket open."""
        now, found = time.monotonic(), []
        if now - self._last_check >= EXIT_INTERVAL:
            self._last_check = now
            found = [w for w in self.running if w.has_exited() and not w.has_unread()]
        for worker in found:
            worker.ended = True
        return found

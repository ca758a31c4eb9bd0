"""The worker processes that a runner owns, and what each one has to do."""

from __future__ import annotations

import pickle
import selectors
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gudi_jobs.outcome import Outcome
from gudi_jobs.process import WorkerProcess, kill, pack_setup
from gudi_jobs.worker import ITEM, WORK

# Seconds between two checks for processes that have ended although their socket is still open:
# something that they had started holds it.
END_INTERVAL = 1.0


@dataclass
class Task:
    """An item, and how many workers have died with it."""

    item: Any
    attempts: int = 0


@dataclass(eq=False)
class Worker:
    """One worker process, and the items that it has been given.

    Attributes:
        process: runs the items.
        tasks: what it has been given and has not answered, in this order.
        held: how many of them, from the end, have not been sent yet.
        work: the pickled function that it calls with them.
        ready: it has loaded that function.
        problem: why it cannot do so, or "".
        since: when its first item started, in seconds of `time.monotonic`; None if none runs.
        used: seconds that this item could run, as far as `count_time` was told.
        retiring: it gets no more items, and is to be replaced when it has answered all.
        ended: the process has ended.
        writing: it is to be sent more when there is room for it.
    """

    process: WorkerProcess
    tasks: deque[Task] = field(default_factory=deque)
    held: int = 0
    work: bytes | None = None
    ready: bool = False
    problem: str = ""
    since: float | None = None
    used: float = 0.0
    retiring: bool = False
    ended: bool = False
    writing: bool = False

    @property
    def takes_items(self) -> bool:
        """Whether it may be given items."""
        return not (self.ended or self.retiring)

    @property
    def sent(self) -> int:
        """Number of items that have been sent to it and not been answered."""
        return len(self.tasks) - self.held

    def give(self, task: Task, work: bytes, item: bytes) -> None:
        """Add `task` to what is sent next; `work` and `item` are pickled."""
        if self.work is not work:
            self.work, self.ready = work, False
            self.process.send(WORK, work)
        self.process.send(ITEM, item)
        self.tasks.append(task)
        self.held += 1
        if len(self.tasks) == 1:
            self._restart_clock()

    def set_ready(self) -> None:
        """Note that the work is loaded. The time of the first item starts now."""
        self.ready = True
        self._restart_clock()

    def finish(self, answer: bytes) -> Outcome[Any, Any]:
        """Return the outcome of the first item. The time of the next one starts now."""
        task = self.tasks.popleft()
        self._restart_clock()
        try:
            return Outcome(task.item, *pickle.loads(answer))
        except Exception as error:
            problem = f"the result cannot be unpickled: {type(error).__name__}: {error}"
            return Outcome(task.item, error=RuntimeError(problem))

    def count_time(self, before: float, now: float, most: float) -> None:
        """Count the time between two moments of `time.monotonic` as that of the first item.

        Args:
            before, now: the moments.
            most: the most seconds to count. If it was longer, this process has been stopped, and
                probably all others with it.
        """
        if self.since is None:
            return
        since = max(self.since, self.process.heard)
        if since > before:
            self.used = 0.0
        if not self.process.is_stopped():
            self.used += min(now - max(since, before), most)

    def is_late(self, timeout: float) -> bool:
        """Tell whether the first item has run for more than `timeout` seconds.

        An answer that waits to be received is in time, however long it waits.
        """
        return self.since is not None and self.used > timeout and not self.process.has_news()

    def resident_memory(self) -> int:
        """Return the resident memory in bytes; 0 if no item is running."""
        if self.since is None or self.process.has_news():
            return 0
        return self.process.resident_memory()

    def _restart_clock(self) -> None:
        self.since = time.monotonic() if self.ready and self.tasks else None
        self.used = 0.0


class Crew:
    """Workers that are started and stopped one by one, and waited for together.

    Args:
        initializer: called as `initializer(*initargs)` in each process.
        initargs: arguments for `initializer`.
        quiet: discard what the processes print.

    Attributes:
        workers: those whose processes have been started and not been stopped.
    """

    def __init__(
        self, initializer: Callable[..., object] | None, initargs: tuple[Any, ...], quiet: bool
    ) -> None:
        self._initializer, self._initargs, self._quiet = initializer, initargs, quiet
        self.workers: list[Worker] = []
        self._selector: selectors.BaseSelector | None = None
        self._last_check = time.monotonic()

    def start(self) -> Worker:
        """Start one more worker, without waiting for it.

        Raises:
            OSError: the system cannot start it.
        """
        setup = pack_setup(self._initializer, self._initargs)
        worker = Worker(WorkerProcess(setup, quiet=self._quiet))
        self.workers.append(worker)
        self._selector = self._selector or selectors.DefaultSelector()
        self._selector.register(worker.process.socket, selectors.EVENT_READ, worker)
        self._watch(worker)
        return worker

    def stop(self, worker: Worker) -> None:
        """Kill the process of `worker` and everything that it started."""
        if worker in self.workers and self._selector is not None:
            self._selector.unregister(worker.process.socket)
            kill([worker.process])
            self.workers.remove(worker)

    def stop_all(self) -> None:
        """Kill all processes and everything that they started."""
        kill([worker.process for worker in self.workers])
        self.workers.clear()
        if self._selector is not None:
            self._selector.close()
            self._selector = None

    def flush(self, worker: Worker) -> None:
        """Send what `worker` has been given as far as there is room, and the rest later."""
        worker.held = 0
        worker.process.flush()
        self._watch(worker)

    def wait(self, timeout: float) -> list[Worker]:
        """Send and receive; return the workers that have sent something or have ended, each once.

        Args:
            timeout: seconds to wait for one of them.
        """
        for worker in self.workers:
            if worker.held:
                self.flush(worker)
        found = []
        for key, events in self._selector.select(timeout) if self._selector else ():
            worker = key.data
            if events & selectors.EVENT_WRITE:
                self.flush(worker)
            if events & selectors.EVENT_READ:
                worker.ended = not worker.process.receive()
                found.append(worker)
        return found + [worker for worker in self._silently_ended() if worker not in found]

    def _watch(self, worker: Worker) -> None:
        """Let `wait` notice when there is room to send the rest."""
        if self._selector is not None and worker.writing != worker.process.has_unsent:
            worker.writing = worker.process.has_unsent
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.writing else 0)
            self._selector.modify(worker.process.socket, events, worker)

    def _silently_ended(self) -> list[Worker]:
        """Return workers that have ended although their socket is still open."""
        now = time.monotonic()
        if now - self._last_check < END_INTERVAL:
            return []
        self._last_check = now
        found = []
        for worker in self.workers:
            process = worker.process
            if not worker.ended and process.has_ended() and not process.has_news():
                worker.ended = True
                found.append(worker)
        return found

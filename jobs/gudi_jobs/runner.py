"""A parallel runner that knows nothing about what it runs.

Each worker is a process of its own. It gets items through a socket and answers them one by one, in
the same order. So the item that a worker was running when it died is the first one that it has not
answered.
"""

from __future__ import annotations

import contextlib
import pickle
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from gudi_jobs.crew import END_INTERVAL, Crew, Task, Worker
from gudi_jobs.errors import JobError, TimedOut, TooMuchMemory, WorkerDied, WorkersUnavailable
from gudi_jobs.outcome import Item, Outcome, Value
from gudi_jobs.pace import Pace
from gudi_jobs.worker import ANSWER_AND_RETIRE, NOT_READY, READY, pack

# One item running and one waiting keep a worker busy while its last outcome is collected. More
# would only pile up after a slow item at the end of a run, when another worker has nothing to do.
QUEUE_DEPTH = 2

# Of quick items, a worker has as many as keep it busy for this many seconds, within limits: handing
# over several at a time costs less than one by one.
QUEUE_SECONDS, MAX_QUEUE_DEPTH = 0.05, 16

# A worker can die because of its neighbours (the system is out of memory) or of damage that an
# earlier item has left behind. An item is blamed when this many workers have died with it.
ATTEMPTS = 2

START_ATTEMPTS = 3  # per worker

MEMORY_INTERVAL = 0.2  # seconds between two checks of the workers' memory, if it is limited

# Seconds between two looks at which workers can run, if their time is limited; for short limits,
# this part of the limit.
TIME_INTERVAL, TIME_PART = 0.25, 0.2


def cpu_count() -> int:
    """Return how many CPUs this process may use, given its affinity and container limits."""
    # Workers import this module as well, and joblib takes as long to import as NumPy.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of /dev/shm if it is full: joblib's locks are not needed
        import joblib

    count: int = joblib.cpu_count()
    return count


class Workers:
    """Worker processes, to be used in a `with` block.

    Args:
        count: number of processes; by default one per CPU.
        timeout: seconds that one item may run; no limit by default. Time in which its process or
            this one is stopped, by Ctrl-Z or SIGSTOP, does not count.
        memory: bytes of resident memory that a process may have; no limit by default. A process
            that has more is killed, which ends its item.
        initializer: called as `initializer(*initargs)` in each process before its first item.
        initargs: arguments for `initializer`.
        quiet: discard what the processes print, including the stack dumps of dying ones.
    """

    def __init__(
        self,
        count: int | None = None,
        *,
        timeout: float | None = None,
        memory: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        quiet: bool = False,
    ) -> None:
        self.timeout, self.memory = timeout, memory
        self._count = count or cpu_count()
        self._crew = Crew(initializer, initargs, quiet)
        self._pace = Pace()
        self._failed_starts = 0  # in a row
        self._last_memory_check = self._last_time = time.monotonic()

    def __enter__(self) -> Workers:
        """Start the processes, without waiting for them."""
        try:
            with contextlib.suppress(OSError):  # `run` tries again, and reports it
                while len(self._crew.workers) < self._count:
                    self._crew.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill the processes and everything that they started."""
        self._crew.stop_all()

    def run(
        self, work: Callable[[Item], Value], items: Iterable[Item]
    ) -> Iterator[Outcome[Item, Value]]:
        """Yield an `Outcome` for each of `items`, in the order in which they finish.

        Items are taken from the iterable as workers become free, so that only a few per worker are
        under way: `QUEUE_DEPTH`, or up to `MAX_QUEUE_DEPTH` if they take only milliseconds. One run
        has to end before the next one starts. Closing the generator, or an exception in the thread
        that drives it (such as Ctrl-C), ends the run at once by killing the processes.

        Args:
            work: called as `work(item)` in a worker process.
            items: what to work on. Work and items must pickle.

        Raises:
            WorkersUnavailable: worker processes cannot be started, or cannot load `work`.
            TypeError, PicklingError: `work` does not pickle.
        """
        run = _Run(pack(work), iter(items))
        try:
            yield from self._hand_out(run)
            while any(worker.tasks for worker in self._crew.workers):
                self._pause()
                for worker in self._crew.wait(self._patience()):
                    yield from self._take(worker, run)
                yield from self._stop_excessive(run)
                yield from self._hand_out(run)
        except BaseException:
            self.close()
            raise

    def _hand_out(self, run: _Run) -> Iterator[Outcome[Any, Any]]:
        """Give the next items to the workers with the least to do.

        Yields:
            Outcomes of items that do not pickle.
        """
        depth = self._queue_depth()
        while self._has_room(depth) and (task := run.next_task()):
            try:
                item = pack(task.item)
            except Exception as error:
                yield Outcome(task.item, error=error)
                continue
            worker = self._least_busy()
            worker.give(task, run.work, item)
            # Otherwise it has enough to do until the next `wait`, which sends several at a time.
            if worker.sent <= depth // 2:
                self._crew.flush(worker)

    def _queue_depth(self) -> int:
        """Return how many items a worker should have."""
        return self._pace.items_within(QUEUE_SECONDS, QUEUE_DEPTH, MAX_QUEUE_DEPTH)

    def _pause(self) -> None:
        """Sleep while all workers have more than enough to do: then there is more to collect."""
        depth = self._queue_depth()
        least = min(len(worker.tasks) for worker in self._crew.workers)
        if depth > QUEUE_DEPTH and least > depth // 2:
            time.sleep(self._pace.seconds * depth / 4)

    def _has_room(self, depth: int) -> bool:
        """Tell whether a worker can take another item."""
        workers = self._crew.workers
        return len(workers) < self._count or any(
            len(worker.tasks) < depth for worker in workers if worker.takes_items
        )

    def _least_busy(self) -> Worker:
        """Return the worker with the least to do; start one if all are busy and one is missing."""
        free = [worker for worker in self._crew.workers if worker.takes_items]
        worker = min(free, key=lambda worker: len(worker.tasks), default=None)
        while worker is None or (worker.tasks and len(self._crew.workers) < self._count):
            try:
                return self._crew.start()
            except OSError as error:
                self._note_failed_start(str(error))
        return worker

    def _note_failed_start(self, cause: str) -> None:
        self._failed_starts += 1
        if self._failed_starts >= START_ATTEMPTS * self._count:
            raise WorkersUnavailable(f"worker processes do not start: {cause}")

    def _patience(self) -> float:
        """Return the seconds until something may have to be stopped."""
        waits = [END_INTERVAL if self.memory is None else MEMORY_INTERVAL]
        if self.timeout is not None and any(each.since is not None for each in self._crew.workers):
            waits.append(_time_interval(self.timeout))
        return min(waits)

    def _count_time(self, timeout: float) -> None:
        """Count the time since the last call as that of the running items."""
        before, now, interval = self._last_time, time.monotonic(), _time_interval(timeout)
        if now - before >= interval:
            self._last_time = now
            for worker in self._crew.workers:
                worker.count_time(before, now, 2 * interval)

    def _take(self, worker: Worker, run: _Run) -> Iterator[Outcome[Any, Any]]:
        """Yield the outcomes that `worker` has sent; take its items back if it has ended."""
        for kind, content in worker.process.messages():
            if kind == READY:
                self._failed_starts = 0
                worker.set_ready()
            elif kind == NOT_READY:
                worker.problem = pickle.loads(content)
            else:
                outcome = worker.finish(content)
                self._pace.note(outcome.seconds)
                worker.retiring |= kind == ANSWER_AND_RETIRE
                if worker.retiring and not worker.tasks:
                    self._crew.stop(worker)
                # First, because the caller may take a while.
                yield from self._hand_out(run)
                yield outcome
        if worker.ended:
            yield from self._take_back(worker, run)

    def _take_back(self, worker: Worker, run: _Run) -> Iterator[Outcome[Any, Any]]:
        """Queue the items of `worker`, which has ended, unless the first one is to blame."""
        cause = worker.problem or worker.process.cause_of_death()
        self._crew.stop(worker)
        run.again.extendleft(reversed(worker.tasks))
        if not worker.ready:
            if worker.tasks or worker.problem:
                self._note_failed_start(cause)
        elif worker.tasks:
            first = worker.tasks[0]
            first.attempts += 1
            if first.attempts >= ATTEMPTS:
                run.again.popleft()
                yield Outcome(first.item, error=WorkerDied(f"its worker process died ({cause})"))

    def _stop_excessive(self, run: _Run) -> Iterator[Outcome[Any, Any]]:
        """End the items that run too long or take too much memory."""
        excessive = self._excessive()
        for worker in excessive:
            self._crew.stop(worker)
            run.again.extend(list(worker.tasks)[1:])
        for worker, error in excessive.items():
            yield Outcome(worker.tasks[0].item, error=error)

    def _excessive(self) -> dict[Worker, JobError]:
        """Return the workers that have to be stopped, and why."""
        found: dict[Worker, JobError] = {}
        workers, now = self._crew.workers, time.monotonic()
        if self.memory is not None and now - self._last_memory_check >= MEMORY_INTERVAL:
            self._last_memory_check = now
            large = [worker for worker in workers if worker.resident_memory() > self.memory]
            limit = f"{self.memory // 2**20:,} MB"
            error = TooMuchMemory(f"stopped because it took more than {limit} of memory")
            found |= dict.fromkeys(large, error)
        if self.timeout is not None:
            self._count_time(self.timeout)
            late = [worker for worker in workers if worker.is_late(self.timeout)]
            found |= dict.fromkeys(late, TimedOut(f"stopped after {self.timeout:g} s"))
        return found


def _time_interval(timeout: float) -> float:
    """Return the seconds between two counts of the time of items that may run so long."""
    return min(TIME_INTERVAL, TIME_PART * timeout)


@dataclass
class _Run:
    """What one call of `Workers.run` works on.

    Attributes:
        work: the pickled function.
        source: gives the items.
        again: what has to be done once more, before more of `source`.
    """

    work: bytes
    source: Iterator[Any]
    again: deque[Task] = field(default_factory=deque)

    def next_task(self) -> Task | None:
        """Return what to do next; None if there is nothing at the moment."""
        if self.again:
            return self.again.popleft()
        for item in self.source:
            return Task(item)
        return None

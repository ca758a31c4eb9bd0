"""A pool of worker processes.

Each worker gets its items through a socket and returns their results one by one, in the same order.
So the item that a worker was running when it died is the first one without its last result.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from gudi_jobs.errors import WorkerDied, WorkersUnavailable
from gudi_jobs.limits import Limits
from gudi_jobs.moving_average import MovingAverage
from gudi_jobs.process import pack_setup
from gudi_jobs.result import Item, Result, Value
from gudi_jobs.worker import NOT_READY, PART, READY, RESULT_AND_RETIRE, pack
from gudi_jobs.workers import EXIT_INTERVAL, Task, Worker, Workers

# One running and one queued item keep a worker busy while its last result is collected. More would
# only wait behind a slow item at the end, while another worker is idle.
QUEUE_DEPTH = 2

# A worker's queue of quick items holds enough for this many seconds, up to a limit: sending several
# at a time is cheaper.
QUEUE_SECONDS, MAX_QUEUE_DEPTH = 0.05, 16

# A worker can die because of others (the system is out of memory) or of damage by an earlier item.
# An item has failed when this many workers have died with it.
MAX_DEATHS = 2

MAX_FAILED_STARTS = 3  # in a row, per worker


def cpu_count() -> int:
    """Return how many CPUs this process may use, given its affinity and container limits."""
    # joblib takes as long to import as NumPy, and programs import this module before that.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a full /dev/shm, which joblib's locks would need
        import joblib

    count: int = joblib.cpu_count()
    return count


class WorkerPool:
    """A pool of worker processes, to be used in a `with` block.

    Args:
        max_workers: number of processes; by default one per CPU. Those beyond are started when
            there is work for them.
        timeout: seconds that an item may run, or from one of its results to the next; no limit by
            default. Time in which its process or this one is suspended, by Ctrl-Z or SIGSTOP, does
            not count.
        memory_limit: bytes of resident memory that a process may have; no limit by default. A
            process that exceeds it is killed, and its item fails.
        initializer: called as `initializer(*initargs)` in each process before its first item.
        initargs: arguments for `initializer`.
        quiet: discard what the processes print, including the stack dumps of crashes.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        timeout: float | None = None,
        memory_limit: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        quiet: bool = False,
    ) -> None:
        self._limits = Limits(timeout, memory_limit)
        setup = pack_setup(initializer, initargs)
        self._workers = Workers(max_workers or cpu_count(), setup, quiet=quiet)

    def __enter__(self) -> WorkerPool:
        """Start processes, without waiting for them: more than one per CPU once there is work."""
        try:
            with contextlib.suppress(OSError):  # `map_unordered` tries again, and reports it
                for _ in range(min(self._workers.count, os.cpu_count() or 1)):
                    self._workers.start()
        except BaseException:
            self.terminate()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate()

    def terminate(self) -> None:
        """Kill the processes and everything that they have started."""
        self._workers.stop(self._workers.running)

    def count_threads(self) -> int:
        """Return how many items the pool can run at a time."""
        return self._workers.count

    def map_unordered(
        self, function: Callable[[Item], Value | Iterator[Value]], items: Iterable[Item]
    ) -> Iterator[Result[Item, Value]]:
        """Call `function` on each of `items`; yield a `Result` for each, as they finish.

        Items are taken from the iterable as workers become free: `QUEUE_DEPTH` per worker, or up to
        `MAX_QUEUE_DEPTH` if they take only milliseconds, are in progress, and the results of one
        worker wait for the caller. Only one call can be in progress. Closing the generator, or an
        exception in the thread that drives it (such as Ctrl-C), cancels the call at once by killing
        the processes.

        If `function` returns an iterator, each of its values arrives at once as a result, and then
        a last one without a value. If the worker dies in between, another one starts the item over.

        Args:
            function: called as `function(item)` in a worker process. It must pickle.
            items: what to call it on. An item that does not pickle fails.

        Raises:
            WorkersUnavailable: worker processes cannot be started, or cannot load `function`.
            TypeError, PicklingError: `function` does not pickle.
        """
        call = _Map(self._workers, self._limits, pack(function), iter(items))
        try:
            yield from call.results()
        except BaseException:
            self.terminate()
            raise


@dataclass
class _Map:
    """One call of `WorkerPool.map_unordered`.

    Attributes:
        workers: run the items.
        limits: what one item may take.
        function: pickled.
        items: the items.
        retries: tasks to run again, before more items.
        average: of the seconds per item.
        failed_starts: how many workers have failed to start since one was ready.
    """

    workers: Workers
    limits: Limits
    function: bytes
    items: Iterator[Any]
    retries: deque[Task] = field(default_factory=deque)
    average: MovingAverage = field(default_factory=MovingAverage)
    failed_starts: int = 0

    def results(self) -> Iterator[Result[Any, Any]]:
        """Yield the results of all items."""
        yield from self._submit()
        while any(worker.tasks for worker in self.workers.running):
            self._pause()
            for worker in self.workers.wait(min(EXIT_INTERVAL, self.limits.interval)):
                results = self._collect(worker)
                yield from self._submit()  # first, because the caller may take a while
                yield from results
            yield from self._stop_exceeding()
            yield from self._submit()

    def _submit(self) -> Iterator[Result[Any, Any]]:
        """Submit items to the workers with the fewest tasks until all have enough.

        Yields results of items that do not pickle.
        """
        depth = self._queue_depth()
        while self._has_room(depth) and (task := self._next_task()):
            try:
                item = pack(task.item)
            except Exception as error:
                yield Result(task.item, error=error)
            else:
                self._least_busy().submit(task, self.function, item)
        self.workers.flush()

    def _next_task(self) -> Task | None:
        """Return the next task; None if there is none at the moment."""
        if self.retries:
            return self.retries.popleft()
        for item in self.items:
            return Task(item)
        return None

    def _queue_depth(self) -> int:
        """Return how many tasks a worker should have."""
        return self.average.items_within(QUEUE_SECONDS, QUEUE_DEPTH, MAX_QUEUE_DEPTH)

    def _pause(self) -> None:
        """Sleep while all workers have plenty of tasks, to collect several results at a time."""
        depth = self._queue_depth()
        least = min(len(worker.tasks) for worker in self.workers.running)
        if depth > QUEUE_DEPTH and least > depth // 2:
            time.sleep(self.average.seconds * depth / 4)

    def _has_room(self, depth: int) -> bool:
        """Return whether a worker can take another task."""
        running = self.workers.running
        return len(running) < self.workers.count or any(
            len(worker.tasks) < depth for worker in running if worker.is_available
        )

    def _least_busy(self) -> Worker:
        """Return the worker with the fewest tasks; start one if all are busy and one is missing."""
        running = self.workers.running
        available = [worker for worker in running if worker.is_available]
        worker = min(available, key=lambda worker: len(worker.tasks), default=None)
        while worker is None or (worker.tasks and len(running) < self.workers.count):
            try:
                return self.workers.start()
            except OSError as error:
                self._count_failed_start(str(error))
        return worker

    def _count_failed_start(self, cause: str) -> None:
        self.failed_starts += 1
        if self.failed_starts >= MAX_FAILED_STARTS * self.workers.count:
            raise WorkersUnavailable(f"worker processes do not start: {cause}")

    def _collect(self, worker: Worker) -> list[Result[Any, Any]]:
        """Return the results that `worker` has sent; requeue its tasks if it has ended."""
        results: list[Result[Any, Any]] = []
        for kind, content in worker.messages():
            if kind == READY:
                self.failed_starts = 0
                worker.ready = True
            elif kind == NOT_READY:
                worker.problem = pickle.loads(content)
            elif kind == PART:
                results.append(Result.unpickle(worker.tasks[0].item, content, is_last=False))
            else:
                results.append(Result.unpickle(worker.tasks.popleft().item, content))
                self.average.add(results[-1].seconds)
                worker.retiring |= kind == RESULT_AND_RETIRE
        if worker.ended:
            results += self._requeue(worker)
        elif worker.retiring and not worker.tasks:
            self.workers.stop([worker])
        return results

    def _requeue(self, worker: Worker) -> list[Result[Any, Any]]:
        """Requeue the tasks of a worker that has ended; return the result of one that failed."""
        cause = worker.problem or worker.exit_cause()
        self.workers.stop([worker])
        self.retries.extendleft(reversed(worker.tasks))
        if not worker.ready:
            if worker.tasks or worker.problem:
                self._count_failed_start(cause)
        elif worker.tasks:
            first = worker.tasks[0]
            first.deaths += 1
            if first.deaths >= MAX_DEATHS:
                self.retries.popleft()
                error = WorkerDied(f"its worker process died ({cause})")
                return [Result(first.item, error=error)]
        return []

    def _stop_exceeding(self) -> list[Result[Any, Any]]:
        """Stop the items that exceed a limit, and return their results."""
        exceeded = self.limits.exceeded(self.workers.running)
        self.workers.stop(exceeded)
        for worker in exceeded:
            self.retries.extend(list(worker.tasks)[1:])
        return [Result(worker.tasks[0].item, error=error) for worker, error in exceeded.items()]

"""The workers of a Dask cluster, with the interface of `gudi_jobs.WorkerPool`.

If a worker dies, Dask runs its tasks on another one.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import importlib
import itertools
import logging
import pickle
import queue
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from typing import Any

from gudi_jobs.errors import WorkerDied, WorkersUnavailable
from gudi_jobs.moving_average import MovingAverage
from gudi_jobs.pool import cpu_count
from gudi_jobs.process import terminal_signals_blocked
from gudi_jobs.result import Item, Result, Value
from gudi_jobs.worker import TERMINAL_SIGNALS, call_pickled, pack

# Tasks in progress per thread of the cluster. Queued tasks hide the latency of the network.
QUEUE_DEPTH = 3

# Dask spends some milliseconds on each task, so quick items share one: as many as take this many
# seconds together, up to a limit.
TASK_SECONDS, MAX_TASK_ITEMS = 0.25, 64

CONNECT_TIMEOUT = 10  # seconds

# How long a call waits for workers if there are none, and how often it counts them, in seconds.
WORKERS_TIMEOUT, COUNT_INTERVAL = 60.0, 5.0

# Turns off monitoring for the dashboard, which would take up to 5% of two CPUs.
LOCAL_SETTINGS = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
}

# Loggers that have a level of their own.
LOGGERS = ("distributed", "distributed.client", "tornado.application")

# Items of one Dask task, each with its pickle.
_Task = list[tuple[Any, bytes]]


class ClusterPool:
    """A pool of the workers of a Dask cluster, to be used in a `with` block.

    Args:
        address: address of its scheduler, such as `tcp://10.0.0.1:8786`; None for a cluster of
            processes on this machine.
        max_workers: number of those processes; by default one per CPU.
        initializer: called as `initializer(*initargs)` in a worker before each task, so repeatedly.
        initargs: arguments for `initializer`.
        quiet: suppress what Dask logs.

    Raises:
        WorkersUnavailable: Dask is not installed, or no scheduler answers.
    """

    def __init__(
        self,
        address: str | None = None,
        max_workers: int | None = None,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        quiet: bool = True,
    ) -> None:
        self._dask = _import("distributed")
        self._setup = (initializer, initargs)
        level = logging.CRITICAL if quiet else logging.WARNING
        for name in LOGGERS:
            logging.getLogger(name).setLevel(level)
        self._local = None
        if address is None:
            self._local = self._start_local(max_workers or cpu_count(), level)
        try:
            self._client = self._dask.Client(
                self._local or address, timeout=CONNECT_TIMEOUT, set_as_default=False
            )
            if self._local is not None:
                self._client.run(_ignore_terminal)
            return
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            problem = _reason(error)
        if self._local is not None:
            self._local.close()
        # Outside the handler: its error would keep the incomplete client until the interpreter
        # exits, where the client prints an error.
        raise WorkersUnavailable(f"no Dask scheduler answers at {address}: {problem}")

    def _start_local(self, count: int, level: int) -> Any:
        """Start a cluster of processes on this machine."""
        with terminal_signals_blocked():
            resource_tracker.ensure_running()  # it removes semaphores after the processes end
        try:
            with _import("dask").config.set(LOCAL_SETTINGS):
                return self._dask.LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",  # any port, of this machine alone
                    scheduler_kwargs={"dashboard": False},
                    silence_logs=level,
                )
        except (OSError, RuntimeError) as error:
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, OSError):
                cause = cause.__cause__ or cause.__context__
            reason = _reason(cause or error)
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EROFS, errno.EACCES):
            reason += "; /dev/shm, where they share locks, must be writable and have room"
        raise WorkersUnavailable(f"the Dask workers do not start: {reason}")

    def __enter__(self) -> ClusterPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate()

    def terminate(self) -> None:
        """Disconnect from the cluster, which cancels unfinished items."""
        self._client.close()
        if self._local is not None:
            self._local.close()

    def count_threads(self) -> int:
        """Return how many items the cluster can run at a time."""
        return sum(self._client.nthreads().values())

    def run_on_workers(self, function: Callable[..., Value], *arguments: Any) -> dict[str, Value]:
        """Return what `function(*arguments)` returns on each worker, by address."""
        results: dict[str, Value] = self._client.run(function, *arguments)
        return results

    def map_unordered(
        self, function: Callable[[Item], Value | Iterator[Value]], items: Iterable[Item]
    ) -> Iterator[Result[Item, Value]]:
        """Yield a `Result` for each of `items`, as `gudi_jobs.WorkerPool.map_unordered` does.

        The values of an iterator arrive when it has ended.

        Raises:
            WorkersUnavailable: there are no workers, or the scheduler is gone.
        """
        call = _Map(self, self._client, self._dask, pack((self._setup, function)), iter(items))
        try:
            yield from call.results()
        except (OSError, self._dask.CancelledError) as error:
            raise WorkersUnavailable(f"the Dask scheduler has gone: {_reason(error)}") from error
        finally:
            if call.running:
                self._client.cancel(list(call.running), force=True)


@dataclass
class _Map:
    """One call of `ClusterPool.map_unordered`.

    Attributes:
        pool: the pool.
        client: its Dask client.
        dask: the package `distributed`.
        function: the initializer, its arguments and the function, pickled.
        items: the items.
        running: the tasks in progress, by their futures.
        finished: futures that are done.
        suspects: items of tasks that Dask has given up because several workers died with them. It
            blames every task that was queued at such a worker, so each item runs again alone.
        average: of the seconds per item.
        threads: how many the cluster had when they were last counted.
        counted: when that was, in seconds of `time.monotonic`.
    """

    pool: ClusterPool
    client: Any
    dask: Any
    function: bytes
    items: Iterator[Any]
    running: dict[Any, _Task] = field(default_factory=dict)
    finished: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    suspects: deque[tuple[Any, bytes]] = field(default_factory=deque)
    average: MovingAverage = field(default_factory=MovingAverage)
    threads: int = 0
    counted: float = 0.0

    def results(self) -> Iterator[Result[Any, Any]]:
        """Yield the results of all items."""
        while True:
            yield from self._submit_items()
            if self.running:
                yield from self._collect(self._next_finished())
            elif self.suspects:
                self._submit([self.suspects.popleft()])
                yield from self._collect(self._next_finished(), is_alone=True)
            else:
                return

    def _submit_items(self) -> Iterator[Result[Any, Any]]:
        """Submit items while the cluster has room; yield results of items that do not pickle."""
        room = QUEUE_DEPTH * self._count_threads()
        while len(self.running) < room:
            count = self.average.items_within(TASK_SECONDS, 1, MAX_TASK_ITEMS)
            items = list(itertools.islice(self.items, count))
            if not items:
                return
            task: _Task = []
            for item in items:
                try:
                    task.append((item, pack(item)))
                except Exception as error:
                    yield Result(item, error=error)
            if task:
                self._submit(task)

    def _submit(self, task: _Task) -> None:
        packed = [item for _, item in task]
        future = self.client.submit(_call_all, self.function, packed, pure=False)
        self.running[future] = task
        future.add_done_callback(self.finished.put)

    def _next_finished(self) -> Any:
        """Return the next finished future, as long as there are workers to finish one."""
        while True:
            try:
                return self.finished.get(timeout=COUNT_INTERVAL)
            except queue.Empty:
                self._wait_for_workers()

    def _collect(self, future: Any, *, is_alone: bool = False) -> Iterator[Result[Any, Any]]:
        """Yield the results of a finished task."""
        packed, error = self._task_result(future)
        task = self.running.pop(future)
        future.release()
        if isinstance(error, self.dask.KilledWorker):
            if not is_alone:
                self.suspects.extend(task)
                return
            error = WorkerDied("its worker process died each time, on several workers")
        if error is not None:
            yield from (Result(item, error=error) for item, _ in task)
        for (item, _), results in zip(task, packed):
            for each, is_last in results:
                result: Result[Any, Any] = Result.unpickle(item, each, is_last=is_last)
                if is_last:
                    self.average.add(result.seconds)
                yield result

    def _task_result(
        self, future: Any
    ) -> tuple[list[list[tuple[bytes, bool]]], BaseException | None]:
        """Return what the task of `future` has returned, and what it has raised."""
        while True:
            try:
                if future.status != "finished":
                    error: BaseException | None = future.exception(timeout=WORKERS_TIMEOUT)
                    if error is not None:
                        return [], error
                return future.result(timeout=WORKERS_TIMEOUT), None
            except (self.dask.TimeoutError, self.dask.KilledWorker):
                # The result was lost with its worker, and Dask runs the task again.
                self._wait_for_workers()

    def _count_threads(self) -> int:
        """Return how many items the cluster can run at a time, asking it only now and then."""
        now = time.monotonic()
        if not self.threads or now - self.counted > COUNT_INTERVAL:
            self.threads, self.counted = self.pool.count_threads(), now
            if not self.threads and not self.running:
                self.threads = self._wait_for_workers()
        return self.threads

    def _wait_for_workers(self) -> int:
        """Wait until there is a worker; return how many items they can run at a time."""
        end = time.monotonic() + WORKERS_TIMEOUT
        while not (threads := self.pool.count_threads()):
            if time.monotonic() > end:
                raise WorkersUnavailable(
                    f"the Dask cluster has no workers, and none came for {WORKERS_TIMEOUT:.0f} s"
                )
            time.sleep(0.2)
        return threads


def _import(name: str) -> Any:
    """Import a package of Dask, which has no types."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise WorkersUnavailable(
            "Dask's package distributed is not installed: pip install distributed"
        ) from None


def _ignore_terminal() -> None:
    """Leave the signals of the terminal to the parent; runs in a worker on this machine."""
    for number in TERMINAL_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _call_all(packed_function: bytes, items: list[bytes]) -> list[list[tuple[bytes, bool]]]:
    """Return the results of the function for each of `items`; runs in a worker of the cluster."""
    (initializer, arguments), function = _unpack(packed_function)
    if initializer is not None:
        initializer(*arguments)
    return [list(call_pickled(function, item)) for item in items]


@functools.lru_cache(maxsize=4)
def _unpack(packed_function: bytes) -> Any:
    return pickle.loads(packed_function)


def _reason(error: BaseException) -> str:
    """Return the first line of the message of `error`, or its type if it has none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__

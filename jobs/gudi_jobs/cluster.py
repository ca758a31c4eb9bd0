"""The workers of a Dask cluster, with the interface of `gudi_jobs.Workers`.

If a worker dies, Dask runs what it was given on another one.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import importlib
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
from gudi_jobs.outcome import Item, Outcome, Value
from gudi_jobs.pace import Pace
from gudi_jobs.process import terminal_signals_blocked
from gudi_jobs.runner import cpu_count
from gudi_jobs.worker import TERMINAL_SIGNALS, answer, pack

# Tasks under way per thread of the cluster: while some wait at a worker, the network takes no time.
QUEUE_DEPTH = 3

# Dask spends some milliseconds on each task. So quick items share one, as many as take this many
# seconds together, up to a limit.
TASK_SECONDS, MAX_TASK_ITEMS = 0.25, 64

CONNECT_TIMEOUT = 10  # seconds

# How long a run waits for workers if there are none, and how often it counts them, in seconds.
WORKERS_TIMEOUT, COUNT_INTERVAL = 60.0, 5.0

# What Dask records on this machine takes up to 5% of two CPUs, and nobody looks at it.
LOCAL_SETTINGS = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
}

# Loggers that have a level of their own.
LOGGERS = ("distributed", "distributed.client", "tornado.application")


class Cluster:
    """Workers of a Dask cluster, to be used in a `with` block.

    Args:
        address: address of its scheduler, such as `tcp://10.0.0.1:8786`; None for a cluster of
            processes on this machine.
        count: number of those processes; by default one per CPU.
        initializer: called as `initializer(*initargs)` in a worker, again and again before items.
        initargs: arguments for `initializer`.
        quiet: suppress what Dask logs.

    Raises:
        WorkersUnavailable: the package is missing, or no scheduler answers.
    """

    def __init__(
        self,
        address: str | None = None,
        count: int | None = None,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        quiet: bool = True,
    ) -> None:
        self._dask = _import("distributed")
        self._setup = (initializer, initargs)
        self._pace = Pace()
        level = logging.CRITICAL if quiet else logging.WARNING
        for name in LOGGERS:
            logging.getLogger(name).setLevel(level)
        self._local = None
        if address is None:
            with terminal_signals_blocked():
                resource_tracker.ensure_running()  # it removes semaphores after the processes end
            with _import("dask").config.set(LOCAL_SETTINGS):
                self._local = self._start_local(count or cpu_count(), level)
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
        # Outside the handler, whose error would keep the incomplete client until the interpreter
        # exits, when it can only complain.
        raise WorkersUnavailable(f"no Dask scheduler answers at {address}: {problem}")

    def _start_local(self, count: int, level: int) -> Any:
        """Start a cluster of processes on this machine."""
        try:
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

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster; what it has not finished is dropped."""
        self._client.close()
        if self._local is not None:
            self._local.close()

    def everywhere(self, function: Callable[..., Value], *arguments: Any) -> dict[str, Value]:
        """Return what `function(*arguments)` returns on each worker, by address."""
        results: dict[str, Value] = self._client.run(function, *arguments)
        return results

    def run(
        self, work: Callable[[Item], Value], items: Iterable[Item]
    ) -> Iterator[Outcome[Item, Value]]:
        """Yield an `Outcome` for each of `items`, as `gudi_jobs.Workers.run` does.

        Raises:
            WorkersUnavailable: there are no workers, or the scheduler has gone.
        """
        run = _ClusterRun(pack((self._setup, work)), iter(items))
        try:
            while True:
                yield from self._submit(run)
                if not run.running:
                    return
                future = self._next_finished(run)
                yield from self._fetch(future, run)
                future.release()
        except (OSError, self._dask.CancelledError) as error:
            raise WorkersUnavailable(f"the Dask scheduler has gone: {_reason(error)}") from error
        finally:
            if run.running:
                self._client.cancel(list(run.running), force=True)

    def _submit(self, run: _ClusterRun) -> Iterator[Outcome[Any, Any]]:
        """Submit tasks as long as the cluster has room for them.

        Yields:
            Outcomes of items that do not pickle.
        """
        room = QUEUE_DEPTH * self._count_threads(run)
        while len(run.running) < room and not run.is_alone:
            most = self._pace.items_within(TASK_SECONDS, 1, MAX_TASK_ITEMS)
            task, unusable = run.next_task(most)
            yield from unusable
            if not task and not unusable:
                return
            if not task:
                continue
            packed = [item for _, item in task]
            future = self._client.submit(_answer_all, run.work, packed, pure=False)
            run.running[future] = task
            future.add_done_callback(run.finished.put)

    def _next_finished(self, run: _ClusterRun) -> Any:
        """Return the next finished future, as long as there are workers to finish one."""
        while True:
            try:
                return run.finished.get(timeout=COUNT_INTERVAL)
            except queue.Empty:
                self._wait_for_workers()

    def _fetch(self, future: Any, run: _ClusterRun) -> Iterator[Outcome[Any, Any]]:
        """Yield the outcomes of the task that has finished as `future`."""
        answers, error = self._result(future)
        task, was_alone = run.running.pop(future), run.is_alone
        run.is_alone = False
        if isinstance(error, self._dask.KilledWorker):
            if not was_alone:
                run.suspects.extend(task)
                return
            error = WorkerDied("its worker process died each time, on several workers")
        if error is not None:
            yield from (Outcome(item, error=error) for item, _ in task)
        for (item, _), packed in zip(task, answers):
            outcome = _outcome(item, packed)
            self._pace.note(outcome.seconds)
            yield outcome

    def _result(self, future: Any) -> tuple[list[bytes], BaseException | None]:
        """Return what the task of `future` has returned, and what it has raised."""
        while True:
            try:
                if future.status != "finished":
                    error: BaseException | None = future.exception(timeout=WORKERS_TIMEOUT)
                    if error is not None:
                        return [], error
                return future.result(timeout=WORKERS_TIMEOUT), None
            except (self._dask.TimeoutError, self._dask.KilledWorker):
                # The result was lost with the worker that had it, and is computed again.
                self._wait_for_workers()

    def _count_threads(self, run: _ClusterRun) -> int:
        """Return how many items the cluster can work on at a time, not asking it too often."""
        now = time.monotonic()
        if not run.threads or now - run.counted > COUNT_INTERVAL:
            run.threads, run.counted = self.count_threads(), now
            if not run.threads and not run.running:
                run.threads = self._wait_for_workers()
        return run.threads

    def count_threads(self) -> int:
        """Return how many items the cluster can work on at a time."""
        return sum(self._client.nthreads().values())

    def _wait_for_workers(self) -> int:
        """Wait until there is a worker; return how many items they can work on at a time."""
        end = time.monotonic() + WORKERS_TIMEOUT
        while not (threads := self.count_threads()):
            if time.monotonic() > end:
                raise WorkersUnavailable(
                    f"the Dask cluster has no workers, and none came for {WORKERS_TIMEOUT:.0f} s"
                )
            time.sleep(0.2)
        return threads


# Items of one Dask task, each with its pickle.
_Task = list[tuple[Any, bytes]]


@dataclass
class _ClusterRun:
    """What one call of `Cluster.run` works on.

    Dask blames everything that a worker had waiting when it died. So what it blames is a suspect,
    and runs again alone when everything else is finished: then there is only one to blame.

    Attributes:
        work: the pickled initializer, its arguments and the function.
        source: gives the items.
        suspects: items whose workers have died, maybe because of others.
        is_alone: one of them is running.
        running: the tasks under way, by their futures.
        finished: futures that are done.
        threads: how many the cluster had when they were last counted.
        counted: when that was, in seconds of `time.monotonic`.
    """

    work: bytes
    source: Iterator[Any]
    suspects: deque[tuple[Any, bytes]] = field(default_factory=deque)
    is_alone: bool = False
    running: dict[Any, _Task] = field(default_factory=dict)
    finished: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    threads: int = 0
    counted: float = 0.0

    def next_task(self, most: int) -> tuple[_Task, list[Outcome[Any, Any]]]:
        """Return at most `most` items to do next, and outcomes of items that do not pickle."""
        task: _Task = []
        unusable: list[Outcome[Any, Any]] = []
        for _, item in zip(range(most), self.source):
            try:
                task.append((item, pack(item)))
            except Exception as error:
                unusable.append(Outcome(item, error=error))
        if not task and self.suspects and not self.running:
            self.is_alone = True
            task.append(self.suspects.popleft())
        return task, unusable


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


def _answer_all(packed_work: bytes, items: list[bytes]) -> list[bytes]:
    """Run the work on each of `items`, in a worker of the cluster."""
    (initializer, arguments), work = _unpack(packed_work)
    if initializer is not None:
        initializer(*arguments)
    return [answer(work, item) for item in items]


@functools.lru_cache(maxsize=4)
def _unpack(packed_work: bytes) -> Any:
    return pickle.loads(packed_work)


def _outcome(item: Any, packed: bytes) -> Outcome[Any, Any]:
    return Outcome(item, *pickle.loads(packed))


def _reason(error: BaseException) -> str:
    """Return the first line of the message of `error`, or its type if it has none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__

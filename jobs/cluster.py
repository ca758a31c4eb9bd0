"""The workers of a Dask cluster, with the interface of `jobs.Workers`.

Dask itself runs what a worker that went away had been given on another one.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jobs.errors import WorkerDied, WorkersUnavailable
from jobs.outcome import Outcome
from jobs.runner import cpu_count
from jobs.worker import call

# Items under way for each thread of the cluster: what waits at a worker hides the network.
QUEUE_DEPTH = 3

CONNECT_TIMEOUT = 10  # seconds

# A run waits so long for workers where there are none, in seconds, and looks so often.
WORKERS_TIMEOUT, LOOK_INTERVAL = 60.0, 5.0

# Those that have a level of their own.
LOGGERS = ("distributed", "distributed.client", "tornado.application")


class Cluster:
    """Workers of a Dask cluster, to be used in a `with` block.

    Args:
        address: of its scheduler, such as `tcp://10.0.0.1:8786`; None for a cluster of processes
            on this machine.
        count: number of those processes; all processors by default.
        initializer: called as `initializer(*initargs)` before each item.
        initargs: arguments for `initializer`.
        quiet: keep back what Dask logs.

    Raises:
        WorkersUnavailable: the package is missing, or nobody answers.
    """

    def __init__(
        self,
        address: str | None = None,
        count: int | None = None,
        *,
        initializer: Callable[..., None] | None = None,
        initargs: tuple = (),
        quiet: bool = True,
    ) -> None:
        try:
            from distributed import Client, LocalCluster
        except ImportError:
            raise WorkersUnavailable(
                "Dask's package distributed is not there: pip install 'gudi[dask]'"
            ) from None
        level = logging.CRITICAL if quiet else logging.WARNING
        for name in LOGGERS:
            logging.getLogger(name).setLevel(level)
        self._setup, self._local = (initializer, initargs), None
        if address is None:
            self._local = LocalCluster(
                n_workers=count or cpu_count(),
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs=level,
            )
        try:
            place = self._local or address
            self._client = Client(place, timeout=CONNECT_TIMEOUT, set_as_default=False)
            if self._local is not None:
                self._client.run(_ignore_interrupt)
            return
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            problem = _reason(error)
        if self._local is not None:
            self._local.close()
        # Not from within the handler: the error would keep the half-made client to the very end,
        # when it can only complain.
        raise WorkersUnavailable(f"no Dask scheduler answers at {address}: {problem}")

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster; what it has not finished is dropped."""
        self._client.close()
        if self._local is not None:
            self._local.close()

    def everywhere(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Return what `function(*arguments)` gives on each worker, by its address."""
        return self._client.run(function, *arguments)

    def run(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Outcome]:
        """Yield an `Outcome` for each of `items`, as `jobs.Workers.run` does.

        Raises:
            WorkersUnavailable: there are no workers, or the scheduler went away.
        """
        from distributed import CancelledError

        source, running = iter(items), {}
        finished: queue.SimpleQueue = queue.SimpleQueue()
        try:
            while True:
                for item in self._some(source, len(running)):
                    future = self._client.submit(_run, self._setup, work, item, pure=False)
                    running[future] = item
                    future.add_done_callback(finished.put)
                if not running:
                    return
                future = self._next(finished)
                yield self._outcome(running.pop(future), future)
                future.release()
        except (OSError, CancelledError) as error:
            raise WorkersUnavailable(f"the Dask scheduler is gone: {_reason(error)}") from error
        finally:
            if running:
                self._client.cancel(list(running), force=True)

    def _some(self, source: Iterator[Any], running: int) -> Iterator[Any]:
        """Yield items as far as the cluster has room for them now."""
        threads = self._threads()
        if not threads and not running:
            threads = self._wait_for_workers()
        for _, item in zip(range(QUEUE_DEPTH * threads - running), source):
            yield item

    def _next(self, finished: queue.SimpleQueue) -> Any:
        """Return the next future that is finished, while there are workers to finish one."""
        while True:
            try:
                return finished.get(timeout=LOOK_INTERVAL)
            except queue.Empty:
                self._wait_for_workers()

    def _outcome(self, item: Any, future: Any) -> Outcome:
        """Fetch how `item` ended."""
        from distributed import KilledWorker, TimeoutError

        while True:
            try:
                error = future.exception(timeout=WORKERS_TIMEOUT)
                if error is None:
                    return Outcome(item, *future.result(timeout=WORKERS_TIMEOUT))
            except (TimeoutError, KilledWorker):
                # What was done went away with the worker that had done it, and is done again.
                self._wait_for_workers()
                continue
            if isinstance(error, KilledWorker):
                error = WorkerDied("its worker process died each time, on several workers")
            return Outcome(item, error=error)

    def _threads(self) -> int:
        """Return how many items the cluster can work on at a time."""
        return sum(self._client.nthreads().values())

    def _wait_for_workers(self) -> int:
        """Wait until there is a worker; return how many items they can work on at a time."""
        ends = time.monotonic() + WORKERS_TIMEOUT
        while not (threads := self._threads()):
            if time.monotonic() > ends:
                raise WorkersUnavailable(
                    f"the Dask cluster has no workers, and none came for {WORKERS_TIMEOUT:.0f} s"
                )
            time.sleep(0.2)
        return threads


def _ignore_interrupt() -> None:
    """Leave Ctrl-C to the parent; runs in a worker of this machine."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run(
    setup: tuple[Callable[..., None] | None, tuple], work: Callable[[Any], Any], item: Any
) -> tuple[Any, BaseException | None, float]:
    """Run `work` on a worker of the cluster."""
    initializer, arguments = setup
    if initializer is not None:
        initializer(*arguments)
    return call(work, item)


def _reason(error: BaseException) -> str:
    """Return the first line of what `error` says, or its name where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__

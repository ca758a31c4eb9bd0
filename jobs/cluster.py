"""The workers of a Dask cluster, with the interface of `jobs.Workers`.

Dask itself runs what a worker that went away had been given on another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jobs.errors import WorkerDied, WorkersUnavailable
from jobs.runner import Outcome, call, cpu_count

# Items under way for each thread of the cluster: what waits at a worker hides the network.
QUEUE_DEPTH = 3

CONNECT_TIMEOUT = 10  # seconds


class Cluster:
    """Workers of a Dask cluster, to be used in a `with` block.

    Args:
        address: of its scheduler, such as `tcp://10.0.0.1:8786`; None for a cluster of processes
            on this machine.
        count: number of those processes; all processors by default.
        initializer: called as `initializer(*initargs)` before each item.
        initargs: arguments for `initializer`.

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
    ) -> None:
        try:
            from distributed import Client, LocalCluster
        except ImportError:
            raise WorkersUnavailable(
                "Dask's package distributed is not there: pip install 'gudi[dask]'"
            ) from None
        self._setup, self._local = (initializer, initargs), None
        if address is None:
            self._local = LocalCluster(
                n_workers=count or cpu_count(), threads_per_worker=1, dashboard_address=None
            )
        try:
            place = self._local or address
            self._client = Client(place, timeout=CONNECT_TIMEOUT, set_as_default=False)
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            raise WorkersUnavailable(f"no Dask scheduler answers at {address}: {error}") from error

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
        from distributed import CancelledError, as_completed

        source, running = iter(items), {}
        finished = as_completed(loop=self._client.loop)
        try:
            while True:
                for item in self._some(source, len(running)):
                    future = self._client.submit(_run, self._setup, work, item, pure=False)
                    running[future] = item
                    finished.add(future)
                if not running:
                    return
                future = next(finished)
                yield _outcome(running.pop(future), future)
                future.release()
        except (OSError, CancelledError) as error:
            raise WorkersUnavailable(f"the Dask scheduler is gone: {error}") from error
        finally:
            if running:
                self._client.cancel(list(running), force=True)

    def _some(self, source: Iterator[Any], running: int) -> Iterator[Any]:
        """Yield items as far as the cluster has room for them now."""
        threads = sum(self._client.nthreads().values())
        if not threads and not running:
            self._client.wait_for_workers(1, timeout=CONNECT_TIMEOUT)
            threads = sum(self._client.nthreads().values())
        for _, item in zip(range(QUEUE_DEPTH * threads - running), source):
            yield item


def _run(
    setup: tuple[Callable[..., None] | None, tuple], work: Callable[[Any], Any], item: Any
) -> tuple[Any, BaseException | None, float]:
    """Run `work` on a worker of the cluster."""
    initializer, arguments = setup
    if initializer is not None:
        initializer(*arguments)
    return call(work, item)


def _outcome(item: Any, future: Any) -> Outcome:
    from distributed import KilledWorker

    error = future.exception()
    if error is None:
        return Outcome(item, *future.result())
    if isinstance(error, KilledWorker):
        error = WorkerDied("its worker process died each time, on several workers")
    return Outcome(item, error=error)

"""A parallel runner that knows nothing of what it runs.

Each worker is a loky executor with a single process. An executor that breaks then takes no other
worker with it, and since a lone process takes its items first in, first out, the item it was
running is known without any bookkeeping inside the process.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import re
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import joblib
import psutil
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool

from jobs.errors import TimedOut, WorkerDied, WorkersUnavailable

# One item running and one waiting keep a worker busy while its last outcome is collected. More
# would only pile up behind a slow item at the end of a run, when another worker has nothing to do.
QUEUE_DEPTH = 2

# A worker can die of its neighbours (the system is out of memory) or of damage that an earlier
# item left behind. An item is blamed when it has been there both times.
ATTEMPTS = 2

START_ATTEMPTS = 3


@dataclass(frozen=True)
class Outcome:
    """How one item ended.

    Attributes:
        item: the item as it was given.
        value: what the work returned; None where it failed.
        error: None, or what ended the item: the exception that the work raised, `WorkerDied` or
            `TimedOut`.
    """

    item: Any
    value: Any = None
    error: BaseException | None = None


@dataclass
class _Task:
    item: Any
    attempts: int = 0


def cpu_count() -> int:
    """Return how many processors this process may use (affinity and container limits counted)."""
    return joblib.cpu_count()


def run(
    work: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    workers: int | None = None,
    timeout: float | None = None,
    initializer: Callable[..., None] | None = None,
    initargs: tuple = (),
    quiet: bool = False,
) -> Iterator[Outcome]:
    """Yield an `Outcome` for each of `items`, in the order in which they finish.

    Items are taken from the iterable as workers become free, so at most `workers` ×
    `QUEUE_DEPTH` of them are under way at a time. Closing the generator, or an exception in the
    thread that drives it (Ctrl-C among them), kills the workers and whatever they started.

    Args:
        work: called as `work(item)` in a worker process; a function that pickles by reference,
            or a `functools.partial` of one.
        items: what to work on; each must pickle.
        workers: number of worker processes; all processors by default.
        timeout: seconds that one item may run; no limit by default.
        initializer: called as `initializer(*initargs)` in each worker before its first item.
        initargs: arguments for `initializer`.
        quiet: throw away what workers print, the stack dumps of dying ones included.

    Raises:
        WorkersUnavailable: worker processes end before they have taken an item.
    """
    workers = workers or cpu_count()
    # loky replaces a worker whose memory has grown by 300 MB and warns of it. Nothing is lost and
    # a person who runs a folder of large files can do nothing about it.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
    finished: queue.SimpleQueue = queue.SimpleQueue()
    crew = [
        _Worker(work, finished, (os.getpid(), quiet, initializer, initargs))
        for _ in range(workers)
    ]
    source = iter(items)
    again: deque[_Task] = deque()
    try:
        while True:
            _hand_out(crew, source, again)
            if not any(worker.tasks for worker in crew):
                return
            for worker in crew:
                if timeout is not None and worker.late(timeout):
                    task, *others = worker.stop()
                    again.extend(others)
                    yield Outcome(task.item, error=TimedOut(f"stopped after {timeout:g} s"))
            try:
                worker, future = finished.get(timeout=_patience(crew, timeout))
            except queue.Empty:
                continue
            yield from _settle(worker, future, again)
    finally:
        for worker in crew:
            worker.stop()


def _hand_out(crew: list[_Worker], source: Iterator[Any], again: deque[_Task]) -> None:
    """Give the next items to the workers with the least to do."""
    while True:
        worker = min(crew, key=lambda worker: len(worker.tasks))
        if len(worker.tasks) >= QUEUE_DEPTH:
            return
        if again:
            task = again.popleft()
        else:
            try:
                task = _Task(next(source))
            except StopIteration:
                return
        worker.submit(task)


def _settle(worker: _Worker, future: Any, again: deque[_Task]) -> Iterator[Outcome]:
    """Turn one finished future into outcomes; put what has to be run again into `again`."""
    if future is worker.started:
        if future.exception() is None:
            worker.ready()
        else:
            again.extend(worker.stop())
            worker.could_not_start(future.exception())
    elif future in worker.tasks:
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            task, *others = worker.stop()
            again.extendleft(reversed(others))
            task.attempts += 1
            if task.attempts < ATTEMPTS:
                again.appendleft(task)
            else:
                yield Outcome(task.item, error=WorkerDied(_cause(error)))
        else:
            task = worker.finish(future)
            if error is None:
                value, error = future.result()
                yield Outcome(task.item, value, error)
            else:
                yield Outcome(task.item, error=error)
    # Any other future belongs to a process that is gone; its item is already dealt with.


def _patience(crew: list[_Worker], timeout: float | None) -> float | None:
    """Return the seconds until the first running item has had its time, None for ever."""
    since = [worker.since for worker in crew if worker.since is not None]
    if timeout is None or not since:
        return None
    return max(0.0, min(since) + timeout - time.monotonic()) + 0.01


def _cause(error: BaseException) -> str:
    """Return how a process ended, as far as loky knows: `SIGSEGV(-11)`, say."""
    codes = re.search(r"exit codes? of the workers? (?:are|is) \{(.*)\}", str(error))
    return f"its worker process died ({codes[1] if codes else 'no exit code'})"


@dataclass(eq=False)
class _Worker:
    """One worker process, started when it is first given something to do."""

    work: Callable[[Any], Any]
    finished: queue.SimpleQueue
    setup: tuple
    executor: ProcessPoolExecutor | None = None
    started: Any = None
    since: float | None = None
    start_failures: int = 0
    tasks: dict[Any, _Task] = field(default_factory=dict)

    def submit(self, task: _Task) -> None:
        """Queue `task`, in a new process where there is none or the old one has gone."""
        if self.executor is not None:
            try:
                self._queue(task)
                return
            except BrokenProcessPool:
                # It died with nothing to do; what it had been given is finished.
                waiting = self.stop()
        else:
            waiting = []
        self._start()
        for each in [*waiting, task]:
            self._queue(each)

    def ready(self) -> None:
        """Note that the process is up: from now on the clock of its first item runs."""
        self.start_failures = 0
        self.since = time.monotonic() if self.tasks else None

    def finish(self, future: Any) -> _Task:
        """Take the task of `future` off the queue; the clock of the next one starts."""
        task = self.tasks.pop(future)
        self.since = time.monotonic() if self.tasks else None
        return task

    def late(self, timeout: float) -> bool:
        """Tell whether the item that is running has had its time.

        One whose future is done but not yet settled is only waiting for the caller of `run`.
        """
        if self.since is None or time.monotonic() - self.since <= timeout:
            return False
        return not next(iter(self.tasks)).done()

    def stop(self) -> list[_Task]:
        """Kill the process and all that it started; return what it had not finished."""
        if self.executor is not None:
            self.executor.shutdown(wait=True, kill_workers=True)
        unfinished = list(self.tasks.values())
        self.executor = self.started = self.since = None
        self.tasks.clear()
        return unfinished

    def could_not_start(self, error: BaseException) -> None:
        self.start_failures += 1
        if self.start_failures >= START_ATTEMPTS:
            cause = error.__cause__ or error
            raise WorkersUnavailable(f"worker processes do not start: {cause}") from error

    def _start(self) -> None:
        with _interrupts_held_back():
            self.executor = ProcessPoolExecutor(
                max_workers=1, initializer=_set_up, initargs=self.setup
            )
            self.started = self.executor.submit(os.getpid)
        self.started.add_done_callback(self._report)

    def _queue(self, task: _Task) -> None:
        future = self.executor.submit(_call, self.work, task.item)
        if not self.tasks and self.started.done():
            self.since = time.monotonic()
        self.tasks[future] = task
        future.add_done_callback(self._report)

    def _report(self, future: Any) -> None:
        self.finished.put((self, future))


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Keep Ctrl-C from processes started inside: it is the parent's to handle.

    The terminal sends SIGINT to the whole process group. A child inherits the blocked mask and so
    does not die with a traceback in the middle of its imports; the parent gets a signal that
    came in the meantime when the mask is lifted.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _set_up(
    parent: int, quiet: bool, initializer: Callable[..., None] | None, initargs: tuple
) -> None:
    """Prepare a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if quiet:
        # The descriptors, not sys.stderr: C libraries and faulthandler write there too.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()
    if initializer is not None:
        initializer(*initargs)


def _exit_with(parent: int) -> None:
    """End this process when `parent` has ended, however it ended (kill -9 leaves no time)."""
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(parent).wait()
    os._exit(1)


def _call(work: Callable[[Any], Any], item: Any) -> tuple[Any, BaseException | None]:
    """Run `work` in the worker; return its value, or its exception in a form that travels."""
    try:
        return work(item), None
    except BaseException as error:
        return None, _portable(error)


def _portable(error: BaseException) -> BaseException:
    """Return `error`, or one that says the same where `error` does not survive pickling.

    An exception that cannot be unpickled would break the executor in the parent.
    """
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")

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
from multiprocessing import resource_tracker
from typing import Any, Generic, TypeVar

import joblib
import psutil
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import resource_tracker as loky_resource_tracker
from joblib.externals.loky.process_executor import BrokenProcessPool

from jobs.errors import TimedOut, TooMuchMemory, WorkerDied, WorkersUnavailable

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")

# One item running and one waiting keep a worker busy while its last outcome is collected. More
# would only pile up behind a slow item at the end of a run, when another worker has nothing to do.
QUEUE_DEPTH = 2

# A worker can die of its neighbours (the system is out of memory) or of damage that an earlier
# item left behind. An item is blamed when it has been there both times.
ATTEMPTS = 2

START_ATTEMPTS = 3

# joblib loads NumPy, whose OpenBLAS makes a thread for each processor. Workers are as many as there
# are processors already, and start in three quarters of the time without.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}

# Where workers' memory is limited it is looked at so often, in seconds.
LOOK_EVERY = 0.2

# It is seen so often whether a worker has died in the middle of an outcome, in seconds.
UNBLOCK_EVERY = 1.0


@dataclass(frozen=True)
class Outcome(Generic[_Item, _Value]):
    """How one item ended.

    Attributes:
        item: the item as it was given.
        value: what the work returned; None where it failed.
        error: None, or what ended the item: the exception that the work raised, `WorkerDied` or
            `TimedOut`.
        seconds: that the work took in the worker; 0 where it did not come to its end.
    """

    item: _Item
    value: _Value | None = None
    error: BaseException | None = None
    seconds: float = 0.0


@dataclass
class _Task:
    work: Callable[[Any], Any]
    item: Any
    attempts: int = 0


def cpu_count() -> int:
    """Return how many processors this process may use (affinity and container limits counted)."""
    return joblib.cpu_count()


class Workers:
    """Worker processes, to be used in a `with` block.

    Args:
        count: number of processes; all processors by default.
        timeout: seconds that one item may run; no limit by default.
        memory: bytes of resident memory that a process may have; no limit by default. One that has
            more is ended, and so is its item.
        initializer: called as `initializer(*initargs)` in each process before its first item.
        initargs: arguments for `initializer`.
        quiet: throw away what the processes print, the stack dumps of dying ones included.
    """

    def __init__(
        self,
        count: int | None = None,
        *,
        timeout: float | None = None,
        memory: int | None = None,
        initializer: Callable[..., None] | None = None,
        initargs: tuple = (),
        quiet: bool = False,
    ) -> None:
        # loky replaces a worker whose memory has grown by 300 MB and warns of it. Nothing is lost
        # and a person who runs a folder of large files can do nothing about it.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        self.timeout, self.memory = timeout, memory
        self._finished: queue.SimpleQueue = queue.SimpleQueue()
        setup = (os.getpid(), quiet, initializer, initargs)
        self._crew = [_Worker(self._finished, setup) for _ in range(count or cpu_count())]

    def __enter__(self) -> Workers:
        """Start the processes, without waiting for them."""
        try:
            # They unblock SIGINT for the whole thread when they are first needed, and so would in
            # the middle of a worker's start.
            for tracker in (resource_tracker, loky_resource_tracker):
                tracker.ensure_running()
            for worker in self._crew:
                worker.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill the processes and whatever they started."""
        for worker in self._crew:
            worker.stop()

    def run(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Outcome]:
        """Yield an `Outcome` for each of `items`, in the order in which they finish.

        Items are taken from the iterable as workers become free, so there are never more than
        `QUEUE_DEPTH` a worker under way. One run has to end before the next begins; closing the
        generator, or an exception in the thread that drives it (Ctrl-C among them), ends it at
        once by killing the processes.

        Args:
            work: called as `work(item)` in a worker process; a function that pickles by
                reference, or a `functools.partial` of one.
            items: what to work on; each must pickle.

        Raises:
            WorkersUnavailable: worker processes end before they have taken an item.
        """
        source = iter(items)
        again: deque[_Task] = deque()
        looked = time.monotonic()
        try:
            while True:
                self._hand_out(work, source, again)
                if not any(worker.tasks for worker in self._crew):
                    return
                yield from self._stop_excessive(again)
                if time.monotonic() - looked > UNBLOCK_EVERY:
                    looked = time.monotonic()
                    for worker in self._crew:
                        worker.unblock()
                try:
                    worker, future = self._finished.get(timeout=self._patience())
                except queue.Empty:
                    continue
                yield from _settle(worker, future, again)
        except BaseException:
            self.close()
            raise

    def _hand_out(
        self, work: Callable[[Any], Any], source: Iterator[Any], again: deque[_Task]
    ) -> None:
        """Give the next items to the workers with the least to do."""
        while True:
            worker = min(self._crew, key=lambda worker: len(worker.tasks))
            if len(worker.tasks) >= QUEUE_DEPTH:
                return
            if again:
                task = again.popleft()
            else:
                try:
                    task = _Task(work, next(source))
                except StopIteration:
                    return
            worker.submit(task)

    def _stop_excessive(self, again: deque[_Task]) -> Iterator[Outcome]:
        """End the items that have had their time, or take more memory than they may."""
        for worker in self._crew:
            error: Exception
            if self.timeout is not None and worker.late(self.timeout):
                error = TimedOut(f"stopped after {self.timeout:g} s")
            elif self.memory is not None and worker.size() > self.memory:
                error = TooMuchMemory(
                    f"stopped because it took more than {self.memory // 2**20:,} MB of memory"
                )
            else:
                continue
            task, *others = worker.stop()
            again.extend(others)
            yield Outcome(task.item, error=error)

    def _patience(self) -> float:
        """Return the seconds until something may have to be ended."""
        since = [worker.since for worker in self._crew if worker.since is not None]
        waits = [UNBLOCK_EVERY if self.memory is None else LOOK_EVERY]
        if self.timeout is not None and since:
            waits.append(max(0.0, min(since) + self.timeout - time.monotonic()) + 0.01)
        return min(waits)


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
                yield Outcome(task.item, *future.result())
            else:
                yield Outcome(task.item, error=error)
    # Any other future belongs to a process that is gone; its item is already dealt with.


def _cause(error: BaseException) -> str:
    """Return how a process ended, as far as loky knows: `SIGSEGV(-11)`, say."""
    codes = re.search(r"exit codes? of the workers? (?:are|is) \{(.*)\}", str(error))
    return f"its worker process died ({codes[1] if codes else 'no exit code'})"


@dataclass(eq=False)
class _Worker:
    """One worker process, and what it has been given to do."""

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
        self.start()
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

    def size(self) -> int:
        """Return the resident memory of the process that is running an item, in bytes."""
        if self.since is None or next(iter(self.tasks)).done():
            return 0
        try:
            # Not the process that was started: loky may have replaced it.
            return sum(psutil.Process(pid).memory_info().rss for pid in self._processes())
        except psutil.Error:
            return 0  # it has just ended, which loky will tell

    def unblock(self) -> None:
        """Let loky see that the process has died, should it have died in the middle of an outcome.

        loky waits for the rest of it as long as anybody could write to the pipe, itself included.
        """
        if os.name == "nt" or not self.tasks or next(iter(self.tasks)).done():
            return
        if any(process.exitcode is not None for process in self._processes().values()):
            # Not by closing it, which loky's thread does as soon as it wakes up.
            with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
                pipe = self.executor._result_queue._writer.fileno()
                os.dup2(nowhere.fileno(), pipe, inheritable=False)

    def _processes(self) -> dict[int, Any]:
        """Return loky's processes by their number: one, or none when it is replaced."""
        return {} if self.executor is None else dict(self.executor._processes or {})

    def stop(self) -> list[_Task]:
        """Kill the process and all that it started; return what it had not finished."""
        if self.executor is not None:
            self._settle_down()
            self.unblock()
            self.executor.shutdown(wait=True, kill_workers=True)
        unfinished = list(self.tasks.values())
        self.executor = self.started = self.since = None
        self.tasks.clear()
        return unfinished

    def _settle_down(self) -> None:
        """Wait until loky has passed on what it was given, which takes it moments.

        Shut down before that, its thread stumbles over the work that it finds (KeyError).
        """
        deadline = time.monotonic() + 1
        for future in filter(None, (self.started, *self.tasks)):
            while not (future.running() or future.done()) and time.monotonic() < deadline:
                time.sleep(0.001)

    def could_not_start(self, error: BaseException) -> None:
        self.start_failures += 1
        if self.start_failures >= START_ATTEMPTS:
            cause = error.__cause__ or error
            raise WorkersUnavailable(f"worker processes do not start: {cause}") from error

    def start(self) -> None:
        """Start the process, without waiting for it."""
        with _interrupts_held_back():
            self.executor = ProcessPoolExecutor(
                max_workers=1, initializer=_set_up, initargs=self.setup, env=ENVIRONMENT
            )
            self.started = self.executor.submit(os.getpid)
        self.started.add_done_callback(self._report)

    def _queue(self, task: _Task) -> None:
        future = self.executor.submit(call, task.work, task.item)
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
    if os.name == "nt":
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(parent).wait()
    else:
        # Orphans get a new parent at once, even while nobody has asked for the old one's exit code.
        while os.getppid() == parent:
            time.sleep(1)
    os._exit(1)


def call(work: Callable[[Any], Any], item: Any) -> tuple[Any, BaseException | None, float]:
    """Run `work` in the worker: what `Outcome` has of it, in a form that travels."""
    began, value, failure = time.monotonic(), None, None
    try:
        value = work(item)
    except BaseException as error:
        failure = _portable(error)
    return value, failure, time.monotonic() - began


def _portable(error: BaseException) -> BaseException:
    """Return `error`, or one that says the same where `error` does not survive pickling.

    An exception that cannot be unpickled would break the executor in the parent.
    """
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")

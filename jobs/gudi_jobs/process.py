"""A worker process, seen from the parent.

One socket, open in these two processes only, connects them. The process ends when the parent
closes the socket, and the parent notices the end of the process as the end of the socket, so no
interruption leaves a process behind. There are no threads, semaphores or blocking calls.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Any

import psutil

from gudi_jobs import worker
from gudi_jobs.worker import HEADER, pack

# OpenBLAS and OpenMP would each start one thread per CPU in every worker, and there is one worker
# per CPU.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

# By default, glibc gives the memory of each picture back to the system at once, and gets it again
# page by page for the next one, which takes a tenth of a worker's time.
ENVIRONMENT |= {"MALLOC_TRIM_THRESHOLD_": str(2**27), "MALLOC_MMAP_THRESHOLD_": str(2**25)}

READ_SIZE = 2**18  # bytes

# How long to wait for a killed process, in seconds: one that hangs in the kernel, such as on a lost
# network drive, does not end.
KILL_TIMEOUT = 5.0


class WorkerProcess:
    """A worker process, started when this is created, and the messages to and from it.

    Args:
        setup: the result of `pack_setup`.
        quiet: discard what the process prints.

    Attributes:
        socket: the connection to the process.
        unsent: the bytes that `flush` has to send.

    Raises:
        OSError: the process cannot be started.
    """

    def __init__(self, setup: bytes, *, quiet: bool) -> None:
        self.unsent, self._received = bytearray(), bytearray()
        self.socket, theirs = socket.socketpair()
        try:
            self.socket.setblocking(False)
            with theirs:
                self._process = _start(theirs, subprocess.DEVNULL if quiet else None)
            self.send(worker.SETUP, setup)
            self.flush()
        except BaseException:
            self.socket.close()
            raise

    def send(self, kind: int, content: bytes) -> None:
        """Add a message to what the next `flush` sends."""
        self.unsent += HEADER.pack(kind, len(content))
        self.unsent += content

    def flush(self) -> None:
        """Send as much as the socket takes without blocking."""
        try:
            while self.unsent:
                del self.unsent[: self.socket.send(self.unsent)]
        except BlockingIOError:
            pass
        except ConnectionError:
            self.unsent.clear()  # the process has ended; `receive` reports it

    def receive(self) -> bool:
        """Receive without blocking; return False at the end of the connection."""
        try:
            content = self.socket.recv(READ_SIZE)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        self._received += content
        return bool(content)

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """Yield kind and content of each message that is complete."""
        while len(self._received) >= HEADER.size:
            kind, length = HEADER.unpack_from(self._received)
            end = HEADER.size + length
            if len(self._received) < end:
                return
            content = bytes(memoryview(self._received)[HEADER.size : end])
            del self._received[:end]
            yield kind, content

    def has_unread(self) -> bool:
        """Return whether `receive` would return something, or report the end."""
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except ConnectionError:
            pass
        return True

    def has_exited(self) -> bool:
        """Return whether the process has ended, even if another process keeps the socket open."""
        return self._process.poll() is not None

    def is_suspended(self) -> bool:
        """Return whether the process is stopped by Ctrl-Z or SIGSTOP."""
        with contextlib.suppress(psutil.Error):
            return bool(psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED)
        return False

    def resident_memory(self) -> int:
        """Return the resident memory of the process in bytes; 0 if it has ended."""
        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(self._process.pid).memory_info().rss)
        return 0

    def exit_cause(self) -> str:
        """Return how the process ended, which has closed its socket."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(KILL_TIMEOUT)
            if code >= 0:
                return f"exit code {code}"
            with contextlib.suppress(ValueError):
                return signal.Signals(-code).name
            return f"signal {-code}"
        return "it has closed its connection"


def pack_setup(initializer: Callable[..., object] | None, arguments: tuple[Any, ...]) -> bytes:
    """Return the first message to a worker process of this process.

    The initializer is pickled by itself: to import it, the worker needs the search path first.
    """
    try:
        folder = os.getcwd()
    except FileNotFoundError:
        folder = ""
    path = [each or folder for each in sys.path]  # the initializer may change the folder
    return pickle.dumps((path, sys.argv, os.getpid(), pack((initializer, arguments))))


def _start(channel: socket.socket, output: int | None) -> subprocess.Popen[bytes]:
    """Start a process that has `channel` as its standard input."""
    command = [sys.executable, worker.__file__]
    environment = os.environ | ENVIRONMENT
    if sys.platform == "win32":
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=environment,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,  # Ctrl-C does not reach it
        )
        assert process.stdin is not None
        with process.stdin as stdin:
            stdin.write(channel.share(process.pid))
        return process
    with terminal_signals_blocked():
        return subprocess.Popen(
            command, stdin=channel.fileno(), stdout=output, stderr=output, env=environment
        )


@contextlib.contextmanager
def terminal_signals_blocked() -> Iterator[None]:
    """Block the signals of the terminal in processes that are started in the block.

    They inherit the blocked signals, so Ctrl-C prints no traceback while they import.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, worker.TERMINAL_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def kill(workers: Collection[WorkerProcess]) -> None:
    """Kill worker processes and everything that they have started."""
    processes = [each._process for each in workers if not each.has_exited()]
    started: list[psutil.Process] = []
    try:
        for process in processes:
            with contextlib.suppress(psutil.Error):
                psutil.Process(process.pid).suspend()  # so that it starts nothing more
        started = _descendants({process.pid for process in processes})
    finally:
        for process in processes:
            process.kill()
        for descendant in started:
            with contextlib.suppress(psutil.Error):
                descendant.kill()
        for each in workers:
            each.socket.close()
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(KILL_TIMEOUT)


def _descendants(pids: set[int]) -> list[psutil.Process]:
    """Return the processes that those of `pids`, children of this process, have started."""
    below, found = set(pids), []
    # In this list, each process comes after its parent.
    for process in psutil.Process().children(recursive=True) if pids else ():
        with contextlib.suppress(psutil.Error):
            if process.ppid() in below:
                below.add(process.pid)
                found.append(process)
    return found

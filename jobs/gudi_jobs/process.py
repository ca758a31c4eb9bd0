"""One worker process, seen from the parent.

Each process is tied to its parent by one socket, which both hold alone. The process ends when the
parent closes the socket, and the parent notices the end of the process as the end of the socket. So
whatever an interruption leaves half done, no process stays behind. Nothing here waits for the
process, and no thread, queue or semaphore is involved.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import psutil

from gudi_jobs import worker
from gudi_jobs.worker import HEADER, pack

# OpenBLAS makes one thread per CPU as soon as NumPy is loaded, and OpenMP does in each library that
# uses it. There is one worker per CPU already.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

READ_SIZE = 2**18  # bytes

# A killed process that hangs in the kernel, for a network drive that is gone say, is not waited for
# any longer than this, in seconds.
KILL_TIMEOUT = 5.0


class WorkerProcess:
    """A worker process that has been started, and what is on its way to and from it.

    Args:
        setup: what `pack_setup` returns.
        quiet: discard what the process prints.

    Attributes:
        socket: is readable if `receive` would get something.
        heard: when the last bytes arrived, in seconds of `time.monotonic`.

    Raises:
        OSError: the process cannot be started.
    """

    def __init__(self, setup: bytes, *, quiet: bool) -> None:
        self._unsent, self._received = bytearray(), bytearray()
        self.heard = time.monotonic()
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

    @property
    def has_unsent(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._unsent)

    def send(self, kind: int, content: bytes) -> None:
        """Add a message to what the next `flush` sends."""
        self._unsent += HEADER.pack(kind, len(content))
        self._unsent += content

    def flush(self) -> None:
        """Send what waits to be sent, as far as possible without waiting."""
        try:
            while self._unsent:
                del self._unsent[: self.socket.send(self._unsent)]
        except BlockingIOError:
            pass
        except ConnectionError:
            self._unsent.clear()  # the process has ended, which `receive` will tell

    def receive(self) -> bool:
        """Receive what has arrived; return whether the process may send more."""
        try:
            content = self.socket.recv(READ_SIZE)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        self.heard = time.monotonic()
        self._received += content
        return bool(content)

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """Yield kind and content of each message that has been received as a whole."""
        while len(self._received) >= HEADER.size:
            kind, length = HEADER.unpack_from(self._received)
            end = HEADER.size + length
            if len(self._received) < end:
                return
            content = bytes(memoryview(self._received)[HEADER.size : end])
            del self._received[:end]
            yield kind, content

    def has_news(self) -> bool:
        """Tell whether something has arrived that has not been received."""
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        """Close the socket; what has been received is lost."""
        self.socket.close()
        self._received.clear()

    def has_ended(self) -> bool:
        """Tell whether the process has ended."""
        return self._process.poll() is not None

    def is_stopped(self) -> bool:
        """Tell whether somebody has stopped the process, by Ctrl-Z or SIGSTOP."""
        try:
            stopped: bool = psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED
        except psutil.Error:
            return False
        return stopped

    def resident_memory(self) -> int:
        """Return the resident memory of the process in bytes; 0 if it has just ended."""
        try:
            size: int = psutil.Process(self._process.pid).memory_info().rss
        except psutil.Error:
            return 0
        return size

    def cause_of_death(self) -> str:
        """Wait for the process to end, which has closed its socket; return how it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(KILL_TIMEOUT)
            if code >= 0:
                return f"exit code {code}"
            try:
                return signal.Signals(-code).name
            except ValueError:
                return f"signal {-code}"
        return "it has closed its connection"


def pack_setup(initializer: Callable[..., object] | None, arguments: tuple[Any, ...]) -> bytes:
    """Return what tells a worker process of this process how to set up.

    It gets the parent's search path for modules first, so that the initializer can be imported.
    """
    return pickle.dumps((_search_path(), sys.argv, os.getpid(), pack((initializer, arguments))))


def _search_path() -> list[str]:
    """Return where modules are searched, also after the initializer changes the folder."""
    try:
        folder = os.getcwd()
    except FileNotFoundError:
        folder = ""
    return [path or folder for path in sys.path]


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
    """Let processes that are started meanwhile not get what the terminal sends to all of them.

    A process inherits blocked signals, so it does not die with a traceback while it is starting.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, worker.TERMINAL_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def kill(processes: Iterable[WorkerProcess]) -> None:
    """Kill `processes` and everything that they have started."""
    processes = list(processes)
    roots = [each._process for each in processes if not each.has_ended()]
    below: list[psutil.Process] = []
    try:
        for root in roots:
            with contextlib.suppress(psutil.Error):
                psutil.Process(root.pid).suspend()  # it starts nothing more from now on
        below = _descendants({root.pid for root in roots}) if roots else []
    finally:
        for root in roots:
            root.kill()
        for process in below:
            with contextlib.suppress(psutil.Error):
                process.kill()
        for each in processes:
            each.close()
    for root in roots:
        with contextlib.suppress(subprocess.TimeoutExpired):
            root.wait(KILL_TIMEOUT)


def _descendants(pids: set[int]) -> list[psutil.Process]:
    """Return the processes below those of `pids`, which are children of this process."""
    below, found = set(pids), []
    # In the list, each process comes after its parent.
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.ppid() in below:
                below.add(process.pid)
                found.append(process)
    return found

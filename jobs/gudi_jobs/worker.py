"""The worker process: runs one item after another and sends back how each one ended.

`gudi_jobs.process` runs this file as a script, which is why it imports only the standard library: a
new process is ready in a fraction of the time that NumPy takes to import. What the work needs is
imported when the work arrives.

Messages travel over a socket: a kind, a length, and a pickle of that length.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import pickle
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO

HEADER = struct.Struct("!BQ")

# What the parent sends: first how to set up, then the work, then the items to call it with.
SETUP, WORK, ITEM = range(3)

# What the worker sends: that it has loaded the work, or why it can go no further; then one answer
# per item, in the same order. A worker that should be replaced says so with an answer.
READY, NOT_READY, ANSWER, ANSWER_AND_RETIRE = range(4)

# What a terminal sends to all processes of a command: on Ctrl-C, on Ctrl-\, and when it is closed.
# The parent alone handles it.
TERMINAL_SIGNALS = [
    signal.Signals[name]
    for name in ("SIGINT", "SIGQUIT", "SIGHUP")
    if name in signal.Signals.__members__
]

# A worker whose memory has grown by this many bytes since its first second asks to be replaced:
# some library does not give memory back. The limit and the interval (seconds) are loky's.
MAX_GROWTH, GROWTH_INTERVAL = 300_000_000, 1.0


def pack(value: object) -> bytes:
    """Pickle `value` so that another process can read it.

    Functions and classes of a script, a notebook or another function cannot be imported by name.
    They are pickled by value.
    """
    with contextlib.suppress(Exception):
        packed = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        if b"__main__" not in packed:
            return packed
    import cloudpickle

    by_value: bytes = cloudpickle.dumps(value)
    return by_value


def call(work: Callable[[Any], Any], item: object) -> tuple[Any, BaseException | None, float]:
    """Return what `work(item)` returns, what it raises, and the seconds that it takes."""
    start, value, failure = time.perf_counter(), None, None
    try:
        value = work(item)
    except BaseException as error:
        failure = portable(error)
    return value, failure, time.perf_counter() - start


def answer(work: Callable[[Any], Any], item: bytes) -> bytes:
    """Return what `call` returns for a pickled item, pickled."""
    value, failure, seconds = call(lambda packed: work(pickle.loads(packed)), item)
    try:
        return pack((value, failure, seconds))
    except Exception as error:
        return pack((None, portable(error), seconds))


def portable(error: BaseException) -> BaseException:
    """Return `error`, or a `RuntimeError` with the same message if `error` cannot be pickled."""
    try:
        pickle.loads(pack(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def main() -> None:
    """Serve the parent until it closes the socket."""
    for number in TERMINAL_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if sys.stderr is not None and "PYTHONFAULTHANDLER" not in os.environ:
        faulthandler.enable()
    with contextlib.suppress(EOFError, ConnectionError):
        _Server(_open_channel()).serve()
    os._exit(0)  # threads that the work has left behind do not delay it


def _open_channel() -> socket.socket:
    """Return the socket to the parent; standard input is empty from then on."""
    if sys.platform == "win32":
        return socket.fromshare(sys.stdin.buffer.read())
    channel = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return channel


class _Server:
    """Answers what comes through `channel`."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._input: BinaryIO = channel.makefile("rb")
        self._work: Callable[[Any], Any]
        self._growth = _Growth()

    def serve(self) -> None:
        """Answer every message, in order.

        Raises:
            EOFError, ConnectionError: the parent has ended, or needs this process no longer.
        """
        while True:
            kind, content = self._receive()
            if kind == ITEM:
                self._answer(content)
            else:
                self._prepare(kind, content)

    def _prepare(self, kind: int, content: bytes) -> None:
        """Set up or load the work, which may run anybody's code."""
        try:
            if kind == SETUP:
                _set_up(*pickle.loads(content))
            else:
                self._work = pickle.loads(content)
                self._send(READY)
        except BaseException as error:
            self._send(NOT_READY, pack(f"{type(error).__name__}: {error}"))
            os._exit(1)

    def _answer(self, content: bytes) -> None:
        """Run the work on one item and send how that ended."""
        packed = answer(self._work, content)
        self._send(ANSWER_AND_RETIRE if self._growth.is_excessive() else ANSWER, packed)

    def _receive(self) -> tuple[int, bytes]:
        kind, length = HEADER.unpack(self._read(HEADER.size))
        return kind, self._read(length)

    def _read(self, count: int) -> bytes:
        content = self._input.read(count)
        if len(content) < count:
            raise EOFError
        return content

    def _send(self, kind: int, content: bytes = b"") -> None:
        self._channel.sendall(HEADER.pack(kind, len(content)) + content)


def _set_up(path: list[str], argv: list[str], parent: int, initializer: bytes) -> None:
    """Make this process like its parent as far as it matters, and call the initializer."""
    sys.path[:], sys.argv[:] = path, argv
    threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()
    function, arguments = pickle.loads(initializer)
    if function is not None:
        function(*arguments)


class _Growth:
    """Watches how this process grows."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._next_check = time.monotonic() + GROWTH_INTERVAL

    def is_excessive(self) -> bool:
        """Tell whether this process has kept more memory than `MAX_GROWTH`."""
        if time.monotonic() < self._next_check:
            return False
        self._next_check = time.monotonic() + GROWTH_INTERVAL
        size = _resident_memory()
        if self._first is None:
            self._first = size
        if size - self._first > MAX_GROWTH:
            gc.collect()
            size = _resident_memory()
        return size - self._first > MAX_GROWTH


def _resident_memory() -> int:
    import psutil

    size: int = psutil.Process().memory_info().rss
    return size


def _exit_with(parent: int) -> None:
    """End this process when the process `parent` has ended, even by SIGKILL.

    The end of the socket tells as much, but only between two items.
    """
    if sys.platform == "win32":
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(parent).wait()
    else:
        # An orphan gets a new parent at once.
        while os.getppid() == parent:
            time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main()

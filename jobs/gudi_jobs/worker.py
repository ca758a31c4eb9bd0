"""The worker process: calls a function on one item after another and sends back the results.

`gudi_jobs.process` runs this file as a script, so it imports only the standard library: a process
starts in a fraction of the time that NumPy takes to import. What the function needs is imported
when the function arrives.

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
from collections.abc import Callable, Iterator
from typing import Any

HEADER = struct.Struct("!BQ")

# Messages of the parent: the setup first, then a function, then the items to call it with.
SETUP, FUNCTION, ITEM = range(3)

# Messages of the worker: the function is loaded, or why it cannot be; then the results of one item
# after another, the last one of each as `RESULT`. `RESULT_AND_RETIRE` also asks for a new process
# in place of this one.
READY, NOT_READY, PART, RESULT, RESULT_AND_RETIRE = range(5)

# What a terminal sends to all processes of a command: on Ctrl-C, on Ctrl-\, and when it is closed.
# Only the parent handles it.
TERMINAL_SIGNALS = [each for each in signal.Signals if each.name in ("SIGINT", "SIGQUIT", "SIGHUP")]

# A worker retires when its memory has grown by this many bytes since its first second, because some
# library leaks. The limit and the interval (seconds) are loky's.
MAX_GROWTH, GROWTH_INTERVAL = 300_000_000, 1.0


def pack(value: object) -> bytes:
    """Pickle `value` so that another process can load it.

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


def call_pickled(function: Callable[[Any], Any], item: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the pickled results of `function` for a pickled item, and whether each is the last one.

    If the function returns an iterator, each of its values is a result, and the last one is None.
    A result is a value, the exception that was raised instead, and the seconds of the whole call or
    0 if it goes on.
    """
    start, value, error = time.perf_counter(), None, None
    try:
        value = function(pickle.loads(item))
        if isinstance(value, Iterator):
            for each in value:
                yield _pack_result(each, None, 0.0), False
            value = None
    except GeneratorExit:
        raise
    except BaseException as raised:
        value, error = None, _picklable(raised)
    yield _pack_result(value, error, time.perf_counter() - start), True


def _pack_result(value: Any, error: BaseException | None, seconds: float) -> bytes:
    try:
        return pack((value, error, seconds))
    except Exception as problem:
        return pack((None, _picklable(problem), seconds))


def _picklable(error: BaseException) -> BaseException:
    """Return `error`, or a `RuntimeError` with the same message if `error` cannot be pickled."""
    # pickle drops these. tblib, which Dask loads, does not, and may be unable to load them again.
    error.__cause__ = error.__context__ = error.__traceback__ = None
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
        _serve(_open_channel())
    os._exit(0)  # without waiting for threads that the function has left


def _open_channel() -> socket.socket:
    """Return the socket to the parent, and leave standard input empty."""
    if sys.platform == "win32":
        return socket.fromshare(sys.stdin.buffer.read())
    channel = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return channel


def _serve(channel: socket.socket) -> None:
    """Handle every message, in order; raise EOFError or ConnectionError if the parent is gone."""

    def read(count: int) -> bytes:
        content = stream.read(count)
        if len(content) < count:
            raise EOFError
        return content

    def send(kind: int, content: bytes = b"") -> None:
        channel.sendall(HEADER.pack(kind, len(content)) + content)

    stream, growth = channel.makefile("rb"), _Growth()
    function: Any = None
    while True:
        kind, length = HEADER.unpack(read(HEADER.size))
        content = read(length)
        if kind == ITEM:
            for result, is_last in call_pickled(function, content):
                last = RESULT_AND_RETIRE if is_last and growth.is_excessive() else RESULT
                send(last if is_last else PART, result)
            continue
        try:  # either may run any code
            if kind == SETUP:
                _set_up(*pickle.loads(content))
            else:
                function = pickle.loads(content)
                send(READY)
        except BaseException as error:
            send(NOT_READY, pack(f"{type(error).__name__}: {error}"))
            os._exit(1)


def _set_up(path: list[str], argv: list[str], parent: int, initializer: bytes) -> None:
    """Set the parent's search path and arguments, and call the initializer."""
    sys.path[:], sys.argv[:] = path, argv
    threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()
    function, arguments = pickle.loads(initializer)
    if function is not None:
        function(*arguments)


class _Growth:
    """Watches the memory of this process."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._next_check = time.monotonic() + GROWTH_INTERVAL

    def is_excessive(self) -> bool:
        """Return whether this process has kept more memory than `MAX_GROWTH`."""
        if time.monotonic() < self._next_check:
            return False
        self._next_check = time.monotonic() + GROWTH_INTERVAL
        if self._first is None:
            self._first = _resident_memory()
        if _resident_memory() - self._first > MAX_GROWTH:
            gc.collect()
        return _resident_memory() - self._first > MAX_GROWTH


def _resident_memory() -> int:
    import psutil

    size: int = psutil.Process().memory_info().rss
    return size


def _exit_with(parent: int) -> None:
    """End this process when the process `parent` has ended, even by SIGKILL.

    The end of the socket is only noticed between two items.
    """
    if sys.platform == "win32":
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(parent).wait()
    else:
        while os.getppid() == parent:  # orphans get another parent
            time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main()

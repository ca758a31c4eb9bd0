"""End long-running work on a signal, without losing anything."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

# Requests to end a process, where the system has them: Ctrl-C; `kill`; a closed terminal or
# connection; Ctrl-\; a limit of CPU time; what batch systems send before they kill a job.
STOP_SIGNALS = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU", "SIGUSR1", "SIGUSR2")
    if name in signal.Signals.__members__
)

# Signals within this many seconds are one request: a terminal that closes sends SIGHUP twice, and
# people press Ctrl-C until something happens.
REPEAT_SECONDS = 1.0


def handle_signals() -> list[int]:
    """Raise KeyboardInterrupt on a stop signal.

    Signals that the caller ignores stay ignored, as SIGHUP under `nohup`.

    Returns:
        A list that receives the signals that have arrived.
    """
    received: list[int] = []

    def interrupt(number: int) -> None:
        received.append(number)
        raise KeyboardInterrupt

    _set_handlers(_Handler(interrupt))
    return received


def ignore_signals() -> None:
    """Ignore stop signals except SIGTERM while the interpreter exits."""
    for number in STOP_SIGNALS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def stop_requested() -> Iterator[list[int]]:
    """Yield a list to which the first stop signal is added; a later one interrupts.

    Outside the main thread, which alone receives signals, the list stays empty.

    Raises:
        KeyboardInterrupt: another signal arrived `REPEAT_SECONDS` later, before the block ended.
    """
    requests: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return

    def note(number: int) -> None:
        if requests:
            raise KeyboardInterrupt
        requests.append(number)

    own = _Handler(note)
    previous = _set_handlers(own)
    try:
        yield requests
    finally:
        for number, handler in previous.items():
            if isinstance(handler, _Handler):
                handler.last = own.last  # what is still coming belongs to the same request
            signal.signal(number, handler)


class _Handler:
    """A signal handler that calls `handle` with the signal, unless it has just done so.

    Attributes:
        last: when that was.
    """

    def __init__(self, handle: Callable[[int], None]) -> None:
        self._handle = handle
        self.last = -math.inf

    def __call__(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if now - self.last >= REPEAT_SECONDS:
            self.last = now
            self._handle(number)


def _set_handlers(handler: _Handler) -> dict[signal.Signals, signal._HANDLER]:
    """Handle the stop signals that are free to be handled; return their earlier handlers."""
    found = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    previous = {number: before for number, before in found.items() if _is_free(number, before)}
    for number in previous:
        signal.signal(number, handler)
    return previous


def _is_free(number: signal.Signals, before: signal._HANDLER) -> bool:
    """Return whether a stop signal may be handled instead of by `before`."""
    if before in (signal.SIG_IGN, None):  # None: not set by Python, and could not be restored
        return False
    if number in (signal.SIGINT, signal.SIGTERM):
        return True
    return before == signal.SIG_DFL or isinstance(before, _Handler)  # others belong to a program

"""End what takes long at a point where nothing is lost."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def stop_requested() -> Iterator[list]:
    """Yield a list that the first SIGINT or SIGTERM puts itself into; the second one interrupts."""
    requests: list = []
    if threading.current_thread() is not threading.main_thread():
        yield requests  # only the main thread is told of signals
        return

    def note(number: int, _: object) -> None:
        if requests:
            raise KeyboardInterrupt
        requests.append(number)

    before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

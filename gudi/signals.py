"""Stop long-running work at a point where nothing is lost."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def stop_requested() -> Iterator[list[int]]:
    """Yield a list to which the first SIGINT or SIGTERM is added; the second one interrupts.

    Outside the main thread, which alone receives signals, the list stays empty.

    Raises:
        KeyboardInterrupt: a second signal arrived before the block ended.
    """
    requests: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return

    def note(number: int, _: FrameType | None) -> None:
        if requests:
            raise KeyboardInterrupt
        requests.append(number)

    previous = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requests
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

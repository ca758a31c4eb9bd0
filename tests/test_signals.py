"""Stopping on a signal."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from gudi.signals import stop_requested


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_noted_and_second_one_interrupts(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), stop_requested() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop == [number]
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_other_threads_can_use_it_too():
    seen = []

    def work():
        with stop_requested() as stop:
            seen.append(list(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[]]

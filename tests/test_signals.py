"""Stopping on a signal."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from gudi.signals import REPEAT_SECONDS, STOP_SIGNALS, stop_requested


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_first_signal_is_noted_and_a_later_one_interrupts(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), stop_requested() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop == [number]
        time.sleep(1.1 * REPEAT_SECONDS)
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_signals_in_quick_succession_are_one_request():
    with stop_requested() as stop:
        for number in STOP_SIGNALS:
            os.kill(os.getpid(), number)
        assert stop == [signal.SIGINT]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs POSIX signals")
def test_signals_of_others_are_left_to_them():
    handlers = {signal.SIGHUP: signal.SIG_IGN, signal.SIGUSR1: print}
    before = {number: signal.signal(number, each) for number, each in handlers.items()}
    try:
        with stop_requested():
            assert {number: signal.getsignal(number) for number in handlers} == handlers
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_other_threads_can_use_it_too():
    seen = []

    def work():
        with stop_requested() as stop:
            seen.append(list(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[]]

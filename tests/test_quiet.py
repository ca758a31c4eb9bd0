"""Hiding what libraries write to stderr."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from gudi.errors import GudiError
from gudi.quiet import quiet


def test_hidden_output_is_shown_after_an_unexpected_error_only(capfd):
    for error in (GudiError, ZeroDivisionError):
        with pytest.raises(error), quiet():
            os.write(2, f"before {error.__name__}\n".encode())
            raise error
    assert capfd.readouterr().err == "before ZeroDivisionError\n"


def test_threads_can_hide_output_at_the_same_time(capfd):
    def hide(number):
        for _ in range(20):
            with quiet(), quiet():
                os.write(2, b"hidden\n")

    before = os.fstat(2)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(hide, range(4)))
    os.write(2, b"shown\n")
    assert os.path.samestat(os.fstat(2), before)
    assert capfd.readouterr().err == "shown\n"

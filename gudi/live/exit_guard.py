"""Do what is left to do when a library ends this process, as Qt does when it loses its display."""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def before_exit(action: Callable[[], object]) -> Iterator[None]:
    """Call `action` if the C library's `exit` is called in the block, which raises nothing.

    Only with glibc, which can forget a handler again: on other systems nobody loses an X server.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc, block, active = ctypes.CDLL(None), ctypes.c_char(), True

    def call(_: object) -> None:
        if active:
            action()

    handler = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(call)
    libc.__cxa_atexit(handler, None, ctypes.byref(block))
    try:
        yield
    finally:
        active = False
        libc.__cxa_finalize(ctypes.byref(block))  # calls the handler, which is forgotten then

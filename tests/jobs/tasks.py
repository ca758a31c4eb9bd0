"""Functions that the tests run in workers. Imports little, so that workers start quickly."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

HELD = []


def square(number):
    return number * number


def follow(what):
    """Do what the item says; return it unless it says otherwise."""
    action = what[0] if isinstance(what, tuple) else what
    if action == "crash":
        ctypes.string_at(0)
    elif action == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "exit":
        os._exit(0)
    elif action == "hang":
        time.sleep(1000)
    elif action == "grow":
        while True:
            HELD.append(b"x" * 2**24)
            time.sleep(0.01)
    elif action == "raise":
        raise ValueError("no good")
    elif action == "strange":
        raise StrangeError("one", two="two")
    elif action == "full disk":
        raise OSError(errno.ENOSPC, "no space") from StrangeError("one", two="two")
    elif action == "return lock":
        return threading.Lock()
    elif action == "return unreadable":
        return Unreadable()
    elif action == "print":
        os.write(1, b"to stdout")
        os.write(2, b"to stderr")
    elif action == "half":
        send_half_a_result()
    elif isinstance(action, Path) and not action.exists():
        action.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return what


def follow_each(whats):
    """Yield the item of each of these; see `follow`."""
    return map(follow, whats)


def send_half_a_result():
    """Die in the middle of the result of this item."""

    def send(channel, message):
        os.write(channel.fileno(), bytes(message)[: len(message) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    socket.socket.sendall = send


class StrangeError(Exception):
    """Pickles, but does not unpickle."""

    def __init__(self, one, *, two):
        super().__init__(one)
        self.two = two


class Unreadable:
    """Pickles, but does not unpickle."""

    def __reduce__(self):
        return int, ("no number",)


def process_id(_):
    time.sleep(0.02)
    return os.getpid()


def slowly(number):
    time.sleep(0.05)
    return os.getpid(), number * number


def folder(_):
    return os.getcwd()


def is_interrupt_blocked(_):
    time.sleep(0.02)
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def describe_process(_):
    return {
        "modules": set(sys.modules),
        "stdin": sys.stdin.read(),
        "threads": os.environ["OPENBLAS_NUM_THREADS"],
    }


def start_sleeper(file):
    """Start a process and write its number to `file`."""
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    file.write_text(str(sleeper.pid))


def fork_and_die(what):
    """Die, and leave a process that holds everything that this one had open."""
    if what == "fork" and os.fork():
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "fork":
        time.sleep(10)
        os._exit(0)
    elif what == "slow":
        time.sleep(0.3)
    return what


def keep_memory(what):
    """Keep so many megabytes, and take so many seconds."""
    megabytes, seconds = what
    HELD.append(b"x" * (megabytes * 2**20))
    time.sleep(seconds)
    return os.getpid()


def count_in_task(_):
    """Return how many items the Dask task has run so far that this one is part of."""
    from distributed.worker import thread_state

    thread_state.items = getattr(thread_state, "items", 0) + 1
    return thread_state.items

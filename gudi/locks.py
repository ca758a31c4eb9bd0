"""Lock a folder against other processes, also on file systems without flock."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gudi.errors import OutputError, one_line
from gudi.files import TEMPORARY_PREFIX

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"

# filelock creates a lock file and then fills it, which takes less than this many seconds.
FILLING_SECONDS = 0.2


@contextlib.contextmanager
def folder_lock(folder: Path, who: str) -> Iterator[None]:
    """Lock `folder`, creating it if needed.

    If it was created for the lock and nothing else was put into it, it is removed again.

    Args:
        folder: the folder to lock against other processes.
        who: what holds the lock in another process, for the error: "another training".

    Raises:
        OutputError: another process holds the lock, or the folder cannot be written to.
    """
    # Imported when it is needed: it imports asyncio, and most commands lock nothing.
    import filelock

    created, path = not folder.exists(), folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock_for(path)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise OutputError(f"{folder} is in use: {_describe_holder(path, who)}") from None
    except OSError as error:
        _remove_if_unused(folder, created=created)
        raise OutputError(f"{folder} cannot be written to: {error.strerror or error}") from error
    _write_holder(path, f"{os.getpid()}\n{socket.gethostname()}\n", lock)
    try:
        yield
    finally:
        _write_holder(path, "", lock)
        lock.release()
        _remove_if_unused(folder, created=created)


def has_record_locks(folder: Path) -> bool:
    """Return whether files in `folder` can be locked as SQLite locks them."""
    if sys.platform == "win32":
        return True
    import fcntl

    return _works(folder, lambda file: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB))


def _lock_for(path: Path) -> BaseFileLock:
    """Return a lock that the disk of `path` supports.

    Network disks may have no locks. There the existence of the file is the lock; filelock detects a
    stale one if its process ran on this machine.
    """
    import filelock

    if sys.platform == "win32":
        return filelock.FileLock(path)
    import fcntl

    if _works(path.parent, lambda file: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)):
        return filelock.FileLock(path)
    if _is_empty(path):
        time.sleep(FILLING_SECONDS)
        if _is_empty(path):  # was left by somebody who could lock it, and nobody could since
            path.unlink(missing_ok=True)
    return filelock.SoftFileLock(path)


def _works(folder: Path, lock: Callable[[int], object]) -> bool:
    """Return whether `lock` succeeds with the descriptor of a new file in `folder`."""
    with tempfile.NamedTemporaryFile(prefix=TEMPORARY_PREFIX, dir=folder) as file:
        try:
            lock(file.fileno())
        except OSError:
            return False
    return True


def _is_empty(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0


def _write_holder(path: Path, holder: str, lock: BaseFileLock) -> None:
    """Write who holds the lock, for the error of others. A `SoftFileLock` has done so itself."""
    import filelock

    if not isinstance(lock, filelock.SoftFileLock):
        with contextlib.suppress(OSError):  # a full disk; Windows, where it cannot be written to
            path.write_text(holder)


def lock_holder(folder: Path) -> str:
    """Return which process holds the lock of `folder`; "" if that is unknown."""
    try:
        process, host, *_ = (folder / LOCK).read_text(errors="replace").splitlines()
    except (OSError, ValueError):
        return ""
    return one_line(f"process {process[:20]} on {host[:100]}")


def _describe_holder(path: Path, who: str) -> str:
    """Return who holds the lock at `path`, and what to do if it is stale."""
    if holder := lock_holder(path.parent):
        return f"{who} writes to it ({holder}); if that process has ended, remove {path}"
    return f"{who} writes to it; if there is none, remove {path}"


def _remove_if_unused(folder: Path, *, created: bool) -> None:
    """Remove a folder that was created for a lock if it holds nothing else."""
    with contextlib.suppress(OSError):
        if created and set(os.listdir(folder)) <= {LOCK}:
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()

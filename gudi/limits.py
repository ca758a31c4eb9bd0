"""The system's limits on memory, files and processes, and what to do about them."""

from __future__ import annotations

import re
import sys

from gudi.errors import ResourceError

# Bytes of address space below which libraries crash while they load, instead of failing.
# Measured on two CPUs; more CPUs need more.
NEEDED, NEEDED_BY_TENSORFLOW = 900 * 2**20, 3500 * 2**20

_OUT_OF_MEMORY = re.compile(
    "failed to map segment|[Cc]annot allocate memory|bad_alloc|MemoryError|[Oo]ut of memory|"
    "can't start new thread|Unable to allocate"
)
_TOO_MANY_FILES = re.compile("Too many open files")
_TOO_MANY_PROCESSES = re.compile("Resource temporarily unavailable")


def check_memory(*, tensorflow: bool) -> None:
    """Check that libraries can be loaded, before one of them crashes.

    Args:
        tensorflow: whether TensorFlow will be loaded.

    Raises:
        ResourceError: the address space is too small.
    """
    limit = _limit("RLIMIT_AS")
    needed = NEEDED_BY_TENSORFLOW if tensorflow else NEEDED
    if limit is not None and limit < needed:
        what = "TensorFlow" if tensorflow else "gudi"
        raise ResourceError(
            f"the limit of {limit // 2**20:,} MB of memory (ulimit -v) is too low: {what} needs "
            f"{needed // 2**20:,} MB or more; raise it, for example with ulimit -v unlimited"
        )


def remedy(message: str) -> str:
    """Return what to do about an error that a limit has caused; "" for other errors."""
    if _OUT_OF_MEMORY.search(message):
        limit = _limit("RLIMIT_AS")
        if limit is None:
            return "there is not enough memory: close other programs, or use fewer --workers"
        return (
            f"the limit of {limit // 2**20:,} MB of memory (ulimit -v) is too low: raise it, for "
            "example with ulimit -v unlimited"
        )
    if _TOO_MANY_FILES.search(message):
        return (
            f"the limit of {_limit('RLIMIT_NOFILE')} open files (ulimit -n) is too low: raise it, "
            "for example with ulimit -n 1024, or use fewer --workers"
        )
    if _TOO_MANY_PROCESSES.search(message):
        return (
            f"the limit of {_limit('RLIMIT_NPROC')} processes (ulimit -u) is too low: raise it, or "
            "use fewer --workers"
        )
    return ""


def _limit(name: str) -> int | None:
    """Return a limit of this process, in the units of `getrlimit`; None if there is none."""
    if sys.platform == "win32":
        return None
    import resource

    try:
        soft, _ = resource.getrlimit(getattr(resource, name))
    except (AttributeError, OSError, ValueError):
        return None
    return None if soft == resource.RLIM_INFINITY else soft

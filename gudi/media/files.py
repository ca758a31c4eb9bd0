"""Open files that may be anything, and describe those that are not regular files."""

from __future__ import annotations

import os
import stat

# Non-blocking, in case the path leads to a pipe. Windows has one of the flags, Linux the other.
OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def describe_irregular(mode: int) -> str:
    """Return what is wrong with a path that is not a regular file.

    Args:
        mode: its `st_mode`.
    """
    return f"it is {KINDS.get(stat.S_IFMT(mode), 'not a file')}"

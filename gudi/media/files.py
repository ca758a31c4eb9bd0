"""Say what a file is that is not a regular file."""

from __future__ import annotations

import stat


def describe_irregular(mode: int) -> str:
    """Say what a thing is that is no regular file."""
    kinds = {
        "a folder": stat.S_ISDIR,
        "a named pipe": stat.S_ISFIFO,
        "a socket": stat.S_ISSOCK,
        "a device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
    }
    return f"it is {next((name for name, test in kinds.items() if test(mode)), 'no file')}"

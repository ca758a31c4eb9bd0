"""`python -m gudi`, and the command `gudi`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command."""
    try:
        from gudi.cli import main as command
    except KeyboardInterrupt:  # before the commands handle it
        sys.exit(130)
    command(prog_name="gudi")


if __name__ == "__main__":
    main()

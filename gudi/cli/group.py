"""The group of all commands: errors in one line, exit codes, signals and standard streams."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Any

import click

from gudi.errors import ExitCode, GudiError, one_line

EXIT_CODES = """\b
Exit codes:
  0  finished (that a photo shows no face is a result)
  1  could not run
  2  wrong usage
  3  finished, but some inputs failed
  130  interrupted"""

TRAINING_EXIT_CODES = """\b
Exit codes:
  0  trained
  1  could not run, or the loss is no number any more
  2  wrong usage
  130  interrupted; --resume goes on"""


class CommandGroup(click.Group):
    """A group whose errors are one line, with the exit code that they carry."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command; end with the exit code of its error."""
        _open_standard_streams()
        signal.signal(signal.SIGTERM, _terminated)
        try:
            return super().invoke(context)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if _debug(context):
                traceback.print_exc()
            if isinstance(error, BrokenPipeError):
                # The reader of stdout has had enough (`| head`); keep the flush at exit quiet.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            elif not isinstance(error, KeyboardInterrupt):
                complain(_described(error))
            else:
                click.echo("gudi: interrupted", err=True)
            context.exit(_exit_code(error))


def _open_standard_streams() -> None:
    """Fill descriptors 0 to 2 where the caller has closed them.

    The next files and pipes to be opened would take their places, and what anything writes to
    stderr, too.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    # multiprocessing flushes both before it starts a process.
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _terminated(*_: object) -> None:
    """Let `kill` end a run as Ctrl-C does: what is done is kept, no process stays behind."""
    raise KeyboardInterrupt


def _debug(context: click.Context) -> bool:
    return bool(os.environ.get("GUDI_DEBUG")) or bool(context.params.get("debug"))


def _exit_code(error: BaseException) -> ExitCode:
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return getattr(error, "exit_code", ExitCode.COULD_NOT_RUN)


def _described(error: BaseException) -> str:
    if isinstance(error, GudiError):
        return str(error)
    if isinstance(error, ImportError) and ".so" in str(error):
        return f"{error}; on Debian and Ubuntu: apt-get install libgl1 libglib2.0-0"
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first} (gudi --debug … shows where)"


def complain(message: str) -> None:
    """Print an error."""
    click.echo(f"gudi: error: {one_line(message)}", err=True)

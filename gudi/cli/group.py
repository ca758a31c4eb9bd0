"""The group of all commands: one-line errors, exit codes, signals and standard streams."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from typing import Any

import click

from gudi.errors import ExitCode, GudiError, one_line


def exit_codes(
    *,
    finished: str,
    could_not_run: str = "could not run",
    failed: str = "",
    interrupted: str = "interrupted",
) -> str:
    """Return the exit codes of a command, as the end of its help page.

    Args:
        finished, could_not_run, failed, interrupted: meaning of 0, 1, 3 and 130; "" for a code
            that the command does not have.
    """
    meanings = {
        ExitCode.FINISHED: finished,
        ExitCode.COULD_NOT_RUN: could_not_run,
        ExitCode.WRONG_USAGE: "wrong usage",
        ExitCode.SOME_INPUTS_FAILED: failed,
        ExitCode.INTERRUPTED: interrupted,
    }
    lines = [f"  {code.value:<5}{meaning}" for code, meaning in meanings.items() if meaning]
    return "\n".join(["\b", "Exit codes:", *lines])


class OrderedGroup(click.Group):
    """A group that lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.commands)


class CommandGroup(OrderedGroup):
    """A group that shows an error as one line and ends with the exit code of the error."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        _open_standard_streams()
        interrupts = _handle_interrupts()
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if interrupts and isinstance(error, ImportError):
                # NumPy makes an ImportError of an interrupt that comes while it is imported.
                error = KeyboardInterrupt()
            if os.environ.get("GUDI_DEBUG") or ctx.params.get("debug"):
                print_message(traceback.format_exc().rstrip())
            if isinstance(error, BrokenPipeError):
                # The reader of stdout has closed it (`| head`); keep the flush at exit silent.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            elif isinstance(error, KeyboardInterrupt):
                print_message("gudi: interrupted")
            else:
                print_error(_describe(error))
            ctx.exit(_exit_code(error))


def _open_standard_streams() -> None:
    """Open the null device in place of each standard stream that the caller has closed.

    Otherwise the next files to be opened get the descriptors 0 to 2, and with them whatever is
    written to stdout and stderr.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free descriptor. Workers inherit standard streams, but not other files.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    # multiprocessing flushes both before it starts a process.
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _handle_interrupts() -> list[int]:
    """Treat SIGTERM like Ctrl-C: finished work is kept and no process is left behind.

    Returns:
        A list that receives the signals that have come.
    """
    received: list[int] = []

    def interrupt(number: int, _: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    return received


def _exit_code(error: BaseException) -> ExitCode:
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return error.exit_code if isinstance(error, GudiError) else ExitCode.COULD_NOT_RUN


def _describe(error: BaseException) -> str:
    if isinstance(error, GudiError):
        return str(error)
    if isinstance(error, ImportError) and ".so" in str(error):
        return f"{error}; on Debian and Ubuntu: apt-get install libgl1 libglib2.0-0"
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first} (gudi --debug … shows the traceback)"


def print_error(message: str) -> None:
    """Print an error as one line on stderr."""
    print_message(f"gudi: error: {one_line(message)}")


def print_message(text: str) -> None:
    """Print text for people on stderr. If its reader is gone, that is no error of the command."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)

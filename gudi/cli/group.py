"""The group of all commands: one-line errors, exit codes, signals and standard streams."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from typing import Any

import click

from gudi.errors import ExitCode, GudiError, OutputError, ResourceError, one_line
from gudi.limits import remedy
from gudi.settings import debugging
from gudi.signals import handle_signals, ignore_signals

STDOUT_CLOSED = f"{__name__}.stdout_closed"  # in `click.Context.meta`


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

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command as a program."""
        try:
            return super().main(*args, **options)
        except OSError as error:
            print_error(_describe(_stdout_error(error) or error))
            sys.exit(ExitCode.COULD_NOT_RUN)
        finally:
            ignore_signals()  # while the interpreter ends, an interrupt could only leave a mess

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        ctx.meta[STDOUT_CLOSED] = _open_standard_streams()
        interrupts = handle_signals()
        try:
            return super().invoke(ctx)
        except (click.Abort, click.exceptions.Exit):
            raise
        except click.ClickException as error:
            with contextlib.suppress(OSError):
                error.show()
            ctx.exit(error.exit_code)
        except (Exception, KeyboardInterrupt) as error:
            if interrupts and isinstance(error, ImportError):
                # NumPy turns an interrupt during its import into an ImportError.
                error = KeyboardInterrupt()
            if debugging() or ctx.params.get("debug"):
                print_message(traceback.format_exc().rstrip())
            if isinstance(error, OSError):
                error = _stdout_error(error) or error
            if isinstance(error, BrokenPipeError):
                pass  # the reader of stdout has closed it, as `head` does
            elif isinstance(error, KeyboardInterrupt):
                print_message("gudi: interrupted")
            else:
                print_error(_describe(error))
            ctx.exit(_exit_code(error))


def print_results(text: str, *, nl: bool = True) -> None:
    """Print the results of a command on stdout; raise `OutputError` if the caller has closed it."""
    if click.get_current_context().meta[STDOUT_CLOSED]:
        raise OutputError("standard output is closed: there is nowhere to print the results")
    click.echo(text, nl=nl)


def _stdout_error(error: OSError) -> Exception | None:
    """Return `error` as shown to the user; if stdout caused it, discard what stdout still holds.

    Messages on stderr are lost silently, and writing files has errors of its own.
    """
    frames = traceback.walk_tb(error.__traceback__)
    if not any(frame.f_code is click.echo.__code__ for frame, _ in frames):
        return None
    # Otherwise the interpreter prints an error at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return error
    return OutputError(f"cannot write to standard output: {error.strerror or error}")


def _open_standard_streams() -> bool:
    """Open the null device in place of each standard stream that the caller has closed.

    Otherwise the next files to be opened would get the descriptors 0 to 2, and with them all output
    to stdout and stderr.

    Returns:
        Whether stdout was closed.
    """
    closed = sys.stdout is None
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free descriptor. Workers inherit standard streams, but not other files.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    # multiprocessing flushes both before it starts a process.
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    return closed


def _exit_code(error: BaseException) -> ExitCode:
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return error.exit_code if isinstance(error, GudiError) else ExitCode.COULD_NOT_RUN


def _describe(error: BaseException) -> str:
    advice = remedy(f"{type(error).__name__}: {error}")
    if advice and not isinstance(error, ResourceError):
        # NumPy wraps the cause in a page of advice.
        lines = [line for line in str(error).splitlines() if remedy(line)]
        return f"{lines[0] if lines else type(error).__name__}; {advice}"
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
    """Print text for people on stderr. A closed stderr is not an error."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)

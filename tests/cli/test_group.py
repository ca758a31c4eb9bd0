"""Errors in one line, exit codes, signals and standard streams."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import click
import pytest
from click.testing import CliRunner
from conftest import (
    call_gudi,
    draw_face,
    fer_row,
    gudi_environment,
    interruptible,
    run_gudi,
    save,
    small_face,
    write_fer,
)

from gudi.cli.group import CommandGroup
from gudi.errors import CheckpointCorrupt, InputError, UsageError
from gudi.signals import STOP_SIGNALS


def failing(error: BaseException, *arguments: str):
    """Return what a command that raises `error` ends with."""

    @click.group(cls=CommandGroup)
    @click.option("--debug", is_flag=True)
    def main(debug):
        pass

    @main.command()
    def fail():
        raise error

    @main.command()
    def import_interrupted():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except KeyboardInterrupt:
            raise error from None  # as NumPy does while it is imported

    command = () if arguments[-1:] == ("import-interrupted",) else ("fail",)
    before = {each: signal.getsignal(each) for each in STOP_SIGNALS}
    try:
        return CliRunner().invoke(main, [*arguments, *command])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_interrupted_import_counts_as_an_interrupt():
    done = failing(ImportError("initialization failed"), "import-interrupted")
    assert done.exit_code == 130
    assert done.stderr.endswith("gudi: interrupted\n")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("no such file: a\nb"), 1, r"error: no such file: a\nb"),
        (CheckpointCorrupt("damaged"), 1, "error: damaged"),
        (UsageError("no such device: tpu"), 2, "error: no such device: tpu"),
        (
            RuntimeError("not\nexpected"),
            1,
            "error: RuntimeError: not (gudi --debug … shows the traceback)",
        ),
        (
            ImportError("libGL.so.1: cannot open shared object file"),
            1,
            "error: libGL.so.1: cannot open shared object file; on Debian and Ubuntu: apt-get "
            "install libgl1 libglib2.0-0",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(error, code, message):
    done = failing(error)
    assert (done.exit_code, done.stdout, done.stderr) == (code, "", f"gudi: {message}\n")


def test_debug_shows_the_traceback_before_the_error():
    done = failing(InputError("no such file"), "--debug")
    assert done.exit_code == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith("gudi: error: no such file\n")


def test_debug_is_passed_on_to_the_commands(tmp_path):
    done = call_gudi("--debug", "batch", "nowhere", "--out", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "no such file or folder: nowhere" in done.stderr


def test_wrong_usage_ends_with_2(tmp_path):
    done = call_gudi("batch", "photos", cwd=tmp_path)
    assert done.returncode == 2
    assert "Missing option '--out'" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX descriptors")
def test_closed_standard_streams_are_no_error(tmp_path):
    write_fer(tmp_path / "fer2013.csv", [fer_row(3, small_face())])
    process = subprocess.Popen(
        [sys.executable, "-m", "gudi", "prepare", "fer", "fer2013.csv", "--whole"],
        cwd=tmp_path, env=gudi_environment(), preexec_fn=lambda: os.closerange(0, 3),
    )  # fmt: skip
    assert process.wait(60) == 0, "its worker did not start"
    names = [path.name for path in (tmp_path / "data").iterdir()]
    assert sorted(names) == ["whole_data.json", "whole_data_images.npy", "whole_data_labels.npy"]


@pytest.mark.parametrize(
    ("closed", "arguments", "code"),
    [
        ("stdout", ["checkpoint", "inspect"], 1),
        ("stderr", ["export", "model.txt"], 2),  # a message is lost, an exit code is not
    ],
)
def test_a_reader_that_is_gone_gets_no_traceback(tmp_path, closed, arguments, code):
    process = subprocess.Popen(
        [sys.executable, "-m", "gudi", *arguments], cwd=tmp_path, env=gudi_environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    getattr(process, closed).close()
    assert process.wait(60) == code
    left = process.stderr if closed == "stdout" else process.stdout
    assert left.read() == ""


FULL = "/dev/full"


@pytest.mark.skipif(not os.path.exists(FULL), reason=f"needs {FULL}")
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["batch", "--help"], ["checkpoint", "inspect"],
     ["predict", "a.png", "--no-annotate"]],
)  # fmt: skip
def test_full_disk_behind_stdout_is_an_error_in_one_line(tmp_path, arguments):
    save(tmp_path / "a.png", draw_face())
    done = redirected(arguments, f">{FULL}", tmp_path)
    error = "gudi: error: cannot write to standard output: No space left on device"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, error)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_results_that_have_nowhere_to_go_are_an_error(tmp_path):
    save(tmp_path / "a.png", draw_face())
    for arguments in (["predict", "a.png"], ["checkpoint", "inspect"]):
        done = redirected(arguments, ">&-", tmp_path)
        assert done.returncode == 1
        assert done.stderr.endswith(
            "gudi: error: standard output is closed: there is nowhere to print the results\n"
        )


@pytest.mark.skipif(not os.path.exists(FULL), reason=f"needs {FULL}")
@pytest.mark.parametrize(("arguments", "code"), [(["batch"], 2), (["nothing"], 2), (["--help"], 0)])
def test_exit_code_survives_a_full_disk_behind_stderr(tmp_path, arguments, code):
    assert redirected(arguments, f"2>{FULL}", tmp_path).returncode == code


def redirected(arguments, redirection, folder):
    """Return how a command ends whose standard streams a shell redirects."""
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -m gudi "$@" {redirection}', sys.executable, *arguments],
        cwd=folder, env=gudi_environment(), text=True, capture_output=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_signal_ends_a_command_with_130(tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, "-m", "gudi", "batch", "-", "--out", "out"],
        cwd=tmp_path, env=gudi_environment(), text=True, preexec_fn=interruptible,
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with contextlib.closing(process.stdin):
        for _ in range(600):  # until it waits for the list of inputs
            if (tmp_path / "out" / "run.json").exists():
                break
            time.sleep(0.1)
        process.send_signal(signal.Signals[number])
        assert (process.wait(60), process.stderr.read()) == (130, "gudi: interrupted\n")
    assert not (tmp_path / "out").exists()


def test_python_m_gudi_calls_itself_gudi():
    assert run_gudi("batch").stderr.startswith("Usage: gudi batch [OPTIONS] INPUT...\n")

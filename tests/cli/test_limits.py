"""Limits of the system on memory and files: one line that names the limit and the remedy."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import draw_face, gudi_environment, needs_tensorflow, save

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs ulimit")

BATCH = ("batch", "a.png", "--out", "out", "--no-annotate", "--no-report")


def limited(limit, arguments, folder):
    """Run gudi in a shell with a limit."""
    save(folder / "a.png", draw_face())
    return subprocess.run(
        ["sh", "-c", f'ulimit -c 0; ulimit {limit}; exec "$0" -m gudi "$@"', sys.executable,
         *arguments],
        cwd=folder, env=gudi_environment(), text=True, capture_output=True, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("kilobytes", [40_000, 100_000, 300_000, 800_000])
def test_too_little_memory_is_named(tmp_path, kilobytes):
    done = limited(f"-v {kilobytes}", BATCH, tmp_path)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith(
        f"gudi: error: the limit of {kilobytes // 1024} MB of memory (ulimit -v)"
    )
    assert line.endswith("raise it, for example with ulimit -v unlimited")


@needs_tensorflow
def test_too_little_memory_for_tensorflow_is_named(tmp_path):
    for arguments in ((*BATCH, "--engine", "tensorflow"), ("train",), ("export", "model")):
        done = limited("-v 2000000", arguments, tmp_path)
        assert done.returncode == 1
        assert "TensorFlow needs 3,500 MB" in done.stderr


def test_too_few_open_files_are_named(tmp_path):
    done = limited("-n 8", BATCH, tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "the limit of 8 open files (ulimit -n) is too low: raise it" in last


def test_few_open_files_are_enough(tmp_path):
    done = limited("-n 20", (*BATCH, "--workers", "2"), tmp_path)
    assert done.returncode == 0, done.stderr


def test_help_needs_little_memory(tmp_path):
    done = limited("-v 100000", ("batch", "--help"), tmp_path)
    assert done.returncode == 0, done.stderr

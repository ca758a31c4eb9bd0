"""Folders that are locked, on disks with and without locks."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import draw_face, gudi_environment, run_gudi, save
from result_folders import read_rows

from gudi.errors import OutputError
from gudi.locks import LOCK, folder_lock

HOLD = """
import sys
from pathlib import Path
from gudi.locks import folder_lock

with folder_lock(Path(sys.argv[1]), "another run"):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="session")
def without_locks(tmp_path_factory):
    """A function that returns an environment in which paths below `/net/` cannot be locked.

    Args:
        flock, fcntl: what these functions fail with; None to let them work.
    """
    source, compiler = Path(__file__).with_name("no_locks.c"), shutil.which("cc")
    if not (compiler and sys.platform == "linux"):
        pytest.skip("needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("library") / "no_locks.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)

    def environment(flock=None, fcntl=None):
        errors = {"FLOCK_ERR": flock, "FCNTL_ERR": fcntl}
        given = {name: str(number) for name, number in errors.items() if number is not None}
        return {"LD_PRELOAD": str(library), **given}

    return environment


@pytest.fixture
def net(tmp_path):
    """A folder on the disk of `without_locks`, and beside it a photo `a.png`."""
    save(tmp_path / "a.png", draw_face())
    (tmp_path / "net").mkdir()
    return tmp_path / "net"


def batch(net, env):
    options = ("--no-annotate", "--no-report")
    return run_gudi("batch", "a.png", "--out", "net/out", *options, cwd=net.parent, env=env)


def holding(folder, env=None):
    """Start a process that holds the lock of `folder` until its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], env=gudi_environment(env), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline() == "locked\n"
    return process


def test_locked_folder_is_created_and_cannot_be_locked_again(tmp_path):
    folder = tmp_path / "a" / "b"
    with folder_lock(folder, "another run"):
        with (
            pytest.raises(OutputError, match="b is in use: another run"),
            folder_lock(folder, "another run"),
        ):
            pass
        assert folder.is_dir()
    assert not folder.exists()
    with folder_lock(folder, "another run"):
        (folder / "result").touch()
    assert (folder / "result").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="the locked file cannot be read on Windows")
def test_error_says_who_holds_the_folder_and_how_to_clear_it(tmp_path):
    with holding(tmp_path) as process:
        who = f"another run writes to it (process {process.pid} on {socket.gethostname()})"
        with pytest.raises(OutputError) as caught, folder_lock(tmp_path, "another run"):
            pass
        assert str(caught.value) == (
            f"{tmp_path} is in use: {who}; if that process has ended, remove {tmp_path / LOCK}"
        )
        process.kill()
    with folder_lock(tmp_path, "another run"):
        pass
    assert (tmp_path / LOCK).read_text() == ""


@pytest.mark.parametrize("number", [11, 22, 37, 38, 95])
def test_folder_on_a_disk_without_flock_is_used_and_locked(net, without_locks, number):
    env = without_locks(flock=number)
    done = batch(net, env)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert len(read_rows(net / "out" / "faces.csv")) == 1
    assert LOCK not in os.listdir(net / "out")
    with holding(net / "out", env) as process:
        refused = batch(net, env)
        assert refused.returncode == 1
        assert f"(process {process.pid} on {socket.gethostname()})" in refused.stderr
        assert f"remove net/out/{LOCK}" in refused.stderr
        process.kill()
    done = batch(net, env)  # the process that held it is gone
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("content", "code"), [("", 0), ("123\nelsewhere\n", 1), ("somebody's own", 1)]
)
def test_lock_file_on_a_disk_without_flock(net, without_locks, content, code):
    (net / "out").mkdir()
    (net / "out" / LOCK).write_text(content)
    done = batch(net, without_locks(flock=37))
    assert done.returncode == code, done.stderr
    if code:
        assert f"remove net/out/{LOCK}" in done.stderr
        assert (net / "out" / LOCK).read_text() == content


@pytest.mark.parametrize("number", [5, 13, 37, 38])
@pytest.mark.parametrize("flock", [None, 38])
def test_disk_on_which_sqlite_cannot_lock_is_named(net, without_locks, number, flock):
    done = batch(net, without_locks(flock, number))
    error = (
        "gudi: error: cannot lock net/out/results.sqlite: this disk has no locks; put --out on a "
        "local one\n"
    )
    assert (done.returncode, done.stderr) == (1, error)
    assert not (net / "out").exists()

"""What gudi leaves on the machine besides results, and what it asks the network: nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from conftest import draw_face, gudi_environment, save
from test_docs import write_video

# ONNX Runtime 1.32 asks for the address of its server 10 seconds after it is imported.
WAIT = 12

RECOGNIZE = f"""
import gudi, time
with gudi.Recognizer() as recognizer:
    print(len(recognizer("face.jpg")))
    time.sleep({WAIT})
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a photo, a video, and two empty folders: `home` and `temporary`."""
    save(tmp_path / "face.jpg", draw_face())
    write_video(tmp_path / "film.mp4")
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def environment(folder):
    """Environment variables of a user who has never used gudi."""
    home, temporary = str(folder / "home"), str(folder / "temporary")
    before = {
        name: value
        for name, value in gudi_environment().items()
        if not name.startswith("XDG_") and name != "ORT_DISABLE_TELEMETRY"
    }
    return before | {"HOME": home, "USERPROFILE": home, "TMPDIR": temporary, "TEMP": temporary}


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "face.jpg"],
        ["batch", "face.jpg", "film.mp4", "--out", "out", "--track", "--subtitles"],
        ["batch", "face.jpg", "--out", "out", "--predict-in", "workers"],
        ["batch", "face.jpg", "--out", "out", "--engine", "tensorflow"],
    ],
)
def test_nothing_is_left_in_the_home_folder(command, folder, environment):
    done = subprocess.run(
        [sys.executable, "-m", "gudi", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list((folder / "home").rglob("*")) == []
    assert list((folder / "temporary").rglob("*")) == []


FORK = """
import gudi, os, sys, time
recognizer = gudi.Recognizer()
recognizer("face.jpg")
time.sleep(0.5)  # until the threads of the session sleep
if os.fork() == 0:
    sys.exit(len(recognizer("face.jpg")))
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_forked_process_with_an_open_recognizer_exits(folder, environment):
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "1\n", done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "gudi", "batch", "face.jpg", "film.mp4", "--out", "out", "--workers", "2"],
        ["-c", RECOGNIZE],
    ],
)
def test_nothing_is_sent_or_looked_up(command, folder, environment):
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "true"], capture_output=True).returncode:
        pytest.skip("no strace that may watch processes")
    done = subprocess.run(
        [strace, "-f", "-o", "calls", "-e", "trace=network,openat", sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    calls = (folder / "calls").read_text().splitlines()
    assert any("openat" in call and "face.jpg" in call for call in calls)
    assert [call for call in calls if "socket(" in call and "AF_UNIX" not in call] == []
    for name in ("/etc/hosts", "/etc/resolv.conf"):
        assert [call for call in calls if name in call] == []

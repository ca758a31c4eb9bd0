"""The window of `gudi live`, on a real display."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from clips import has_green_lines, read_as_player, write_moving_face
from conftest import call_gudi, gudi_environment
from PIL import ImageGrab

from gudi.checkpoint.locate import SHIPPED


@pytest.fixture
def start_live(tmp_path):
    """A function that starts `gudi live` in a process, which ends with the test."""
    with contextlib.ExitStack() as stack:

        def start(*arguments, **env):
            process = subprocess.Popen(
                [sys.executable, "-m", "gudi", "live", "--checkpoint", SHIPPED, *arguments],
                cwd=tmp_path, env=gudi_environment(env), text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process

        yield start


@contextlib.contextmanager
def start_display():
    """Start a display that no one else uses; yield its name and its process."""
    for program in ("Xvfb", "xdotool"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        # By default it restarts, and rejects clients meanwhile, when its last client leaves.
        ["Xvfb", "-noreset", "-displayfd", str(writing), "-screen", "0", "800x600x24"],
        pass_fds=[writing], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    with open(reading) as file:
        yield f":{file.readline().strip()}", server
    server.terminate()
    server.wait(10)


@pytest.fixture(scope="module")
def display():
    with start_display() as (name, _):
        yield name


def xdotool(display, *arguments):
    done = subprocess.run(
        ["xdotool", *arguments], env=os.environ | {"DISPLAY": display},
        capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.split()


def press(key):
    return lambda display: xdotool(display, "search", "--name", "^gudi$", "windowfocus", "key", key)


def close_window(display):
    """Ask the window to close, as a window manager does when its × is clicked."""

    class ClientMessage(ctypes.Structure):
        _fields_ = (
            ("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("sent", ctypes.c_int),
            ("display", ctypes.c_void_p), ("window", ctypes.c_ulong), ("kind", ctypes.c_ulong),
            ("format", ctypes.c_int), ("data", ctypes.c_long * 5), ("rest", ctypes.c_long * 24),
        )  # fmt: skip

    x = ctypes.CDLL("libX11.so.6")
    x.XOpenDisplay.restype = ctypes.c_void_p
    x.XInternAtom.restype = ctypes.c_ulong
    connection = ctypes.c_void_p(x.XOpenDisplay(display.encode()))
    protocols, delete = (
        x.XInternAtom(connection, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")
    )
    (window,) = map(int, xdotool(display, "search", "--name", "^gudi$"))
    data = (ctypes.c_long * 5)(delete)
    message = ClientMessage(type=33, window=window, kind=protocols, format=32, data=data)
    x.XSendEvent(connection, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(message))
    x.XCloseDisplay(connection)


def shows_a_face(process, display, seconds):
    """Wait until there is a green box on the screen; tell whether it came in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if has_green_lines(np.array(ImageGrab.grab(xdisplay=display))[..., ::-1]):
            return True
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.3)
    return False


@pytest.mark.parametrize("end", [press("q"), close_window], ids=["q", "×"])
def test_window_shows_the_face_until_someone_closes_it(display, start_live, tmp_path, end):
    source = write_moving_face(tmp_path / "camera.mp4", stamps=[2000 * n for n in range(200)])
    for attempt in range(6):
        # Without a window manager, Qt sometimes does not learn that its window is visible.
        out = tmp_path / f"out{attempt}"
        out.mkdir()
        process = start_live("--source", source, "--save", out / "seen.mp4", DISPLAY=display)
        if shows_a_face(process, display, 60):
            break
        process.kill()
        process.wait()
    else:
        pytest.fail("there is no green box on the screen")
    deadline = time.monotonic() + 120
    while process.poll() is None:
        # Without a window manager, an event may come too early and get lost.
        with contextlib.suppress(ValueError):  # the window has gone since
            end(display)
        assert time.monotonic() < deadline, "the window does not close"
        time.sleep(0.5)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (0, ""), stderr
    *_, summary, saved = stderr.splitlines()
    assert saved == f"video: {out / 'seen.mp4'}"
    _, images = read_as_player(out / "seen.mp4")
    assert 0 < len(images) < 200
    assert int(summary.split()[0]) == len(images)
    assert images[0].shape == (240, 320, 3)
    assert has_green_lines(images[0])
    assert [path.name for path in out.iterdir()] == ["seen.mp4"]


@pytest.mark.skipif(sys.platform != "linux", reason="displays are lost on Linux only")
def test_recording_is_kept_if_the_display_is_lost(start_live, tmp_path):
    source = write_moving_face(tmp_path / "camera.mp4", stamps=[2000 * n for n in range(200)])
    with start_display() as (display, server):
        process = start_live("--source", source, "--save", "seen.mp4", DISPLAY=display)
        while not list(tmp_path.glob(".gudi-*")):  # the recording has begun
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        server.kill()
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (3, "")
    *_, summary, saved, problem = stderr.splitlines()
    assert (saved, "the window is gone" in problem) == ("video: seen.mp4", True)
    _, images = read_as_player(tmp_path / "seen.mp4")
    assert 0 < len(images) == int(summary.split()[0])


@pytest.mark.parametrize("name", ["", ":77", "nowhere.invalid:0"])
def test_missing_display_is_an_error(tmp_path, name):
    if not cv2.currentUIFramework().startswith(("QT", "GTK")):
        pytest.skip("this OpenCV needs no X server")
    source = write_moving_face(tmp_path / "v.mp4")
    done = call_gudi(
        "live", "--checkpoint", SHIPPED, "--source", source, cwd=tmp_path, env={"DISPLAY": name}
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("gudi: error: no window can be opened (")
    assert line.endswith("); use --no-window to run without one")

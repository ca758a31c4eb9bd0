"""`gudi live`: window, recording, emoji, and what keeps them from working."""

from __future__ import annotations

import contextlib
import csv
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time

import av
import cv2
import numpy as np
import pytest
from conftest import ROOT, draw_face, gudi_environment
from PIL import ImageGrab
from test_video import make

from gudi import detection, live
from gudi.constants import EMOTIONS
from gudi.detection import Box
from gudi.drawing import overlay
from gudi.drawing.emoji import draw_emoji
from gudi.errors import GudiError, InputError, OutputError
from gudi.media import video
from gudi.media.recording import Recording
from gudi.settings import RunSettings

DEFAULT = ROOT / "gudi" / "checkpoint" / "default.gudi"
GREEN = (0, 255, 0)

# Times of frames in thousandths of a second, and which of them show no face.
STAMPS = [0, 40, 80, 200, 240, 1000, 1040, 1080]
EMPTY = (3, 4)


def film(path, width=320, height=240, stamps=STAMPS, size=120, top=20, **how):
    """Write a video of a drawn face that moves, and goes away at times."""
    frames = [draw_face(size, width, height, (width - size) // 2 + n, top) for n in range(8)]
    for number in EMPTY:
        frames[number] = np.full((height, width, 3), 128, np.uint8)
    return make(path, [frames[n % 8] for n in range(len(stamps))], stamps=stamps, **how)


def decoded(path):
    """Return times and frames of a video as a player sees it."""
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        return zip(*[
            (float(frame.time), frame.to_ndarray(format="bgr24"))
            for frame in container.decode(video=0)
        ])  # fmt: skip


def green(image):
    """Tell whether there are lines in the colour of face boxes; video changes it a little."""
    close = (np.abs(image.astype(int) - GREEN) < 60).all(axis=2)
    return close.sum() > 100


@pytest.fixture
def start_live(tmp_path):
    """A function that starts `gudi live`; what it has started ends with the test."""
    with contextlib.ExitStack() as ends:

        def start(*arguments, **env):
            process = subprocess.Popen(
                [sys.executable, "-m", "gudi", "live", "--checkpoint", DEFAULT, *arguments],
                cwd=tmp_path, env=gudi_environment(env), text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            ends.callback(process.communicate)
            ends.callback(process.kill)
            return process

        yield start


@pytest.fixture(scope="module")
def display():
    """The name of an X server's display that nobody else uses."""
    for program in ("Xvfb", "xdotool"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        # By itself it begins anew, and turns clients away, when the last one has gone.
        ["Xvfb", "-noreset", "-displayfd", str(writing), "-screen", "0", "800x600x24"],
        pass_fds=[writing], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    with open(reading) as file:
        yield f":{file.readline().strip()}"
    server.terminate()
    server.wait(10)


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


@pytest.mark.parametrize("end", [press("q"), close_window], ids=["q", "×"])
def test_a_window_shows_the_face_until_somebody_ends_it(display, start_live, tmp_path, end):
    source = film(tmp_path / "camera.mp4", stamps=[500 * n for n in range(200)])
    process = start_live("--source", source, "--save", "out/seen.mp4", DISPLAY=display)
    deadline = time.monotonic() + 600
    while not green(np.array(ImageGrab.grab(xdisplay=display))[..., ::-1]):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "there is no green box on the screen"
        time.sleep(0.3)
    end(display)
    stdout, stderr = process.communicate(timeout=300)
    assert (process.returncode, stdout) == (0, ""), stderr
    assert stderr.splitlines()[1:] == ["video: out/seen.mp4"]
    _, images = decoded(tmp_path / "out" / "seen.mp4")
    assert 0 < len(images) < 200
    assert int(stderr.split()[0]) == len(images)
    assert images[0].shape == (240, 320, 3)
    assert green(images[0])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["seen.mp4"]


def test_without_a_window_there_is_a_line_a_face_and_the_video(start_live, tmp_path):
    source = film(tmp_path / "v.mkv", 321, 241, codec="mjpeg")
    frames = list(video.read_frames(source))
    process = start_live("--source", source, "--no-window", "--save", "a.mp4")
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert stderr.startswith("8 frames, 6 with a face, in ")
    lines = list(csv.reader(stdout.splitlines(), delimiter="\t"))
    assert [int(line[0]) for line in lines] == [n for n in range(8) if n not in EMPTY]
    times, images = decoded(tmp_path / "a.mp4")
    assert len(images) == 8
    assert images[0].shape == (242, 322, 3)  # 4:2:0 has no odd sizes
    np.testing.assert_allclose(times, np.array(STAMPS) / 1000, atol=1e-3)
    for number, shown, *box, emotion, share in lines:
        frame, box = frames[int(number)], Box(*map(int, box))
        assert float(shown) == pytest.approx(frame.time, abs=1e-3)
        assert [box] == detection.detect(frame.image, largest=True)
        assert emotion in EMOTIONS
        assert 1 / 7 < float(share) <= 1
        assert green(images[int(number)][:, box.x + box.width - 3 : box.x + box.width + 4])
    for number in EMPTY:
        plain = images[number][:241, :321].astype(int) - frames[number].image
        assert np.abs(plain).max() < 8


@pytest.mark.parametrize("name", ["", ":77", "nowhere.invalid:0"])
def test_without_a_display_it_says_so(start_live, tmp_path, name):
    if not cv2.currentUIFramework().startswith(("QT", "GTK")):
        pytest.skip("this OpenCV needs no X server")
    source = film(tmp_path / "v.mp4")
    process = start_live("--source", source, DISPLAY=name)
    stdout, stderr = process.communicate(timeout=300)
    assert (process.returncode, stdout) == (1, "")
    (line,) = stderr.splitlines()
    assert line.startswith("gudi: error: no window can be opened (")
    assert line.endswith("); do without: --no-window")


def test_without_the_camera_it_says_so(start_live, tmp_path):
    process = start_live("--source", "99", "--no-window", "--save", "a.mp4")
    stdout, stderr = process.communicate(timeout=300)
    assert (process.returncode, stdout) == (1, "")
    (line,) = stderr.splitlines()
    assert line.startswith("gudi: error: camera 99 gives no pictures: ")
    assert not list(tmp_path.iterdir())


def look(source, **options):
    settings = RunSettings(checkpoint=str(DEFAULT), batch_size=1)
    return live.run(str(source), settings, window=False, **options)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("100", None, "100: no such file"),
        ("empty.mp4", b"", r"empty.mp4: it is empty"),
        ("text.mp4", b"no video", r"text.mp4: it cannot be decoded"),
        (".", None, "it is no regular file"),
    ],
)
def test_a_source_that_is_no_video(tmp_path, monkeypatch, name, content, problem):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=problem):
        look(name)


def test_what_keeps_a_video_from_being_saved(tmp_path):
    source = film(tmp_path / "v.mp4")
    before = source.read_bytes()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "there.mp4").write_text("a recording")
    for name, problem in {
        "a.avi": "its name ends in .mp4",
        "folder.mp4": "it is a folder",
        "there.mp4": "is there already; --overwrite replaces it",
        "there.mp4/a.mp4": "is a file, not a folder",
        "v.mp4": "is the video that is read",
    }.items():
        with pytest.raises(GudiError, match=problem):
            look(source, save=tmp_path / name, overwrite=name == "v.mp4")
    assert source.read_bytes() == before
    assert (tmp_path / "there.mp4").read_text() == "a recording"


def test_a_signal_ends_it_with_the_video_whole(tmp_path):
    source = film(tmp_path / "v.mp4", stamps=[40 * n for n in range(50)])
    report = look(
        source, save=tmp_path / "a.mp4", found=lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    )
    assert (report.exit_code, report.frames) == (130, 1)
    _, images = decoded(tmp_path / "a.mp4")
    assert len(images) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "v.mp4"]


def test_a_camera_that_goes_away_leaves_its_video(tmp_path, monkeypatch):
    """OpenCV is given a file instead of a camera, which ends as a camera does."""
    source = film(tmp_path / "v.mp4", stamps=[40 * n for n in range(9)])
    capture = cv2.VideoCapture(str(source))
    monkeypatch.setattr(cv2, "VideoCapture", {3: capture}.get)
    report = look("3", save=tmp_path / "a.mp4")
    assert (report.exit_code, report.faces) == (3, 6)
    # The first picture only shows that there is one.
    assert report.problem == "camera 3: no more pictures behind frame 7, is it still plugged in?"
    times, images = decoded(tmp_path / "a.mp4")
    assert len(images) == report.frames == 8
    assert list(times) == sorted(set(times))


def test_a_video_that_breaks_off_and_tiny_frames(tmp_path):
    stamps = [40 * n for n in range(200)]
    source = film(tmp_path / "v.mkv", 61, 41, stamps, size=26, top=4, codec="mjpeg")
    content = source.read_bytes()
    source.write_bytes(content[: len(content) * 6 // 10])
    found = []
    report = look(
        source,
        save=tmp_path / "a.mp4",
        found=lambda frame, face: found.append(face.probabilities.sum()),
    )
    assert report.exit_code == 3
    assert report.problem.startswith(f"{source}: it breaks off behind frame ")
    _, images = decoded(tmp_path / "a.mp4")
    assert images[0].shape == (42, 62, 3)
    assert 50 < len(images) == report.frames < 200
    assert 0 < len(found) == report.faces < report.frames
    np.testing.assert_allclose(found, 1, atol=1e-5)


PROBABILITIES = np.array([0.05, 0, 0.1, 0.6, 0.05, 0.15, 0.05], np.float32)


@pytest.mark.parametrize(
    ("width", "height"),
    [(24, 24), (60, 40), (30, 500), (500, 30), (160, 120), (321, 241)],
)
def test_what_does_not_fit_is_left_out(width, height):
    image = np.full((height, width, 3), 100, np.uint8)
    side = min(width, height, 100)
    face = live.Face(Box(width - side, height - side, side, side), PROBABILITIES)
    live.draw_face(image, face, EMOTIONS)
    overlay.write_note(image, "12.3 fps")
    large = width > 300
    assert (image[0, 0] < 50).all() == (large and height > 200)


def test_bars_are_as_long_as_the_probabilities():
    image = np.full((360, 640, 3), 200, np.uint8)
    panel = overlay.draw_bars(image, PROBABILITIES, EMOTIONS)
    assert (panel.x, panel.y) == (0, 0)
    assert (image[panel.height :] == 200).all()
    assert (image[:, panel.width :] == 200).all()
    strong, weak, track = (
        (image == colour).all(axis=2)
        for colour in (overlay.TEXT_COLOUR, overlay.BAR_COLOUR, overlay.TRACK_COLOUR)
    )
    bar = strong | weak | track
    columns = bar.sum(axis=0) > 50  # seven bars, not words
    rows = np.flatnonzero(bar[:, columns].all(axis=1))
    bars = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    shares = [(strong | weak)[bar[0], columns].mean() for bar in bars]
    np.testing.assert_allclose(shares, PROBABILITIES, atol=0.01)
    assert [strong[bar[0], columns].any() for bar in bars] == list(PROBABILITIES > 0.5)


def test_bars_keep_off_faces_and_their_labels():
    image = np.zeros((360, 640, 3), np.uint8)

    def corner(*boxes):
        # A label stands above its box.
        taken = overlay.annotate(image, [(box, "surprised", 0.9) for box in boxes])
        panel = overlay.draw_bars(image, PROBABILITIES, EMOTIONS, taken)
        return panel.x > 300, panel.y > 100

    upper_left, upper_right, below = Box(50, 20, 90, 90), Box(500, 20, 90, 90), Box(9, 135, 90, 90)
    assert corner(Box(300, 20, 90, 90)) == (False, False)
    assert corner(upper_left) == corner(below) == (True, False)
    assert corner(upper_left, upper_right) == (True, True)
    assert corner(upper_left, upper_right, Box(500, 250, 90, 90)) == (False, True)
    assert corner(Box(50, 20, 500, 300)) == (False, False)  # there is no corner


def test_every_emotion_has_an_emoji_of_its_own():
    drawn = [draw_emoji(emotion, 60) for emotion in EMOTIONS]
    for number, emoji in enumerate(drawn):
        assert (emoji.shape, emoji.dtype) == ((60, 60, 4), np.uint8)
        alpha = emoji[..., 3]
        assert (alpha[0, 0], alpha[30, 30]) == (0, 255)
        assert ((alpha > 0) & (alpha < 255)).any(), "the edge is not smooth"
        for other in drawn[:number]:
            assert np.abs(emoji.astype(int) - other).max() > 100
    assert draw_emoji("bored", 60) is None
    assert draw_emoji("happy", 1).shape == (1, 1, 4)


def test_other_emotions_have_bars_and_no_emoji():
    image = np.full((360, 640, 3), 200, np.uint8)
    face = live.Face(Box(300, 200, 100, 100), np.array([0.2, 0.8], np.float32))
    live.draw_face(image, face, ("calm", "bored"))
    assert (image[5, 5] < 200).all()
    assert (image[100:200, :250] == 200).all()


def test_pictures_are_drawn_as_their_alpha_says():
    image = np.full((4, 4, 3), 100, np.uint8)
    picture = np.zeros((2, 2, 4), np.uint8)
    picture[0] = (200, 0, 50, 255)
    picture[1] = (200, 0, 50, 51)
    overlay.draw_over(image, picture, 1, 2)
    assert (image[2, 1:3] == (200, 0, 50)).all()
    assert (image[3, 1:3] == (120, 80, 90)).all()
    assert (image[:2] == 100).all()


def test_a_recording_is_kept_when_the_block_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), Recording(tmp_path / "below" / "a.mp4") as recording:
        for number in range(5):
            # Neither a size that changes nor times that stand still keep it from going on.
            recording.add(np.full((50 + number, 70, 3), 50 * number, np.uint8), number // 2)
        1 / 0  # noqa: B018
    times, images = decoded(tmp_path / "below" / "a.mp4")
    np.testing.assert_allclose(times, [0, 0, 1, 1, 2], atol=1e-3)
    assert {image.shape for image in images} == {(50, 70, 3)}
    assert [path.name for path in tmp_path.rglob("*")] == ["below", "a.mp4"]


def test_a_recording_without_frames_is_no_file(tmp_path):
    with Recording(tmp_path / "below" / "a.mp4"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_recording_that_does_not_fit_on_the_disk(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(1).integers(0, 256, (200, 300, 3), np.uint8)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with (
            pytest.raises(OutputError, match="a.mp4 cannot be written: File too large"),
            Recording(tmp_path / "a.mp4") as recording,
        ):
            for number in range(100):
                recording.add(np.roll(noise, 7 * number, axis=1), number / 25)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())

"""The largest face before a camera or in a video, as it comes: `predict_cam&video.py`."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from gudi import checkpoint, detection
from gudi.detection import Box
from gudi.drawing import overlay
from gudi.drawing.emoji import draw_emoji
from gudi.errors import DisplayError, ExitCode, InputError, VideoError, one_line
from gudi.media import video
from gudi.media.recording import Recording, check_recording
from gudi.media.video import Frame
from gudi.predictor import Predictor, check_device
from gudi.progress import Progress
from gudi.settings import DetectionSettings, RunSettings
from gudi.signals import stop_requested

# OpenCV takes 100 and more for the names of its own drivers.
CAMERA = re.compile("[0-9]{1,2}")

TITLE = "gudi"
QUIT_KEYS = (ord("q"), ord("Q"), 27)  # 27 is Esc

FACE_COLOUR = (0, 255, 0)
EYE_COLOUR = (0, 220, 255)

LINE_SHARE = 1 / 300  # of the picture's longer side
EMOJI_SHARE = 1 / 4  # of its shorter side
MIN_EMOJI = 16

# A window is no larger than this at first, so that a large video fits on the screen.
MAX_WINDOW = (1280, 720)

REACTION = 0.05  # seconds that a window may take to notice that it has been closed
FPS_MEMORY = 0.9  # share of what was known of the speed that a new frame leaves

PROBE = "import sys; sys.path = sys.argv[1:]; import cv2; cv2.namedWindow('gudi')"
PROBE_TIMEOUT = 120  # seconds


@dataclass(frozen=True)
class Face:
    """The largest face of a frame.

    Attributes:
        box: where it is, in pixels.
        probabilities: float32 of shape (classes,), of its emotions.
    """

    box: Box
    probabilities: np.ndarray


@dataclass
class Report:
    """What a run came to; decides the exit code.

    Attributes:
        frames: how many were looked at.
        faces: in how many of them there was a face.
        seconds: how long it took.
        interrupted: whether a signal ended it.
        problem: "" or why the source ended before its time.
    """

    frames: int = 0
    faces: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    problem: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a run with this report."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.SOME_INPUTS_FAILED if self.problem else ExitCode.FINISHED


def run(
    source: str,
    settings: RunSettings,
    *,
    save: Path | None = None,
    overwrite: bool = False,
    window: bool = True,
    found: Callable[[Frame, Face], None] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Look at the frames of `source` until it ends, or somebody ends it.

    Args:
        source: number of a camera, from 0, or path of a video.
        settings: the checkpoint and how faces are looked for.
        save: where to write the frames with what was found drawn on, an MP4.
        overwrite: replace the file at `save`.
        window: show the frames in a window, those of a video no faster than they are meant to be.
        found: told of each frame with a face before it is drawn on.
        progress: told what a person should know.

    Raises:
        InputError: the source cannot be opened.
        OutputError: `save` cannot be written.
        DisplayError: no window can be opened.
    """
    if save is not None:
        check_recording(save, overwrite=overwrite, source=source)
    check_device(settings.device)
    weights = checkpoint.load(settings.checkpoint, settings.emotions, settings.network)
    weights.note_recovery(progress)
    if window:
        check_display()
    report = Report()
    with (
        _opened(source, debug=settings.debug) as frames,
        Predictor(weights, settings.device, settings.batch_size, settings.emotions) as predictor,
        stop_requested() as stop,
        Recording(save) if save is not None else contextlib.nullcontext() as recording,
        _Window(stop, paced=not is_camera(source)) if window else contextlib.nullcontext() as shown,
    ):
        began = time.monotonic()
        try:
            for frame in frames:
                face = look(frame.image, settings.detection, predictor)
                report.frames += 1
                report.faces += face is not None
                if face is not None and found is not None:
                    found(frame, face)
                if face is not None and (recording or shown):
                    draw_face(frame.image, face, predictor.emotions)
                if recording:
                    recording.add(frame.image, frame.time)
                if shown and not shown.show(frame):
                    break
                if stop:
                    break
        except VideoError as error:
            report.problem = f"{_name(source)}: {error}"
        report.interrupted = bool(stop)
        report.seconds = time.monotonic() - began
    return report


def look(image: np.ndarray, search: DetectionSettings, predictor: Predictor) -> Face | None:
    """Return the largest face of `image`, uint8 of shape (h, w, 3), BGR; None without any."""
    image = detection.grey(image)
    for box in detection.detect(image, **asdict(search) | {"largest": True}):
        return Face(box, predictor.predict(detection.crop(image, box)[np.newaxis])[0])
    return None


def draw_face(image: np.ndarray, face: Face, emotions: Sequence[str]) -> None:
    """Draw `face`, its eyes, the bars of its emotions and the strongest one's emoji in place.

    Args:
        image: uint8 of shape (h, w, 3), BGR, of any size: what does not fit is left out.
        face: what was found in it.
        emotions: the names of the network's outputs.
    """
    eyes = detection.detect_eyes(image, face.box)
    # Video has one colour for two by two pixels: thinner lines would be pale.
    thickness = max(2, round(max(image.shape[:2]) * LINE_SHARE))
    x, y, width, height = face.box
    cv2.rectangle(image, (x, y), (x + width, y + height), FACE_COLOUR, thickness)
    for eye in eyes:
        centre = (eye.x + eye.width // 2, eye.y + eye.height // 2)
        cv2.circle(image, centre, (eye.width + eye.height) // 4, EYE_COLOUR, thickness, cv2.LINE_AA)
    bars = overlay.draw_bars(image, face.probabilities, emotions, [face.box])
    _draw_emoji(image, emotions[face.probabilities.argmax()], bars or Box(0, 0, 0, 0))


def _draw_emoji(image: np.ndarray, emotion: str, bars: Box) -> None:
    """Draw the emoji below the bars, or above those at the bottom, if there is room."""
    height, width = image.shape[:2]
    size = round(min(height, width) * EMOJI_SHARE)
    space = size // 8
    top = bars.y - space - size if bars.y else bars.height + space
    if size < MIN_EMOJI or top < 0 or top + size > height:
        return
    emoji = draw_emoji(emotion, size)
    if emoji is not None:
        overlay.draw_over(image, emoji, width - size - space if bars.x else space, top)


def is_camera(source: str) -> bool:
    """Tell whether `source` is a camera's number, not a file's path."""
    return CAMERA.fullmatch(source) is not None


@contextlib.contextmanager
def _opened(source: str, *, debug: bool) -> Iterator[Iterator[Frame]]:
    """Yield the frames of a camera or a video that has proved to have some."""
    if not is_camera(source):
        frames = video.read_whole(source)
        try:
            first = next(frames)
        except VideoError as error:
            raise InputError(f"{_name(source)}: {error}") from error
        yield itertools.chain([first], frames)
        return
    if not debug:
        cv2.utils.logging.setLogLevel(0)  # it complains of each kind of camera that there is not
    capture = cv2.VideoCapture(int(source))
    try:
        if not (capture.isOpened() and capture.read()[0]):
            raise InputError(
                f"{_name(source)} gives no pictures: it is not there, not yours to use, or another "
                "program uses it; --source takes another number, or a video"
            )
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # what is shown is now, not a while ago
        yield _camera_frames(capture)
    finally:
        capture.release()


def _camera_frames(capture: cv2.VideoCapture) -> Iterator[Frame]:
    began = time.monotonic()
    for number in itertools.count():
        there, image = capture.read()
        if not there:
            raise VideoError(f"no more pictures behind frame {number - 1}, is it still plugged in?")
        yield Frame(number, time.monotonic() - began, image)


def _name(source: str) -> str:
    return f"camera {source}" if is_camera(source) else one_line(source)


def check_display() -> None:
    """Raise `DisplayError` unless a window can be opened.

    Qt and GTK end the whole process where there is no display, or where the one that `$DISPLAY`
    names does not answer. So a process of its own tries.
    """
    framework = cv2.currentUIFramework()
    if not framework:
        raise DisplayError(
            f"no window can be opened: this OpenCV {cv2.__version__} was built without "
            "(opencv-python-headless?); pip install opencv-python, or do without: --no-window"
        )
    if not framework.startswith(("QT", "GTK")):
        return
    try:
        probe = subprocess.run(
            [sys.executable, "-c", PROBE, *sys.path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        reason = "the display does not answer"
    else:
        if probe.returncode == 0:
            return
        lines = probe.stderr.decode(errors="replace").strip().splitlines()
        reason = one_line(lines[0] if lines else f"exit code {probe.returncode}")
    raise DisplayError(f"no window can be opened ({reason}); do without: --no-window")


class _Window:
    """A window that shows frames until somebody closes it.

    Args:
        stop: not empty when the run is to end.
        paced: wait with a frame until its time has come.
    """

    def __init__(self, stop: list, *, paced: bool) -> None:
        self.stop = stop
        self.paced = paced
        self.frame: Frame | None = None  # the one that is shown, since when, how quickly they come
        self.since = 0.0
        self.fps = 0.0

    def __enter__(self) -> _Window:
        # Qt complains of fonts that it does not find and does not need.
        os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")
        flags = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
        try:
            cv2.namedWindow(TITLE, flags)
        except cv2.error as error:
            raise DisplayError(
                f"no window can be opened ({one_line(error)}); do without: --no-window"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(cv2.error):  # somebody has closed it
            cv2.destroyWindow(TITLE)

    def show(self, frame: Frame) -> bool:
        """Show `frame` with the speed written on it, and tell whether to go on."""
        if self.frame is None:
            height, width = frame.image.shape[:2]
            ratio = min(1, MAX_WINDOW[0] / width, MAX_WINDOW[1] / height)
            cv2.resizeWindow(TITLE, max(1, round(width * ratio)), max(1, round(height * ratio)))
        elif not self._wait(self.since + (frame.time - self.frame.time if self.paced else 0)):
            return False
        self._measure(frame)
        overlay.write_note(frame.image, f"{self.fps:.1f} fps")
        cv2.imshow(TITLE, frame.image)
        return self._wait(self.since)

    def _wait(self, until: float) -> bool:
        """Let the window live until a time of `time.monotonic`; tell whether to go on."""
        while True:
            left = max(0.001, min(REACTION, until - time.monotonic()))
            if cv2.waitKey(round(left * 1000)) & 0xFF in QUIT_KEYS:
                return False
            if self.stop or not _is_open():
                return False
            if time.monotonic() >= until:
                return True

    def _measure(self, frame: Frame) -> None:
        now = time.monotonic()
        if self.frame is not None:
            latest = 1 / max(now - self.since, 1e-3)
            memory = FPS_MEMORY if self.fps else 0
            self.fps = memory * self.fps + (1 - memory) * latest
        self.frame, self.since = frame, now


def _is_open() -> bool:
    try:
        return cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1
    except cv2.error:  # Qt has ended with its last window
        return False

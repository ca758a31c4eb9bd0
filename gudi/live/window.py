"""Show frames in a window."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence

import cv2

from gudi.errors import DisplayError, one_line
from gudi.media.video import Frame
from gudi.outputs.drawing import overlay

TITLE = "gudi"
QUIT_KEYS = (ord("q"), ord("Q"), 27)  # 27 is Esc

# The window's largest initial size in pixels, so that a large video fits on the screen.
MAX_SIZE = (1280, 720)

REACTION = 0.05  # seconds in which the window notices that it has been closed
FPS_MEMORY = 0.9  # weight of the earlier frames in the moving average of the speed

PROBE = "import sys; sys.path = sys.argv[1:]; import cv2; cv2.namedWindow('gudi')"
PROBE_TIMEOUT = 120  # seconds

ADVICE = "use --no-window to run without one"


def check_display() -> None:
    """Raise `DisplayError` unless a window can be opened.

    Qt and GTK end the whole process if there is no display, or if the one that `$DISPLAY` names
    does not answer. So a separate process tries first.
    """
    framework = cv2.currentUIFramework()
    if not framework:
        raise DisplayError(
            f"no window can be opened: this OpenCV {cv2.__version__} was built without windows "
            f"(opencv-python-headless?); pip install opencv-python, or {ADVICE}"
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
    raise DisplayError(f"no window can be opened ({reason}); {ADVICE}")


class Window:
    """A window that shows frames until it is closed.

    Args:
        stop: becomes non-empty when the run is to end.
        paced: show each frame no earlier than its time.
    """

    def __init__(self, stop: Sequence[int], *, paced: bool) -> None:
        self._stop = stop
        self._paced = paced
        self._frame: Frame | None = None  # the one on the screen
        self._shown_at = 0.0
        self._fps = 0.0

    def __enter__(self) -> Window:
        # Qt warns about missing fonts that it does not need.
        os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")
        flags = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
        try:
            cv2.namedWindow(TITLE, flags)
        except cv2.error as error:
            raise DisplayError(f"no window can be opened ({one_line(error)}); {ADVICE}") from error
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(cv2.error):  # it may be closed already
            cv2.destroyWindow(TITLE)

    def show(self, frame: Frame) -> bool:
        """Show `frame` with the speed written on it. Return whether to continue."""
        if self._frame is None:
            height, width = frame.image.shape[:2]
            ratio = min(1, MAX_SIZE[0] / width, MAX_SIZE[1] / height)
            cv2.resizeWindow(TITLE, max(1, round(width * ratio)), max(1, round(height * ratio)))
        elif not self._wait(self._due(self._frame, frame)):
            return False
        self._measure_speed(frame)
        overlay.write_note(frame.image, f"{self._fps:.1f} fps")
        cv2.imshow(TITLE, frame.image)
        return self._wait(self._shown_at)

    def _due(self, previous: Frame, frame: Frame) -> float:
        """Return when to show `frame`, as a time of `time.monotonic`."""
        return self._shown_at + (frame.seconds - previous.seconds if self._paced else 0)

    def _wait(self, until: float) -> bool:
        """Handle the window's events until a time of `time.monotonic`. Return whether to continue.

        Even if that time has passed, events are handled once.
        """
        while True:
            remaining = max(0.001, min(REACTION, until - time.monotonic()))
            if cv2.waitKey(round(remaining * 1000)) & 0xFF in QUIT_KEYS:
                return False
            if self._stop or not _is_open():
                return False
            if time.monotonic() >= until:
                return True

    def _measure_speed(self, frame: Frame) -> None:
        now = time.monotonic()
        if self._frame is not None:
            latest = 1 / max(now - self._shown_at, 1e-3)
            memory = FPS_MEMORY if self._fps else 0
            self._fps = memory * self._fps + (1 - memory) * latest
        self._frame, self._shown_at = frame, now


def _is_open() -> bool:
    try:
        return cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1
    except cv2.error:  # Qt has ended with its last window
        return False

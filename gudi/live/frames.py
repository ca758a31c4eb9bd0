"""Read the frames of a camera, here or on the network, or of a video."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from gudi.errors import InputError, VideoError, one_line
from gudi.live.network import address_name, check_address, is_address, network_frames
from gudi.media import video
from gudi.media.video import Frame
from gudi.picture import Picture
from gudi.progress import Progress
from gudi.quiet import silence_opencv

# OpenCV reserves numbers from 100 up for its own drivers.
CAMERA = re.compile("[0-9]{1,2}")


def is_camera(source: str) -> bool:
    """Return whether `source` is the number of a camera, not a path or an address."""
    return CAMERA.fullmatch(source) is not None


def is_live(source: str) -> bool:
    """Return whether `source` is a camera, here or on the network, which does not wait."""
    return is_camera(source) or is_address(source)


def check_source(source: str) -> None:
    """Raise an error if `source` cannot be one.

    Raises:
        InputError: it is the path of a file that does not exist.
        UsageError: it is an address that names no host.
    """
    if is_address(source):
        check_address(source)
    if not is_live(source) and not os.path.lexists(source):
        raise InputError(f"no such file: {source_name(source)}")


def source_name(source: str) -> str:
    """Return what to call `source` in a message."""
    if "://" in source:
        return address_name(source)
    return f"camera {source}" if is_camera(source) else one_line(source)


@contextlib.contextmanager
def open_frames(
    source: str,
    *,
    debug: bool = False,
    progress: Progress | None = None,
    stop: Sequence[int] = (),
) -> Iterator[Iterator[Frame]]:
    """Open `source` and yield its frames, after checking that there is at least one.

    The frames raise `VideoError` if the source ends unexpectedly.

    Args:
        source: the number of a camera, its address on the network, or the path of a video.
        debug: let OpenCV print its messages.
        progress: receives a note if a connection is lost.
        stop: becomes non-empty when the run is to end; then a connection is not made again.

    Raises:
        InputError: `source` cannot be opened, or has no frames.
    """
    if is_camera(source):
        with _open_camera(source, debug=debug) as capture:
            yield _camera_frames(capture)
        return
    if is_address(source):
        frames = network_frames(source, progress or Progress(), stop)
    else:
        frames = video.read_whole(source)
    try:
        first = next(frames)
    except VideoError as error:
        raise InputError(f"{source_name(source)}: {error}") from error
    yield itertools.chain([first], frames)


@contextlib.contextmanager
def _open_camera(source: str, *, debug: bool) -> Iterator[cv2.VideoCapture]:
    if not debug:
        # OpenCV prints an error for every kind of camera that is not connected.
        silence_opencv()
    capture = cv2.VideoCapture(int(source))
    try:
        if not (capture.isOpened() and capture.read()[0]):
            raise InputError(
                f"{source_name(source)} gives no pictures: it does not exist, you have no "
                "permission to use it, or another program uses it; give --source another number, "
                "or a video"
            )
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # show the present, not the past
        yield capture
    finally:
        capture.release()


def _camera_frames(capture: cv2.VideoCapture) -> Iterator[Frame]:
    started = time.monotonic()
    for number in itertools.count():
        success, image = capture.read()
        if not success:
            raise VideoError(f"no more pictures after frame {number - 1}; is it still connected?")
        yield Frame(number, time.monotonic() - started, Picture(np.asarray(image, np.uint8)))

"""Read the frames of a camera on the network."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from urllib.parse import urlsplit

import av
from av.error import FFmpegError

from gudi.errors import UsageError, VideoError, one_line
from gudi.media.shown import Presentation
from gudi.media.video import FORMATS, Frame, shown_stream
from gudi.progress import Progress

# What FFmpeg may open for an address, and for those that a server redirects it to.
PROTOCOLS = {
    "rtsp": "rtsp,tcp",
    "rtsps": "rtsps,tls,tcp",
    "http": "http,https,tls,tcp",
    "https": "https,tls,tcp",
}

# Among these are no playlists, which name further addresses.
NETWORK_FORMATS = f"{FORMATS},rtsp,mpjpeg,mjpeg,jpeg_pipe"

# A connection without an answer is lost after so many seconds. It is made again after a pause, and
# given up after so many attempts without a picture.
TIMEOUT, PAUSE, ATTEMPTS = 10.0, 2.0, 5

REACTION = 0.05  # seconds in which a pause notices that the run is to end


def is_address(source: str) -> bool:
    """Return whether `source` is the address of a camera on the network."""
    return re.match("(rtsps?|https?)://", source, re.IGNORECASE) is not None


def check_address(address: str) -> None:
    """Raise `UsageError` if `address` names no host; the message does not repeat it."""
    try:
        valid = bool(urlsplit(address).hostname) and "\0" not in address
    except ValueError:
        valid = False
    if not valid:
        raise UsageError("the address of the camera is not valid; it looks like rtsp://host/path")


def address_name(source: str) -> str:
    """Return an address for messages, without what may be a password."""
    try:
        parts = urlsplit(source)
    except ValueError:
        return "the address"
    host = parts.netloc.rpartition("@")[2]
    path = "/…" if "=" in parts.path else parts.path  # /user=me&password=secret
    return one_line(f"{parts.scheme}://{host}{path}")


def network_frames(address: str, progress: Progress, stop: Sequence[int] = ()) -> Iterator[Frame]:
    """Yield the frames of a camera on the network; connect again if the connection is lost.

    A video that has an end is read once, and an address that never answered is not tried again.

    Args:
        address: one that `check_address` allows.
        progress: receives a note for each lost connection.
        stop: becomes non-empty when the run is to end.

    Raises:
        VideoError: there is no connection, or no more pictures.
    """
    started, number, failures = time.monotonic(), 0, 0
    while True:
        connected, has_end = time.monotonic(), False
        try:
            with _connect(address) as container:
                has_end = bool(container.duration)
                stream = shown_stream(container)
                aspect = stream.sample_aspect_ratio or Fraction(1)
                shown = Presentation(Fraction(aspect.numerator, aspect.denominator))
                for frame in container.decode(stream):
                    failures, connected = 0, time.monotonic()
                    yield Frame(number, time.monotonic() - started, shown.show(frame))
                    number += 1
            if has_end:
                return
            problem = "it sends no more pictures"
        except (FFmpegError, OSError) as error:
            problem = error.strerror or type(error).__name__
            if time.monotonic() - connected >= TIMEOUT:
                problem = f"no answer within {TIMEOUT:g} s"
        if not number:
            raise VideoError(f"no connection: {problem}; check the address, user and password")
        failures += 1
        if has_end:
            raise VideoError(f"{problem}, after frame {number - 1}")
        if failures > ATTEMPTS:
            raise VideoError(f"{problem}, after {ATTEMPTS} attempts to connect again")
        progress.note(f"{address_name(address)}: {problem}; connecting again in {PAUSE:g} s")
        end = time.monotonic() + PAUSE
        while time.monotonic() < end and not stop:
            time.sleep(REACTION)
        if stop:
            return


def _connect(address: str) -> av.container.InputContainer:
    av.logging.set_level(av.logging.PANIC)
    scheme, _, place = address.partition("://")
    options = {
        "protocol_whitelist": PROTOCOLS[scheme.lower()],
        "format_whitelist": NETWORK_FORMATS,
        "rtsp_transport": "tcp",  # through the connection that is checked, not from anywhere
    }
    return av.open(f"{scheme.lower()}://{place}", "r", options=options, timeout=TIMEOUT)

"""Read the frames of a camera on the network."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import av
import numpy as np
from av.error import FFmpegError

from gudi.errors import VideoError, one_line
from gudi.media.video import FORMATS, Frame
from gudi.picture import Picture
from gudi.progress import Progress

ADDRESS = re.compile("(rtsps?|https?)://", re.IGNORECASE)

# What FFmpeg may open for an address. Among the formats are none that name further addresses.
PROTOCOLS = "rtsp,rtsps,rtp,srtp,tcp,udp,http,https,tls"
NETWORK_FORMATS = f"{FORMATS},rtsp,mpjpeg,mjpeg,jpeg_pipe"

# A connection without an answer is lost after so many seconds. It is made again after a pause, and
# given up after so many attempts without a picture.
TIMEOUT, PAUSE, ATTEMPTS = 10.0, 2.0, 5


def is_address(source: str) -> bool:
    """Return whether `source` is the address of a camera on the network."""
    return ADDRESS.match(source) is not None


def address_name(source: str) -> str:
    """Return an address for messages, without what may be a password."""
    parts = urlsplit(source)
    host = parts.netloc.rpartition("@")[2]
    path = "/…" if "=" in parts.path else parts.path  # /user=me&password=secret
    return one_line(f"{parts.scheme}://{host}{path}")


def network_frames(address: str, progress: Progress) -> Iterator[Frame]:
    """Yield the frames of a camera on the network; connect again if the connection is lost.

    A video that has an end is read once, and an address that never answered is not tried again.

    Raises:
        VideoError: there is no connection, or no more pictures.
    """
    started, number, failures = time.monotonic(), 0, 0
    while True:
        try:
            with _connect(address) as container:
                if not container.streams.video:
                    raise VideoError("it sends no moving pictures")
                for frame in container.decode(video=0):
                    failures = 0
                    image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                    yield Frame(number, time.monotonic() - started, Picture(image))
                    number += 1
                if container.duration:
                    return
            problem = "it sends no more pictures"
        except (FFmpegError, OSError) as error:
            problem = error.strerror or one_line(error)
        failures += 1
        if not number:
            raise VideoError(f"no connection: {problem}")
        if failures > ATTEMPTS:
            raise VideoError(f"{problem}, after {ATTEMPTS} attempts to connect again")
        progress.note(f"{address_name(address)}: {problem}; connecting again in {PAUSE:.0f} s")
        time.sleep(PAUSE)


def _connect(address: str) -> av.container.InputContainer:
    av.logging.set_level(av.logging.PANIC)
    options = {
        "protocol_whitelist": PROTOCOLS,
        "format_whitelist": NETWORK_FORMATS,
        "rtsp_transport": "tcp",
    }
    return av.open(address, "r", options=options, timeout=TIMEOUT)

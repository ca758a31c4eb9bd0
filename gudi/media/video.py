"""Decode videos: every frame with its number and time, or any stretch of them by itself.

PyAV (FFmpeg), not OpenCV's `VideoCapture`: its frames are the same to the pixel, and it tells
what the other keeps to itself, presentation times and key frames, without which a video cannot be
cut into stretches that come out as if it had been read in one go.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import IO, Any

import av
import numpy as np
from av.error import FFmpegError

from gudi.errors import VideoError
from gudi.settings import ALL_FRAMES, FrameSelection

# What FFmpeg may take a file for. Others of its formats are playlists and scripts, which name
# further files and addresses to be opened.
FORMATS = (
    "mov,matroska,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,gif,mxf,rm,h264,hevc,ivf,nut,dv,av1,obu"
)

MAX_PIXELS = 2**27  # of a frame; 8K has 2**25

# Frames that one worker takes at a time. Decoding begins at the key frame before them, so that
# fewer would mean decoding more frames for nothing, and more would leave workers idle at the end.
SEGMENT_FRAMES = 64

# A video that does not end in the middle of a frame is taken for cut off where its last frame comes
# so much, in seconds and in parts of it, before the end that it promises. Sound may well go on for
# longer than the pictures.
SPARE, SPARE_SHARE = 1.0, 0.1

# How much earlier than a key frame to look for it, in seconds; the last is the beginning.
BACK = (0, 2, 20, 10**6)

RATE = 25  # frames a second, where nothing tells

# What pictures begin with.
PICTURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG",
    "TIFF": rb"II\*\0|MM\0\*",
    "BMP": rb"BM",
    "WebP": rb"(?s)RIFF....WEBP",
}


@dataclass(frozen=True)
class Frame:
    """One frame of a video.

    Attributes:
        number: from 0, in the order in which they are shown.
        time: when it is shown, in seconds from the beginning.
        image: uint8 of shape (h, w, 3), BGR, upright.
    """

    number: int
    time: float
    image: np.ndarray


@dataclass(frozen=True)
class Segment:
    """Frames of a video that can be decoded by themselves.

    Attributes:
        numbers: of the frames that are wanted.
        stamps: their presentation time stamps, in the stream's unit; empty where the video has none
            to rely on: all of it has to be decoded from its beginning then.
        start: time stamp of the key frame that decoding begins at.
    """

    numbers: tuple[int, ...]
    stamps: tuple[int, ...] = ()
    start: int = 0

    @property
    def number(self) -> int:
        """What to call it: the number of its first frame; -1 for `WHOLE_VIDEO`."""
        return self.numbers[0] if self.numbers else -1


@dataclass(frozen=True)
class VideoIndex:
    """What the packets of a video tell of it, without a frame being decoded.

    Attributes:
        stamps: presentation time stamps of its frames, int64, ascending; empty where they do not
            tell.
        keys: those of key frames, int64, ascending.
        seconds: length of a unit of the time stamps.
        rate: frames a second, on average.
        pixel_aspect: width / height of a pixel; None for square ones.
        problem: "" or how the file ends before it should.
    """

    stamps: np.ndarray
    keys: np.ndarray
    seconds: float
    rate: Fraction
    pixel_aspect: Fraction | None = None
    problem: str = ""

    def chosen(self, choice: FrameSelection) -> Sequence[int]:
        """Return the numbers of the frames that `choice` takes."""
        if choice == ALL_FRAMES:
            return range(len(self.stamps))
        times = ((self.stamps - self.stamps[:1]) * self.seconds).tolist()
        return [
            number
            for number, (time, before) in enumerate(zip(times, [None, *times]))
            if choice.selects(number, time, before)
        ]


# All frames, from the beginning on.
WHOLE_VIDEO = Segment(())


class UnreliableTimestamps(Exception):
    """The frames that were decoded are not those that the packets had promised."""


def read_index(path: str | os.PathLike) -> VideoIndex:
    """Return what the packets of the video at `path` tell.

    Raises:
        VideoError: it is no video, or cannot be opened.
    """
    stamps, keys, problem, cut = [], [], "", False
    with open_video(path) as (container, stream):
        try:
            for packet in container.demux(stream):
                if packet.size == 0 or packet.is_discard:
                    continue  # the end, or what an edit list leaves out
                cut = packet.is_corrupt  # of the last one: the file has only a part of it
                stamps.append(packet.pts)
                if packet.is_keyframe:
                    keys.append(packet.pts)
        except (OSError, FFmpegError) as error:
            problem = f"it breaks off behind frame {len(stamps) - 1}: {error.strerror}"
        unit = float(stream.time_base or 0)
        promised = (container.duration or 0) / 1e6
        looks = stream.average_rate or Fraction(RATE), stream.sample_aspect_ratio or None
    if cut and not problem:
        problem = f"it breaks off in frame {len(stamps) - 1}"
    reliable = None not in stamps and len(set(stamps)) == len(stamps) and bool(keys) and unit > 0
    if not reliable:
        nothing = np.empty(0, np.int64)
        return VideoIndex(nothing, nothing, unit, *looks, problem)
    there = (max(stamps) - min(stamps)) * unit
    if 0 < min(stamps) * unit < promised:
        there = max(stamps) * unit  # Matroska counts from 0, also where it begins later
    if not problem and promised - there > max(SPARE, promised * SPARE_SHARE):
        where = f"at {there:.1f} of {promised:.1f} seconds"
        problem = f"it breaks off behind frame {len(stamps) - 1}, {where}"
    return VideoIndex(np.sort(np.array(stamps)), np.sort(np.array(keys)), unit, *looks, problem)


def estimate_length(path: str | os.PathLike) -> tuple[float, float]:
    """Return how long the video at `path` is, in seconds, and the number of its frames.

    Both as its header has it: they are no more than likely.

    Raises:
        VideoError: it is no video, or cannot be opened.
    """
    with open_video(path) as (container, stream):
        seconds = (container.duration or 0) / 1e6
        return seconds, stream.frames or seconds * float(stream.average_rate or RATE)


def segments(
    found: VideoIndex, wanted: Sequence[int], length: int = SEGMENT_FRAMES
) -> Iterator[Segment]:
    """Cut the frames numbered `wanted` into stretches, each from the key frame before it.

    Args:
        found: the video's index.
        wanted: numbers of frames, ascending.
        length: frames in a stretch.
    """
    for start in range(0, len(wanted), length):
        numbers = tuple(wanted[start : start + length])
        stamps = tuple(found.stamps[list(numbers)].tolist())
        before = int(np.searchsorted(found.keys, stamps[0], side="right")) - 1
        yield Segment(numbers, stamps, int(found.keys[max(before, 0)]))


def read_frames(
    path: str | os.PathLike, stretch: Segment = WHOLE_VIDEO, choice: FrameSelection = ALL_FRAMES
) -> Iterator[Frame]:
    """Yield the frames of `stretch`, or where that is `WHOLE_VIDEO` those that `choice` takes.

    Raises:
        VideoError: it is no video, or breaks off.
        UnreliableTimestamps: `stretch` has time stamps that the frames do not have.
    """
    with open_video(path) as (container, stream):
        zero = (container.start_time or 0) / 1e6
        if not stretch.stamps:
            yield from _read_all(container, stream, choice, zero)
            return
        wanted = dict(zip(stretch.stamps, stretch.numbers))
        for frame in _from(container, stream, stretch):
            number = wanted.pop(frame.pts, None)
            if number is not None:
                yield Frame(number, frame.time - zero, _upright(frame))
            if not wanted:
                return
            if frame.pts is None or frame.pts > stretch.stamps[-1]:
                break
        raise UnreliableTimestamps(f"{len(wanted)} frames are not where the packets say")


@contextlib.contextmanager
def open_video(path: str | os.PathLike) -> Iterator[tuple[Any, Any]]:
    """Open the video at `path` and yield its container and its first stream of pictures."""
    av.logging.set_level(av.logging.PANIC)
    try:
        # A file object, since FFmpeg takes some names for addresses.
        with (
            _file(path) as file,
            av.open(file, options={"format_whitelist": FORMATS}) as container,
        ):
            streams = [each for each in container.streams.video if not _cover(each)]
            if not streams:
                raise VideoError("there are no moving pictures in it")
            stream = streams[0]
            if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
                raise VideoError("its frames have more pixels than are allowed")
            stream.thread_type = "NONE"  # a worker a processor is all there is room for
            yield container, stream
    except FileNotFoundError:
        raise VideoError("no such file") from None
    except FFmpegError as error:
        # Of a picture FFmpeg says that it is an invalid argument.
        what = _picture(path)
        problem = f"it is a {what} picture, though named like a video" if what else ""
        raise VideoError(problem or f"it cannot be decoded: {error.strerror}") from error
    except OSError as error:
        raise VideoError(f"it cannot be read: {error.strerror}") from error


def _file(path: str | os.PathLike) -> IO[bytes]:
    """Open a regular file; a pipe would be waited for."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise VideoError("it is no regular file")
    if os.path.getsize(path) == 0:
        raise VideoError("it is empty (0 bytes)")
    return open(path, "rb")


def _picture(path: str | os.PathLike) -> str:
    """Return the format of the picture that the file at `path` holds; "" for anything else."""
    with open(path, "rb") as file:
        start = file.read(12)
    return next((name for name, begins in PICTURES.items() if re.match(begins, start)), "")


def _cover(stream: Any) -> bool:
    """Tell whether `stream` is a picture that only illustrates, as music files have it."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _from(container: Any, stream: Any, stretch: Segment) -> Iterator[Any]:
    """Yield decoded frames from the beginning of `stretch`, or from somewhere before it.

    Some containers have no index, and seeking in them is a guess that may be too late.
    """
    for seconds in BACK:
        container.seek(stretch.start - int(seconds / stream.time_base), stream=stream)
        frames = container.decode(stream)
        first = next(frames, None)
        if first is not None and first.pts is not None and first.pts <= stretch.stamps[0]:
            yield first
            yield from frames
            return


def _read_all(container: Any, stream: Any, choice: FrameSelection, zero: float) -> Iterator[Frame]:
    """Yield the frames that `choice` takes, counted as they are decoded."""
    first = before = None
    for number, frame in enumerate(container.decode(stream)):
        # A stream without times, such as bare H.264, is shown at its rate.
        time = number / (stream.average_rate or RATE) if frame.time is None else frame.time - zero
        time = float(time)
        first = time if first is None else first
        if choice.selects(number, time - first, before):
            yield Frame(number, time, _upright(frame))
        before = time - first


def _upright(frame: Any) -> np.ndarray:
    """Return a decoded frame as BGR, turned as its display matrix says."""
    image = frame.to_ndarray(format="bgr24")
    turns = round(frame.rotation / 90) % 4
    if turns:
        image = np.ascontiguousarray(np.rot90(image, turns))
    return image

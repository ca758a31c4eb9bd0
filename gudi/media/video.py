"""Decode videos: every frame with its number and time, or any segment on its own.

This uses PyAV (FFmpeg) rather than OpenCV's `VideoCapture`. The frames are the same to the pixel,
but only PyAV gives presentation times and key frames. Without those, a video cannot be split into
segments that decode to the same frames as the whole video.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import IO, Any, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from gudi.errors import VideoError
from gudi.media.animation import is_animation, read_animation
from gudi.media.content import JPEG_SUFFIXES, VIDEO
from gudi.media.cropping import container_edges, is_encrypted
from gudi.media.decoding import EMPTY, media_errors, open_media
from gudi.media.shown import Presentation
from gudi.media.source import Source, SourceLike
from gudi.media.video_index import (
    DEFAULT_RATE,
    NO_STAMPS,
    WHOLE_VIDEO,
    Segment,
    UnreliableTimestamps,
    VideoIndex,
)
from gudi.picture import Picture
from gudi.settings import ALL_FRAMES, FrameOptions

# The formats that FFmpeg may use. Its others include playlists and scripts, which name further
# files and addresses to open.
FORMATS = (
    "mov,matroska,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,gif,mxf,rm,h264,hevc,ivf,nut,dv,av1,obu,"
    "m4v,yuv4mpegpipe,wtv,gxf"
)

JPEG_FORMAT = "mjpeg"  # of videos with `JPEG_SUFFIXES`

# Tags that are not UTF-8 must not make a video unreadable. From version 19 on, PyAV accepts them
# without being asked.
TAG_OPTIONS: dict[str, Any] = (
    {"metadata_errors": "replace"} if hasattr(InputContainer, "metadata_errors") else {}
)

MAX_PIXELS = 2**27  # of a frame; 8K has 2**25

# A video ends unexpectedly if everything in it ends this much before the end that its header
# promises, in seconds and relative to its length.
SLACK_SECONDS, SLACK_RATIO = 1.0, 0.1

# Transport streams may be joined, or lose a part, so that their clock jumps. Between two frames of
# one recording there are fewer seconds than this.
MAX_GAP = 10.0
JUMPING_FORMATS = frozenset({"mpegts", "mpeg"})

# Time stamps that were rounded may be equal, or go back by less than this, in seconds.
JITTER = 0.1

# How far before a key frame to seek for it, in seconds; the last one is the start of the video.
SEEK_BACK = (0, 2, 20, 10**6)

ANIMATION_RATE = Fraction(10)

Show: TypeAlias = Callable[[VideoFrame], Picture]


@dataclass(frozen=True)
class Frame:
    """One frame of a video.

    Attributes:
        number: from 0, in the order in which frames are shown.
        time: when it is shown, in seconds from the start; None for a page of a TIFF file.
        picture: as a player shows it, see `gudi.media.shown`.
    """

    number: int
    time: float | None
    picture: Picture

    @property
    def image(self) -> npt.NDArray[np.uint8]:
        """The whole picture, uint8 of shape (h, w, 3), BGR."""
        return self.picture.image

    @property
    def seconds(self) -> float:
        """When it is shown; pages of a TIFF file are shown for a second each."""
        return float(self.number) if self.time is None else self.time


def read_index(source: SourceLike) -> VideoIndex:
    """Read the packets of a video.

    Raises:
        VideoError: it is not a video, or cannot be opened.
    """
    source = Source.of(source)
    with open_media(source, VIDEO, FFmpegError) as file:
        if is_animation(file):
            return VideoIndex(NO_STAMPS, NO_STAMPS, 0.0, ANIMATION_RATE)
        with open_container(source, file) as (container, stream):
            return _read_packets(container, stream)


def _read_packets(container: InputContainer, stream: VideoStream) -> VideoIndex:
    packets = _Packets()
    problem = ""
    try:
        for packet in container.demux():
            packets.add(packet, stream)
    except (OSError, FFmpegError) as error:
        problem = f"it ends unexpectedly after frame {packets.last}: {error.strerror}"
    if packets.is_incomplete and not problem:
        problem = f"it ends in the middle of frame {packets.last}"
    unit = float(stream.time_base or 0)
    stamps, keys = packets.ordered(unit, _max_gap(container))
    if len(stamps):
        promised = (container.duration or 0) / 1e6
        problem = problem or packets.missing_end(float(stamps[0]) * unit, promised)
    rate = _fraction(stream.average_rate or DEFAULT_RATE)
    return VideoIndex(stamps, keys, unit, rate, problem)


class _Packets:
    """What the packets of a video say.

    Attributes:
        is_incomplete: whether the last frame is cut short.
    """

    def __init__(self) -> None:
        self._stamps: list[int | None] = []
        self._keys: list[int | None] = []
        self._decoding = -math.inf  # the last time stamp in the order of decoding
        self._goes_back = False
        self._end = -math.inf  # when everything ends, sound too, in seconds
        self.is_incomplete = False

    @property
    def last(self) -> int:
        """The number of the last frame."""
        return len(self._stamps) - 1

    def add(self, packet: Packet[Any], stream: VideoStream) -> None:
        """Take a packet of any stream into account; `stream` is the one with the pictures."""
        if packet.size == 0 or packet.is_discard:
            return  # the end of the stream, or a frame that an edit list excludes
        if packet.pts is not None and packet.stream.type in ("video", "audio"):
            end = (packet.pts + (packet.duration or 0)) * float(packet.time_base or 0)
            self._end = max(self._end, end)
        if packet.stream.index != stream.index:
            return
        self.is_incomplete = packet.is_corrupt
        self._stamps.append(packet.pts)
        if packet.is_keyframe:
            self._keys.append(packet.pts)
        if packet.dts is not None:
            self._goes_back = self._goes_back or packet.dts < self._decoding
            self._decoding = packet.dts

    def ordered(
        self, unit: float, max_gap: float
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the time stamps of all frames and of key frames; empty ones if unreliable.

        Args:
            unit: seconds per unit of the time stamps.
            max_gap: the most seconds from one frame to the next.
        """
        distinct = len(set(self._stamps)) == len(self._stamps)
        if None in self._stamps or not distinct or self._goes_back or unit <= 0 or not self._keys:
            return NO_STAMPS, NO_STAMPS
        stamps, keys = (np.sort(np.array(each, np.int64)) for each in (self._stamps, self._keys))
        if len(stamps) > 1 and float(np.diff(stamps).max()) * unit > max_gap:
            return NO_STAMPS, NO_STAMPS
        return stamps, keys

    def missing_end(self, first: float, promised: float) -> str:
        """Return "", or how a video of `promised` seconds that starts at `first` ends too early."""
        # Matroska counts from 0, even if the first frame comes later.
        length = self._end if 0 < first < promised else self._end - first
        if promised - length <= max(SLACK_SECONDS, promised * SLACK_RATIO):
            return ""
        return (
            f"it ends unexpectedly after frame {self.last}, "
            f"at {length:.1f} of {promised:.1f} seconds"
        )


def _start_time(container: InputContainer) -> float:
    """Return when the video starts, in seconds of its clock."""
    return (container.start_time or 0) / 1e6


def _fraction(value: Any) -> Fraction:
    """Return one of PyAV's ratios, which from version 19 on has a type of its own."""
    return Fraction(value.numerator, value.denominator)


def _max_gap(container: InputContainer) -> float:
    """Return the most seconds from one frame to the next, unless the clock jumps."""
    return MAX_GAP if container.format.name in JUMPING_FORMATS else math.inf


def estimate_length(source: SourceLike) -> tuple[float, float]:
    """Return the length in seconds and the number of frames of a video.

    Both come from its header, so they are estimates.

    Raises:
        VideoError: it is not a video, or cannot be opened.
    """
    source = Source.of(source)
    with open_media(source, VIDEO, FFmpegError) as file:
        if is_animation(file):
            frames = sum(1 for _ in _read_animation(file, ALL_FRAMES))
            return frames / float(ANIMATION_RATE), frames
        with open_container(source, file) as (container, stream):
            seconds = (container.duration or 0) / 1e6
            rate = stream.average_rate or DEFAULT_RATE
            return seconds, stream.frames or seconds * float(rate)


def read_frames(
    source: SourceLike,
    segment: Segment = WHOLE_VIDEO,
    selection: FrameOptions = ALL_FRAMES,
) -> Iterator[Frame]:
    """Yield the frames of `segment` or, if that is `WHOLE_VIDEO`, those in `selection`.

    Raises:
        VideoError: it is not a video, or ends unexpectedly.
        UnreliableTimestamps: there are no frames with the time stamps of `segment`.
    """
    source = Source.of(source)
    with open_media(source, VIDEO, FFmpegError) as file:
        if is_animation(file):
            yield from _read_animation(file, selection)
            return
        with open_container(source, file) as (container, stream):
            show = _presentation(file, container, stream).show
            if segment.stamps:
                yield from _read_segment(container, stream, show, segment)
            else:
                yield from _read_all(container, stream, show, selection)


def read_whole(source: SourceLike, selection: FrameOptions = ALL_FRAMES) -> Iterator[Frame]:
    """Yield the selected frames of a whole video, and raise if it ends before it should.

    Raises:
        VideoError: it is not a video, has no frames, or ends unexpectedly.
    """
    frame = None
    for frame in read_frames(source, WHOLE_VIDEO, selection):
        yield frame
    problem = read_index(source).problem if frame is not None else "it has no frames"
    if problem:
        raise VideoError(problem)


@contextlib.contextmanager
def open_container(source: Source, file: IO[bytes]) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video with FFmpeg, and yield its container and the stream that players show.

    Args:
        source: the video.
        file: the same, open: FFmpeg would take some paths for addresses.

    Raises:
        VideoError: it is empty, or has no stream that can be shown.
        FFmpegError: it is not a video or, within the block, cannot be decoded.
    """
    av.logging.set_level(av.logging.PANIC)
    if not file.read(1):
        raise VideoError(EMPTY)
    file.seek(0)
    formats = JPEG_FORMAT if source.suffix in JPEG_SUFFIXES else FORMATS
    options = {"format_whitelist": formats}
    with av.open(file, "r", options=options, **TAG_OPTIONS) as container:
        position = file.tell()  # where FFmpeg reads on
        if is_encrypted(file, container.format.name):
            raise VideoError("it is encrypted (DRM), and gudi has no key")
        file.seek(position)
        yield container, shown_stream(container)


def _read_animation(file: IO[bytes], selection: FrameOptions) -> Iterator[Frame]:
    """Yield the frames or pages of a picture that are in `selection`."""
    previous: float | None = None
    with media_errors(VIDEO, lambda: None, Exception):  # what it is has been found out
        for number, (time, image) in enumerate(read_animation(file)):
            # Pages have no time, so they are selected by number alone.
            if selection.selects(number, time or 0, previous):
                yield Frame(number, time, Picture(image))
            previous = time


def shown_stream(container: InputContainer) -> VideoStream:
    """Return the stream of pictures that players show.

    It is a default stream if the file has one, of these the one with most pixels, of these the
    first one. The cover art of music files is none.

    Raises:
        VideoError: there is none that can be shown.
    """
    flags = av.stream.Disposition
    streams = [
        each for each in container.streams.video if not each.disposition & flags.attached_pic
    ]
    if not streams:
        raise VideoError("it contains no moving pictures")
    decodable = [each for each in streams if each.codec_context is not None]
    if not decodable:
        raise VideoError("its video codec is not supported")
    stream = max(
        decodable,
        key=lambda each: (
            bool(each.disposition & flags.default),
            each.codec_context.width * each.codec_context.height,
        ),
    )
    if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
        raise VideoError("its frames have more pixels than are allowed")
    stream.thread_type = "NONE"  # there is already one worker per CPU
    return stream


def _presentation(file: IO[bytes], container: InputContainer, stream: VideoStream) -> Presentation:
    """Return how a player shows the frames of `stream`."""
    track = [each.index for each in container.streams.video].index(stream.index)
    context = stream.codec_context
    position = file.tell()  # where FFmpeg reads on
    edges = container_edges(file, container.format.name, track, (context.width, context.height))
    file.seek(position)
    aspect = _fraction(stream.sample_aspect_ratio or Fraction(1))
    return Presentation(aspect, edges, context.color_trc)


def _read_segment(
    container: InputContainer, stream: VideoStream, show: Show, segment: Segment
) -> Iterator[Frame]:
    """Yield the frames of a segment with time stamps."""
    wanted = dict(zip(segment.stamps, segment.numbers))
    for frame in _decode_from(container, stream, segment):
        number = None if frame.pts is None else wanted.pop(frame.pts, None)
        if number is not None:
            yield Frame(number, frame.time - _start_time(container), show(frame))
        if not wanted:
            return
        if frame.pts is None or frame.pts > segment.stamps[-1]:
            break
    raise UnreliableTimestamps(f"{len(wanted)} frames are not where the packets say")


def _decode_from(
    container: InputContainer, stream: VideoStream, segment: Segment
) -> Iterator[VideoFrame]:
    """Yield decoded frames from the first one of `segment` or an earlier one.

    Some containers have no index. Seeking in them is a guess, which may land too late.
    """
    unit = stream.time_base or Fraction(1)
    for seconds in SEEK_BACK:
        try:
            container.seek(segment.start - int(seconds / unit), stream=stream)
        except FFmpegError:
            return  # bare streams cannot be searched for a time
        frames = container.decode(stream)
        first = next(frames, None)
        if first is not None and first.pts is not None and first.pts <= segment.stamps[0]:
            yield first
            yield from frames
            return


def _read_all(
    container: InputContainer,
    stream: VideoStream,
    show: Show,
    selection: FrameOptions,
) -> Iterator[Frame]:
    """Yield the frames in `selection`, numbered as they are decoded.

    Where the clock goes back or jumps, the next frame follows at the usual interval.
    """
    interval = float(1 / (stream.average_rate or DEFAULT_RATE))
    max_gap = _max_gap(container)
    first: float | None = None
    previous: float | None = None
    shift = -_start_time(container)
    for number, frame in enumerate(container.decode(stream)):
        stamp: float | None = frame.time  # None in streams without times, such as bare H.264
        following = 0.0 if previous is None else previous + interval
        time = following if stamp is None else float(stamp) + shift
        if previous is not None and stamp is not None:
            if -JITTER < time - previous <= max_gap:
                time = max(time, previous)
            else:
                shift += following - time
                time = following
        first = time if first is None else first
        since = None if previous is None else previous - first
        if selection.selects(number, time - first, since):
            yield Frame(number, time, show(frame))
        previous = time

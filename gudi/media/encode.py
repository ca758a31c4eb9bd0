"""Encode videos that browsers can play: H.264 in MP4, in chunks that workers encode in parallel."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, SupportsFloat, TypeAlias

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.reformatter import ColorRange, Colorspace

from gudi.errors import VideoError, one_line
from gudi.files import atomic_path
from gudi.media.animation import is_animation
from gudi.media.content import VIDEO
from gudi.media.decoding import open_media
from gudi.media.shown import ONE_THREAD
from gudi.media.source import Source, SourceLike
from gudi.media.video import open_container

# Without B-frames, packets come in the order of their frames, so that chunks can be joined. CABAC
# makes files a sixth smaller than `ultrafast` alone. `superfast` takes 1.6 times as long for 2 dB
# more, `veryfast` 2.6 times for a file of two thirds.
OPTIONS = {"preset": "ultrafast", "crf": "23", "bf": "0", "x264-params": "cabac=1"}

# 90 kHz, as in MPEG: a multiple of all common frame rates.
TIME_BASE = Fraction(1, 90_000)

# Seconds for which the last frame is shown. Players skip a frame that is shown for no time. Every
# other one is shown until the next.
SHOWN = 0.04

# Audio codecs that MP4 holds and browsers play. Their packets are copied, others encoded as AAC.
COPIED_CODECS = ("aac", "mp3", "opus", "flac")

# Sampling rates of AAC in Hz. Sound of another rate is resampled to the next higher one.
AAC_RATES = (
    7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000,
)  # fmt: skip

# Put the table of contents first, so that the video can be played while it loads.
MP4_OPTIONS = {"movflags": "faststart"}

# When a packet of sound is played, in seconds, and the packet.
Sound: TypeAlias = "tuple[float, Packet[AudioStream]]"


class Encoder:
    """Encodes the pictures of a video.

    Args:
        container: an output container of PyAV.
        image: the first picture, which decides the size: uint8 of shape (h, w, 3). An odd side is
            padded by one pixel, because browsers play no H.264 with odd sides. Pictures of other
            sizes are fitted into it.
        rate: approximate frames per second. What counts is the time of each frame.
        threads: number of encoding threads; 0 lets FFmpeg decide.
    """

    def __init__(
        self,
        container: OutputContainer,
        image: npt.NDArray[np.uint8],
        rate: Fraction,
        threads: int = 0,
    ) -> None:
        self._container, self._last_stamp = container, -1
        self._stream = container.add_stream("libx264", rate=rate, options=OPTIONS)
        self._stream.height, self._stream.width = _even_sided(image).shape[:2]
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = TIME_BASE
        context.thread_count = threads
        # FFmpeg converts BGR to BT.601. If a large video does not say so, players assume BT.709.
        context.colorspace, context.color_range = Colorspace.ITU601, ColorRange.MPEG

    def add(self, time: float, image: npt.NDArray[np.uint8]) -> None:
        """Encode a picture, uint8 of shape (h, w, 3), BGR, to be shown at `time` in seconds."""
        fitted = _fitted(_even_sided(image), self._stream.width, self._stream.height)
        picture = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(fitted), format="bgr24")
        # OpenCV is faster, but does not average the colours of pixels: thin lines would turn grey.
        frame = picture.reformat(format="yuv420p", **ONE_THREAD)
        # Some videos have several frames at the same time.
        self._last_stamp = max(round(time / TIME_BASE), self._last_stamp + 1)
        frame.pts, frame.time_base = self._last_stamp, TIME_BASE
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Encode the frames that the encoder still holds back."""
        self._container.mux(self._stream.encode())


def encode_chunk(
    path: Path,
    frames: Iterable[tuple[float, npt.NDArray[np.uint8]]],
    rate: Fraction,
) -> None:
    """Encode a chunk of a video to `path`, which appears complete or not at all.

    Args:
        path: a NUT file, a format that keeps times unchanged.
        frames: time in seconds and picture of each frame, as `Encoder.add` takes them.
        rate: as `Encoder` takes them.

    Raises:
        VideoError: it cannot be encoded, or there are no frames.
    """
    with (
        _encoding_errors(),
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", "nut") as container,
    ):
        encoder = None
        for time, image in frames:
            if encoder is None:
                # One thread, because there is one worker per CPU.
                encoder = Encoder(container, image, rate, threads=1)
            encoder.add(time, image)
        if encoder is None:
            raise VideoError("there are no frames to encode")
        encoder.finish()


def join_chunks(chunks: Sequence[Path], original: SourceLike, path: Path) -> str:
    """Join `chunks` in `path`, an MP4 file, with all sound tracks of the video `original`.

    Returns:
        "" or why the file lacks sound of the video.

    Raises:
        VideoError: the chunks cannot be joined.
    """
    with _encoding_errors(), atomic_path(path) as temporary:
        try:
            return _mux(temporary, chunks, Source.of(original))
        except (FFmpegError, ValueError, VideoError) as error:
            _mux(temporary, chunks, None)
            reason = getattr(error, "strerror", None) or one_line(str(error).strip())
            return f"the annotated video has no sound, which cannot be converted: {reason}"


def _mux(path: Path, chunks: Sequence[Path], original: Source | None) -> str:
    """Write the joined video; return "" or which sound it lacks."""
    with contextlib.ExitStack() as stack:
        container = stack.enter_context(av.open(str(path), "w", "mp4", options=MP4_OPTIONS))
        first = stack.enter_context(av.open(str(chunks[0]), "r")).streams.video[0]
        pictures = container.add_stream_from_template(first)
        source = stack.enter_context(_open_sound(original)) if original else None
        sound, problem = _converted_sound(container, source) if source else (iter(()), "")
        waiting = next(sound, None)
        for chunk in chunks:
            with av.open(str(chunk), "r") as part:
                stream = part.streams.video[0]
                if stream.codec_context.extradata != first.codec_context.extradata:
                    raise VideoError("its frames change their size")
                for packet in part.demux(stream):
                    if packet.pts is None:
                        continue  # the end of the stream
                    # Sound is stored next to the pictures that it belongs to.
                    while waiting is not None and waiting[0] <= packet.pts * packet.time_base:
                        container.mux(waiting[1])
                        waiting = next(sound, None)
                    packet.stream = pictures
                    packet.duration = max(packet.duration or 0, _in_units(SHOWN, packet.time_base))
                    container.mux(packet)
        while waiting is not None:
            container.mux(waiting[1])
            waiting = next(sound, None)
        return problem


@contextlib.contextmanager
def _open_sound(original: Source) -> Iterator[InputContainer | None]:
    """Open a video for its sound; None if it is an animation, which has none."""
    with open_media(original, VIDEO, FFmpegError) as file:
        if is_animation(file):
            yield None
            return
        with open_container(original, file) as (source, _):
            yield source


def _converted_sound(
    container: OutputContainer, source: InputContainer
) -> tuple[Iterator[Sound], str]:
    """Add the sound tracks of `source` to `container`.

    Returns:
        Their packets, and "" or which tracks are left out.
    """
    # FFmpeg may know that there is sound, but not its codec.
    streams = [each for each in source.streams.audio if each.codec_context is not None]
    start_time = (source.start_time or 0) / 1e6
    tracks = {each.index: _track(container, each, start_time) for each in streams}
    missing = len(source.streams.audio) - len(streams)
    problem = "the annotated video lacks sound whose codec is not supported" if missing else ""
    return _converted(source, tracks) if tracks else iter(()), problem


def _converted(source: InputContainer, tracks: Mapping[int, _Track]) -> Iterator[Sound]:
    for packet in _packets(source, [source.streams[index] for index in tracks]):
        yield from tracks[packet.stream.index].convert(packet)
    for track in tracks.values():
        yield from track.finish()


def _packets(source: InputContainer, streams: list[Stream]) -> Iterator[Packet[Any]]:
    with contextlib.suppress(FFmpegError):  # a video that ends unexpectedly has sound up to there
        yield from source.demux(streams)


def _track(container: OutputContainer, stream: AudioStream, start_time: float) -> _Track:
    copied = stream.codec_context.name in COPIED_CODECS
    track = (_CopiedTrack if copied else _EncodedTrack)(container, stream, start_time)
    track.target.metadata.update(stream.metadata)
    # PyAV 15 to 17 take a number alone.
    track.target.disposition = stream.disposition.value  # type: ignore[assignment]
    return track


class _CopiedTrack:
    """A sound track whose packets are copied."""

    def __init__(self, container: OutputContainer, stream: AudioStream, start_time: float) -> None:
        self.target = container.add_stream_from_template(stream)
        self._shift = _in_units(start_time, stream.time_base)

    def convert(self, packet: Packet[Any]) -> Iterator[Sound]:
        """Yield what becomes of a packet."""
        if packet.pts is not None and packet.dts is not None:  # else it is the end of the stream
            packet.pts -= self._shift
            packet.dts -= self._shift
            packet.stream = self.target
            yield float(packet.pts * packet.time_base), packet

    def finish(self) -> Iterator[Sound]:
        """Yield what is left at the end."""
        return iter(())


class _EncodedTrack:
    """A sound track that is encoded as AAC."""

    def __init__(self, container: OutputContainer, stream: AudioStream, start_time: float) -> None:
        context = stream.codec_context
        rate = min(
            (each for each in AAC_RATES if each >= context.sample_rate), default=AAC_RATES[-1]
        )
        self.target = container.add_stream("aac", rate=rate)
        layout = "mono" if context.layout.nb_channels == 1 else "stereo"
        self.target.codec_context.layout = layout
        self._new_resampler = functools.partial(av.AudioResampler, "fltp", layout, rate)
        self._resampler = self._new_resampler()
        self._setup: tuple[str, str, int] | None = None
        self._start_time = start_time
        self._error: FFmpegError | None = None

    def convert(self, packet: Packet[Any]) -> Iterator[Sound]:
        """Yield what becomes of a packet."""
        frames: list[Any] = []
        try:
            frames = packet.decode()
        except FFmpegError as error:  # as in players, damaged sound is left out
            self._error = error
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= _in_units(self._start_time, frame.time_base)
            setup = frame.format.name, frame.layout.name, frame.sample_rate
            if setup != self._setup:  # joined recordings may change it
                self._resampler, self._setup = self._new_resampler(), setup
            yield from self._encode(frame)

    def finish(self) -> Iterator[Sound]:
        """Yield what is left at the end; raise if nothing could be decoded."""
        if self._setup:
            yield from self._encode(None)
        elif self._error is not None:
            raise self._error
        yield from _timed(self.target.encode())

    def _encode(self, frame: AudioFrame | None) -> Iterator[Sound]:
        for resampled in self._resampler.resample(frame):
            yield from _timed(self.target.encode(resampled))


_Track: TypeAlias = "_CopiedTrack | _EncodedTrack"


def _timed(packets: Iterable[Packet[AudioStream]]) -> Iterator[Sound]:
    return ((float((packet.pts or 0) * packet.time_base), packet) for packet in packets)


def _in_units(seconds: float, unit: SupportsFloat | None) -> int:
    """Return `seconds` in the unit of time stamps."""
    return round(seconds / float(unit)) if unit else 0


def _even_sided(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return `image` with even width and height, its last column and row repeated if needed."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        padded = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        image = np.asarray(padded, np.uint8)
    return image


def _fitted(image: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    """Return `image` scaled to fit into a size, and centred on black, if it has another size."""
    if image.shape[:2] == (height, width):
        return image
    ratio = min(width / image.shape[1], height / image.shape[0])
    size = [max(1, round(each * ratio)) for each in image.shape[1::-1]]
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    fitted = np.zeros((height, width, 3), np.uint8)
    fitted[top : top + size[1], left : left + size[0]] = cv2.resize(image, size)
    return fitted


@contextlib.contextmanager
def _encoding_errors() -> Iterator[None]:
    """Turn errors of FFmpeg into a `VideoError`, or an `OSError` such as for a full disk."""
    try:
        yield
    except FFmpegError as error:
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror) from error
        raise VideoError(f"it cannot be encoded: {error.strerror}") from error

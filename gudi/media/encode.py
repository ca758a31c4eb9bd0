"""Encode videos that browsers can play: H.264 in MP4, in chunks that workers encode in parallel."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import SupportsFloat, TypeAlias

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.reformatter import ColorRange, Colorspace

from gudi.errors import VideoError
from gudi.files import atomic_path
from gudi.media.animation import is_animation
from gudi.media.content import VIDEO
from gudi.media.decoding import open_media
from gudi.media.source import Source, SourceLike
from gudi.media.video import open_container

# Without B-frames, packets come in the order of their frames, so that chunks can be joined.
OPTIONS = {"preset": "veryfast", "crf": "23", "bf": "0"}

# 90 kHz, as in MPEG: a multiple of all common frame rates.
TIME_BASE = Fraction(1, 90_000)

# Seconds for which the last frame is shown. Players skip a frame that is shown for no time. Every
# other one is shown until the next.
SHOWN = 0.04

# Audio codecs that MP4 holds and browsers play. Their packets are copied, others encoded as AAC.
COPIED_CODECS = ("aac", "mp3", "opus", "flac")

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
        frame = av.VideoFrame.from_ndarray(fitted, format="bgr24")
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


def join_chunks(chunks: Sequence[Path], original: SourceLike, path: Path) -> None:
    """Join `chunks` in `path`, an MP4 file, with the sound of the video `original`.

    If the sound cannot be used, the video has none.

    Raises:
        VideoError: the chunks cannot be joined.
    """
    with _encoding_errors(), atomic_path(path) as temporary:
        try:
            _mux(temporary, chunks, Source.of(original))
        except (FFmpegError, ValueError, VideoError):
            _mux(temporary, chunks, None)


def _mux(path: Path, chunks: Sequence[Path], original: Source | None) -> None:
    with contextlib.ExitStack() as stack:
        container = stack.enter_context(av.open(str(path), "w", "mp4", options=MP4_OPTIONS))
        first = stack.enter_context(av.open(str(chunks[0]), "r")).streams.video[0]
        pictures = container.add_stream_from_template(first)
        sound = stack.enter_context(_open_sound(container, original)) if original else iter(())
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


@contextlib.contextmanager
def _open_sound(container: OutputContainer, original: Source) -> Iterator[Iterator[Sound]]:
    """Yield the sound of `original`, ready for `container`."""
    with open_media(original, VIDEO, FFmpegError) as file:
        if is_animation(file):
            yield iter(())
            return
        with open_container(original, file) as (source, _):
            yield _converted_sound(container, source)


def _converted_sound(container: OutputContainer, source: InputContainer) -> Iterator[Sound]:
    # FFmpeg may know that there is sound, but not its codec.
    streams = [each for each in source.streams.audio if each.codec_context is not None]
    if not streams:
        return iter(())
    stream, start_time = streams[0], (source.start_time or 0) / 1e6
    if stream.codec_context.name in COPIED_CODECS:
        return _copied(source, stream, container.add_stream_from_template(stream), start_time)
    target = container.add_stream("aac", rate=stream.codec_context.sample_rate)
    channels = stream.codec_context.layout.nb_channels
    target.codec_context.layout = "mono" if channels == 1 else "stereo"
    return _encoded(source, stream, target, start_time)


def _copied(
    source: InputContainer, stream: AudioStream, target: AudioStream, start_time: float
) -> Iterator[Sound]:
    shift = _in_units(start_time, stream.time_base)
    for packet in source.demux(stream):
        if packet.pts is None or packet.dts is None:
            continue  # the end of the stream
        packet.pts -= shift
        packet.dts -= shift
        time = float(packet.pts * packet.time_base)
        packet.stream = target
        yield time, packet


def _encoded(
    source: InputContainer, stream: AudioStream, target: AudioStream, start_time: float
) -> Iterator[Sound]:
    resampler = av.AudioResampler("fltp", target.codec_context.layout, target.rate)
    for frame in source.decode(stream):
        if frame.pts is not None:
            frame.pts -= _in_units(start_time, frame.time_base)
        for resampled in resampler.resample(frame):
            yield from _timed(target.encode(resampled))
    yield from _timed(target.encode())


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

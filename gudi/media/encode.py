"""Write videos that browsers play: H.264 in MP4, in pieces that workers make side by side."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace

from gudi.errors import VideoError
from gudi.files import atomic_path
from gudi.media import video

# Without B-frames, packets come in the order of their frames, so that pieces can be put together.
OPTIONS = {"preset": "veryfast", "crf": "23", "bf": "0"}

# 90 kHz, as MPEG has it: a multiple of all usual frame rates.
TIME_BASE = Fraction(1, 90_000)

# Sound that MP4 holds and browsers play is copied, any other encoded as AAC.
COPIED_SOUND = ("aac", "mp3", "opus", "flac")


class Encoder:
    """The pictures of a video that is being written.

    Args:
        container: an output container of PyAV.
        image: the first picture, which decides the size: uint8 of shape (h, w, 3). One that has an
            odd side gets another line there: H.264 as browsers play it has none.
        rate: frames a second, more or less; their times are what counts.
        pixel_aspect: width / height of a pixel; None for square ones.
        threads: to encode with; 0 for as many as are of use.
    """

    def __init__(
        self,
        container: Any,
        image: np.ndarray,
        rate: Fraction,
        pixel_aspect: Fraction | None = None,
        threads: int = 0,
    ) -> None:
        self._container, self._last = container, -1
        self._stream = container.add_stream("libx264", rate=rate, options=OPTIONS)
        self._stream.height, self._stream.width = _even(image).shape[:2]
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = TIME_BASE
        context.thread_count = threads
        # As FFmpeg converts BGR; players take large videos that say nothing for BT.709.
        context.colorspace, context.color_range = Colorspace.ITU601, ColorRange.MPEG
        if pixel_aspect:
            context.sample_aspect_ratio = pixel_aspect

    def add(self, time: float, image: np.ndarray) -> None:
        """Write a picture, uint8 of shape (h, w, 3), BGR, that is shown at `time`, in seconds."""
        frame = av.VideoFrame.from_ndarray(_even(image), format="bgr24")
        self._last = max(round(time / TIME_BASE), self._last + 1)  # some videos have two at a time
        frame.pts, frame.time_base = self._last, TIME_BASE
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what is still held back."""
        self._container.mux(self._stream.encode())


def encode_chunk(
    path: Path,
    frames: Iterable[tuple[float, np.ndarray]],
    rate: Fraction,
    pixel_aspect: Fraction | None = None,
) -> None:
    """Write a piece of a video to `path`, whole or not at all.

    Args:
        path: a NUT file, which keeps times as they are.
        frames: time in seconds and picture of each frame, as `Encoder.add` takes them.
        rate, pixel_aspect: as `Encoder` takes them.

    Raises:
        VideoError: it cannot be encoded, or there are no frames.
    """
    with _errors(), atomic_path(path) as beside, av.open(str(beside), "w", "nut") as container:
        encoder = None
        for time, image in frames:
            if encoder is None:
                # One thread: a worker a processor.
                encoder = Encoder(container, image, rate, pixel_aspect, threads=1)
            encoder.add(time, image)
        if encoder is None:
            raise VideoError("there are no frames to encode")
        encoder.finish()


def join_chunks(pieces: Sequence[Path], original: str | os.PathLike, path: Path) -> None:
    """Put `pieces` together in `path`, an MP4 file, with the sound of the video `original`.

    Raises:
        VideoError: that cannot be done.
    """
    with _errors(), atomic_path(path) as beside:
        try:
            _mux(beside, pieces, original)
        except (FFmpegError, ValueError):
            _mux(beside, pieces, None)  # without its sound it is still worth having


def _mux(path: Path, pieces: Sequence[Path], original: str | os.PathLike | None) -> None:
    with contextlib.ExitStack() as stack:
        # Its table of contents comes first, so that it can be played while it is loaded.
        options = {"movflags": "faststart"}
        container = stack.enter_context(av.open(str(path), "w", "mp4", options=options))
        first = stack.enter_context(av.open(str(pieces[0]))).streams.video[0]
        pictures = container.add_stream_from_template(first)
        sound = stack.enter_context(_sound(container, original)) if original else iter(())
        waiting = next(sound, None)
        for piece in pieces:
            part = stack.enter_context(av.open(str(piece)))
            stream = part.streams.video[0]
            if stream.codec_context.extradata != first.codec_context.extradata:
                raise VideoError("its frames change their size")
            for packet in part.demux(stream):
                if packet.dts is None:
                    continue  # the end
                # Sound is laid beside the pictures that it belongs to.
                while waiting is not None and waiting[0] <= packet.pts * packet.time_base:
                    container.mux(waiting[1])
                    waiting = next(sound, None)
                packet.stream = pictures
                container.mux(packet)
        while waiting is not None:
            container.mux(waiting[1])
            waiting = next(sound, None)


@contextlib.contextmanager
def _sound(container: Any, original: str | os.PathLike) -> Iterator[Iterator[tuple[float, Any]]]:
    """Yield the packets of the sound of `original`, ready for `container`, with their times."""
    with video.open_video(original) as (source, _):
        # FFmpeg may know that there is sound, but not of which kind.
        streams = [each for each in source.streams.audio if each.codec_context is not None]
        if not streams:
            yield iter(())
            return
        stream, zero = streams[0], (source.start_time or 0) / 1e6
        if stream.codec_context.name in COPIED_SOUND:
            yield _copied(source, stream, container.add_stream_from_template(stream), zero)
        else:
            target = container.add_stream("aac", rate=stream.codec_context.sample_rate)
            channels = stream.codec_context.layout.nb_channels
            target.codec_context.layout = "mono" if channels == 1 else "stereo"
            yield _encoded(source, stream, target, zero)


def _copied(source: Any, stream: Any, target: Any, zero: float) -> Iterator[tuple[float, Any]]:
    start = round(zero / stream.time_base)
    for packet in source.demux(stream):
        if packet.dts is None:
            continue
        packet.pts -= start
        packet.dts -= start
        time = float(packet.pts * packet.time_base)
        packet.stream = target
        yield time, packet


def _encoded(source: Any, stream: Any, target: Any, zero: float) -> Iterator[tuple[float, Any]]:
    resampler = av.AudioResampler("fltp", target.codec_context.layout, target.rate)
    for frame in source.decode(stream):
        if frame.pts is not None:
            frame.pts -= round(zero / frame.time_base)
        for each in resampler.resample(frame):
            for packet in target.encode(each):
                yield float(packet.pts * packet.time_base), packet
    for packet in target.encode():
        yield float(packet.pts * packet.time_base), packet


def _even(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return image


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except FFmpegError as error:
        raise VideoError(f"it cannot be encoded: {error.strerror}") from error

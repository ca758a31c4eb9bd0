"""Short videos for tests: write them, and read them as a player does."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
from conftest import draw_face


def scene(number, width=160, height=120):
    """Return a picture that shows its number."""
    image = np.full((height, width, 3), (40, 90, 60), np.uint8)
    cv2.circle(image, (10 + number * 3 % (width - 20), 60), 9, (200, 220, 255), -1)
    cv2.putText(image, str(number), (30, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2)
    return image


def write_video(
    path,
    frames,
    codec="libx264",
    options=None,
    rate=25,
    stamps=None,
    sound=None,
    sound_rate=16000,
    muxer=None,
    format=None,
    title="",
):
    """Write a video and return its path.

    Args:
        path: its suffix decides the container.
        frames: the pictures, all of one size.
        codec, options: of the encoder.
        rate: frames per second.
        stamps: the times of the frames in thousandths of a second; by default as `rate` says.
        sound: an audio codec for a hum as long as the pictures; None for no sound.
        sound_rate: its samples per second.
        muxer: options of the container.
        format: FFmpeg's name of the container, if the suffix does not decide it.
        title: a tag of the container.
    """
    with av.open(str(path), "w", format, options=muxer or {}) as container:
        container.metadata["title"] = title
        stream = container.add_stream(codec, rate=rate, options=options or {})
        height, width = frames[0].shape[:2]
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if stamps:
            stream.codec_context.time_base = Fraction(1, 1000)
        hum = container.add_stream(sound, rate=sound_rate, layout="mono") if sound else None
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            if stamps:
                frame.pts, frame.time_base = stamps[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if hum:
            write_hum(container, hum, len(frames) * sound_rate // rate)
    return path


def write_hum(container, stream, samples):
    """Encode a mono hum of so many samples."""
    wave = np.sin(np.arange(samples) / 10).astype(np.float32)[None]
    format = stream.codec_context.format.name
    for start in range(0, samples, 1024):
        part = wave[:, start : start + 1024]
        part = part if format == "fltp" else (part * 9000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(part, format=format, layout="mono")
        frame.sample_rate, frame.pts = stream.rate, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def damaged_copies(content, count, places):
    """Yield copies of a file with wrong bytes at a number of places, cut off somewhere."""
    random = np.random.default_rng(1)
    for _ in range(count):
        damaged = bytearray(content)
        for place in random.integers(0, len(content), places):
            damaged[place] = random.integers(0, 256)
        yield bytes(damaged[: random.integers(1, len(content))])


def read_as_player(path):
    """Return the times and frames of a video that every player can show."""
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        return zip(*[
            (float(frame.time), frame.to_ndarray(format="bgr24"))
            for frame in container.decode(video=0)
        ])  # fmt: skip


# Times of the frames of `write_moving_face` in thousandths of a second, and those without a face.
FACE_STAMPS = (0, 40, 80, 200, 240, 1000, 1040, 1080)
FACELESS = (3, 4)


def write_moving_face(path, width=320, height=240, stamps=FACE_STAMPS, size=120, top=20, **options):
    """Write a video of a drawn face that moves and sometimes disappears; return its path."""
    frames = [draw_face(size, width, height, (width - size) // 2 + n, top) for n in range(8)]
    for number in FACELESS:
        frames[number] = np.full((height, width, 3), 128, np.uint8)
    frames = [frames[n % 8] for n in range(len(stamps))]
    return write_video(path, frames, stamps=stamps, **options)


def has_green_lines(image):
    """Tell whether there are lines in the colour of face boxes, which video changes slightly."""
    close = (np.abs(image.astype(int) - (0, 255, 0)) < 60).all(axis=2)
    return close.sum() > 100

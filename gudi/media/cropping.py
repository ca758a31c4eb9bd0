"""What a container says that PyAV does not tell.

How it crops the frames of a video: `clap` in MP4 and MOV, `PixelCrop` in Matroska. Players heed
both, FFmpeg's decoders neither. And whether an MP4 file is encrypted.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from typing import IO, NamedTuple


class Edges(NamedTuple):
    """Pixels of a frame that are not shown."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


NO_EDGES = Edges()

# An untrusted file may hold any number of elements.
MAX_ELEMENTS = 10_000

# The bytes of MP4 that precede the boxes inside of the list of sample entries, and of an entry.
STSD_HEADER, SAMPLE_ENTRY = 8, 78
HANDLER = 8  # where `hdlr` says what a track holds

# The elements of Matroska.
SEGMENT, TRACKS, TRACK_ENTRY, TRACK_TYPE, VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0x83, 0xE0
CROPS = {"left": 0x54CC, "top": 0x54BB, "right": 0x54DD, "bottom": 0x54AA}
VIDEO_TRACK = 1


class _Element(NamedTuple):
    name: bytes | int
    start: int  # of its content
    end: int


def container_edges(file: IO[bytes], format: str, track: int, size: tuple[int, int]) -> Edges:
    """Return what the container crops of a video track.

    Args:
        file: the video.
        format: FFmpeg's name of the container's format.
        track: number of the track among those with pictures, from 0.
        size: width and height of the decoded frames.
    """
    names = format.split(",")
    if "mp4" not in names and "matroska" not in names:
        return NO_EDGES
    # There may be no such element, and a damaged file is FFmpeg's to report.
    with contextlib.suppress(OSError, ValueError, LookupError, ZeroDivisionError, StopIteration):
        return _mp4_edges(file, track, size) if "mp4" in names else _matroska_edges(file, track)
    return NO_EDGES


def is_encrypted(file: IO[bytes], format: str) -> bool:
    """Return whether the first video track is encrypted (MPEG Common Encryption).

    Args:
        file: the video.
        format: FFmpeg's name of the container's format.
    """
    with contextlib.suppress(OSError, ValueError, LookupError, StopIteration):
        return "mp4" in format.split(",") and _mp4_entry(file, 0).name == b"encv"
    return False


def _mp4_edges(file: IO[bytes], track: int, size: tuple[int, int]) -> Edges:
    entry = _mp4_entry(file, track)
    clap = next(
        each for each in _boxes(file, entry.start + SAMPLE_ENTRY, entry.end) if each.name == b"clap"
    )
    values = struct.unpack(">IIIIiIiI", _read(file, clap.start, 32))
    width, height, across, down = (values[n] / values[n + 1] for n in range(0, 8, 2))
    left, top = (size[0] - width) / 2 + across, (size[1] - height) / 2 + down
    edges = Edges(*map(round, (left, top, size[0] - width - left, size[1] - height - top)))
    return edges if min(edges) >= 0 else NO_EDGES


def _mp4_entry(file: IO[bytes], track: int) -> _Element:
    """Return the description of the frames of a video track."""
    end = file.seek(0, os.SEEK_END)
    moov = next(each for each in _boxes(file, 0, end) if each.name == b"moov")
    videos = [
        media
        for trak in _boxes(file, *moov[1:])
        if trak.name == b"trak"
        for media in _boxes(file, *trak[1:])
        if media.name == b"mdia" and _is_video(file, media)
    ]
    box = videos[track]
    for name in (b"minf", b"stbl", b"stsd"):
        box = next(each for each in _boxes(file, *box[1:]) if each.name == name)
    return next(_boxes(file, box.start + STSD_HEADER, box.end))


def _is_video(file: IO[bytes], media: _Element) -> bool:
    handler = next(each for each in _boxes(file, *media[1:]) if each.name == b"hdlr")
    return _read(file, handler.start + HANDLER, 4) == b"vide"


def _boxes(file: IO[bytes], start: int, end: int) -> Iterator[_Element]:
    """Yield the boxes of MP4 between two places in the file."""
    for _ in range(MAX_ELEMENTS):
        if start + 8 > end:
            return
        length, name = struct.unpack(">I4s", _read(file, start, 8))
        header = 8
        if length == 1:
            (length,), header = struct.unpack(">Q", _read(file, start + 8, 8)), 16
        elif length == 0:
            length = end - start
        if length < header:
            return
        yield _Element(name, start + header, min(start + length, end))
        start += length


def _matroska_edges(file: IO[bytes], track: int) -> Edges:
    end = file.seek(0, os.SEEK_END)
    segment = _child(file, _Element(0, 0, end), SEGMENT)
    tracks = _child(file, segment, TRACKS)
    videos = [
        entry
        for entry in _elements(file, *tracks[1:])
        if entry.name == TRACK_ENTRY and _number(file, entry, TRACK_TYPE) == VIDEO_TRACK
    ]
    video = _child(file, videos[track], VIDEO)
    return Edges(**{side: _number(file, video, name) for side, name in CROPS.items()})


def _child(file: IO[bytes], parent: _Element, name: int) -> _Element:
    return next(each for each in _elements(file, *parent[1:]) if each.name == name)


def _number(file: IO[bytes], parent: _Element, name: int) -> int:
    """Return an unsigned number inside an element of Matroska; 0 if there is none."""
    for each in _elements(file, *parent[1:]):
        if each.name == name and each.end - each.start <= 8:
            return int.from_bytes(_read(file, each.start, each.end - each.start), "big")
    return 0


def _elements(file: IO[bytes], start: int, end: int) -> Iterator[_Element]:
    """Yield the elements of Matroska between two places in the file."""
    for _ in range(MAX_ELEMENTS):
        if start >= end:
            return
        header = _read(file, start, min(12, end - start))
        id_length = 9 - header[0].bit_length()
        size_length = 9 - header[id_length].bit_length()
        if id_length > 4 or size_length > 8:
            return
        name = int.from_bytes(header[:id_length], "big")
        digits = int.from_bytes(header[id_length : id_length + size_length], "big")
        length = digits - (1 << 7 * size_length)
        content = start + id_length + size_length
        unknown = length == (1 << 7 * size_length) - 1  # as in live streams: until the end
        yield _Element(name, content, end if unknown else min(content + length, end))
        if unknown:
            return
        start = content + length


def _read(file: IO[bytes], start: int, length: int) -> bytes:
    file.seek(start)
    data = file.read(length)
    if len(data) < length:
        raise ValueError("the file ends too early")
    return data

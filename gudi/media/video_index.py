"""What is known of a video before any frame is decoded, and segments to decode it in.

Photos go through the same steps as videos, so this module does without PyAV, which takes a tenth of
the time of `gudi predict` to import.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from gudi.settings import FrameOptions

# Frames of a segment. An interrupted run loses the segments that its workers had not finished.
SEGMENT_FRAMES = 64

# A run of segments has at least so many frames if it ends before a key frame.
RUN_FRAMES = 128

DEFAULT_RATE = Fraction(25)  # frames per second, if the file does not say

NO_STAMPS = np.empty(0, np.int64)


@dataclass(frozen=True)
class Segment:
    """Frames of a video that can be decoded independently of other segments.

    Attributes:
        numbers: of the frames to decode.
        stamps: their presentation time stamps, in the stream's unit. Empty if the video has no
            reliable ones; then all of it has to be decoded from the start.
        start: time stamp of the key frame at which decoding starts.
    """

    numbers: tuple[int, ...]
    stamps: tuple[int, ...] = ()
    start: int = 0

    @property
    def number(self) -> int:
        """The number of the first frame, which identifies the segment; -1 for `WHOLE_VIDEO`."""
        return self.numbers[0] if self.numbers else -1


# All frames, from the start.
WHOLE_VIDEO = Segment(())


@dataclass(frozen=True)
class VideoIndex:
    """What the packets of a video say, without decoding any frame.

    Attributes:
        stamps: presentation time stamps of its frames, int64, ascending. Empty if they are not
            reliable.
        keys: those of key frames, int64, ascending.
        unit: seconds per unit of the time stamps.
        rate: frames per second, on average.
        problem: "" or how the file ends unexpectedly.
    """

    stamps: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]
    unit: float
    rate: Fraction
    problem: str = ""

    def chosen(self, selection: FrameOptions) -> Sequence[int]:
        """Return the numbers of the frames in `selection`."""
        if selection.all_frames:
            return range(len(self.stamps))
        times = ((self.stamps - self.stamps[:1]) * self.unit).tolist()
        return [
            number
            for number, (time, previous) in enumerate(zip(times, [None, *times]))
            if selection.selects(number, time, previous)
        ]


# Of a video without reliable time stamps.
NO_INDEX = VideoIndex(NO_STAMPS, NO_STAMPS, 0.0, DEFAULT_RATE)


class UnreliableTimestamps(Exception):
    """The decoded frames are not the ones that the packets promised."""


def segments(
    index: VideoIndex,
    numbers: Sequence[int],
    length: int = SEGMENT_FRAMES,
    longest: int = SEGMENT_FRAMES,
) -> Iterator[Segment]:
    """Split frames into segments, each of which is decoded from the key frame before it.

    Groups of pictures are joined up to `length` frames. Those of more than `longest` frames are
    cut, so that some frames are decoded more than once.

    Args:
        index: the video's index, with time stamps.
        numbers: of the frames, ascending.
        length: frames per segment.
        longest: frames of the longest segment.
    """
    stamps = index.stamps[np.asarray(numbers)]
    keys = np.searchsorted(index.keys, stamps, side="right") - 1
    starts, group = [0], 0
    for end in (*(np.flatnonzero(np.diff(keys)) + 1).tolist(), len(stamps)):
        if end - starts[-1] > length and group > starts[-1]:
            starts.append(group)
        starts += range(starts[-1] + longest, end, longest)
        group = end
    for start, end in itertools.pairwise((*starts, len(stamps))):
        yield Segment(
            tuple(numbers[start:end]),
            tuple(stamps[start:end].tolist()),
            int(index.keys[max(keys[start], 0)]),
        )


def runs(
    segments: Iterable[Segment], missing: Container[int], count: int = 1
) -> list[tuple[Segment, ...]]:
    """Return runs of segments that are to be decoded together.

    They start at key frames, unless there would be fewer than `count`.

    Args:
        segments: of a video, in order.
        missing: the numbers of those that have to be decoded.
        count: how many runs there should be at least.
    """
    found: list[tuple[Segment, ...]] = []
    run: tuple[Segment, ...] = ()
    for segment in segments:
        is_missing = segment.number in missing
        is_long = sum(len(each.numbers) for each in run) >= RUN_FRAMES
        if run and (not is_missing or (is_long and segment.start != run[-1].start)):
            found.append(run)
            run = ()
        if is_missing:
            run += (segment,)
    if run:
        found.append(run)
    parts = max(1, -(-count // max(1, len(found))))
    pieces = (
        each[len(each) * part // parts : len(each) * (part + 1) // parts]
        for each in found
        for part in range(parts)
    )
    return [piece for piece in pieces if piece]


def joined(run: Sequence[Segment]) -> Segment:
    """Return the segments of a run as one."""
    return Segment(
        tuple(itertools.chain.from_iterable(each.numbers for each in run)),
        tuple(itertools.chain.from_iterable(each.stamps for each in run)),
        run[0].start,
    )


def segment_of(index: VideoIndex, number: int) -> Segment:
    """Return the segment that holds frame `number` alone, or the whole video if it must be."""
    if number < len(index.stamps):
        return next(segments(index, [number]))
    return WHOLE_VIDEO

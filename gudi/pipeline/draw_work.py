"""Draw the pictures of one photo, or of part of a video. All of this runs in workers."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gudi.errors import PhotoError, VideoError
from gudi.files import atomic_write
from gudi.media import video_index
from gudi.media.photo import open_photo
from gudi.media.source import Source
from gudi.outputs.drawing import overlay, picture_files
from gudi.picture import Picture
from gudi.records import Box, Face
from gudi.settings import AUTO, BARS, BOX, EMOJI, drawn_parts

THUMBNAIL_SIDE = 240  # pixels


@dataclass(frozen=True)
class PhotoDrawing:
    """A photo to be drawn as an annotated picture, a thumbnail, or both.

    Attributes:
        source: the photo.
        size: width and height that it had when its faces were detected.
        faces: to be drawn.
        path, thumbnail: where the pictures go; None for a picture that is not wanted.
    """

    source: Source
    size: tuple[int, int]
    faces: Sequence[Face]
    path: Path | None = None
    thumbnail: Path | None = None


@dataclass(frozen=True)
class VideoThumbnail:
    """A frame of a video to be drawn as a thumbnail.

    Attributes:
        source: the video.
        segment: frames to decode, among them this one.
        frame: its number.
        faces: to be drawn.
        paths: where the thumbnail goes.
    """

    source: Source
    segment: video_index.Segment
    frame: int
    faces: Sequence[Face]
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class VideoChunk:
    """A segment of a video to be drawn and encoded.

    Attributes:
        source: the video.
        segment: the frames.
        processed: ascending numbers of the frames whose faces were detected; None for all.
        faces: by the number of their frame.
        hold: number of frames for which faces are shown if the following frames were skipped.
        rate: frames per second.
        path: where the chunk goes.
        thumbnails: where thumbnails go, by the number of their frame. Other frames have none.
    """

    source: Source
    segment: video_index.Segment
    processed: Sequence[int] | None
    faces: Mapping[int, list[Face]]
    hold: int
    rate: Fraction
    path: Path
    thumbnails: Mapping[int, tuple[Path, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class ChunkJoin:
    """The chunks of a video to be joined."""

    source: Source
    chunks: tuple[Path, ...]
    path: Path


Drawing = PhotoDrawing | VideoThumbnail | VideoChunk | ChunkJoin


def draw(item: Drawing, style: str = AUTO, side: int = 0) -> str:
    """Draw an item.

    Args:
        item: what to draw on.
        style: what to draw, see `gudi.settings.drawn_parts`.
        side: longer side of annotated photos and videos, at most; 0 for the size of the original.

    Returns:
        "" or what a video lacks.

    Raises:
        PhotoError, VideoError, OSError: it cannot be drawn.
    """
    parts = drawn_parts(style, (BOX,) if isinstance(item, PhotoDrawing) else (BARS,))
    if isinstance(item, PhotoDrawing):
        _draw_photo(parts, item, side)
        return ""
    from gudi.media import encode  # imports PyAV, which photos do not need

    if isinstance(item, VideoThumbnail):
        _draw_video_thumbnail(parts, item)
    elif isinstance(item, VideoChunk):
        item.path.parent.mkdir(exist_ok=True)
        encode.encode_chunk(item.path, _drawn_frames(parts, item, side), item.rate)
    else:
        item.path.parent.mkdir(parents=True, exist_ok=True)
        return encode.join_chunks(item.chunks, item.source, item.path)
    return ""


def _draw_photo(parts: frozenset[str], item: PhotoDrawing, side: int) -> None:
    side = (side or max(item.size)) if item.path is not None else THUMBNAIL_SIDE
    photo = open_photo(item.source, side)
    if photo.size != item.size:
        raise PhotoError("the photo has changed since its faces were detected")
    if item.thumbnail is not None:
        _draw_thumbnail((item.thumbnail,), photo, item.faces, parts)
    if item.path is not None:
        image = photo.drawable(side)
        faces = _scaled(item.faces, photo.size, image)
        taken = _annotate(image, faces, parts)
        if BARS in parts:
            overlay.draw_bars_beside(image, faces, taken[len(faces) :])
        _write(item.path, picture_files.encode(image, item.path.suffix, photo.metadata.exif))


def _annotate(
    image: npt.NDArray[np.uint8],
    faces: Sequence[Face],
    parts: frozenset[str],
    *,
    crowded: bool = True,
) -> list[Box]:
    """Draw boxes and labels, if they are wanted; see `overlay.annotate`."""
    if BOX not in parts:
        return []
    return overlay.annotate(image, faces, emoji=EMOJI in parts, crowded=crowded)


def _draw_thumbnail(
    paths: Sequence[Path], picture: Picture, faces: Sequence[Face], parts: frozenset[str]
) -> None:
    """Write a small copy of `picture` with its faces drawn on to each of `paths`.

    They are drawn in the small size, so that their labels can be read. Bars would not fit.
    """
    small = picture.drawable(THUMBNAIL_SIDE)
    _annotate(small, _scaled(faces, picture.size, small), parts, crowded=False)
    content = picture_files.encode(small, ".jpg")
    for path in paths:
        _write(path, content)


def _scaled(
    faces: Sequence[Face], size: tuple[int, int], copy: npt.NDArray[np.uint8]
) -> list[Face]:
    """Return the faces of a picture of this size as they are in a smaller copy of it."""
    ratio = max(copy.shape[:2]) / max(size)
    return [replace(face, box=Box(*(round(each * ratio) for each in face.box))) for face in faces]


def _draw_video_thumbnail(parts: frozenset[str], item: VideoThumbnail) -> None:
    from gudi.media.video import read_frames

    for frame in read_frames(item.source, item.segment):
        if frame.number == item.frame:
            _draw_thumbnail(item.paths, frame.picture, item.faces, parts)
            return


def _drawn_frames(
    parts: frozenset[str], item: VideoChunk, side: int
) -> Iterator[tuple[float, npt.NDArray[np.uint8]]]:
    """Yield time and picture of a chunk's frames, as far as they can be decoded."""
    from gudi.media.video import read_frames

    started = False
    try:
        for frame in read_frames(item.source, item.segment):
            started = True
            faces = item.faces.get(_shown_frame(item, frame.number), [])
            if paths := item.thumbnails.get(frame.number):
                _draw_thumbnail(paths, frame.picture, faces, parts)
            image = frame.picture.drawable(side or max(frame.picture.size))
            faces = _scaled(faces, frame.picture.size, image)
            taken = _annotate(image, faces, parts)
            if faces and BARS in parts:
                largest = max(faces, key=lambda face: face.box.width * face.box.height)
                overlay.draw_bars(image, largest, taken)
            yield frame.seconds, image
    except VideoError:
        if not started:
            raise
        # A video that ends unexpectedly is drawn up to there.


def _shown_frame(item: VideoChunk, number: int) -> int:
    """Return the frame whose faces are shown in frame `number`; -1 for none."""
    if item.processed is None:
        return number
    position = bisect.bisect_right(item.processed, number) - 1
    last = item.processed[position] if position >= 0 else -1
    return last if number - last < item.hold else -1


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(content)

"""Annotated pictures, videos and thumbnails of what was found, drawn in workers.

A second pass over photos and videos. Videos are drawn and encoded in pieces by all workers, and
put together in the end, so that no piece takes long and a killed run goes on behind the last one.
"""

from __future__ import annotations

import bisect
import errno
import functools
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

import jobs
from gudi.detection import Box
from gudi.drawing import overlay, picture_files
from gudi.errors import OutputError, PhotoError, VideoError
from gudi.files import TEMPORARY_PREFIX, atomic_write
from gudi.media import encode, sources, video
from gudi.media.photo import read_photo
from gudi.media.sources import Source
from gudi.pipeline.recognize import reason
from gudi.progress import FinishedItem
from gudi.results.folder import SCRATCH, FileResult, Pictures, ResultFolder, places, strongest
from gudi.results.ledger import Entry, Ledger
from gudi.settings import ALL_FRAMES, PICTURE, THUMBNAIL, FrameSelection

THUMBNAIL_SIDE = 240  # pixels
THUMBNAILS_A_FOLDER = 1000

# Frames of a video that are encoded together. Decoding begins at the key frame before them, and
# each piece begins with a key frame.
PIECE = 512

# What is no fault of a single picture: a disk, or what somebody may take of it, is full.
FULL = {errno.ENOSPC, errno.EDQUOT}

# Of a video of which not every frame was looked at, a face is shown for so long, in seconds.
HOLD = 1.0

# A box, the probabilities of its emotions.
Face = tuple[Box, np.ndarray]


def annotate_photos(
    results: Iterable[FileResult],
    emotions: Sequence[str],
    pictures: Pictures,
    name: Callable[[str], str],
    workers: jobs.Workers,
) -> None:
    """Draw the faces of `results` onto copies of their photos in `pictures`.

    A result whose picture cannot be drawn keeps its faces and gets an error.

    Args:
        results: what to draw; those without faces are left out.
        emotions: the names of the classes.
        pictures: gives out the places.
        name: makes the name of a picture from that of its source.
        workers: the processes to draw in.
    """
    drawn = {result.source: result for result in results if result.boxes}

    def drawings() -> Iterator[_Photo]:
        for result in drawn.values():
            side = max(result.width, result.height)
            path = pictures.place(name(picture_files.writable_name(result.source.name, side)))
            faces = tuple(zip(result.boxes, result.probabilities))
            yield _Photo(result.source, (result.width, result.height), faces, path)

    try:
        for outcome in workers.run(functools.partial(_work, tuple(emotions)), drawings()):
            if outcome.error is not None:
                drawn[outcome.item.source].error = _undrawn(outcome.error)
    finally:
        pictures.sweep()


def annotate(
    ledger: Ledger,
    folder: ResultFolder,
    emotions: Sequence[str],
    frames: FrameSelection,
    workers: jobs.Workers,
    wanted: int,
    done: Callable[[FinishedItem], None],
    spent: Counter,
) -> None:
    """Draw the pictures that are still missing in a result folder.

    Args:
        ledger: tells what was found, and is told what is drawn.
        folder: gets the pictures.
        emotions: the names of the classes.
        frames: which frames of videos were looked at.
        workers: the processes to draw in.
        wanted: which ones, `ledger.PICTURE`, `ledger.THUMBNAIL`, or both added.
        done: called when all pictures of one source are there, or cannot be made.
        spent: gets the seconds that it takes the workers, all of them together.
    """
    queue = _Queue(ledger, folder, frames, wanted, done)
    try:
        for outcome in workers.run(functools.partial(_work, tuple(emotions)), queue):
            queue.judge(outcome)
            spent["draw"] += outcome.seconds
    finally:
        for each in (folder.annotated, folder.thumbnails):
            _sweep(each)
    for left in folder.path.glob(f"{SCRATCH}*"):  # of videos that have changed or are gone
        shutil.rmtree(left, ignore_errors=True)


def remove(entries: Iterable[Entry], ledger: Ledger, folder: ResultFolder) -> None:
    """Remove the pictures of `entries`; what else lies beside them is not gudi's, and stays."""
    for entry in entries:
        if entry.picture is not None:
            folder.remove_picture(folder.annotated / entry.picture)
        folder.remove_picture(folder.path / thumbnail(entry))
        ledger.drop_picture(entry)


def thumbnail(entry: Entry) -> str:
    """Return where the thumbnail of `entry` goes, below the result folder."""
    return f"thumbnails/{entry.id // THUMBNAILS_A_FOLDER}/{entry.id}.jpg"


def _sweep(folder: Path) -> None:
    """Remove what workers that were killed have left half written below `folder`."""
    for parent, _, files in os.walk(folder):
        for name in files:
            if name.startswith(TEMPORARY_PREFIX):
                Path(parent, name).unlink(missing_ok=True)


def _undrawn(error: BaseException) -> str:
    return f"the annotated picture could not be made: {reason(error)}"


@dataclass(frozen=True)
class _Photo:
    """A photo to be drawn, as a picture, a thumbnail or both."""

    source: Source
    size: tuple[int, int]
    faces: tuple[Face, ...]
    path: Path | None = None
    thumbnail: Path | None = None


@dataclass(frozen=True)
class _Packets:
    """A video whose packets are to be listed."""

    source: Source


@dataclass(frozen=True)
class _Poster:
    """A frame of a video to be drawn as its thumbnail."""

    source: Source
    stretch: video.Segment
    frame: int
    faces: tuple[Face, ...]
    thumbnail: Path


@dataclass(frozen=True)
class _Piece:
    """A stretch of a video to be drawn and encoded.

    Attributes:
        looked: the numbers of the frames that were looked at, ascending; None for all.
        faces: by the number of the frame that they are in.
        hold: for how many frames faces are shown.
    """

    source: Source
    stretch: video.Segment
    looked: Sequence[int] | None
    faces: Mapping[int, list[Face]]
    hold: int
    rate: Fraction
    pixel_aspect: Fraction | None
    path: Path


@dataclass(frozen=True)
class _Join:
    """The pieces of a video to be put together."""

    source: Source
    pieces: tuple[Path, ...]
    path: Path


@dataclass
class _Video:
    """A video that is being drawn.

    Attributes:
        entry: which one.
        missing: pieces and posters that are still to come.
        pieces: those that are there, or will be.
        failed: "" or why it cannot be drawn.
    """

    entry: Entry
    missing: int = 0
    pieces: list[Path] = field(default_factory=list)
    failed: str = ""


class _Queue(jobs.Supply):
    """What is to be drawn: one source after the other, videos in pieces."""

    def __init__(
        self,
        ledger: Ledger,
        folder: ResultFolder,
        frames: FrameSelection,
        wanted: int,
        done: Callable[[FinishedItem], None],
    ) -> None:
        super().__init__(map(self._first, ledger.undrawn(wanted)))
        self._ledger, self._folder, self._wanted, self._done = ledger, folder, wanted, done
        self._frames = frames
        self._drawn: dict[Source, Entry | _Video] = {}

    def _first(self, entry: Entry) -> _Photo | _Packets:
        """Return what `entry` begins with."""
        if entry.source.kind == sources.VIDEO:
            self._drawn[entry.source] = _Video(entry)
            return _Packets(entry.source)
        self._drawn[entry.source] = entry
        faces = tuple((row.box, row.shares) for row in self._ledger.rows(entry))
        size = (entry.width, entry.height)
        path = self._path(entry, picture_files.writable_name(entry.source.name, max(size)))
        return _Photo(entry.source, size, faces, path, self._thumbnail(entry))

    def judge(self, outcome: jobs.Outcome) -> None:
        """Take in what came of an item."""
        item = outcome.item
        if getattr(outcome.error, "errno", None) in FULL:
            raise OutputError(f"{self._folder.path}: {reason(outcome.error)}")
        error = _undrawn(outcome.error) if outcome.error is not None else ""
        if isinstance(item, _Photo):
            self._finish(item.source, error)
            return
        drawn = self._drawn[item.source]
        if isinstance(item, _Packets) and not error:
            self.add(self._pieces(drawn, outcome.value))
            return
        if isinstance(item, (_Join, _Packets)):
            self._finish(item.source, error)
            return
        drawn.missing -= 1
        # A thumbnail is not worth a failure: the picture is looked for in its place.
        drawn.failed = drawn.failed or (error if isinstance(item, _Piece) else "")
        self._join(drawn)

    def _pieces(self, drawn: _Video, index: video.VideoIndex) -> Iterator[_Piece | _Poster]:
        """Yield what a video has to be cut into."""
        entry = drawn.entry
        drawn.missing = 1  # this generator, until it has ended
        if self._wanted & THUMBNAIL:
            drawn.missing += 1
            yield self._poster(entry, index)
        if self._wanted & PICTURE:
            looked = None if self._frames == ALL_FRAMES else index.chosen(self._frames)
            hold = max(1, round(HOLD * index.rate))
            frames = range(len(index.stamps))
            for stretch in video.segments(index, frames, PIECE) if frames else [video.WHOLE_VIDEO]:
                path = self._scratch(entry) / f"{stretch.number:012}.nut"
                drawn.pieces.append(path)
                if not path.exists():
                    drawn.missing += 1
                    yield self._piece(entry, stretch, looked, hold, index, path)
        drawn.missing -= 1
        self._join(drawn)

    def _poster(self, entry: Entry, index: video.VideoIndex) -> _Poster:
        """Return the frame with the most certain face."""
        best = max(self._ledger.rows(entry), key=lambda row: row.shares.max()).frame
        faces = tuple((row.box, row.shares) for row in self._ledger.rows(entry, best, best))
        stamped = len(index.stamps) > best
        stretch = next(video.segments(index, [best])) if stamped else video.WHOLE_VIDEO
        return _Poster(entry.source, stretch, best, faces, self._thumbnail(entry))

    def _piece(
        self,
        entry: Entry,
        stretch: video.Segment,
        looked: Sequence[int] | None,
        hold: int,
        index: video.VideoIndex,
        path: Path,
    ) -> _Piece:
        first = max(0, stretch.number - hold)
        last = stretch.numbers[-1] if stretch.numbers else None
        if looked is not None and last is not None:
            start, end = bisect.bisect_left(looked, first), bisect.bisect_right(looked, last)
            looked = looked[start:end]
        faces: dict[int, list[Face]] = {}
        for row in self._ledger.rows(entry, first, last):
            faces.setdefault(row.frame, []).append((row.box, row.shares))
        return _Piece(
            entry.source, stretch, looked, faces, hold, index.rate, index.pixel_aspect, path
        )

    def _join(self, drawn: _Video) -> None:
        """Go on with a video when all of its pieces are there."""
        source = drawn.entry.source
        if drawn.missing:
            return
        if drawn.failed or not drawn.pieces:
            self._finish(source, drawn.failed)
        else:
            path = self._path(drawn.entry, f"{source.name}{_mp4(source.name)}")
            self.add([_Join(source, tuple(drawn.pieces), path)])

    def _finish(self, source: Source, error: str) -> None:
        drawn = self._drawn.pop(source)
        entry = drawn.entry if isinstance(drawn, _Video) else drawn
        shutil.rmtree(self._scratch(entry), ignore_errors=True)
        self._ledger.drawn(entry, self._wanted, error)
        self._done(FinishedItem(source.name, "failed" if error else "ok", error))

    def _path(self, entry: Entry, name: str) -> Path | None:
        """Return where the annotated picture goes; None where it is not wanted."""
        if not self._wanted & PICTURE:
            return None
        return self._folder.annotated / self._ledger.give_place(entry, places(name))

    def _thumbnail(self, entry: Entry) -> Path | None:
        return self._folder.path / thumbnail(entry) if self._wanted & THUMBNAIL else None

    def _scratch(self, entry: Entry) -> Path:
        """Return the folder of the pieces of a video: another one when its content is another."""
        return self._folder.path / f"{SCRATCH}{entry.id}-{entry.digest}"


def _mp4(name: str) -> str:
    """Return what to put behind a video's name so that it ends as an MP4 file does."""
    return "" if name.lower().endswith((".mp4", ".m4v")) else ".mp4"


def _work(emotions: tuple[str, ...], item: Any) -> Any:
    """Do what an item asks for; runs in a worker."""
    if isinstance(item, _Photo):
        return _draw_photo(emotions, item)
    if isinstance(item, _Packets):
        return video.read_index(item.source.path)
    if isinstance(item, _Poster):
        return _draw_poster(emotions, item)
    if isinstance(item, _Piece):
        item.path.parent.mkdir(exist_ok=True)
        frames = _drawn_frames(emotions, item)
        return encode.encode_chunk(item.path, frames, item.rate, item.pixel_aspect)
    item.path.parent.mkdir(parents=True, exist_ok=True)
    return encode.join_chunks(item.pieces, item.source.path, item.path)


def _draw_photo(emotions: tuple[str, ...], item: _Photo) -> None:
    image = read_photo(item.source.path)
    if image.shape[1::-1] != item.size:
        raise PhotoError("the photo has changed in the meantime")
    overlay.annotate(image, _labels(item.faces, emotions))
    if item.path is not None:
        _write(item.path, picture_files.encode(image, item.path.suffix))
    if item.thumbnail is not None:
        _write(item.thumbnail, picture_files.thumbnail(image, THUMBNAIL_SIDE))


def _draw_poster(emotions: tuple[str, ...], item: _Poster) -> None:
    for frame in video.read_frames(item.source.path, item.stretch):
        if frame.number == item.frame:
            overlay.annotate(frame.image, _labels(item.faces, emotions))
            _write(item.thumbnail, picture_files.thumbnail(frame.image, THUMBNAIL_SIDE))
            return


def _drawn_frames(emotions: tuple[str, ...], item: _Piece) -> Iterator[tuple[float, np.ndarray]]:
    """Yield time and picture of the frames of a piece, as far as they can be decoded."""
    begun = False
    try:
        for frame in video.read_frames(item.source.path, item.stretch):
            begun = True
            faces = item.faces.get(_last_look(item, frame.number), [])
            taken = overlay.annotate(frame.image, _labels(faces, emotions))
            if faces:
                _, shares = max(faces, key=lambda face: face[0].width * face[0].height)
                overlay.draw_bars(frame.image, shares, emotions, taken)
            yield frame.time, frame.image
    except VideoError:
        if not begun:
            raise
        # A video that breaks off is drawn up to there.


def _last_look(item: _Piece, number: int) -> int:
    """Return the frame whose faces are shown in frame `number`."""
    if item.looked is None:
        return number
    place = bisect.bisect_right(item.looked, number) - 1
    last = item.looked[place] if place >= 0 else -1
    return last if number - last < item.hold else -1


def _labels(faces: Sequence[Face], emotions: Sequence[str]) -> Iterator[tuple[Box, str, float]]:
    return ((box, *strongest(shares, emotions)) for box, shares in faces)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(content)

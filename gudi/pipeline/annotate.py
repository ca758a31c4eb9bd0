"""The second pass over photos and videos: annotated pictures and thumbnails.

Workers draw and encode videos in chunks, which are joined at the end. So no task takes long, and a
killed run resumes after the last finished chunk.
"""

from __future__ import annotations

import bisect
import errno
import functools
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import gudi_jobs
from gudi.drawing.picture_files import writable_name
from gudi.drawing.text import undrawable
from gudi.errors import OutputError
from gudi.media import video
from gudi.media.sources import VIDEO, Source
from gudi.pipeline.draw_work import (
    ChunkJoin,
    Drawing,
    DrawnFace,
    PhotoDrawing,
    VideoChunk,
    VideoIndexing,
    VideoThumbnail,
    draw,
)
from gudi.pipeline.workers import describe_error
from gudi.progress import FinishedItem, Progress
from gudi.results.folder import ResultFolder, thumbnail_path, thumbnail_paths
from gudi.results.ledger import Ledger
from gudi.results.ledger.face_table import NO_LIMIT
from gudi.results.paths import UniquePaths, path_of, safe_paths
from gudi.results.peaks import Peaks
from gudi.results.records import SourceRecord, SourceResult
from gudi.results.subtitles import subtitles
from gudi.results.summaries import frames_of
from gudi.settings import (
    ALL_FRAMES,
    AUTO,
    NOTHING,
    PICTURE,
    THUMBNAIL,
    FrameSelection,
    OutputSettings,
    RunSettings,
    describe_parts,
)
from gudi.timing import StageSeconds

# Frames of a video that are encoded together. A chunk starts with a key frame, and decoding starts
# at the key frame before it.
CHUNK_FRAMES = 512

# Disk full or quota exceeded: abort the run instead of failing one picture.
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}

# If frames were skipped, a face is shown for this many seconds.
HOLD = 1.0


@dataclass(frozen=True)
class DrawSettings:
    """What is drawn.

    Attributes:
        emotions: names of the classes.
        frames: which frames of videos were processed.
        pictures: `PICTURE`, `THUMBNAIL`, or their sum.
        style: what is drawn for each face, see `gudi.settings.drawn_parts`.
    """

    emotions: tuple[str, ...]
    frames: FrameSelection
    pictures: int
    style: str = AUTO


def draw_settings(settings: RunSettings, output: OutputSettings) -> DrawSettings:
    """Return what a run draws."""
    return DrawSettings(settings.emotions, settings.frames, output.pictures, output.draw)


def draw_photos(
    results: Iterable[SourceResult],
    emotions: Sequence[str],
    paths: UniquePaths,
    picture_name: Callable[[str], str],
    workers: gudi_jobs.Workers,
    style: str = AUTO,
) -> None:
    """Draw the faces of `results` onto copies of their photos.

    A result whose picture cannot be drawn keeps its faces and gets an error.

    Args:
        results: results without faces are skipped.
        emotions: names of the classes.
        paths: assigns the paths of the pictures.
        picture_name: returns the name of a picture from the name of its source.
        workers: the processes to draw in.
        style: what to draw, see `gudi.settings.drawn_parts`.
    """
    drawn = {result.source: result for result in results if result.faces}

    def drawings() -> Iterator[PhotoDrawing]:
        for result in drawn.values():
            size = (result.width or 0, result.height or 0)
            path = paths.assign(picture_name(writable_name(result.source.name, max(size))))
            yield PhotoDrawing(result.source, size, tuple(result.faces), path)

    try:
        work = functools.partial(draw, tuple(emotions), style=style)
        for outcome in workers.run(work, drawings()):
            if outcome.error is not None:
                drawn[outcome.item.source].error = _draw_error(outcome.error)
    finally:
        paths.remove_temporary_files()


def draw_pictures(
    ledger: Ledger,
    folder: ResultFolder,
    settings: DrawSettings,
    workers: gudi_jobs.Workers,
    finished: Callable[[FinishedItem], None],
    seconds: StageSeconds,
) -> None:
    """Draw the pictures that a result folder still lacks.

    Args:
        ledger: holds the faces, and learns what was drawn.
        folder: receives the pictures.
        settings: what to draw.
        workers: the processes to draw in.
        finished: called when all pictures of a source exist, or cannot be drawn.
        seconds: receives the time of all workers together, as `draw`.
    """
    queue = _DrawQueue(ledger, folder, settings, finished)
    try:
        work = functools.partial(draw, settings.emotions, style=settings.style)
        for outcome in workers.run(work, queue):
            queue.receive(outcome)
            seconds.count("draw", outcome.seconds)
    finally:
        folder.remove_temporary_pictures()
    folder.remove_chunks()


def note_undrawn(
    ledger: Ledger, folder: ResultFolder, settings: DrawSettings, progress: Progress
) -> None:
    """Tell the ledger which pictures of earlier runs are to be drawn again.

    Args:
        ledger: the ledger.
        folder: its result folder.
        settings: what is to be drawn.
        progress: receives notes.
    """
    _note_changed_style(ledger, folder, settings, progress)
    _note_missing_pictures(ledger, folder)
    if ledger.drawings.count_undrawn(settings.pictures):
        note_undrawable(settings.emotions, settings.style, progress)


def note_undrawable(emotions: Sequence[str], style: str, progress: Progress) -> None:
    """Note if the names of emotions cannot be drawn."""
    if style != NOTHING and (note := undrawable(emotions)):
        progress.note(note)


def _note_changed_style(
    ledger: Ledger, folder: ResultFolder, settings: DrawSettings, progress: Progress
) -> None:
    """Tell the ledger which pictures were drawn in another style, so that they are drawn again."""
    style, changed = describe_parts(settings.style), 0
    for picture in (PICTURE, THUMBNAIL):
        if settings.pictures & picture and ledger.drawings.style(picture) != style:
            changed |= picture
    if not changed:
        return
    drawn = False
    for record in ledger.drawings.drawn():
        drawn = drawn or bool(record.drawn & changed)
        ledger.drawings.mark_missing(record, changed)
    folder.remove_chunks()
    ledger.drawings.store_style(changed, style)
    ledger.commit()  # before anything is drawn in the new style
    if drawn:
        progress.note(f"pictures of earlier runs are drawn again, with --draw {style}")


def _note_missing_pictures(ledger: Ledger, folder: ResultFolder) -> None:
    """Tell the ledger which pictures somebody has removed, so that they are drawn again."""
    for record in ledger.drawings.drawn():
        missing = 0
        if record.picture is not None and not path_of(folder.annotated, record.picture).exists():
            missing |= record.drawn & PICTURE
        # A video may have no thumbnail, see `_DrawQueue.receive`.
        if record.source.kind != VIDEO and not (folder.path / thumbnail_path(record)).exists():
            missing |= record.drawn & THUMBNAIL
        if missing:
            ledger.drawings.mark_missing(record, missing)


def remove_pictures(records: Iterable[SourceRecord], ledger: Ledger, folder: ResultFolder) -> None:
    """Remove the pictures of `records`; other files beside them are not gudi's, and stay."""
    for record in records:
        if record.picture is not None:
            folder.remove_picture(folder.subtitles(record.picture))
            folder.remove_picture(path_of(folder.annotated, record.picture))
        for path in thumbnail_paths(record):
            folder.remove_picture(folder.path / path)
        ledger.drawings.mark_removed(record)


def write_subtitles(ledger: Ledger, folder: ResultFolder, emotions: Sequence[str]) -> None:
    """Write subtitles beside all annotated videos that have none."""
    for record in ledger.drawings.drawn():
        if record.source.kind != VIDEO or record.picture is None or not record.drawn & PICTURE:
            continue
        if folder.subtitles(record.picture).exists():
            continue
        frames = frames_of(ledger.faces.rows(record), ledger.faces.processed_frames(record))
        folder.write_subtitles(record.picture, subtitles(frames, emotions))


def _draw_error(error: BaseException) -> str:
    return f"the annotated picture could not be drawn: {describe_error(error)}"


def _chunk_segments(index: video.VideoIndex) -> Iterable[video.Segment]:
    frames = range(len(index.stamps))
    return video.segments(index, frames, CHUNK_FRAMES) if frames else [video.WHOLE_VIDEO]


@dataclass
class _VideoProgress:
    """A video that is being drawn.

    Attributes:
        record: the video.
        index: what its packets say; None until they are read.
        misled: whether the frames are not where the packets say.
        missing: number of chunks and thumbnails that are still to come.
        chunks: paths of all chunks.
        failed: "", or why the video cannot be drawn.
    """

    record: SourceRecord
    index: video.VideoIndex | None = None
    misled: bool = False
    missing: int = 0
    chunks: list[Path] = field(default_factory=list)
    failed: str = ""


class _DrawQueue(gudi_jobs.Supply[Drawing]):
    """The items for the workers: source after source, videos in chunks."""

    def __init__(
        self,
        ledger: Ledger,
        folder: ResultFolder,
        settings: DrawSettings,
        finished: Callable[[FinishedItem], None],
    ) -> None:
        super().__init__(map(self._first_item, ledger.drawings.undrawn(settings.pictures)))
        self._ledger, self._folder, self._settings = ledger, folder, settings
        self._finished = finished
        self._records: dict[Source, SourceRecord] = {}
        self._videos: dict[Source, _VideoProgress] = {}

    def _first_item(self, record: SourceRecord) -> PhotoDrawing | VideoIndexing:
        """Return the first item of a source."""
        source = record.source
        self._records[source] = record
        if source.kind == VIDEO:
            self._videos[source] = _VideoProgress(record)
            return VideoIndexing(source)
        size = (record.width or 0, record.height or 0)
        path = self._path(record, writable_name(source.name, max(size)))
        return PhotoDrawing(source, size, self._faces(record), path, self._thumbnail(record))

    def receive(self, outcome: gudi_jobs.Outcome[Drawing, video.VideoIndex | None]) -> None:
        """Receive the outcome of an item, and queue what follows from it."""
        item = outcome.item
        if getattr(outcome.error, "errno", None) in DISK_FULL and outcome.error is not None:
            raise OutputError(f"{self._folder.path}: {describe_error(outcome.error)}")
        error = _draw_error(outcome.error) if outcome.error is not None else ""
        if isinstance(item, (PhotoDrawing, ChunkJoin)):
            self._finish(item.source, error)
        elif isinstance(item, VideoIndexing):
            if outcome.value is None:
                self._finish(item.source, error)
            else:
                self._videos[item.source].index = outcome.value
                self.add(self._video_items(self._videos[item.source], outcome.value))
        else:
            video_progress = self._videos[item.source]
            video_progress.missing -= 1
            if isinstance(outcome.error, video.UnreliableTimestamps):
                video_progress.misled = True
            elif isinstance(item, VideoChunk):
                # A missing thumbnail is no failure: the report shows the picture instead.
                video_progress.failed = video_progress.failed or error
            self._join(video_progress)

    def _video_items(
        self, progress: _VideoProgress, index: video.VideoIndex
    ) -> Iterator[VideoChunk | VideoThumbnail]:
        """Yield the missing chunks of a video, or what only its thumbnails need."""
        record = progress.record
        progress.missing = 1  # this generator, until it ends
        thumbnails = self._video_thumbnails(record) if self._lacks(record, THUMBNAIL) else {}
        if not self._lacks(record, PICTURE):
            for frame, paths in thumbnails.items():
                progress.missing += 1
                segment, faces = video.segment_of(index, frame), self._faces(record, frame, frame)
                yield VideoThumbnail(record.source, segment, frame, faces, paths)
        else:
            selected = self._selected(record, index)
            for segment in _chunk_segments(index):
                path = self._folder.chunks(record) / f"{segment.number:012}.nut"
                progress.chunks.append(path)
                if not path.exists():
                    progress.missing += 1
                    yield self._chunk(record, index, segment, selected, path, thumbnails)
        progress.missing -= 1
        self._join(progress)

    def _selected(self, record: SourceRecord, index: video.VideoIndex) -> Sequence[int] | None:
        """Return the numbers of the processed frames of a video; None for all."""
        selection = self._settings.frames
        if selection == ALL_FRAMES:
            return None
        if len(index.stamps):
            return index.chosen(selection)
        if selection.fps is None:
            return range(0, NO_LIMIT, selection.every)
        # Which frames had no face is not known.
        return sorted({row.frame or 0 for row in self._ledger.faces.rows(record)})

    def _video_thumbnails(self, record: SourceRecord) -> dict[int, tuple[Path, ...]]:
        """Return where thumbnails of a video go, by the number of the frame."""
        peaks = Peaks()
        for row in self._ledger.faces.rows(record):
            peaks.add(row.probabilities.tolist(), row.frame or 0, row.time)
        paths: dict[int, tuple[Path, ...]] = {}
        for rank, peak in enumerate(peaks.strongest()):
            path = self._folder.path / thumbnail_path(record, rank)
            paths[peak.frame] = (*paths.get(peak.frame, ()), path)
        return paths

    def _chunk(
        self,
        record: SourceRecord,
        index: video.VideoIndex,
        segment: video.Segment,
        selected: Sequence[int] | None,
        path: Path,
        thumbnails: Mapping[int, tuple[Path, ...]],
    ) -> VideoChunk:
        """Return a chunk with the faces that are shown in it, some from frames before it.

        Args:
            record: the video.
            index: its index.
            segment: the frames of the chunk.
            selected: ascending numbers of the processed frames of the video; None for all.
            path: where the chunk goes.
            thumbnails: where the thumbnails of the video go, by the number of the frame.
        """
        hold = max(1, round(HOLD * index.rate))
        first = max(0, segment.number - hold)
        last = segment.numbers[-1] if segment.numbers else NO_LIMIT
        if selected is not None:
            start = bisect.bisect_left(selected, first)
            selected = selected[start : bisect.bisect_right(selected, last)]
        faces = self._faces_by_frame(record, first, last)
        numbers = [number for number in thumbnails if segment.number <= number <= last]
        own = {number: thumbnails[number] for number in numbers}
        return VideoChunk(record.source, segment, selected, faces, hold, index.rate, path, own)

    def _faces_by_frame(
        self, record: SourceRecord, first: int, last: int
    ) -> Mapping[int, list[DrawnFace]]:
        faces: dict[int, list[DrawnFace]] = {}
        for row in self._ledger.faces.rows(record, first, last):
            faces.setdefault(row.frame or 0, []).append((row.box, row.probabilities))
        return faces

    def _faces(self, record: SourceRecord, *limits: int) -> tuple[DrawnFace, ...]:
        rows = self._ledger.faces.rows(record, *limits)
        return tuple((row.box, row.probabilities) for row in rows)

    def _join(self, progress: _VideoProgress) -> None:
        """Queue the join of a video whose chunks all exist."""
        source = progress.record.source
        if progress.missing:
            return
        if progress.misled and progress.index is not None:
            self._draw_whole(progress, progress.index)
            return
        if progress.failed or not progress.chunks:
            self._finish(source, progress.failed)
            return
        suffix = "" if source.name.lower().endswith((".mp4", ".m4v")) else ".mp4"
        path = self._path(progress.record, f"{source.name}{suffix}")
        if path is not None:
            self.add([ChunkJoin(source, tuple(progress.chunks), path)])

    def _draw_whole(self, progress: _VideoProgress, index: video.VideoIndex) -> None:
        """Start a video over, in one chunk that is decoded from the start."""
        shutil.rmtree(self._folder.chunks(progress.record), ignore_errors=True)
        progress.misled, progress.failed, progress.chunks = False, "", []
        index = replace(index, stamps=index.stamps[:0])
        self.add(self._video_items(progress, index))

    def _finish(self, source: Source, error: str) -> None:
        record = self._records.pop(source)
        if self._videos.pop(source, None):
            shutil.rmtree(self._folder.chunks(record), ignore_errors=True)
            if record.picture is not None:  # subtitles of what the video was before
                self._folder.subtitles(record.picture).unlink(missing_ok=True)
        self._ledger.drawings.mark_drawn(record, self._settings.pictures, error)
        self._finished(FinishedItem(source.name, "failed" if error else "ok", error))

    def _lacks(self, record: SourceRecord, picture: int) -> bool:
        """Tell whether a picture of a source is wanted and does not exist."""
        return bool(self._settings.pictures & ~record.drawn & picture)

    def _path(self, record: SourceRecord, name: str) -> Path | None:
        """Return the path of the annotated picture; None if it is not wanted."""
        if not self._lacks(record, PICTURE):
            return None
        path = self._ledger.drawings.assign_path(record, safe_paths(name))
        return path_of(self._folder.annotated, path)

    def _thumbnail(self, record: SourceRecord) -> Path | None:
        if not self._lacks(record, THUMBNAIL):
            return None
        return self._folder.path / thumbnail_path(record)

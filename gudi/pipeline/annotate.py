"""The second pass over photos and videos: annotated pictures and thumbnails.

Workers draw and encode videos in chunks, which are joined at the end. So no task takes long, and a
killed run resumes after the last finished chunk.
"""

from __future__ import annotations

import bisect
import errno
import functools
import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import gudi_jobs
from gudi.analysis.summaries import timed
from gudi.errors import OutputError
from gudi.media import video_index
from gudi.media.content import VIDEO
from gudi.media.source import Source
from gudi.outputs.drawing.picture_files import writable_name
from gudi.outputs.drawing.text import undrawable
from gudi.outputs.folder import ResultFolder, thumbnail_path, thumbnail_paths
from gudi.outputs.subtitles import subtitles
from gudi.pipeline.draw_work import (
    ChunkJoin,
    Drawing,
    PhotoDrawing,
    VideoChunk,
    VideoThumbnail,
    draw,
)
from gudi.pipeline.workers import describe_error
from gudi.progress import FinishedItem, Progress
from gudi.records import Face, Result
from gudi.settings import (
    AUTO,
    NOTHING,
    PICTURE,
    THUMBNAIL,
    BatchOptions,
    describe_parts,
)
from gudi.store import Store
from gudi.store.faces import NO_LIMIT
from gudi.store.inputs import Input
from gudi.store.paths import UniquePaths, path_of, safe_paths
from gudi.timing import StageSeconds

# Frames of a video that are encoded together: whole groups of pictures up to so many frames, or a
# single one of up to twice as many.
CHUNK_FRAMES = 256

# Disk full or quota exceeded: abort the run instead of failing one picture.
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}

# If frames were skipped, a face is shown for this many seconds.
HOLD = 1.0


def draw_photos(
    results: Iterable[Result],
    paths: UniquePaths,
    picture_name: Callable[[str], str],
    *,
    workers: gudi_jobs.WorkerPool,
    style: str = AUTO,
    side: int = 0,
) -> None:
    """Draw the faces of `results` onto copies of their photos.

    A result whose picture cannot be drawn keeps its faces and gets an error.

    Args:
        results: results without faces are skipped.
        paths: assigns the paths of the pictures.
        picture_name: returns the name of a picture from the name of its source.
        workers: the processes to draw in.
        style: what to draw, see `gudi.settings.drawn_parts`.
        side: longer side of the pictures, at most; 0 for the size of the photos.
    """
    drawn = {result.source: result for result in results if result.faces}

    def drawings() -> Iterator[PhotoDrawing]:
        for result in drawn.values():
            size = (result.width or 0, result.height or 0)
            path = paths.assign(picture_name(writable_name(result.source.name, max(size))))
            yield PhotoDrawing(result.source, size, result.faces, path)

    try:
        work = functools.partial(draw, style=style, side=side)
        for outcome in workers.map_unordered(work, drawings()):
            if outcome.error is not None:
                drawn[outcome.item.source].error = _draw_error(outcome.error)
    finally:
        paths.remove_temporary_files()


def draw_pictures(
    store: Store,
    folder: ResultFolder,
    *,
    options: BatchOptions,
    workers: gudi_jobs.WorkerPool,
    progress: Progress,
    seconds: StageSeconds,
) -> None:
    """Draw the pictures that a result folder still lacks.

    Args:
        store: holds the faces, and learns what was drawn.
        folder: receives the pictures.
        options: what to draw.
        workers: the processes to draw in.
        progress: advances when all pictures of an input exist, or cannot be drawn; receives notes.
        seconds: receives the time of all workers together, as `draw`.
    """
    queue = _DrawQueue(store, folder, options, progress)
    try:
        work = functools.partial(draw, style=options.draw, side=options.annotated_size)
        for outcome in workers.map_unordered(work, queue):
            queue.receive(outcome)
            seconds.count("draw", outcome.seconds)
    finally:
        folder.remove_temporary_pictures()
    folder.remove_chunks()


def mark_undrawn(
    store: Store, folder: ResultFolder, options: BatchOptions, progress: Progress
) -> None:
    """Have pictures of earlier runs drawn again that are missing or of another style.

    Args:
        store: learns which.
        folder: its result folder.
        options: what is to be drawn.
        progress: receives notes.
    """
    _mark_changed_style(store, folder, options, progress)
    _mark_missing_pictures(store, folder)
    if store.drawings.count_undrawn(options.pictures):
        note_undrawable(options.emotions, options.draw, progress)


def note_undrawable(emotions: Sequence[str], style: str, progress: Progress) -> None:
    """Note if the names of emotions cannot be drawn."""
    if style != NOTHING and (note := undrawable(emotions)):
        progress.note(note)


def _mark_changed_style(
    store: Store, folder: ResultFolder, options: BatchOptions, progress: Progress
) -> None:
    parts = describe_parts(options.draw) + " --track" * options.follows_faces
    sized = f"{parts} --annotated-size {options.annotated_size}"
    styles = {
        picture: style
        for picture, style in {PICTURE: sized, THUMBNAIL: parts}.items()
        if options.pictures & picture and store.drawings.style(picture) != style
    }
    changed = sum(styles)
    if not changed:
        return
    drawn = False
    for record in store.drawings.drawn():
        drawn = drawn or bool(record.drawn & changed)
        store.drawings.mark_missing(record, changed)
    folder.remove_chunks()
    for picture, style in styles.items():
        store.drawings.store_style(picture, style)
    store.commit()  # before anything is drawn in the new style
    if drawn:
        progress.note(f"pictures of earlier runs are drawn again, with --draw {sized}")


def _mark_missing_pictures(store: Store, folder: ResultFolder) -> None:
    """Mark pictures that somebody has removed."""
    for record in store.drawings.drawn():
        missing = 0
        path = record.annotated
        if path is not None and not path_of(folder.annotated, path).exists():
            missing |= record.drawn & PICTURE
        # A video may have no thumbnail, see `_DrawQueue.receive`.
        if record.source.kind != VIDEO and not (folder.path / thumbnail_path(record)).exists():
            missing |= record.drawn & THUMBNAIL
        if missing:
            store.drawings.mark_missing(record, missing)


def remove_pictures(records: Iterable[Input], store: Store, folder: ResultFolder) -> None:
    """Remove the pictures of `records`; other files beside them are not gudi's, and stay."""
    for record in records:
        if record.annotated is not None:
            folder.remove_picture(folder.subtitles(record.annotated))
            folder.remove_picture(path_of(folder.annotated, record.annotated))
        for path in thumbnail_paths(record):
            folder.remove_picture(folder.path / path)
        store.drawings.mark_removed(record)


def write_subtitles(store: Store, folder: ResultFolder) -> None:
    """Write subtitles beside all annotated videos that have none."""
    for record in store.drawings.drawn():
        path = record.annotated
        if record.source.kind != VIDEO or path is None or not record.drawn & PICTURE:
            continue
        if not folder.subtitles(path).exists():
            frames = timed(store.faces.by_frame(record))
            folder.write_subtitles(path, subtitles(frames, store.emotions))


def _draw_error(error: BaseException) -> str:
    return f"the annotated picture could not be drawn: {describe_error(error)}"


def _chunk_segments(index: video_index.VideoIndex) -> Iterable[video_index.Segment]:
    frames = range(len(index.stamps))
    if not frames:
        return [video_index.WHOLE_VIDEO]
    return video_index.segments(index, frames, CHUNK_FRAMES, 2 * CHUNK_FRAMES)


@dataclass
class _VideoProgress:
    """A video that is being drawn.

    Attributes:
        record: the video.
        index: what its packets say.
        misled: whether the frames are not where the packets say.
        missing: number of chunks and thumbnails that are still to come.
        chunks: paths of all chunks.
        failed: "", or why the video cannot be drawn.
    """

    record: Input
    index: video_index.VideoIndex
    misled: bool = False
    missing: int = 0
    chunks: list[Path] = field(default_factory=list)
    failed: str = ""


class _DrawQueue(gudi_jobs.WorkQueue[Drawing]):
    """The items for the workers: input after input, videos in chunks."""

    def __init__(
        self,
        store: Store,
        folder: ResultFolder,
        options: BatchOptions,
        progress: Progress,
    ) -> None:
        super().__init__(self._first_items(store.drawings.undrawn(options.pictures)))
        self._store, self._folder, self._options = store, folder, options
        self._progress = progress
        self._records: dict[Source, Input] = {}
        self._videos: dict[Source, _VideoProgress] = {}

    def _first_items(self, records: Iterable[Input]) -> Iterator[Drawing]:
        """Yield the items of each input that need no other ones before them."""
        for record in records:
            source = record.source
            self._records[source] = record
            if source.kind == VIDEO:
                index = self._store.videos.index(record) or video_index.NO_INDEX
                self._videos[source] = _VideoProgress(record, index)
                yield from self._video_items(self._videos[source])
            else:
                size = (record.width or 0, record.height or 0)
                path = self._path(record, writable_name(source.name, max(size)))
                faces = list(self._faces(record))
                yield PhotoDrawing(source, size, faces, path, self._thumbnail(record))

    def receive(self, outcome: gudi_jobs.Result[Drawing, str]) -> None:
        """Receive the outcome of an item, and queue what follows from it."""
        item = outcome.item
        if getattr(outcome.error, "errno", None) in DISK_FULL and outcome.error is not None:
            raise OutputError(f"{self._folder.path}: {describe_error(outcome.error)}")
        error = _draw_error(outcome.error) if outcome.error is not None else ""
        if outcome.value:
            self._progress.note(f"{item.source.name}: {outcome.value}")
        if isinstance(item, VideoChunk):
            self._progress.processed(len(item.segment.numbers))
        elif not isinstance(item, ChunkJoin):
            self._progress.processed(1)
        if isinstance(item, (PhotoDrawing, ChunkJoin)):
            self._finish(item.source, error)
            return
        progress = self._videos[item.source]
        progress.missing -= 1
        if isinstance(outcome.error, video_index.UnreliableTimestamps):
            progress.misled = True
        elif isinstance(item, VideoChunk):
            # A missing thumbnail is no failure: the report shows the picture instead.
            progress.failed = progress.failed or error
        self._join(progress)

    def _video_items(self, progress: _VideoProgress) -> Iterator[VideoChunk | VideoThumbnail]:
        """Yield the missing chunks of a video, or what only its thumbnails need."""
        record, index = progress.record, progress.index
        progress.missing = 1  # this generator, until it ends
        thumbnails = self._video_thumbnails(record) if self._lacks(record, THUMBNAIL) else {}
        if not self._lacks(record, PICTURE):
            self._progress.expect(len(thumbnails))
            for frame, paths in thumbnails.items():
                progress.missing += 1
                faces = list(self._faces(record, frame, frame))
                segment = video_index.segment_of(index, frame)
                yield VideoThumbnail(record.source, segment, frame, faces, paths)
        else:
            selected = self._selected(record, index)
            segments = list(_chunk_segments(index))
            folder = self._folder.chunks(record)
            progress.chunks = [folder / f"{segment.number:012}.nut" for segment in segments]
            missing = [not path.exists() for path in progress.chunks]
            if frames := sum(len(each.numbers) for each in itertools.compress(segments, missing)):
                self._progress.expect(frames)
            for segment, path in itertools.compress(zip(segments, progress.chunks), missing):
                progress.missing += 1
                yield self._chunk(
                    progress, segment=segment, selected=selected, path=path, thumbnails=thumbnails
                )
        progress.missing -= 1
        self._join(progress)

    def _selected(self, record: Input, index: video_index.VideoIndex) -> Sequence[int] | None:
        """Return the numbers of the processed frames of a video; None for all."""
        if self._options.all_frames:
            return None
        if len(index.stamps):
            return index.chosen(self._options)
        return self._store.faces.frame_numbers(record)

    def _video_thumbnails(self, record: Input) -> dict[int, tuple[Path, ...]]:
        """Return where thumbnails of a video go, by the number of the frame."""
        paths: dict[int, tuple[Path, ...]] = {}
        for rank, peak in enumerate(self._store.videos.peaks(record)):
            path = self._folder.path / thumbnail_path(record, rank)
            paths[peak.frame] = (*paths.get(peak.frame, ()), path)
        return paths

    def _chunk(
        self,
        progress: _VideoProgress,
        *,
        segment: video_index.Segment,
        selected: Sequence[int] | None,
        path: Path,
        thumbnails: Mapping[int, tuple[Path, ...]],
    ) -> VideoChunk:
        """Return a chunk with the faces that are shown in it, some from frames before it.

        Args:
            progress: of the video.
            segment: the frames of the chunk.
            selected: ascending numbers of the processed frames of the video; None for all.
            path: where the chunk goes.
            thumbnails: where the thumbnails of the video go, by the number of the frame.
        """
        record, rate = progress.record, progress.index.rate
        hold = max(1, round(HOLD * rate))
        first = max(0, segment.number - hold)
        last = segment.numbers[-1] if segment.numbers else NO_LIMIT
        if selected is not None:
            start = bisect.bisect_left(selected, first)
            selected = selected[start : bisect.bisect_right(selected, last)]
        faces: dict[int, list[Face]] = {}
        for face in self._faces(record, first, last):
            faces.setdefault(face.frame or 0, []).append(face)
        own = {
            number: paths
            for number, paths in thumbnails.items()
            if segment.number <= number <= last
        }
        return VideoChunk(
            record.source,
            segment,
            processed=selected,
            faces=faces,
            hold=hold,
            rate=rate,
            path=path,
            thumbnails=own,
        )

    def _faces(self, record: Input, *frames: int) -> Iterator[Face]:
        """Yield the faces to draw; they have tracks only if this run follows faces."""
        for face in self._store.faces.of_input(record, *frames):
            yield face if self._options.follows_faces else replace(face, track=None)

    def _join(self, progress: _VideoProgress) -> None:
        """Queue the join of a video whose chunks all exist."""
        source = progress.record.source
        if progress.missing:
            return
        if progress.misled:
            self._draw_whole(progress)
            return
        if progress.failed or not progress.chunks:
            self._finish(source, progress.failed)
            return
        suffix = "" if source.name.lower().endswith(".mp4") else ".mp4"
        path = self._path(progress.record, f"{source.name}{suffix}")
        if path is not None:
            self.add([ChunkJoin(source, tuple(progress.chunks), path)])

    def _draw_whole(self, progress: _VideoProgress) -> None:
        """Start a video over, in one chunk that is decoded from the start."""
        shutil.rmtree(self._folder.chunks(progress.record), ignore_errors=True)
        progress.misled, progress.failed, progress.chunks = False, "", []
        progress.index = replace(progress.index, stamps=progress.index.stamps[:0])
        self.add(self._video_items(progress))

    def _finish(self, source: Source, error: str) -> None:
        record = self._records.pop(source)
        if self._videos.pop(source, None):
            shutil.rmtree(self._folder.chunks(record), ignore_errors=True)
            if record.annotated is not None:  # subtitles of what the video was before
                self._folder.subtitles(record.annotated).unlink(missing_ok=True)
        self._store.drawings.mark_drawn(record, self._options.pictures, error)
        self._progress.advance(FinishedItem(source.name, "failed" if error else "ok", error))

    def _lacks(self, record: Input, picture: int) -> bool:
        """Return whether a picture of an input is wanted and does not exist."""
        return bool(self._options.pictures & ~record.drawn & picture)

    def _path(self, record: Input, name: str) -> Path | None:
        """Return the path of the annotated picture; None if it is not wanted."""
        if not self._lacks(record, PICTURE):
            return None
        path = self._store.drawings.assign_path(record, safe_paths(name, self._folder.name_rules))
        return path_of(self._folder.annotated, path)

    def _thumbnail(self, record: Input) -> Path | None:
        if not self._lacks(record, THUMBNAIL):
            return None
        return self._folder.path / thumbnail_path(record)

"""The tables of a result folder: columns, rows, and the formats they are written in."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

from gudi.errors import UsageError
from gudi.files import atomic_write, write_errors
from gudi.media.sources import VIDEO
from gudi.results.records import FaceRow, SourceRecord, top_emotion
from gudi.results.summaries import (
    INTEGERS,
    TEXTS,
    FrameFaces,
    Record,
    Summaries,
    TrackSummary,
    VideoSummary,
    carried_values,
    frames_of,
)
from gudi.results.tracking import Tracker, follow

# Rows of a parquet file that are held in memory and compressed together.
PARQUET_ROWS = 50_000

FACE_COLUMNS = (
    "source", "kind", "frame", "time_s", "face", "x", "y", "width", "height", "score", "emotion",
    "confidence",
)  # fmt: skip
EMOTION_COLUMN = FACE_COLUMNS.index("emotion")

FILE_COLUMNS = ("source", "kind", "status", "faces", "frames", "width", "height", "error")


def face_columns(
    emotions: Sequence[str], *, tracked: bool = False, carried: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the column names of `face_records`."""
    columns = (*FACE_COLUMNS, *emotions)
    if tracked:
        smoothed = ("emotion", "confidence", *emotions)
        columns += ("track", *(f"smooth_{name}" for name in smoothed))
    return (*columns, *carried)


def face_records(
    sources: Iterable[SourceRecord],
    rows: Callable[[SourceRecord], Iterable[FaceRow]],
    emotions: Sequence[str],
    *,
    tracked: bool = False,
    counts: Counter[str] | None = None,
    summaries: Summaries | None = None,
    failed: Callable[[SourceRecord, int, Exception], object] | None = None,
) -> Iterator[Record]:
    """Yield one record per face: the values of `face_columns`, None for a missing value.

    If there is something wrong with the faces of one source, its records end there.

    Args:
        sources: in the order of the table.
        rows: returns the faces of a source, in order.
        emotions: names of the classes.
        tracked: add the columns of `gudi.results.tracking`.
        counts: receives the number of faces by top emotion.
        summaries: receives the rows of the tables of videos and tracks.
        failed: called with such a source, the number of its records until then, and the error; by
            default the error is raised.
    """
    summaries = Summaries() if summaries is None else summaries
    for source in sources:
        count = 0
        try:
            for record in _source_records(
                source, rows(source), emotions, summaries, tracked=tracked
            ):
                if counts is not None:
                    counts[record[EMOTION_COLUMN]] += 1
                count += 1
                yield record + carried_values(source, summaries.carried)
        except Exception as error:
            if failed is None:
                raise
            failed(source, count, error)


def _source_records(
    source: SourceRecord,
    rows: Iterable[FaceRow],
    emotions: Sequence[str],
    summaries: Summaries,
    *,
    tracked: bool,
) -> Iterator[Record]:
    """Yield the records of one source."""
    untracked = (None,) * (len(face_columns(emotions, tracked=True)) - len(face_columns(emotions)))
    if source.source.kind == VIDEO:
        frames = frames_of(rows, summaries.processed(source))
        faces = _video_faces(source, frames, emotions, summaries, tracked=tracked)
    else:
        faces = ((face, row, None if tracked else ()) for face, row in enumerate(rows))
    for face, row, track in faces:
        yield _face_record(source, face, row, emotions) + (untracked if track is None else track)


def _video_faces(
    source: SourceRecord,
    frames: Iterable[FrameFaces],
    emotions: Sequence[str],
    summaries: Summaries,
    *,
    tracked: bool,
) -> Iterator[tuple[int, FaceRow, Record | None]]:
    """Yield the faces of a video: the number in the frame, the row, and the columns of the track.

    The last is () if faces are not tracked, and None for a face without a track.
    """
    tracker = Tracker() if tracked else None
    video, tracks = VideoSummary(source, emotions), dict[int, TrackSummary]()
    try:
        for frame, found in follow(frames, tracker):
            video.add(frame)
            for face, row in enumerate(frame.rows):
                if not found:
                    yield face, row, None if tracked else ()
                    continue
                number, smoothed = found[face]
                summary = tracks.setdefault(number, TrackSummary(source, number, emotions))
                summary.add(frame, row, smoothed)
                yield face, row, (number, *top_emotion(smoothed, emotions), *smoothed.tolist())
            if tracker is not None:
                summaries.add_ended(source, tracks, tracker.live)
    finally:  # also of a video whose faces cannot be used from somewhere on
        summaries.add_ended(source, tracks, set())
        summaries.videos.append(video.record + carried_values(source, summaries.carried))


def _face_record(source: SourceRecord, face: int, row: FaceRow, emotions: Sequence[str]) -> Record:
    return (
        source.source.name, source.source.kind, row.frame, row.time, face, *row.box,
        _number(row.score), *top_emotion(row.probabilities, emotions), *row.probabilities.tolist(),
    )  # fmt: skip


def _number(score: float | None) -> float | int | None:
    """Return a score as the table shows it: whole numbers without a point."""
    return int(score) if score is not None and score == int(score) else score


def file_records(sources: Iterable[SourceRecord], carried: Sequence[str] = ()) -> Iterator[Record]:
    """Yield one record per input: the values of `FILE_COLUMNS` and of the columns `carried`."""
    for each in sources:
        yield (
            each.source.name, each.source.kind, each.final_status, each.faces, each.frames,
            each.width, each.height, each.final_error, *carried_values(each, carried),
        )  # fmt: skip


def check_format(format: str) -> None:
    """Raise `UsageError` if `format` needs a package that is not installed."""
    if format == "parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise UsageError(
                "--format parquet needs the package pyarrow: pip install pyarrow"
            ) from None


def write_table(
    path: Path,
    records: Iterable[Record],
    columns: Sequence[str],
    format: str,
    *,
    carried: Sequence[str] = (),
    bom: bool = False,
) -> None:
    """Write a table to `path`, whole or not at all.

    Args:
        path: the file.
        records: the values of `columns`, row by row.
        columns: their names.
        format: one of `FORMATS`.
        carried: which columns come from lists in csv: they are text.
        bom: start a csv file with a byte order mark.

    Raises:
        OutputError: it cannot be written.
    """
    if format == "parquet":
        _write_parquet(path, records, columns, carried)
    else:
        with text_file(path) as file:
            if bom and format == "csv":
                file.write("\ufeff")
            (_write_csv if format == "csv" else _write_jsonl)(file, records, columns)


def _write_csv(file: IO[str], records: Iterable[Record], columns: Sequence[str]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    formats = [".3f" if name.endswith("_s") else ".6f" for name in columns]
    for record in records:
        writer.writerow(
            format(value, spec) if isinstance(value, float) else value
            for spec, value in zip(formats, record)
        )


def _write_jsonl(file: IO[str], records: Iterable[Record], columns: Sequence[str]) -> None:
    for record in records:
        values = (round(value, 6) if isinstance(value, float) else value for value in record)
        file.write(json.dumps(dict(zip(columns, values)), ensure_ascii=False) + "\n")


def _write_parquet(
    path: Path, records: Iterable[Record], columns: Sequence[str], carried: Sequence[str]
) -> None:
    import pyarrow
    from pyarrow import parquet

    types = {
        **dict.fromkeys(columns, pyarrow.float32()),
        **dict.fromkeys(TEXTS, pyarrow.string()),
        **dict.fromkeys(INTEGERS, pyarrow.int64()),
        **dict.fromkeys(("face", "x", "y", "width", "height"), pyarrow.int32()),
        **dict.fromkeys((each for each in columns if each.endswith("_s")), pyarrow.float64()),
        **dict.fromkeys(carried, pyarrow.string()),
    }  # fmt: skip
    schema = pyarrow.schema([(name, types[name]) for name in columns])
    records = iter(records)
    with (
        write_errors(path),
        atomic_write(path) as file,
        parquet.ParquetWriter(file, schema) as writer,
    ):
        while group := list(islice(records, PARQUET_ROWS)):
            values = [
                pyarrow.array(column, kind) for column, kind in zip(zip(*group), schema.types)
            ]
            writer.write_table(pyarrow.Table.from_arrays(values, schema=schema))


@contextlib.contextmanager
def text_file(path: Path) -> Iterator[IO[str]]:
    """Yield a UTF-8 text file that takes the place of `path` when the block ends without an error.

    Raises:
        OutputError: it cannot be written.
    """
    with write_errors(path), atomic_write(path) as binary:
        # File names may hold bytes that are not UTF-8; a table that names them stays readable.
        text = io.TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", newline="")
        yield text
        text.flush()
        text.detach()

"""Write the tables and the report of everything that a ledger has finished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from gudi import report
from gudi.errors import GudiError, one_line
from gudi.media.content import VIDEO
from gudi.results.folder import (
    ANNOTATED,
    REPORT,
    ResultFolder,
    thumbnail_path,
    thumbnail_paths,
)
from gudi.results.ledger import Ledger
from gudi.results.records import SourceRecord
from gudi.results.run_record import RunRecord
from gudi.results.summaries import Summaries, extra_values, frames_of
from gudi.results.tables import face_columns, face_records
from gudi.results.tracking import Tracker, follow
from gudi.settings import PICTURE, THUMBNAIL, OutputSettings


def write_tables(
    ledger: Ledger, folder: ResultFolder, emotions: Sequence[str], output: OutputSettings
) -> Counter[str]:
    """Write the tables of faces, videos and tracks, `files.csv`, and the crops if they were kept.

    Returns:
        The number of faces by top emotion.
    """
    counts, extra = Counter[str](), ledger.extra_columns
    summaries = Summaries(ledger.faces.processed_frames, extra)
    failures: list[tuple[SourceRecord, int, Exception]] = []
    records = face_records(
        ledger.sources.finished(),
        ledger.faces.rows,
        emotions,
        tracked=output.tracked,
        counts=counts,
        summaries=summaries,
        failed=lambda *failure: failures.append(failure),
    )
    earlier = ledger.formats
    # Noted before it is written, so that --restart also removes the table of a killed run.
    ledger.formats = [*earlier, output.format]
    columns = face_columns(emotions, tracked=output.tracked, extra=extra)
    folder.write_faces(records, columns, output.format, extra=extra, bom=output.csv_bom)
    folder.write_summaries(summaries, emotions, output)
    folder.remove_tables(set(earlier) - {output.format})
    ledger.formats = [output.format]
    for source, count, error in failures:  # not earlier: nothing may change while it is read
        ledger.sources.mark_failed(source, count, f"its faces end here: {_describe(error)}")
    if ledger.faces.crops:
        folder.write_crops(ledger.faces.all_crops())
    folder.write_files(ledger.sources.finished(), extra=extra, bom=output.csv_bom)
    return counts


def _describe(error: Exception) -> str:
    return one_line(error if isinstance(error, GudiError) else f"{type(error).__name__}: {error}")


def write_report(
    ledger: Ledger,
    folder: ResultFolder,
    emotions: Sequence[str],
    record: RunRecord,
    *,
    tracked: bool,
) -> None:
    """Write `report.html`, with strips of the tracks if faces are `tracked`."""
    extra = ledger.extra_columns
    entries = _report_entries(ledger, folder, extra, tracked=tracked)
    report.write(folder.path / REPORT, record, emotions, entries, extra)


def _report_entries(
    ledger: Ledger, folder: ResultFolder, extra: Sequence[str], *, tracked: bool
) -> Iterator[report.ReportEntry]:
    for each in ledger.sources.finished():
        picture = f"{ANNOTATED}/{each.picture}" if each.drawn & PICTURE else None
        is_video = each.source.kind == VIDEO
        yield report.ReportEntry(
            each.source.name,
            each.source.kind,
            each.final_status or "",
            _video_faces(ledger, each, tracked=tracked) if is_video else _faces(ledger, each),
            width=each.width,
            height=each.height,
            frames=each.frames,
            duration=each.duration or 0,
            error=each.final_error,
            annotated=picture,
            thumbnail=thumbnail_path(each) if each.drawn & THUMBNAIL else None,
            peak_thumbnails=thumbnail_paths(each) if is_video and each.drawn & THUMBNAIL else (),
            subtitles=folder.subtitles(each.picture) if is_video and each.picture else None,
            extra=extra_values(each, extra),
        )


def _faces(ledger: Ledger, record: SourceRecord) -> Iterator[report.ReportFace]:
    """Yield the faces of a photo."""
    for row in ledger.faces.listed_rows(record):
        yield report.ReportFace(row.probabilities.tolist(), score=row.score)


def _video_faces(
    ledger: Ledger, record: SourceRecord, *, tracked: bool
) -> Iterator[report.ReportFace]:
    """Yield the faces of a video."""
    rows, processed = ledger.faces.listed_rows(record), ledger.faces.processed_frames(record)
    for frame, found in follow(frames_of(rows, processed), Tracker() if tracked else None):
        for face, row in enumerate(frame.rows):
            track, smoothed = found[face] if found else (None, row.probabilities)
            yield report.ReportFace(
                row.probabilities.tolist(),
                row.time,
                row.score,
                frame=frame.number,
                seconds=frame.weight / len(frame.rows),
                track=track,
                smoothed=smoothed.tolist(),
            )

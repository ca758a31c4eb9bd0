"""Write the tables and the report of everything that a ledger has finished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from gudi import report
from gudi.errors import GudiError, one_line
from gudi.results.folder import ANNOTATED, REPORT, ResultFolder, thumbnail_path
from gudi.results.ledger import Ledger
from gudi.results.records import SourceRecord
from gudi.results.run_record import RunRecord
from gudi.results.summaries import Summaries
from gudi.results.tables import face_columns, face_records
from gudi.settings import PICTURE, THUMBNAIL, OutputSettings


def write_tables(
    ledger: Ledger, folder: ResultFolder, emotions: Sequence[str], output: OutputSettings
) -> Counter[str]:
    """Write the tables of faces, videos and tracks, `files.csv`, and the crops if they were kept.

    Returns:
        The number of faces by top emotion.
    """
    counts, carried = Counter[str](), ledger.carried
    summaries = Summaries(ledger.faces.processed_frames, carried)
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
    columns = face_columns(emotions, tracked=output.tracked, carried=carried)
    folder.write_faces(records, columns, output.format, carried=carried, bom=output.csv_bom)
    folder.write_summaries(summaries, emotions, output)
    folder.remove_tables(set(earlier) - {output.format})
    ledger.formats = [output.format]
    for source, count, error in failures:  # not earlier: nothing may change while it is read
        ledger.sources.mark_failed(source, count, f"its faces end here: {_describe(error)}")
    if ledger.faces.crops:
        folder.write_crops(ledger.faces.all_crops())
    folder.write_files(ledger.sources.finished(), carried=carried, bom=output.csv_bom)
    return counts


def _describe(error: Exception) -> str:
    return one_line(error if isinstance(error, GudiError) else f"{type(error).__name__}: {error}")


def write_report(
    ledger: Ledger, folder: ResultFolder, emotions: Sequence[str], record: RunRecord
) -> None:
    """Write `report.html`."""
    report.write(folder.path / REPORT, record, emotions, _report_entries(ledger, folder))


def _report_entries(ledger: Ledger, folder: ResultFolder) -> Iterator[report.ReportEntry]:
    for each in ledger.sources.finished():
        yield report.ReportEntry(
            each.source.name,
            each.source.kind,
            each.final_status or "",
            (
                report.ReportFace(row.probabilities.tolist(), row.time, row.score)
                for row in ledger.faces.listed_rows(each)
            ),
            width=each.width,
            height=each.height,
            frames=each.frames,
            duration=each.duration or 0,
            error=each.final_error,
            annotated=f"{ANNOTATED}/{each.picture}" if each.drawn & PICTURE else None,
            thumbnail=thumbnail_path(each) if each.drawn & THUMBNAIL else None,
        )

"""Write pictures of a result folder: distribution of emotions, timelines, contact sheet."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gudi import plots
from gudi.errors import InputError
from gudi.files import atomic_write, check_writable, write_errors
from gudi.media.sources import VIDEO
from gudi.pipeline.identity import stored_settings
from gudi.progress import Progress
from gudi.quiet import silence_opencv
from gudi.recognizer import Face
from gudi.results.folder import LEDGER
from gudi.results.ledger import Ledger
from gudi.results.paths import UniquePaths
from gudi.results.records import SourceRecord, top_emotion

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
DOTS_PER_INCH = 150


def plot(
    folder: Path, out: Path, formats: tuple[str, ...] = FORMATS, progress: Progress | None = None
) -> list[Path]:
    """Write the pictures of the result folder `folder` to `out`; return their paths.

    Args:
        folder: the result folder.
        out: receives `distribution`, `contact_sheet` and, for each video, a picture below
            `timelines/`. Pictures of these names are replaced.
        formats: some of `FORMATS`.
        progress: receives the progress and notes.

    Raises:
        InputError: the folder holds no faces.
        OutputError: something cannot be written, or the ledger cannot be used.
    """
    progress = progress or Progress()
    check_writable(out)
    silence_opencv()  # damaged sources are named in a note
    settings = stored_settings(folder / LEDGER) if (folder / LEDGER).is_file() else {}
    if not settings:
        raise InputError(f"{folder} is not a result folder of gudi, or holds no results yet")
    emotions = tuple(str(each) for each in settings["emotions"])
    writer = _Writer(out, formats)
    with Ledger(folder / LEDGER, len(emotions), crops=bool(settings["crops"])) as ledger:
        records = [record for record in ledger.sources.finished() if record.faces]
        if not records:
            raise InputError(f"{folder} holds no faces")
        strongest = plots.StrongestFaces(emotions)
        progress.start("sources", len(records))
        for record in records:
            strongest.add(_faces(ledger, record, emotions))
            if record.source.kind == VIDEO:
                _write_timeline(ledger, record, emotions, writer, progress)
            progress.advance()
        progress.finish()
        figure = writer.figure(7, 4)
        plots.plot_distribution(strongest.counts, emotions, figure.subplots())
        writer.write(figure, "distribution")
        figure = writer.figure(1.1 * strongest.count, 1.45 * len(strongest.by_emotion))
        paths = {record.source.name: record.source.path for record in records}
        for source in plots.plot_contact_sheet(strongest, paths, figure):
            progress.note(f"{source} cannot be read, so its faces are missing in the contact sheet")
        writer.write(figure, "contact_sheet")
    return writer.written


def _faces(ledger: Ledger, record: SourceRecord, emotions: tuple[str, ...]) -> Iterator[Face]:
    """Yield the faces of a source."""
    for row in ledger.faces.rows(record):
        yield Face(
            row.box,
            *top_emotion(row.probabilities, emotions),
            row.probabilities,
            emotions,
            frame=row.frame,
            time_s=row.time,
            source=record.source.name,
            score=row.score,
        )


def _write_timeline(
    ledger: Ledger,
    record: SourceRecord,
    emotions: tuple[str, ...],
    writer: _Writer,
    progress: Progress,
) -> None:
    figure = writer.figure(9, 3.6)
    try:
        plots.plot_timeline(_faces(ledger, record, emotions), emotions, figure.subplots())
    except InputError as error:  # pages of a TIFF file
        progress.note(f"{record.source.name}: {error}")
        return
    figure.suptitle(record.source.name, fontsize=9)
    writer.write(figure, f"timelines/{record.source.name}")


class _Writer:
    """Writes figures below a folder, in several formats."""

    def __init__(self, out: Path, formats: tuple[str, ...]) -> None:
        self._paths, self._formats = UniquePaths(out), formats
        self.written: list[Path] = []

    def figure(self, width: float, height: float) -> Figure:
        """Return an empty figure of this size in inches."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        return figure

    def write(self, figure: Figure, name: str) -> None:
        """Write a figure; `name` may be any path with forward slashes."""
        for each in self._formats:
            path = self._paths.assign(f"{name}.{each}")
            with write_errors(path), warnings.catch_warnings():
                # Names of sources may be in any script; matplotlib's fonts may lack it.
                warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(path) as file:
                    figure.savefig(file, format=each, dpi=DOTS_PER_INCH)
            self.written.append(path)

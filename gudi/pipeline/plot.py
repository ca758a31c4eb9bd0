"""Write pictures of a result folder: distribution of emotions, timelines, contact sheet."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from gudi.errors import InputError, OutputError, one_line
from gudi.files import atomic_write, check_writable, write_errors
from gudi.media.content import VIDEO
from gudi.outputs import plots
from gudi.outputs.summary import Grouping, summarize
from gudi.progress import Progress
from gudi.quiet import silence_opencv
from gudi.store import Store
from gudi.store.inputs import Input
from gudi.store.paths import UniquePaths

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
DOTS_PER_INCH = 150

# Tracks in the timeline of a video: those that are seen longest.
MAX_TRACKS = 6


def plot(
    folder: Path,
    out: Path,
    formats: tuple[str, ...] = FORMATS[:2],
    progress: Progress | None = None,
    *,
    grouping: Grouping | None = None,
) -> list[Path]:
    """Write the pictures of the result folder `folder` to `out`; return their paths.

    Args:
        folder: the result folder.
        out: receives `distribution`, `contact_sheet` and, for each video, a picture below
            `timelines/`. Pictures of these names are replaced.
        formats: some of `FORMATS`.
        progress: receives the progress and notes.
        grouping: also draw `groups`, of these groups of videos.

    Raises:
        InputError: the folder holds no faces, or cannot be grouped like this.
        OutputError: something cannot be written, or the folder is not a result folder.
    """
    progress, writer = progress or Progress(), _Writer(out, formats)
    silence_opencv()  # damaged sources are named in a note
    with Store.open_results(folder) as store:
        check_writable(out)
        amounts, (_, videos, _) = plots.distributions(store), store.inputs.totals()
        if not amounts:
            raise InputError(f"{folder} holds no faces")
        if grouping is not None:
            table = summarize(store, grouping)
            figure = writer.figure(11, 1.3 + 0.25 * len(table))
            plots.plot_groups(table, grouping.by, store.emotions, figure)
            writer.write(figure, "groups")
        progress.start("videos", videos)
        for record in store.inputs.finished():
            if record.source.kind == VIDEO:
                try:
                    _write_timeline(store, record, writer, progress)
                except OutputError:
                    raise
                except Exception as error:
                    problem = one_line(f"{type(error).__name__}: {error}")
                    progress.note(f"{record.source.name} cannot be drawn: {problem}")
                progress.advance()
        progress.finish()
        strongest = plots.strongest_faces(store)
    figure = writer.figure(7 * len(amounts), 4)
    for axes, each in zip(figure.subplots(1, len(amounts), squeeze=False).flat, amounts.items()):
        plots.plot_distribution(*each, store.emotions, axes)
    writer.write(figure, "distribution")
    figure = writer.figure(1.1 * plots.STRONGEST, 1.45 * len(strongest))
    for source in plots.plot_contact_sheet(strongest, figure):
        progress.note(f"{source} cannot be read, so its faces are missing in the contact sheet")
    writer.write(figure, "contact_sheet")
    return writer.written


def _write_timeline(store: Store, record: Input, writer: _Writer, progress: Progress) -> None:
    longest = store.videos.longest_tracks(record, MAX_TRACKS)
    tracks = [None] if not longest else sorted(track for track, _ in longest)
    try:
        bins = [plots.timeline(store, record, track) for track in tracks]
    except InputError as error:  # pages of a TIFF file, or no face
        if record.faces:
            progress.note(f"{record.source.name}: {error}")
        return
    figure = writer.figure(9, 1.2 + 2.4 * len(tracks))
    panels = figure.subplots(len(tracks), sharex=True, squeeze=False).flat
    for axes, track, each in zip(panels, tracks, bins):
        plots.plot_timeline(each, store.emotions, axes)
        axes.label_outer()
        if track is not None:
            axes.set_title(f"track {track}", loc="left", fontsize=9)
        if track != tracks[-1]:
            axes.get_legend().remove()
    figure.suptitle(plots.plain(record.source.name), fontsize=9)
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

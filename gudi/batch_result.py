"""Read the results of a batch: DataFrames, faces one by one, figures."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gudi.columns import FACES, FILES, FRAMES, TRACKS, VIDEOS, Column, expand, extra_columns
from gudi.errors import ExitCode, InputError, UsageError
from gudi.outputs.data_frames import data_frame
from gudi.outputs.folder import thumbnail_path
from gudi.outputs.run_record import RunCounts
from gudi.records import Face
from gudi.store import STORE, Store

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


# Inputs that a result shows in Jupyter.
SHOWN = 12

MAX_THUMBNAIL = 2**17  # of a thumbnail that a notebook embeds, in bytes


@dataclass(frozen=True, repr=False)
class BatchResult:
    """A finished batch. Its tables are read from the store, so their file format does not matter.

    Attributes:
        out: the result folder.
        exit_code: 0, or 3 if some inputs failed, as that of the command.
        counts: how many inputs and faces there are, by attribute or by name: `counts.ok`,
            `counts["ok"]`; as in `run.json`.
        emotions: names of the classes.
        tracked: whether faces were tracked.

    Example:
        >>> result = gudi.batch("photos", out="results")
        >>> result.faces()["emotion"].value_counts()
    """

    out: Path
    exit_code: ExitCode
    counts: RunCounts
    emotions: tuple[str, ...]
    tracked: bool = False

    def __repr__(self) -> str:
        counts = self.counts
        return (
            f"<BatchResult in {self.out}: photos {counts.photos}, videos {counts.videos}, "
            f"faces {counts.faces}, failed {counts.failed}>"
        )

    def _repr_html_(self) -> str:
        """Return the counts and the first thumbnails for Jupyter."""
        if not self.store.exists():
            return f"<p>{escape(repr(self))}</p>"
        cells = []
        with self._open() as store:
            for record in islice(store.inputs.finished(), SHOWN):
                path = self.out / thumbnail_path(record)
                small = path.is_file() and path.stat().st_size <= MAX_THUMBNAIL
                data = base64.b64encode(path.read_bytes()).decode() if small else ""
                picture = f'<img src="data:image/jpeg;base64,{data}" width=120>' if data else ""
                label = f"{record.source.name}: {record.final_error or record.final_status}"
                cells.append(f"<td>{picture}<br>{escape(label)}</td>")
        rows = "".join(f"<tr>{''.join(cells[n : n + 4])}</tr>" for n in range(0, len(cells), 4))
        return f"<p>{escape(repr(self))}</p><table>{rows}</table>"

    @property
    def store(self) -> Path:
        """Path of `results.sqlite`, for questions in SQL; docs/results.md describes its tables."""
        return self.out / STORE

    def faces(self) -> pandas.DataFrame:
        """Return the faces table: one row per face, for videos one per face and frame.

        The columns are those of `faces.csv`, see docs/results.md.

        Raises:
            OutputError: the store has been removed, or a run is writing to it.
        """
        with self._open() as store:
            return self._frame(store, FACES, store.face_rows(tracked=self.tracked))

    def videos(self) -> pandas.DataFrame:
        """Return the table of videos: one row per video; empty if there are none.

        The columns are those of `videos.csv`, see docs/results.md.

        Raises:
            OutputError: as for `faces`.
        """
        with self._open() as store:
            return self._frame(store, VIDEOS, store.video_rows())

    def tracks(self) -> pandas.DataFrame:
        """Return the table of tracks: one row per track; empty without `track` or without videos.

        The columns are those of `tracks.csv`, see docs/results.md.

        Raises:
            OutputError: as for `faces`.
        """
        with self._open() as store:
            return self._frame(store, TRACKS, store.track_rows() if self.tracked else ())

    def frames(self) -> pandas.DataFrame:
        """Return the table of frames: one row per processed frame of a video, with its main face.

        Values are missing where the main face is not seen. The columns are those of `frames.csv`,
        see docs/results.md.

        Raises:
            OutputError: as for `faces`.
        """
        with self._open() as store:
            return self._frame(store, FRAMES, store.frame_rows(tracked=self.tracked))

    def summary(
        self,
        by: str | Sequence[str] = "source",
        *,
        participant: str = "participant",
        baseline: tuple[float, float] | None = None,
        intervals: bool = False,
    ) -> pandas.DataFrame:
        """Return one row per group of videos: times, and the emotions weighted by time.

        It is what `gudi summarize` writes; docs/results.md explains the columns.

        Args:
            by: one or several extra columns of a list in csv, or `source`.
            participant: the extra column that identifies persons. Without it, each video is of
                another person.
            baseline: start and end in seconds of the part of each video that shows its person at
                rest. The other values leave it out.
            intervals: add 95% confidence intervals, by resampling the participants.

        Raises:
            InputError: there is no such column, or no video.
            OutputError: as for `faces`.
        """
        from gudi.outputs.summary import Grouping, summarize

        columns = (by,) if isinstance(by, str) else tuple(_checked_sequence(by, str, "by"))
        _checked_sequence([participant], str, "participant")
        if baseline is not None and len(_checked_sequence(baseline, Real, "baseline")) != 2:
            raise UsageError(f"baseline must be a start and an end. Received: {baseline!r}")
        with self._open() as store:
            return summarize(store, Grouping(columns, participant, baseline, intervals))

    def files(self) -> pandas.DataFrame:
        """Return the table of inputs, `files.csv`: one row per input.

        Raises:
            OutputError: as for `faces`.
        """
        with self._open() as store:
            return self._frame(store, FILES, store.file_rows())

    def iter_faces(self) -> Iterator[Face]:
        """Yield the faces in the order of the faces table, without loading all of them.

        Raises:
            OutputError: as for `faces`.
        """
        with self._open() as store:
            for record in store.inputs.finished():
                yield from store.faces.of_input(record)

    def plot_distribution(self, axes: Axes | None = None) -> Axes:
        """Draw how often each emotion is the top one; return what it is drawn on.

        Photos count by their faces. If there are only videos, they count by time.

        Args:
            axes: of matplotlib; None for new ones.

        Raises:
            InputError: there are no faces.
            OutputError: as for `faces`.
        """
        from gudi.outputs import plots

        with self._open() as store:
            found = plots.distributions(store)
        if not found:
            raise InputError(f"{self.out} holds no faces")
        axes = _checked_axes(axes)
        plots.plot_distribution(*next(iter(found.items())), self.emotions, axes)
        return axes

    def plot_timeline(
        self, source: str, axes: Axes | None = None, *, track: int | None = None
    ) -> Axes:
        """Draw the emotions in a video over time; return what it is drawn on.

        Args:
            source: the video, as the tables call it.
            axes: of matplotlib; None for new ones.
            track: draw this track alone, by its smoothed probabilities; None for all faces.

        Raises:
            InputError: the results hold no face of this video.
            OutputError: as for `faces`.
        """
        from gudi.outputs import plots

        with self._open() as store:
            record = store.inputs.named(source)
            if record is None:
                raise InputError(f"{self.out} holds no results of {source!r}")
            bins = plots.timeline(store, record, track)
        axes = _checked_axes(axes)
        plots.plot_timeline(bins, self.emotions, axes)
        axes.set_title(plots.plain(source), fontsize=9)
        return axes

    def _open(self) -> Store:
        return Store.open_results(self.out)

    def _frame(
        self, store: Store, table: Sequence[Column], rows: Iterable[Sequence[Any]]
    ) -> pandas.DataFrame:
        """Return rows as a DataFrame with the types of the table's columns."""
        expanded = expand(table, self.emotions, tracked=self.tracked)
        return data_frame([*expanded, *extra_columns(store.extra)], rows)


def _checked_sequence(values: Any, kind: type, name: str) -> Sequence[Any]:
    """Return `values`, a list or tuple of a kind; raise `UsageError` for anything else."""
    if not isinstance(values, (list, tuple)) or not all(isinstance(each, kind) for each in values):
        raise UsageError(f"{name} has a value of a wrong type. Received: {values!r}")
    return values


def _checked_axes(axes: Axes | None) -> Axes:
    """Return `axes`; for None, new ones that a notebook shows."""
    from matplotlib import axes as matplotlib_axes
    from matplotlib import pyplot

    if axes is not None:
        if not isinstance(axes, matplotlib_axes.Axes):
            raise UsageError(f"axes must be those of matplotlib. Received: {axes!r}")
        return axes
    return pyplot.subplots(figsize=(9, 3.6), layout="constrained")[1]

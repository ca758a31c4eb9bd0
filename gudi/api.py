"""Run a batch from Python, and read what it wrote."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gudi.constants import EMOTIONS, MIN_NEIGHBORS, SCALE_FACTOR
from gudi.detection import Box
from gudi.errors import ExitCode, InputError, OutputError, UsageError
from gudi.pipeline.run import run
from gudi.progress import ProgressCounts, progress_for
from gudi.recognizer import Face
from gudi.results.folder import FACES, FILES, TRACKS, VIDEOS
from gudi.results.run_record import RunCounts
from gudi.results.summaries import INTEGERS, TEXTS, track_columns, video_columns
from gudi.results.tables import face_columns
from gudi.settings import (
    DetectionSettings,
    FrameSelection,
    OutputSettings,
    RunSettings,
    check_emotions,
)

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

StrPath = str | os.PathLike[str]

MEGABYTE = 2**20


def batch(
    inputs: StrPath | Iterable[StrPath],
    out: StrPath,
    *,
    checkpoint: StrPath | None = None,
    emotions: Sequence[str] = EMOTIONS,
    network: int | None = None,
    device: str = "auto",
    engine: str = "auto",
    mirror: bool | None = None,
    detector: str = "haar",
    scale_factor: float = SCALE_FACTOR,
    min_neighbors: int = MIN_NEIGHBORS,
    min_face: int = 0,
    max_side: int | None = None,
    min_score: float = 0,
    faces: str = "all",
    every: int = 1,
    fps: float | None = None,
    annotate: bool = True,
    draw: str = "auto",
    report: bool = True,
    format: str = "csv",
    track: bool = False,
    crops: bool = False,
    csv_bom: bool = False,
    subtitles: bool = False,
    restart: bool = False,
    retry_failed: bool = False,
    shard: tuple[int, int] | None = None,
    workers: int | None = None,
    timeout: float | None = 300,
    worker_memory: int | None = None,
    batch_size: int = 256,
    predict_in: str = "auto",
    backend: str = "local",
    scheduler: str | None = None,
    progress: bool | Callable[[ProgressCounts], object] = False,
) -> BatchResult:
    """Recognise the faces of whole folders of photos and videos, as `gudi batch` does.

    The result folder is the same, and so are the defaults. If `out` holds the results of a run
    with the same settings, this call resumes it. Ctrl-C leaves a folder that can be resumed, and
    raises KeyboardInterrupt.

    Args:
        inputs: one or several photos, videos, folders, archives, patterns such as `a/**/*.jpg`, or
            `@LIST` for a file with one path per line.
        out: the result folder.
        checkpoint: prefix, folder or any file of a checkpoint; None for the default one.
        emotions: names of the network's outputs, in their order.
        network: which network to use if the checkpoint holds several, from 1.
        device: `auto`, `cpu`, `gpu`, or `gpu:1` for the second GPU.
        engine: `tensorflow`, `onnx` (faster on CPUs), or `auto`.
        mirror: predict each face and its mirror image; None does what the checkpoint says.
        detector, scale_factor, min_neighbors, min_face, max_side, min_score: see `gudi.detect`.
        faces: `all`, or `largest` for one face per picture.
        every: process only every Nth frame of a video.
        fps: process at most this many frames per second of a video; None for all.
        annotate: write copies of the photos and videos with the faces drawn on them.
        draw: what to draw for each face: `box`, `bars` and `emoji`, several separated by commas, or
            `none`; `auto` draws boxes, and bars in videos.
        report: write `report.html`.
        format: of the faces table: `csv`, `jsonl` or `parquet`.
        track: follow faces through videos, with columns for track and smoothed probabilities.
        subtitles: write a WebVTT file beside each annotated video.
        crops: also write the faces as pictures of 48×48 pixels, `crops.npy`.
        csv_bom: start csv files with a byte order mark, for Excel.
        restart: replace the results in `out`.
        retry_failed: process inputs again that failed in an earlier run.
        shard: number, from 1, and count: process only this part of the inputs.
        workers: number of worker processes; None for one per CPU.
        timeout: seconds that one photo or one segment of a video may take; None for no limit.
        worker_memory: megabytes of memory that a worker may use; None for no limit.
        batch_size: number of faces that are predicted together.
        predict_in: `auto`, `parent` or `workers`.
        backend: `local` for processes on this machine, `dask` for a Dask cluster.
        scheduler: address of the cluster's scheduler; None for a cluster on this machine.
        progress: True draws a bar, in a notebook too. A function is called with `ProgressCounts`
            (`stage`, `finished`, `total`, `failed`, `pictures`).

    Raises:
        GudiError: the run could not start, or its results could not be written: the error that
            the command would have shown.
        KeyboardInterrupt: the run was interrupted.
    """
    settings = RunSettings(
        checkpoint=None if checkpoint is None else os.fspath(checkpoint),
        emotions=_as_tuple(emotions),
        network=network,
        device=device,
        engine=engine,
        mirror=mirror,
        predict_in=predict_in,
        batch_size=batch_size,
        workers=workers,
        backend=backend,
        scheduler=scheduler,
        timeout=timeout,
        worker_memory=None if worker_memory is None else worker_memory * MEGABYTE,
        detection=DetectionSettings.from_options(
            faces,
            detector=detector,
            scale_factor=scale_factor,
            min_neighbors=min_neighbors,
            min_face=min_face,
            max_side=max_side,
            min_score=min_score,
        ),
        frames=FrameSelection(every, fps),
        crops=crops,
    )
    done = run(
        _paths(inputs),
        Path(out),
        settings,
        OutputSettings(annotate, report, track, format, csv_bom, subtitles, draw),
        restart=restart,
        retry_failed=retry_failed,
        shard=shard,
        progress=progress_for(progress),
    )
    if done.interrupted:
        raise KeyboardInterrupt
    columns = face_columns(settings.emotions, tracked=track, carried=done.carried)
    return BatchResult(
        Path(out), done.exit_code, done.counts, format, settings.emotions, columns, done.carried
    )


def _as_tuple(emotions: Sequence[str]) -> tuple[str, ...]:
    check_emotions(emotions)  # a text would become a tuple of letters
    return tuple(emotions)


def _paths(inputs: StrPath | Iterable[StrPath]) -> list[str]:
    if isinstance(inputs, (str, os.PathLike)):
        inputs = [inputs]
    return [os.fspath(each) for each in inputs]


@dataclass(frozen=True)
class BatchResult:
    """A finished batch.

    Attributes:
        out: the result folder.
        exit_code: 0, or 3 if some inputs failed, as that of the command.
        counts: how many inputs and faces there are, by attribute or by name: `counts.ok`,
            `counts["ok"]`; as in `run.json`.
        format: of the faces table.
        emotions: names of the classes.
        columns: of the faces table.
        carried: those of them that lists in csv gave to the tables.
    """

    out: Path
    exit_code: ExitCode
    counts: RunCounts
    format: str
    emotions: tuple[str, ...]
    columns: tuple[str, ...]
    carried: tuple[str, ...] = ()

    def faces(self) -> pandas.DataFrame:
        """Return the faces table: one row per face, for videos one per face and frame.

        The columns are those of `faces.csv`, see docs/results.md.

        Raises:
            UsageError: pandas is not installed.
            OutputError: the table has been removed.
        """
        return self._read(FACES, self.columns)

    def videos(self) -> pandas.DataFrame:
        """Return the table of videos: one row per video; empty if there are none.

        The columns are those of `videos.csv`, see docs/results.md.

        Raises:
            UsageError: pandas is not installed.
        """
        return self._read(VIDEOS, (*video_columns(self.emotions), *self.carried))

    def tracks(self) -> pandas.DataFrame:
        """Return the table of tracks: one row per track; empty without `track` or without videos.

        The columns are those of `tracks.csv`, see docs/results.md.

        Raises:
            UsageError: pandas is not installed.
        """
        return self._read(TRACKS, (*track_columns(self.emotions), *self.carried))

    def files(self) -> pandas.DataFrame:
        """Return the table of inputs, `files.csv`: one row per input.

        Raises:
            UsageError: pandas is not installed.
            OutputError: the table has been removed.
        """
        _check_pandas("files()")
        frame = _read_csv(self._table(FILES), self.carried)
        return frame.astype(dict.fromkeys(("frames", "width", "height"), "Int64"))

    def iter_faces(self) -> Iterator[Face]:
        """Yield the rows of the faces table, without pandas and without loading all of them.

        Raises:
            OutputError: the table has been removed.
        """
        path = self._table(f"{FACES}.{self.format}")
        return map(self._face, _ROWS[self.format](path))

    def plot_distribution(self, axes: Axes | None = None) -> Axes:
        """Draw how many faces have which top emotion; return what it is drawn on.

        Args:
            axes: of matplotlib; None for new ones.

        Raises:
            OutputError: the faces table has been removed.
        """
        from gudi import plots

        axes = _new_axes() if axes is None else axes
        counts = Counter(face.emotion for face in self.iter_faces())
        plots.plot_distribution(counts, self.emotions, axes)
        return axes

    def plot_timeline(self, source: str, axes: Axes | None = None) -> Axes:
        """Draw the emotions in a video over time; return what it is drawn on.

        Args:
            source: the video, as the tables call it.
            axes: of matplotlib; None for new ones.

        Raises:
            InputError: the results hold no face of this video.
            OutputError: the faces table has been removed.
        """
        from gudi import plots

        faces = [face for face in self.iter_faces() if face.source == source]
        if not faces:
            raise InputError(f"the faces table has no face of a source {source!r}")
        axes = _new_axes() if axes is None else axes
        plots.plot_timeline(faces, self.emotions, axes)
        axes.set_title(source, fontsize=9)
        return axes

    def _read(self, name: str, columns: Sequence[str]) -> pandas.DataFrame:
        """Return a table; an empty one if it need not exist and does not."""
        _check_pandas(f"{name}()")
        import pandas

        path = self.out / f"{name}.{self.format}"
        if name != FACES and not path.exists():
            frame = pandas.DataFrame(columns=list(columns))
        elif self.format == "parquet":
            frame = pandas.read_parquet(self._table(path.name))
        elif self.format == "jsonl":
            frame = pandas.DataFrame(
                list(_json_lines(self._table(path.name))), columns=list(columns)
            )
        else:
            frame = _read_csv(self._table(path.name), self.carried)
        return frame.astype({each: "Int64" for each in INTEGERS if each in frame})

    def _table(self, name: str) -> Path:
        path = self.out / name
        if not path.is_file():
            raise OutputError(f"{path} does not exist any more; to write it again, repeat the run")
        return path

    def _face(self, row: dict[str, Any]) -> Face:
        video = row["kind"] == "video"
        time, track, score = row["time_s"], row.get("track"), row["score"]
        return Face(
            box=Box(*(int(row[name]) for name in Box._fields)),
            emotion=row["emotion"],
            confidence=float(row["confidence"]),
            probabilities=np.array([row[name] for name in self.emotions], np.float32),
            emotions=self.emotions,
            frame=int(row["frame"]) if video else None,
            time_s=None if time in (None, "") else float(time),
            source=row["source"],
            track=None if track in (None, "") else int(track),
            score=None if score in (None, "") else float(score),
        )


def _new_axes() -> Axes:
    """Return axes that a notebook shows."""
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(9, 3.6), layout="constrained")[1]


def _check_pandas(method: str) -> None:
    """Raise `UsageError` unless pandas is installed."""
    try:
        import pandas  # noqa: F401
    except ImportError:
        raise UsageError(
            f"{method} needs the package pandas: pip install pandas; iter_faces() works without it"
        ) from None


def _read_csv(path: Path, carried: Sequence[str] = ()) -> pandas.DataFrame:
    import pandas

    # Only an empty cell is a missing value: a photo or an emotion may be called "NA".
    frame: pandas.DataFrame = pandas.read_csv(
        path,
        keep_default_na=False,
        na_values=[""],
        dtype=dict.fromkeys((*TEXTS, *carried), "object"),
    )
    return frame.fillna({"error": ""}) if "error" in frame else frame


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        for group in file.iter_batches():
            yield from group.to_pylist()


_ROWS: dict[str, Callable[[Path], Iterator[dict[str, Any]]]] = {
    "csv": _csv_rows,
    "jsonl": _json_lines,
    "parquet": _parquet_rows,
}

"""The rows and files of a result folder."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, groupby, islice
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gudi.constants import FACE_SIZE
from gudi.detection import Box
from gudi.errors import OutputError, UsageError
from gudi.files import LOCK, TEMPORARY_PREFIX, NpyWriter, atomic_write, check_writable
from gudi.media.sources import VIDEO, Source
from gudi.results.tracking import Tracks

if TYPE_CHECKING:
    from gudi.results.ledger import Entry

FACES, FILES, RUN, ANNOTATED = "faces", "files.csv", "run.json", "annotated"
LEDGER = "ledger.sqlite"
THUMBNAILS, CROPS, REPORT = "thumbnails", "crops.npy", "report.html"
SCRATCH = f"{TEMPORARY_PREFIX}video-"  # and more: folders with pieces of annotated videos

# What the table of faces can be written as, and at once its ending.
FORMATS = ("csv", "jsonl", "parquet")

# Rows of a parquet file that are compressed together, and held in memory until then.
PARQUET_ROWS = 50_000

# A hundred inputs whose names are as long as can be, and what else `run.json` says.
MAX_RUN_SIZE = 2**22

# File systems of today take names of this many bytes.
MAX_NAME = 255

FACE_COLUMNS = (
    "source", "kind", "frame", "time_s", "face", "x", "y", "width", "height", "emotion",
    "confidence",
)  # fmt: skip
FILE_COLUMNS = ("source", "kind", "status", "faces", "frames", "width", "height", "error")


@dataclass
class FileResult:
    """What came of one source, or of a stretch of a video.

    Attributes:
        source: where it came from.
        boxes: its faces, ordered by frame, x, then y, in pixels of the upright image.
        places: of a video, number and time in seconds of the frame that each box is in.
        probabilities: float32 of shape (faces, classes), a row a box.
        crops: uint8 of shape (faces, 48, 48), what was predicted; None where it is not kept.
        frames: of a video, how many were looked at.
        end: of a video, when the last of those is shown, in seconds.
        width, height: of the upright image in pixels; None where it was not decoded.
        error: "" or why it failed.
        part: number of the first frame of a stretch of a video; None for a whole source.
        digest: of the source's content; None where it could not be read.
    """

    source: Source
    boxes: list[Box] = field(default_factory=list)
    places: list[tuple[int, float]] = field(default_factory=list)
    probabilities: np.ndarray | None = None
    crops: np.ndarray | None = None
    width: int | None = None
    height: int | None = None
    error: str = ""
    frames: int | None = None
    end: float | None = None
    part: int | None = None
    digest: bytes | None = None

    @property
    def status(self) -> str:
        """`ok`, `no_face` or `failed`."""
        if self.error:
            return "failed"
        return "ok" if self.boxes else "no_face"

    def strongest(self, emotions: Sequence[str]) -> list[tuple[str, float]]:
        """Return the strongest emotion of each face and its probability."""
        return [strongest(row, emotions) for row in self.probabilities] if self.boxes else []


class Row(NamedTuple):
    """One face.

    Attributes:
        frame, time: of a video, the frame's number and when it is shown, in seconds.
        box: in pixels of the upright image.
        shares: float32 of shape (classes,), the probability of each emotion.
        crop: uint8 of shape (48, 48); None where it was not kept.
    """

    frame: int | None
    time: float | None
    box: Box
    shares: np.ndarray
    crop: np.ndarray | None = None


def strongest(shares: np.ndarray, emotions: Sequence[str]) -> tuple[str, float]:
    """Return the strongest emotion and its probability."""
    best = int(shares.argmax())
    return emotions[best], float(shares[best])


class ResultFolder:
    """The folder that a batch writes to.

    Its files appear whole or not at all: each is written beside its place and then renamed.
    """

    def __init__(self, path: Path) -> None:
        """Look whether `path` can be used; nothing is changed before `begin`.

        Raises:
            OutputError: it is a file, holds something else, or cannot be written to.
        """
        self.path = path
        self.annotated = path / ANNOTATED
        self.thumbnails = path / THUMBNAILS
        try:
            there = sorted(os.listdir(path)) if path.exists() else []
        except NotADirectoryError:
            raise OutputError(f"--out {path} is a file, not a folder") from None
        except OSError as error:
            raise OutputError(f"--out {path} cannot be used: {error.strerror}") from error
        check_writable(path)
        self.used = bool(read_run(path))
        there = [name for name in there if name != LOCK and not name.startswith(TEMPORARY_PREFIX)]
        if there and not self.used:
            raise OutputError(
                f"--out {path} is not empty (it holds {there[0]}) and is no result folder of gudi; "
                "choose a new or an empty folder"
            )

    def clear(self, formats: Collection[str]) -> None:
        """Remove what earlier runs have left, but for pictures, of which the ledger tells.

        `run.json` stays, by which the folder is known for gudi's.

        Args:
            formats: those in which they wrote the table of faces.

        Raises:
            OutputError: that cannot be done.
        """
        files = [FILES, CROPS, REPORT, *(f"{FACES}.{each}" for each in FORMATS if each in formats)]
        files += [f"{LEDGER}{ending}" for ending in ("", "-wal", "-shm", "-journal")]
        try:
            for name in files:
                (self.path / name).unlink(missing_ok=True)
            self._remove_folders(self.path.glob(f"{SCRATCH}*"))
        except OSError as error:
            raise OutputError(f"--out {self.path} cannot be used: {error.strerror}") from error

    def remove_picture(self, path: Path) -> None:
        """Remove a picture, if it is there, and the folders below this one that become empty.

        Raises:
            OutputError: that cannot be done.
        """
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path} cannot be removed: {error.strerror}") from error
        with contextlib.suppress(OSError):  # there is something else in one
            for folder in path.relative_to(self.path).parents[:-1]:
                (self.path / folder).rmdir()

    def _remove_folders(self, folders: Iterable[Path]) -> None:
        for folder in folders:
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)

    def write_faces(
        self, records: Iterable[Sequence[Any]], columns: Sequence[str], format: str
    ) -> None:
        """Write the table of faces.

        Args:
            records: a row a face, as `face_records` makes them.
            columns: their names.
            format: one of `FORMATS`.
        """
        path = self.path / f"{FACES}.{format}"
        if format == "parquet":
            _write_parquet(path, records, columns)
        else:
            with _text_file(path) as file:
                (_write_csv if format == "csv" else _write_jsonl)(file, records, columns)

    def remove_faces(self, formats: Iterable[str]) -> None:
        """Remove tables of faces in these formats."""
        for each in set(formats) & set(FORMATS):
            (self.path / f"{FACES}.{each}").unlink(missing_ok=True)

    def write_files(self, entries: Iterable[Entry]) -> None:
        """Write `files.csv`, a row an input."""
        rows = (
            (
                entry.source.name, entry.source.kind,
                entry.outcome[0], entry.faces, entry.frames, entry.width, entry.height,
                entry.outcome[1],
            )
            for entry in entries
        )  # fmt: skip
        with _text_file(self.path / FILES) as file:
            _write_csv(file, rows, FILE_COLUMNS)

    def write_crops(self, crops: Iterable[np.ndarray]) -> None:
        """Write `crops.npy`: uint8 of shape (faces, 48, 48), row for row what the table has."""
        path = self.path / CROPS
        try:
            with NpyWriter(path, (FACE_SIZE, FACE_SIZE), np.uint8) as file:
                for crop in crops:
                    file.append(crop)
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}") from error

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write `run.json`."""
        with _text_file(self.path / RUN) as file:
            json.dump(run, file, indent=2)
            file.write("\n")

    def sweep(self) -> None:
        """Remove tables that a run left half written when it was killed."""
        for left in self.path.glob(f"{TEMPORARY_PREFIX}*"):
            if left.is_file():
                left.unlink()

    def discard(self) -> None:
        """Remove what a run has left that could not be begun, in a folder that was empty."""
        self.clear(FORMATS)
        self._remove_folders((self.annotated, self.thumbnails))
        self.sweep()
        (self.path / RUN).unlink(missing_ok=True)


def face_columns(emotions: Sequence[str], *, tracked: bool = False) -> tuple[str, ...]:
    """Return the names of the columns of `face_records`."""
    columns = (*FACE_COLUMNS, *emotions)
    if tracked:
        smooth = ("emotion", "confidence", *emotions)
        columns += ("track", *(f"smooth_{name}" for name in smooth))
    return columns


def face_records(
    entries: Iterable[Entry],
    rows: Callable[[Entry], Iterable[Row]],
    emotions: Sequence[str],
    *,
    tracked: bool = False,
    counts: Counter | None = None,
) -> Iterator[tuple[Any, ...]]:
    """Yield a record a face: the values of `face_columns`, None where there is none.

    Args:
        entries: what to write down, in order.
        rows: gives the faces of an entry, in order.
        emotions: the names of the classes.
        tracked: add what `gudi.tracks` makes of the faces of videos.
        counts: gets the number of faces by strongest emotion.
    """
    nothing = (None,) * (len(face_columns(emotions, tracked=True)) - len(face_columns(emotions)))
    for entry in entries:
        tracks = Tracks() if tracked and entry.source.kind == VIDEO else None
        for frame, group in groupby(rows(entry), key=lambda row: row.frame):
            found = list(group)
            followed = tracks and tracks.follow(
                found[0].time, [row.box for row in found], [row.shares for row in found]
            )
            for face, row in enumerate(found):
                emotion, confidence = strongest(row.shares, emotions)
                if counts is not None:
                    counts[emotion] += 1
                record = (
                    entry.source.name, entry.source.kind, frame, row.time, face, *row.box, emotion,
                    confidence, *row.shares.tolist(),
                )  # fmt: skip
                if followed:
                    number, smooth = followed[face]
                    record += (number, *strongest(smooth, emotions), *smooth.tolist())
                elif tracked:
                    record += nothing
                yield record


def _write_csv(file: IO[str], records: Iterable[Sequence[Any]], columns: Sequence[str]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    times = [name == "time_s" for name in columns]
    for record in records:
        writer.writerow(
            (f"{value:.3f}" if time else f"{value:.6f}") if isinstance(value, float) else value
            for time, value in zip(times, record)
        )


def _write_jsonl(file: IO[str], records: Iterable[Sequence[Any]], columns: Sequence[str]) -> None:
    for record in records:
        values = (round(value, 6) if isinstance(value, float) else value for value in record)
        file.write(json.dumps(dict(zip(columns, values)), ensure_ascii=False) + "\n")


def check_format(format: str) -> None:
    """Raise `UsageError` if `format` needs a package that is not there."""
    if format == "parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise UsageError(
                "--format parquet needs the package pyarrow: pip install 'gudi[parquet]'"
            ) from None


def _write_parquet(path: Path, records: Iterable[Sequence[Any]], columns: Sequence[str]) -> None:
    import pyarrow
    from pyarrow import parquet

    types = {
        **dict.fromkeys(columns, pyarrow.float32()),
        **dict.fromkeys(("source", "kind", "emotion", "smooth_emotion"), pyarrow.string()),
        **dict.fromkeys(("frame", "track"), pyarrow.int64()),
        **dict.fromkeys(("face", "x", "y", "width", "height"), pyarrow.int32()),
        "time_s": pyarrow.float64(),
    }
    schema = pyarrow.schema([(name, types[name]) for name in columns])
    records = iter(records)
    try:
        with atomic_write(path) as file, parquet.ParquetWriter(file, schema) as writer:
            while some := list(islice(records, PARQUET_ROWS)):
                values = [
                    pyarrow.array(column, kind) for column, kind in zip(zip(*some), schema.types)
                ]
                writer.write_table(pyarrow.Table.from_arrays(values, schema=schema))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def _text_file(path: Path) -> Iterator[IO[str]]:
    try:
        with atomic_write(path) as binary:
            # File names may hold bytes that are no UTF-8; a table with one of them in it has to
            # stay readable.
            text = io.TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", newline="")
            yield text
            text.flush()
            text.detach()
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


class Pictures:
    """Hands out places for pictures below a folder, each of them once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._taken: set[str] = set()

    def place(self, name: str) -> Path:
        """Return where the picture called `name`, a path with forward slashes, goes."""
        place = next(place for place in places(name) if place not in self._taken)
        self._taken.add(place)
        return self.folder / place

    def sweep(self) -> None:
        """Remove what workers that were killed have left half written."""
        for folder in {(self.folder / place).parent for place in self._taken}:
            for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
                leftover.unlink(missing_ok=True)


def places(name: str) -> Iterator[str]:
    """Yield places below a folder for the picture called `name`, a path with forward slashes.

    Roots, drives and `..` are taken out of it; where that makes two names the same, the later one
    takes one of the places with a number.
    """
    *folders, file = (_harmless(part) for part in PurePosixPath(name).parts if part != "/")
    for number in count(1):
        numbered = file if number == 1 else f"{number}-{file}"
        yield "/".join((*folders, _short(numbered)))


def _harmless(part: str) -> str:
    """Return one part of a path as one that leads nowhere but down."""
    # Drives have colons, and Windows has streams behind them.
    part = part.replace(":", "").replace("\\", "")
    return "__" if part in ("", ".", "..") else part


def _short(name: str) -> str:
    """Return `name`, its middle left out where it has more bytes than file systems take."""
    stem, ending = os.path.splitext(name)
    while len(os.fsencode(stem + ending)) > MAX_NAME:
        stem = stem[:-1]
    return stem + ending


def read_run(folder: Path) -> dict[str, Any]:
    """Return what `run.json` in `folder` says; nothing where gudi did not write it."""
    try:
        with (folder / RUN).open("rb") as file:
            run = json.loads(file.read(MAX_RUN_SIZE))
    except (OSError, ValueError):
        return {}
    return run if isinstance(run, dict) and "gudi" in run else {}

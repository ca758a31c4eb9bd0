"""The rows and files of a result folder."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from gudi.errors import OutputError
from gudi.faces import Box
from gudi.files import TEMPORARY_PREFIX, check_writable, written_whole
from gudi.media import Source

FACES, FILES, RUN, ANNOTATED = "faces.csv", "files.csv", "run.json", "annotated"

# File systems of today take names of this many bytes.
MAX_NAME = 255

FACE_COLUMNS = (
    "source", "kind", "frame", "time_s", "face", "x", "y", "width", "height", "emotion",
    "confidence",
)  # fmt: skip
FILE_COLUMNS = ("source", "kind", "status", "faces", "frames", "width", "height", "error")


@dataclass
class FileResult:
    """What came of one source.

    Attributes:
        source: where it came from.
        boxes: its faces, ordered by frame, x, then y, in pixels of the upright image.
        places: of a video, number and time in seconds of the frame that each box is in.
        probabilities: float32 of shape (faces, classes), a row a box.
        frames: of a video, how many were looked at.
        width, height: of the upright image in pixels; None where it was not decoded.
        error: "" or why it failed.
        part: of the result of a stretch of a video, which one; None for a whole source.
    """

    source: Source
    boxes: list[Box] = field(default_factory=list)
    places: list[tuple[int, float]] = field(default_factory=list)
    probabilities: np.ndarray | None = None
    width: int | None = None
    height: int | None = None
    error: str = ""
    frames: int | None = None
    part: Any = None

    @property
    def status(self) -> str:
        """`ok`, `no_face` or `failed`."""
        if self.error:
            return "failed"
        return "ok" if self.boxes else "no_face"

    def strongest(self, emotions: Sequence[str]) -> list[tuple[str, float]]:
        """Return the strongest emotion of each face and its probability."""
        if not self.boxes:
            return []
        best = self.probabilities.argmax(axis=1)
        return [(emotions[each], float(row[each])) for each, row in zip(best, self.probabilities)]


class ResultFolder:
    """The folder that a batch writes to.

    Its files appear whole or not at all: each is written beside its place and then renamed.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        """Look whether `path` can be used; nothing is changed before `begin`.

        Raises:
            OutputError: it is a file, holds something already, or cannot be written to.
        """
        self.path = path
        self.annotated = path / ANNOTATED
        try:
            there = sorted(os.listdir(path)) if path.exists() else []
        except NotADirectoryError:
            raise OutputError(f"--out {path} is a file, not a folder") from None
        except OSError as error:
            raise OutputError(f"--out {path} cannot be used: {error.strerror}") from error
        check_writable(path)
        earlier = _is_result_folder(path)
        if there and not earlier:
            raise OutputError(
                f"--out {path} is not empty (it holds {there[0]}) and is no result folder of gudi; "
                "choose a new or an empty folder"
            )
        if there and not overwrite:
            raise OutputError(
                f"--out {path} holds the results of another run; choose another folder, or give "
                "--overwrite to replace them"
            )

    def begin(self, run: dict[str, Any]) -> None:
        """Create the folder, remove an earlier run's files, and note that this one has begun."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # First the note: a folder without it would not be known for gudi's.
            self.write_run(run)
            for name in (FACES, FILES):
                (self.path / name).unlink(missing_ok=True)
            if self.annotated.is_dir() and not self.annotated.is_symlink():
                shutil.rmtree(self.annotated)
        except OSError as error:
            raise OutputError(f"--out {self.path} cannot be used: {error.strerror}") from error

    def write_tables(self, results: Sequence[FileResult], emotions: Sequence[str]) -> None:
        """Write `faces.csv` and `files.csv`, sorted by source."""
        ordered = sorted(results, key=lambda result: result.source.name)
        self._write(FACES, (*FACE_COLUMNS, *emotions), _face_rows(ordered, emotions))
        self._write(FILES, FILE_COLUMNS, map(_file_row, ordered))

    def write_run(self, run: dict[str, Any]) -> None:
        """Write `run.json`."""
        with self._file(RUN) as file:
            json.dump(run, file, indent=2)
            file.write("\n")

    def _write(self, name: str, header: Sequence[str], rows: Iterator[Sequence[Any]]) -> None:
        with self._file(name) as file:
            plain = csv.writer(file, lineterminator="\n")
            # By itself it does not quote a carriage return, which readers take for a line's end.
            quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
            plain.writerow(header)
            for row in rows:
                (quoted if "\r" in row[0] else plain).writerow(row)

    @contextlib.contextmanager
    def _file(self, name: str) -> Iterator[IO[str]]:
        try:
            with written_whole(self.path / name) as binary:
                # File names may hold bytes that are no UTF-8; a table with one of them in it has
                # to stay readable.
                text = io.TextIOWrapper(
                    binary, encoding="utf-8", errors="backslashreplace", newline=""
                )
                yield text
                text.flush()
                text.detach()
        except OSError as error:
            raise OutputError(f"{self.path / name} cannot be written: {error.strerror}") from error


class Pictures:
    """Hands out places for pictures below a folder, each of them once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: set[Path] = set()

    def place(self, name: str) -> Path:
        """Return where the picture called `name`, a path with forward slashes, goes.

        Roots, drives and `..` are taken out of it; where that makes two names the same, the later
        one gets a number.
        """
        *folders, file = (_harmless(part) for part in PurePosixPath(name).parts if part != "/")
        folder = self._folder.joinpath(*folders)
        path, number = folder / _short(file), 1
        while path in self._taken:
            number += 1
            path = folder / _short(f"{number}-{file}")
        self._taken.add(path)
        return path

    def sweep(self) -> None:
        """Remove what workers that were killed have left half written."""
        for folder in {path.parent for path in self._taken}:
            for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
                leftover.unlink(missing_ok=True)


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


def _is_result_folder(path: Path) -> bool:
    """Tell whether gudi wrote `path`: whether its `run.json` says so."""
    try:
        with (path / RUN).open("rb") as file:
            run = json.loads(file.read(2**20))
    except (OSError, ValueError):
        return False
    return isinstance(run, dict) and "gudi" in run


def _face_rows(results: Sequence[FileResult], emotions: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for result in results:
        name, kind = result.source.name, result.source.kind
        frame, face = None, 0
        for row, (box, (emotion, confidence)) in enumerate(
            zip(result.boxes, result.strongest(emotions))
        ):
            numbers = (f"{value:.6f}" for value in (confidence, *result.probabilities[row]))
            place = ("", "")
            if result.places:
                number, time = result.places[row]
                face = face if number == frame else 0
                frame, place = number, (number, f"{time:.3f}")
            yield (name, kind, *place, face, *box, emotion, *numbers)
            face += 1


def _file_row(result: FileResult) -> tuple[Any, ...]:
    return (
        result.source.name, result.source.kind, result.status, len(result.boxes), result.frames,
        result.width, result.height, result.error,
    )  # fmt: skip

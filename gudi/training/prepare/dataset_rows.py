"""Turn the rows of a data set into labelled faces, in worker processes."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import cv2
import joblib
import numpy as np
import numpy.typing as npt

from gudi import detection
from gudi.constants import EMOTIONS, FACE_SIZE
from gudi.detection import CNN
from gudi.errors import DatasetError, WorkersError, one_line
from gudi.media.photo import read_photo
from gudi.media.source import Source, SourceLike
from gudi.progress import Progress
from gudi.settings import DetectionOptions

# A row of fer2013.csv has up to 9,233 characters. A file of another kind may have no line breaks.
MAX_LINE = 2**16

# Rows per call of a worker, which takes about 0.1 s for them.
CHUNK = 32

# Number of unusable rows whose reasons are kept.
MAX_REASONS = 1000


@dataclass
class RowCounts:
    """The results of the rows of a data set.

    Attributes:
        emotions: the names of the classes.
        rows: number of rows.
        faces: rows that gave a face.
        no_face: rows without a face that the detection finds.
        rejected: unusable rows.
        reasons: why the first of those are unusable, as "row 17: …".
        classes: faces by emotion.
        usages: rows by usage, as the data set calls its parts.
    """

    emotions: tuple[str, ...] = EMOTIONS
    rows: int = 0
    faces: int = 0
    no_face: int = 0
    rejected: int = 0
    reasons: list[str] = field(default_factory=list)
    classes: Counter[str] = field(default_factory=Counter)
    usages: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class DatasetRow:
    """One image and its label in a data set.

    Attributes:
        where: the name of the row in messages, such as "row 17".
        label: text of the label.
        image: text with the pixels, or a file.
        usage: the part of the data set that it belongs to.
        votes: how many annotators saw each emotion; empty if only the label is known.
        problem: why the row is unusable, or "".
    """

    where: str
    label: str = ""
    image: str | Source = ""
    usage: str = ""
    votes: tuple[float, ...] = ()
    problem: str = ""


class LabelledFace(NamedTuple):
    """A face as the network takes it.

    Attributes:
        label: index of its emotion in `RowCounts.emotions`.
        face: uint8 of shape (48, 48), grey levels 0-255.
        soft_label: the probability of each emotion; None if the label is certain.
    """

    label: int
    face: npt.NDArray[np.uint8]
    soft_label: tuple[float, ...] | None = None


class UnusableRow(Exception):
    """A row cannot be used; the message says why."""


# Returns None if a row shows no face, and raises `UnusableRow`.
RowConverter = Callable[[DatasetRow], LabelledFace | None]

# The result of a row; a string is the reason why the row is unusable.
_RowResult = LabelledFace | str | None


def convert(
    rows: Iterable[DatasetRow],
    total: int,
    converter: RowConverter,
    counts: RowCounts,
    workers: int | None,
    progress: Progress,
) -> Iterator[LabelledFace]:
    """Run `converter` over `rows` in worker processes and yield the faces in the rows' order.

    Args:
        rows: the rows.
        total: how many there are, for the progress.
        converter: a function that can be pickled.
        counts: counts the results.
        workers: processes; None for one per CPU.
        progress: reports progress.

    Raises:
        WorkersError: a worker process was killed.
    """
    parallel = joblib.Parallel(workers or -1, return_as="generator", batch_size=1)
    work = joblib.delayed(functools.partial(_convert_chunk, converter, os.getpid()))
    progress.start("rows", total)
    try:
        with _stderr_discarded():  # of the workers, which Ctrl-C reaches, too
            chunks = parallel(map(work, _chunks(rows)))
        for results in chunks:
            for where, result in results:
                progress.advance()
                _count(counts, where, result)
                if isinstance(result, LabelledFace):
                    yield result
    except BrokenProcessPool as error:
        raise WorkersError(
            "a worker process was killed, perhaps for lack of memory: use fewer --workers"
        ) from error
    finally:
        progress.finish()


@contextlib.contextmanager
def _stderr_discarded() -> Iterator[None]:
    """Discard what is written to stderr, also by processes that are started in the block."""
    try:
        kept = os.dup(2)
    except OSError:  # stderr is closed
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@functools.cache
def _end_with(parent: int) -> None:
    """Let this worker end soon after its parent, which may be killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _chunks(rows: Iterable[DatasetRow]) -> Iterator[list[DatasetRow]]:
    rows = iter(rows)
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _convert_chunk(
    converter: RowConverter, parent: int, rows: list[DatasetRow]
) -> list[tuple[str, _RowResult]]:
    """Return `where` and the result of each row; runs in a worker of the process `parent`."""
    cv2.setNumThreads(1)
    if os.getppid() == parent:  # else there is one worker, the parent itself
        _end_with(parent)
    return [(row.where, _convert_row(converter, row)) for row in rows]


def _convert_row(converter: RowConverter, row: DatasetRow) -> _RowResult:
    try:
        return row.problem or converter(row)
    except UnusableRow as error:
        return str(error)


def _count(counts: RowCounts, where: str, result: _RowResult) -> None:
    if isinstance(result, LabelledFace):
        counts.faces += 1
        counts.classes[counts.emotions[result.label]] += 1
    elif result is None:
        counts.no_face += 1
    else:
        counts.rejected += 1
        if len(counts.reasons) < MAX_REASONS:
            counts.reasons.append(f"{where}: {result}")


def largest_face(
    image: npt.NDArray[np.uint8], settings: DetectionOptions
) -> npt.NDArray[np.uint8] | None:
    """Return the largest face in `image`, uint8 of shape (48, 48); None if none is found."""
    found = detection.find_faces(image, replace(settings, faces="largest"))
    return detection.crop(image, found[0].box) if found else None


def labelled_photo(
    label: int, photo: SourceLike, settings: DetectionOptions | None
) -> LabelledFace | None:
    """Return the face in a photo, with its label.

    Args:
        label: index of the emotion.
        photo: the photo.
        settings: how the largest face is detected; None takes the whole image.

    Returns:
        None if no face is found.

    Raises:
        UnusableRow: the photo cannot be read.
    """
    try:
        image = read_photo(photo)
        if settings is not None:
            face = largest_face(image, settings)
        else:
            size = (FACE_SIZE, FACE_SIZE)
            resized = cv2.resize(detection.grey(image), size, interpolation=cv2.INTER_CUBIC)
            face = resized.astype(np.uint8, copy=False)
    except Exception as error:  # damaged images cause many types
        raise UnusableRow(one_line(error)) from error
    return None if face is None else LabelledFace(label, face)


def way_of_detection(
    detector: str, scale_factor: float, *, whole: bool
) -> tuple[str, DetectionOptions | None]:
    """Return what file names say of how faces are detected, and how; None if images are whole."""
    if whole:
        return "whole", None
    name = CNN if detector == CNN else f"sf={scale_factor}"
    return name, DetectionOptions(scale_factor=scale_factor, detector=detector)


def describe_detection(settings: DetectionOptions | None) -> dict[str, Any]:
    """Return how faces were detected, for the summary of a data set."""
    if settings is None:
        return {"scale_factor": None}
    if settings.detector == CNN:
        return {"detector": settings.detector, "scale_factor": None}
    return {"scale_factor": settings.scale_factor}


def check_usage(source: Path, usage: Sequence[str], counts: Counter[str]) -> None:
    """Raise `DatasetError` unless `source` has rows of each `usage`; `counts` are rows by usage."""
    if missing := [name for name in usage if not counts[name]]:
        known = ", ".join(one_line(name) for name, rows in list(counts.items())[:5] if rows)
        raise DatasetError(f"{source} has no rows of {', '.join(missing)}, only of {known}")


def read_line(file: IO[bytes]) -> str:
    """Return the next line; "" at the end. Of a line too long for a row, return only the start."""
    line = file.readline(MAX_LINE)
    rest = line
    while len(rest) == MAX_LINE and not rest.endswith(b"\n"):
        rest = file.readline(MAX_LINE)
    return line.decode("utf-8-sig", "replace")

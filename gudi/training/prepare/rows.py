"""Turn the rows of a data set into labelled faces, in worker processes."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import count, islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

import gudi_jobs
from gudi import detection
from gudi.constants import EMOTIONS
from gudi.errors import DatasetError, WorkersError, one_line
from gudi.progress import Progress
from gudi.settings import DetectionSettings

# A row of fer2013.csv has up to 9,233 characters. A file of another kind may have no line breaks.
MAX_LINE = 2**16

# A worker processes them in about 0.1 s, which is how long other workers may have to wait at the
# end of a run.
ROWS_PER_TASK = 16

# Number of unusable rows whose reasons are kept.
MAX_REASONS = 1000


@dataclass
class RowCounts:
    """What became of the rows of a data set.

    Attributes:
        rows: number of rows.
        faces: rows that gave a face.
        no_face: rows without a face that the detection finds.
        rejected: unusable rows.
        reasons: why the first of those are unusable, as "row 17: …".
        classes: faces by emotion.
        usages: rows by usage, as the data set calls its parts.
    """

    rows: int = 0
    faces: int = 0
    no_face: int = 0
    rejected: int = 0
    reasons: list[str] = field(default_factory=list)
    classes: Counter[str] = field(default_factory=Counter)
    usages: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class DatasetRow:
    """One picture and its label, as a data set has them.

    Attributes:
        where: what a person calls the row, such as "row 17".
        label: text of the label.
        picture: text with the pixels, or the path of a file.
        usage: the part of the data set that it belongs to.
        votes: how many annotators saw each emotion; empty if only the label is known.
        problem: why the row is unusable; "" if nothing is wrong so far.
    """

    where: str
    label: str = ""
    picture: str = ""
    usage: str = ""
    votes: tuple[float, ...] = ()
    problem: str = ""


class LabelledFace(NamedTuple):
    """A face as the network takes it.

    Attributes:
        label: index of its emotion in `EMOTIONS`.
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

# What a worker returns for a row; a string says why the row is unusable.
_RowResult = LabelledFace | str | None

_Task = tuple[int, list[DatasetRow]]


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
        counts: counts what became of each row.
        workers: processes; None for one per CPU.
        progress: reports progress.

    Raises:
        WorkersError: no worker process can be started.
    """
    progress.start("rows", total)
    finished: dict[int, tuple[list[DatasetRow], list[_RowResult]]] = {}
    following = 0
    with gudi_jobs.Workers(
        workers, initializer=cv2.setNumThreads, initargs=(1,), quiet=True
    ) as crew:
        try:
            for outcome in crew.run(functools.partial(_convert_task, converter), _tasks(rows)):
                number, task = outcome.item
                finished[number] = (task, _results(outcome))
                while following in finished:
                    for row, result in zip(*finished.pop(following)):
                        progress.advance()
                        _count(counts, row, result)
                        if isinstance(result, LabelledFace):
                            yield result
                    following += 1
        except gudi_jobs.WorkersUnavailable as error:
            raise WorkersError(str(error)) from error
        finally:
            progress.finish()


def _tasks(rows: Iterable[DatasetRow]) -> Iterator[_Task]:
    """Yield `rows` in numbered groups."""
    rows = iter(rows)
    for number in count():
        task = list(islice(rows, ROWS_PER_TASK))
        if not task:
            return
        yield number, task


def _results(outcome: gudi_jobs.Outcome[_Task, list[_RowResult]]) -> list[_RowResult]:
    """Return the results of a task. If it failed, none of its rows is usable."""
    if outcome.value is None:
        _, rows = outcome.item
        return [one_line(outcome.error)] * len(rows)
    return outcome.value


def _convert_task(converter: RowConverter, task: _Task) -> list[_RowResult]:
    """Convert the rows of a task; runs in a worker."""
    return [_convert_row(converter, row) for row in task[1]]


def _convert_row(converter: RowConverter, row: DatasetRow) -> _RowResult:
    try:
        return row.problem or converter(row)
    except UnusableRow as error:
        return str(error)


def _count(counts: RowCounts, row: DatasetRow, result: _RowResult) -> None:
    if isinstance(result, LabelledFace):
        counts.faces += 1
        counts.classes[EMOTIONS[result.label]] += 1
    elif result is None:
        counts.no_face += 1
    else:
        counts.rejected += 1
        if len(counts.reasons) < MAX_REASONS:
            counts.reasons.append(f"{row.where}: {result}")


def largest_face(
    image: npt.NDArray[np.uint8], settings: DetectionSettings
) -> npt.NDArray[np.uint8] | None:
    """Return the largest face in `image`, uint8 of shape (48, 48); None if none is found."""
    boxes = detection.detect(image, **asdict(replace(settings, largest=True)))
    return detection.crop(image, boxes[0]) if boxes else None


def describe_detection(settings: DetectionSettings | None) -> dict[str, Any]:
    """Return how faces were detected, for the summary of a data set."""
    if settings is None:
        return {"scale_factor": None}
    if settings.detector == detection.CNN:
        return {"detector": settings.detector, "scale_factor": None}
    return {"scale_factor": settings.scale_factor}


def check_usage(source: Path, usage: Sequence[str], counts: Counter[str]) -> None:
    """Raise `DatasetError` unless `source` has rows of each `usage`.

    Args:
        source: the data set.
        usage: the parts of it that were asked for.
        counts: rows by usage.
    """
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

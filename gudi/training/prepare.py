"""Make FER2013 and RAF-DB into the original's npy files: its `data_process.py`."""

from __future__ import annotations

import contextlib
import csv
import functools
import json
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

import jobs
from gudi import detection
from gudi.constants import EMOTIONS, FACE_SIZE, SCALE_FACTOR
from gudi.errors import DatasetError, OutputError, WorkersError, one_line
from gudi.files import NpyWriter, atomic_write, check_writable
from gudi.media.photo import read_photo
from gudi.progress import Progress
from gudi.training.dataset import Dataset, file_names

# FER2013's pictures are tight around the face; the original lays them onto a grey square, since
# Haar cascades need some room.
BORDERED_SIZE, BORDER_GREY = 150, 200

PIXELS = FACE_SIZE * FACE_SIZE

# A row of fer2013.csv has up to 9,233 characters. A file that is none may have no line breaks.
MAX_LINE = 2**16

# A worker searches them for about 0.1 s: at the end of a run another waits no longer than that.
ROWS_A_TASK = 16

# RAF-DB's labels count from 1: surprise, fear, disgust, happiness, sadness, anger, neutral.
RAF_LABELS = tuple(
    EMOTIONS.index(name)
    for name in ("surprised", "fearful", "disgusted", "happy", "sad", "angry", "neutral")
)
RAF_LIST = "list_patition_label.txt"  # the data set's own spelling

# Of the rows that cannot be used so many are listed one by one.
MAX_LISTED = 1000


@dataclass
class Prepared:
    """What became of the rows of a source.

    Attributes:
        rows: how many were looked at.
        faces: how many gave a face.
        no_face: in how many none was found.
        rejected: how many could not be used.
        reasons: the first of those, as "row 17: …".
        classes: number of faces by emotion.
        usages: number of rows by what the source calls their usage.
    """

    rows: int = 0
    faces: int = 0
    no_face: int = 0
    rejected: int = 0
    reasons: list[str] = field(default_factory=list)
    classes: Counter = field(default_factory=Counter)
    usages: Counter = field(default_factory=Counter)


@dataclass(frozen=True)
class _Row:
    """One picture with its label, as the source has it.

    Attributes:
        where: what to call it when it cannot be used.
        label: the label's text.
        picture: text with the pixels, or the path of a file.
        usage: which part of the set it is of, as the source calls it.
        problem: "" or why it cannot be used.
    """

    where: str
    label: str = ""
    picture: str = ""
    usage: str = ""
    problem: str = ""


# What a row gives: label and face, or None and the reason ("" if just no face was found).
_Face = tuple[int, np.ndarray] | tuple[None, str]


def prepare_fer(
    path: Path,
    out: Path,
    *,
    scale_factor: float = SCALE_FACTOR,
    whole: bool = False,
    usage: Sequence[str] = (),
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[Path, Prepared]:
    """Make FER2013's csv into the original's npy files.

    Args:
        path: `fer2013.csv`, columns emotion, pixels and Usage.
        out: folder for `sf=1.1_data_images.npy`, float64 of shape (n, 48, 48), 0 to 1, and
            `sf=1.1_data_labels.npy`, float64 of shape (n, 7), one-hot.
        scale_factor: of the search for faces; it is part of the names.
        whole: take the pictures as they are, without looking for faces; the names begin with
            `whole_data` then.
        usage: which of `Training`, `PublicTest` and `PrivateTest` to take; all by default.
        workers: processes; None for all processors.
        overwrite: replace files of these names.
        progress: is told how far it is.

    Returns:
        What the names of the files begin with, and what became of the rows.

    Raises:
        DatasetError: it is not FER2013, or no row of it gives a face.
        OutputError: `out` cannot be written to.
    """
    prefix = out / ("whole_data" if whole else f"sf={scale_factor}_data")
    found = Prepared()
    rows = fer_faces(
        path,
        found,
        scale_factor=None if whole else scale_factor,
        usage=usage,
        workers=workers,
        progress=progress,
    )
    settings = {"scale_factor": None if whole else scale_factor, "usage": list(usage)}
    _write(prefix, rows, found, {"source": str(path), **settings}, overwrite=overwrite)
    return prefix, found


def prepare_raf(
    folder: Path,
    out: Path,
    *,
    aligned: bool,
    scale_factor: float = SCALE_FACTOR,
    usage: Sequence[str] = (),
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[Path, Prepared]:
    """Make RAF-DB's basic set into the original's npy files.

    Args:
        folder: the set: `list_patition_label.txt` and the pictures, as they are unpacked (in
            `EmoLabel/` and `Image/`) or side by side.
        out: folder for the files.
        aligned: take `aligned/`, whose pictures are cut to the face, as they are; otherwise look
            for the largest face in those of `original/`.
        scale_factor: of the search for faces; it is part of the names.
        usage: which of `train` and `test` to take; both by default.
        workers, overwrite, progress: as for `prepare_fer`.

    Returns:
        What the names of the files begin with, and what became of the pictures.

    Raises:
        DatasetError: it is not RAF-DB, or no picture of it gives a face.
        OutputError: `out` cannot be written to.
    """
    name = "raf_aligned_data" if aligned else f"sf={scale_factor}_raf_origin_data"
    listed, pictures = _raf_places(folder, "aligned" if aligned else "original")
    found = Prepared()
    rows = list(_raf_rows(listed, pictures, "_aligned" if aligned else "", usage, found.usages))
    _check_usage(listed, usage, found.usages)
    found.rows = len(rows)
    work = functools.partial(_raf_face, None if aligned else scale_factor)
    converted = _convert(rows, len(rows), work, found, workers, progress or Progress())
    settings = {"scale_factor": None if aligned else scale_factor, "usage": list(usage)}
    _write(out / name, converted, found, {"source": str(folder), **settings}, overwrite=overwrite)
    return out / name, found


def fer_faces(
    path: Path,
    found: Prepared,
    *,
    scale_factor: float | None = SCALE_FACTOR,
    usage: Sequence[str] = (),
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield label and face, uint8 of shape (48, 48), of each row of FER2013's csv, in its order.

    Args:
        path: the csv.
        found: is told what became of each row.
        scale_factor: of the search for the largest face; None takes pictures as they are.
        usage, workers, progress: as for `prepare_fer`.

    Raises:
        DatasetError: it is not FER2013.
    """
    total = _count_lines(path) - 1
    rows = _fer_rows(path, usage, found)
    work = functools.partial(_fer_face, scale_factor)
    return _convert(rows, total, work, found, workers, progress or Progress())


def collect(rows: Iterable[tuple[int, np.ndarray]]) -> Dataset:
    """Return `rows` of labels and faces as a data set in memory, 2 kB a face."""
    labels, images = [], []
    for label, face in rows:
        labels.append(label)
        images.append(face)
    return Dataset(
        np.array(images, np.uint8).reshape(-1, FACE_SIZE, FACE_SIZE), np.array(labels, np.int64)
    )


def _convert(
    rows: Iterable[_Row],
    total: int,
    work: Callable[[_Row], _Face],
    found: Prepared,
    workers: int | None,
    progress: Progress,
) -> Iterator[tuple[int, np.ndarray]]:
    """Run `work` over `rows` in worker processes and yield what it finds, in their order."""
    progress.start("rows", total)
    waiting: dict[int, tuple[list[_Row], list[_Face]]] = {}
    following = 0
    with jobs.Workers(workers, initializer=cv2.setNumThreads, initargs=(1,), quiet=True) as crew:
        try:
            for outcome in crew.run(functools.partial(_work_through, work), _tasks(rows)):
                number, task = outcome.item
                failed = [(None, one_line(outcome.error))] * len(task)
                waiting[number] = (task, failed if outcome.error else outcome.value)
                while following in waiting:
                    for row, result in zip(*waiting.pop(following)):
                        progress.advance()
                        if _note(found, row, result):
                            yield result
                    following += 1
        except jobs.WorkersUnavailable as error:
            raise WorkersError(str(error)) from error
        finally:
            progress.finish()


def _tasks(rows: Iterable[_Row]) -> Iterator[tuple[int, list[_Row]]]:
    """Yield `rows` in numbered handfuls."""
    number, task = 0, []
    for row in rows:
        task.append(row)
        if len(task) == ROWS_A_TASK:
            yield number, task
            number, task = number + 1, []
    if task:
        yield number, task


def _work_through(work: Callable[[_Row], _Face], task: tuple[int, list[_Row]]) -> list[_Face]:
    """Run `work` over the rows of a task; runs in a worker."""
    return [(None, row.problem) if row.problem else work(row) for row in task[1]]


def _note(found: Prepared, row: _Row, result: _Face) -> bool:
    """Count `result`; tell whether it is a face."""
    label, value = result
    if label is not None:
        found.faces += 1
        found.classes[EMOTIONS[label]] += 1
        return True
    if value:
        found.rejected += 1
        if len(found.reasons) < MAX_LISTED:
            found.reasons.append(f"{row.where}: {value}")
    else:
        found.no_face += 1
    return False


def _count_lines(path: Path) -> int:
    """Return the number of lines in the file at `path`, one without an end among them."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DatasetError(f"{path} is no regular file, which would have to be read twice")
        with path.open("rb") as file:
            count, last = 0, b"\n"
            while piece := file.read(2**20):
                count += piece.count(b"\n")
                last = piece
            return count + (not last.endswith(b"\n"))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error


def _fer_rows(path: Path, usage: Sequence[str], found: Prepared) -> Iterator[_Row]:
    """Yield the rows of a csv that are of one of `usage`."""
    with path.open("rb") as file:
        header = [name.strip().lower() for name in _cells(_line(file))]
        if "emotion" not in header or "pixels" not in header:
            raise DatasetError(
                f"{path} is not FER2013's csv: its first line should name the columns emotion, "
                f"pixels and Usage, but is {one_line(','.join(header))[:60]!r}"
            )
        if usage and "usage" not in header:
            raise DatasetError(f"{path} has no column Usage, so --usage cannot choose by it")
        number = 1
        while line := _line(file):
            number += 1
            row = _fer_row(line, header, f"row {number}")
            found.usages[row.usage] += not row.problem
            if usage and row.usage not in usage and not row.problem:
                continue
            found.rows += 1
            yield row
    _check_usage(path, usage, found.usages)


def _check_usage(path: Path, usage: Sequence[str], there: Counter) -> None:
    """Raise unless all of `usage`, a part of the set that was asked for, are `there`."""
    if missing := [name for name in usage if not there[name]]:
        known = ", ".join(one_line(each) for each, count in list(there.items())[:5] if count)
        raise DatasetError(f"{path} has no rows of {', '.join(missing)}, only of {known}")


def _fer_row(line: str, header: list[str], where: str) -> _Row:
    if len(line) >= MAX_LINE:
        return _Row(where, problem="it is longer than a row can be")
    cells = _cells(line)
    if not any(cell.strip() for cell in cells):
        return _Row(where, problem="it is blank")
    if len(cells) != len(header):
        return _Row(where, problem=f"it has {len(cells)} columns, not {len(header)}")
    row = dict(zip(header, cells))
    return _Row(where, row["emotion"], row["pixels"], row.get("usage", "").strip())


def _line(file: IO[bytes]) -> str:
    """Return the next line, or the beginning of one that is too long to be a row; "" at the end."""
    line = file.readline(MAX_LINE)
    rest = line
    while len(rest) == MAX_LINE and not rest.endswith(b"\n"):
        rest = file.readline(MAX_LINE)
    return line.decode("utf-8-sig", "replace")


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")], skipinitialspace=True), [])
    except csv.Error:
        return []


def _fer_face(scale_factor: float | None, row: _Row) -> _Face:
    """Return what a row of FER2013 shows; runs in a worker."""
    try:
        label = int(float(row.label))  # pandas may have made 0.0 of a 0
    except (ValueError, OverflowError):
        return None, f"the emotion {row.label[:20]!r} is no number"
    if label != float(row.label) or not 0 <= label < len(EMOTIONS):
        return None, f"the emotion {row.label[:20]} is none of 0 to {len(EMOTIONS) - 1}"
    try:
        pixels = _numbers(row.picture)
    except ValueError:
        return None, "a pixel is no number"
    if len(pixels) != PIXELS:
        return None, f"it has {len(pixels)} pixels, not {PIXELS}"
    if not ((pixels >= 0) & (pixels <= 255) & (pixels == np.rint(pixels))).all():
        return None, "a pixel is no whole number from 0 to 255"
    image = pixels.astype(np.uint8).reshape(FACE_SIZE, FACE_SIZE)
    face = image if scale_factor is None else bordered_face(image, scale_factor)
    return (None, "") if face is None else (label, face)


def _numbers(text: str) -> np.ndarray:
    """Return the numbers in `text`: int64 if all are whole and unsigned, else float64.

    Raises:
        ValueError: something else is among them.
    """
    if text.isascii() and text.replace(" ", "").isdigit():
        return np.fromstring(text, np.int64, sep=" ")  # ten times as fast as a list of words
    return np.array(text.split(), np.float64)


def bordered_face(image: np.ndarray, scale_factor: float = SCALE_FACTOR) -> np.ndarray | None:
    """Return the largest face of a picture of FER2013, or None where none is found.

    Args:
        image: uint8 of shape (48, 48); it is laid onto a grey square first, as in the original.
        scale_factor: of the search.
    """
    margin = (BORDERED_SIZE - FACE_SIZE) // 2
    bordered = cv2.copyMakeBorder(
        image, *[margin] * 4, borderType=cv2.BORDER_CONSTANT, value=BORDER_GREY
    )
    return _largest(bordered, scale_factor)


def _largest(image: np.ndarray, scale_factor: float) -> np.ndarray | None:
    boxes = detection.detect(image, scale_factor=scale_factor, largest=True)
    return detection.crop(image, boxes[0]) if boxes else None


def _raf_places(folder: Path, pictures: str) -> tuple[Path, Path]:
    """Return where the list and the folder `pictures` of RAF-DB's basic set are."""
    roots = (folder, folder / "basic")
    lists = [root / part / RAF_LIST for root in roots for part in (".", "EmoLabel")]
    folders = [root / part / pictures for root in roots for part in (".", "Image")]
    for wanted, candidates, there in (
        (RAF_LIST, lists, Path.is_file),
        (f"{pictures}/", folders, Path.is_dir),
    ):
        if not any(map(there, candidates)):
            raise DatasetError(
                f"{folder} is not RAF-DB's basic set as it is unpacked: there is no {wanted} in "
                f"it, nor in {candidates[1].parent.name}/"
            )
    return next(filter(Path.is_file, lists)), next(filter(Path.is_dir, folders))


def _raf_rows(
    listed: Path, pictures: Path, ending: str, usage: Sequence[str], there: Counter
) -> Iterator[_Row]:
    """Yield the pictures of RAF-DB's list, which has lines such as "train_00001.jpg 5".

    What is `there` of each usage is counted.
    """
    with listed.open("rb") as file:
        number = 0
        while line := _line(file):
            number += 1
            cells = line.split()
            where = f"{RAF_LIST}, line {number}"
            if not cells:
                continue
            if len(cells) != 2 or len(line) >= MAX_LINE:
                yield _Row(where, problem="it is not a file name and a number")
                continue
            if "/" in cells[0] or "\\" in cells[0]:
                yield _Row(where, problem="it names a path, not a file")
                continue
            used = cells[0].partition("_")[0]
            there[used] += 1
            if not usage or used in usage:
                name = Path(cells[0])
                path = pictures / f"{name.stem}{ending}{name.suffix}"
                yield _Row(cells[0], cells[1], str(path))


def _raf_face(scale_factor: float | None, row: _Row) -> _Face:
    """Return what a picture of RAF-DB shows; runs in a worker."""
    if row.label not in map(str, range(1, len(RAF_LABELS) + 1)):
        return None, f"the label {row.label[:20]!r} is none of 1 to {len(RAF_LABELS)}"
    label = RAF_LABELS[int(row.label) - 1]
    try:
        image = detection.grey(read_photo(row.picture))
        if scale_factor is None:
            size = (FACE_SIZE, FACE_SIZE)
            return label, cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
        face = _largest(image, scale_factor)
    except Exception as error:
        return None, one_line(error)
    return (None, "") if face is None else (label, face)


def _write(
    prefix: Path,
    rows: Iterable[tuple[int, np.ndarray]],
    found: Prepared,
    settings: dict[str, Any],
    *,
    overwrite: bool,
) -> None:
    """Write faces and labels as they come, and an account of them; whole or not at all."""
    check_writable(prefix.parent)
    paths = file_names(prefix)
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise OutputError(f"{there[0]} is there already; --overwrite replaces it")
    one_hot = np.eye(len(EMOTIONS))
    try:
        prefix.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            images, labels = (
                stack.enter_context(NpyWriter(path, shape))
                for path, shape in zip(paths, ((FACE_SIZE, FACE_SIZE), (len(EMOTIONS),)))
            )
            for label, face in rows:
                images.append(face / 255.0)
                labels.append(one_hot[label])
            if not found.faces:
                raise DatasetError(
                    f"no row of {settings['source']} gives a face: {found.no_face} show none, "
                    f"{found.rejected} cannot be used"
                    + (f" ({found.reasons[0]})" if found.reasons else "")
                )
        account = settings | {
            "rows": found.rows,
            "faces": found.faces,
            "no_face": found.no_face,
            "rejected": found.rejected,
            "classes": {name: found.classes[name] for name in EMOTIONS},
            "reasons": found.reasons,
        }
        with atomic_write(prefix.with_name(f"{prefix.name}.json")) as file:
            file.write((json.dumps(account, indent=2) + "\n").encode())
    except OSError as error:
        raise OutputError(f"{prefix} cannot be written: {error.strerror or error}") from error

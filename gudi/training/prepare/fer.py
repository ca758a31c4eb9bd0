"""FER2013: one csv file with labels and pixels."""

from __future__ import annotations

import csv
import functools
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gudi.constants import EMOTIONS, FACE_SIZE, SCALE_FACTOR
from gudi.errors import DatasetError, one_line
from gudi.progress import Progress
from gudi.training.prepare.faces_file import write_faces
from gudi.training.prepare.rows import (
    MAX_LINE,
    DatasetRow,
    LabelledFace,
    RowCounts,
    UnusableRow,
    check_usage,
    convert,
    largest_face,
    read_line,
)

# FER2013's pictures are tight around the face. Haar cascades need some room, so the original puts
# each picture on a grey square.
BORDERED_SIZE, BORDER_GREY = 150, 200

PIXELS = FACE_SIZE * FACE_SIZE


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
) -> tuple[Path, RowCounts]:
    """Turn FER2013's csv file into the original's npy files.

    Args:
        path: `fer2013.csv`, with the columns emotion, pixels and Usage.
        out: folder for `sf=1.1_data_images.npy`, float64 of shape (n, 48, 48), 0 to 1, and
            `sf=1.1_data_labels.npy`, float64 of shape (n, 7), one-hot.
        scale_factor: of the face detection. It is part of the file names.
        whole: take the pictures as they are, without detection. The file names start with
            `whole_data`.
        usage: which of `Training`, `PublicTest` and `PrivateTest` to take; all by default.
        workers: processes; None for one per CPU.
        overwrite: replace files of these names.
        progress: reports progress.

    Returns:
        The start of the files' paths, and what became of the rows.

    Raises:
        DatasetError: the file is not FER2013's, or has no row with a face.
        OutputError: `out` cannot be written to.
    """
    prefix = out / ("whole_data" if whole else f"sf={scale_factor}_data")
    counts = RowCounts()
    detection_scale = None if whole else scale_factor
    faces = fer_faces(
        path, counts, scale_factor=detection_scale, usage=usage, workers=workers, progress=progress
    )
    settings = {"source": str(path), "scale_factor": detection_scale, "usage": list(usage)}
    write_faces(prefix, faces, counts, settings, overwrite=overwrite)
    return prefix, counts


def fer_faces(
    path: Path,
    counts: RowCounts,
    *,
    scale_factor: float | None = SCALE_FACTOR,
    usage: Sequence[str] = (),
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[LabelledFace]:
    """Yield the labelled faces of FER2013's csv file in the order of its rows.

    Args:
        path: the csv file.
        counts: counts what became of each row.
        scale_factor: of the detection of the largest face; None takes the pictures as they are.
        usage, workers, progress: as for `prepare_fer`.

    Raises:
        DatasetError: the file is not FER2013's.
    """
    total = _count_lines(path) - 1
    header = _read_header(path, usage)
    rows = _read_rows(path, header, usage, counts)
    converter = functools.partial(_convert_row, scale_factor)
    return convert(rows, total, converter, counts, workers, progress or Progress())


def bordered_face(
    image: npt.NDArray[np.uint8], scale_factor: float = SCALE_FACTOR
) -> npt.NDArray[np.uint8] | None:
    """Return the largest face of one of FER2013's pictures; None if none is found.

    Args:
        image: uint8 of shape (48, 48). It is put on a grey square first, as in the original.
        scale_factor: of the face detection.
    """
    margin = (BORDERED_SIZE - FACE_SIZE) // 2
    bordered = np.full((BORDERED_SIZE, BORDERED_SIZE), BORDER_GREY, np.uint8)
    bordered[margin : margin + FACE_SIZE, margin : margin + FACE_SIZE] = image
    return largest_face(bordered, scale_factor)


def _count_lines(path: Path) -> int:
    """Return the number of lines in the file at `path`, including an incomplete last one."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DatasetError(f"{path} must be a regular file, because it is read twice")
        with path.open("rb") as file:
            count, last = 0, b"\n"
            while block := file.read(2**20):
                count += block.count(b"\n")
                last = block
            return count + (not last.endswith(b"\n"))
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error


def _read_header(path: Path, usage: Sequence[str]) -> list[str]:
    """Return the names of the columns."""
    with path.open("rb") as file:
        header = [name.strip().lower() for name in _cells(read_line(file))]
    if "emotion" not in header or "pixels" not in header:
        raise DatasetError(
            f"{path} is not FER2013's csv file: its first line should name the columns "
            f"emotion, pixels and Usage, but is {one_line(','.join(header))[:60]!r}"
        )
    if usage and "usage" not in header:
        raise DatasetError(f"{path} has no column Usage, which --usage needs")
    return header


def _read_rows(
    path: Path, header: list[str], usage: Sequence[str], counts: RowCounts
) -> Iterator[DatasetRow]:
    """Yield the rows of a csv file that belong to `usage`."""
    with path.open("rb") as file:
        read_line(file)  # the header
        number = 1
        while line := read_line(file):
            number += 1
            row = _parse_row(line, header, f"row {number}")
            counts.usages[row.usage] += not row.problem
            if usage and row.usage not in usage and not row.problem:
                continue
            counts.rows += 1
            yield row
    check_usage(path, usage, counts.usages)


def _parse_row(line: str, header: list[str], where: str) -> DatasetRow:
    if len(line) >= MAX_LINE:
        return DatasetRow(where, problem="the line is too long for a row")
    cells = _cells(line)
    if not any(cell.strip() for cell in cells):
        return DatasetRow(where, problem="it is blank")
    if len(cells) != len(header):
        return DatasetRow(where, problem=f"it has {len(cells)} columns, not {len(header)}")
    row = dict(zip(header, cells))
    return DatasetRow(where, row["emotion"], row["pixels"], row.get("usage", "").strip())


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")], skipinitialspace=True), [])
    except csv.Error:
        return []


def _convert_row(scale_factor: float | None, row: DatasetRow) -> LabelledFace | None:
    """Return the labelled face of a row; runs in a worker."""
    label = _parse_label(row.label)
    image = _parse_pixels(row.picture)
    face = image if scale_factor is None else bordered_face(image, scale_factor)
    return None if face is None else LabelledFace(label, face)


def _parse_label(text: str) -> int:
    try:
        label = int(float(text))  # pandas may have turned 0 into 0.0
    except (ValueError, OverflowError):
        raise UnusableRow(f"the emotion {text[:20]!r} is not a number") from None
    if label != float(text) or not 0 <= label < len(EMOTIONS):
        raise UnusableRow(f"the emotion {text[:20]} is not one of 0 to {len(EMOTIONS) - 1}")
    return label


def _parse_pixels(text: str) -> npt.NDArray[np.uint8]:
    """Return the picture in `text`, uint8 of shape (48, 48)."""
    try:
        pixels = _parse_numbers(text)
    except ValueError:
        raise UnusableRow("a pixel is not a number") from None
    if len(pixels) != PIXELS:
        raise UnusableRow(f"it has {len(pixels)} pixels, not {PIXELS}")
    if not ((pixels >= 0) & (pixels <= 255) & (pixels == np.rint(pixels))).all():
        raise UnusableRow("a pixel is not a whole number from 0 to 255")
    return pixels.astype(np.uint8).reshape(FACE_SIZE, FACE_SIZE)


def _parse_numbers(text: str) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
    """Return the numbers in `text`: int64 if all consist of digits only, else float64.

    Raises:
        ValueError: something in it is not a number.
    """
    if text.isascii() and text.replace(" ", "").isdigit():
        return np.fromstring(text, np.int64, sep=" ")  # ten times as fast as splitting
    return np.array(text.split(), np.float64)

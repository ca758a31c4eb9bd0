"""FER2013: one csv file with labels and pixels."""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gudi.constants import EMOTIONS, FACE_SIZE, SCALE_FACTOR
from gudi.detection import HAAR, note_slow_search
from gudi.errors import DatasetError, one_line
from gudi.media.content import identify_source
from gudi.media.lists import PATH_COLUMNS
from gudi.progress import Progress
from gudi.settings import DetectionOptions
from gudi.training.prepare.csv_file import open_csv
from gudi.training.prepare.dataset_rows import (
    MAX_LINE,
    DatasetRow,
    LabelledFace,
    RowCounts,
    UnusableRow,
    check_usage,
    convert,
    describe_detection,
    largest_face,
    read_line,
    way_of_detection,
)
from gudi.training.prepare.faces_file import write_faces
from gudi.training.prepare.files import ARCHIVE_SUFFIX

# FER2013's images are cropped tightly. Haar cascades need a margin around the face, so the
# original puts each image on a grey square.
BORDERED_SIZE, BORDER_GREY = 150, 200

PIXELS = FACE_SIZE * FACE_SIZE

# FER+'s columns: the seven emotions in gudi's order, and the annotators' other choices.
FERPLUS = (
    "anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral",
    "contempt", "unknown", "NF",
)  # fmt: skip
FERPLUS_COLUMNS = frozenset(FERPLUS)

VOTES_WEIGHT = 0.5


def prepare_fer(
    path: Path,
    out: Path,
    *,
    detector: str = HAAR,
    scale_factor: float = SCALE_FACTOR,
    whole: bool = False,
    usage: Sequence[str] = (),
    votes: Path | None = None,
    votes_weight: float = VOTES_WEIGHT,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[Path, RowCounts]:
    """Turn FER2013's csv file into the original's npy files.

    Args:
        path: `fer2013.csv`, with the columns emotion, pixels and Usage; or an archive that holds
            it.
        out: folder for `sf=1.1_data_images.npy`, float64 of shape (n, 48, 48), 0 to 1, and
            `sf=1.1_data_labels.npy`, float64 of shape (n, 7), one-hot without `votes`.
        detector: `haar` or `cnn`. With `cnn`, the file names start with `cnn_data`.
        scale_factor: of Haar's detection. It is part of the file names.
        whole: take the images as they are, without detection. The file names start with
            `whole_data`.
        usage: which of `Training`, `PublicTest` and `PrivateTest` to take; all by default.
        votes: FER+'s `fer2013new.csv` (Barsoum et al. 2016), which has the votes of ten annotators
            for each row of `path`. Labels become soft, and rows in which most annotators see none
            of the seven emotions are skipped.
        votes_weight: share of the votes in the labels, 0 to 1; the rest is FER2013's label.
        workers: processes; None for one per CPU.
        overwrite: replace files of these names.
        progress: reports progress.

    Returns:
        The start of the files' paths, and the counts of the results.

    Raises:
        DatasetError: the file is not FER2013's, or has no row with a face.
        OutputError: `out` cannot be written to.
    """
    name, settings = way_of_detection(detector, scale_factor, whole=whole)
    prefix, counts = out / f"{name}_data", RowCounts()
    faces = fer_faces(
        path,
        counts,
        settings=settings,
        usage=usage,
        votes=votes,
        votes_weight=votes_weight,
        workers=workers,
        progress=progress,
    )
    about = {"source": str(path), **describe_detection(settings), "usage": list(usage)}
    if votes is not None:
        about |= {"votes": str(votes), "votes_weight": votes_weight}
    write_faces(prefix, faces, counts, about, overwrite=overwrite)
    return prefix, counts


def fer_faces(
    path: Path,
    counts: RowCounts,
    *,
    settings: DetectionOptions | None = DetectionOptions(),
    usage: Sequence[str] = (),
    votes: Path | None = None,
    votes_weight: float = VOTES_WEIGHT,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[LabelledFace]:
    """Yield the labelled faces of FER2013's csv file in the order of its rows.

    Args:
        path: the csv file.
        counts: counts the results.
        settings: how the largest face is detected; None takes the images as they are.
        usage, votes, votes_weight, workers, progress: as for `prepare_fer`.
    """
    progress = progress or Progress()
    if settings:
        note_slow_search(settings.detector, progress)
    total = _count_lines(path) - 1
    header = _read_header(path, usage)
    rows = _read_rows(path, header, usage, counts, _read_votes(votes, total) if votes else None)
    converter = functools.partial(_convert_row, settings, votes_weight)
    return convert(rows, total, converter, counts, workers, progress)


def is_fer(path: Path) -> bool:
    """Return whether `path` is taken for FER2013's csv file, rather than for labelled images."""
    if path.is_dir():
        return False
    try:
        with open_csv(path) as file:
            names = re.split("[,;\t]", read_line(file))
    except DatasetError:
        return not ARCHIVE_SUFFIX.search(path.name)
    return not any(name.strip(' "\r\n').lower() in PATH_COLUMNS for name in names)


def bordered_face(
    image: npt.NDArray[np.uint8], settings: DetectionOptions = DetectionOptions()
) -> npt.NDArray[np.uint8] | None:
    """Return the largest face of one of FER2013's images; None if none is found.

    Args:
        image: uint8 of shape (48, 48). It is put on a grey square first, as in the original.
        settings: how it is detected.
    """
    margin = (BORDERED_SIZE - FACE_SIZE) // 2
    bordered = np.full((BORDERED_SIZE, BORDERED_SIZE), BORDER_GREY, np.uint8)
    bordered[margin : margin + FACE_SIZE, margin : margin + FACE_SIZE] = image
    return largest_face(bordered, settings)


def _count_lines(path: Path) -> int:
    """Return the number of lines in the file at `path`, including an incomplete last one."""
    with open_csv(path) as file:
        count, last = 0, b"\n"
        while block := file.read(2**20):
            count += block.count(b"\n")
            last = block
        return count + (not last.endswith(b"\n"))


def _read_header(path: Path, usage: Sequence[str]) -> list[str]:
    """Return the names of the columns."""
    with open_csv(path) as file:
        header = [name.strip().lower() for name in _cells(read_line(file))]
    if "emotion" not in header or "pixels" not in header:
        content = identify_source(path)
        if content is not None and content.advice:
            raise DatasetError(
                f"{path} is not FER2013's csv file: it is {content.what}; {content.advice}"
            )
        raise DatasetError(
            f"{path} is not FER2013's csv file: its first line should name the columns "
            f"emotion, pixels and Usage, but is {one_line(','.join(header))[:60]!r}"
        )
    if usage and "usage" not in header:
        raise DatasetError(f"{path} has no column Usage, which --usage needs")
    return header


def _read_rows(
    path: Path,
    header: list[str],
    usage: Sequence[str],
    counts: RowCounts,
    votes: Sequence[tuple[float, ...]] | None,
) -> Iterator[DatasetRow]:
    """Yield the rows of a csv file that belong to `usage`, with their `votes` if there are any."""
    with open_csv(path) as file:
        read_line(file)  # the header
        number = 1
        while line := read_line(file):
            number += 1
            row = _parse_row(line, header, f"row {number}")
            counts.usages[row.usage] += not row.problem
            if usage and row.usage not in usage and not row.problem:
                continue
            counts.rows += 1
            yield row if votes is None else replace(row, votes=votes[number - 2])
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


def _read_votes(path: Path, count: int) -> list[tuple[float, ...]]:
    """Return FER+'s votes for each emotion, and for none of them, row by row, of `count` rows."""
    try:
        with open_csv(path) as file:
            rows = csv.DictReader(io.TextIOWrapper(file, "utf-8-sig", newline=""))
            if not set(rows.fieldnames or ()) >= FERPLUS_COLUMNS:
                raise DatasetError(f"{path} is not FER+'s fer2013new.csv: it has other columns")
            votes = [tuple(float(row[name]) for name in FERPLUS) for row in islice(rows, count + 1)]
    except (ValueError, TypeError, csv.Error) as error:
        raise DatasetError(f"{path} is not FER+'s fer2013new.csv: {one_line(error)}") from error
    if len(votes) != count:
        number = f"{len(votes):,}" if len(votes) < count else "more"
        raise DatasetError(f"{path} has {number} rows, but the file with the images has {count:,}")
    return votes


def _soft_label(label: int, votes: Sequence[float], weight: float) -> tuple[float, ...] | None:
    """Return the mean of a label and of the votes for the emotions; None if there are no votes.

    Raises:
        UnusableRow: most annotators see none of the seven emotions.
    """
    if not votes:
        return None
    seen = votes[: len(EMOTIONS)]
    if sum(seen) * 2 <= sum(votes):
        raise UnusableRow("most annotators see none of the seven emotions")
    shares = (weight * each / sum(seen) for each in seen)
    return tuple(share + (1 - weight) * (number == label) for number, share in enumerate(shares))


def _convert_row(
    settings: DetectionOptions | None, votes_weight: float, row: DatasetRow
) -> LabelledFace | None:
    """Return the labelled face of a row; runs in a worker."""
    label = _parse_label(row.label)
    soft_label = _soft_label(label, row.votes, votes_weight)
    image = _parse_pixels(str(row.image))
    face = image if settings is None else bordered_face(image, settings)
    return None if face is None else LabelledFace(label, face, soft_label)


def _parse_label(text: str) -> int:
    try:
        label = int(float(text))  # pandas may have turned 0 into 0.0
    except (ValueError, OverflowError):
        raise UnusableRow(f"the emotion {text[:20]!r} is not a number") from None
    if label != float(text) or not 0 <= label < len(EMOTIONS):
        raise UnusableRow(f"the emotion {text[:20]} is not one of 0 to {len(EMOTIONS) - 1}")
    return label


def _parse_pixels(text: str) -> npt.NDArray[np.uint8]:
    """Return the image in `text`, uint8 of shape (48, 48)."""
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
    """Return the numbers in `text`: int64 if all consist of digits only, else float64."""
    if text.isascii() and text.replace(" ", "").isdigit():
        return np.fromstring(text, np.int64, sep=" ")  # ten times as fast as splitting
    return np.array(text.split(), np.float64)

"""RAF-DB's basic set: photo files and a list of labels."""

from __future__ import annotations

import functools
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from gudi.constants import EMOTIONS, SCALE_FACTOR
from gudi.detection import HAAR, note_slow_search
from gudi.errors import DatasetError
from gudi.media.source import Source
from gudi.progress import Progress
from gudi.settings import DetectionOptions
from gudi.training.prepare.csv_file import as_utf_8
from gudi.training.prepare.dataset_rows import (
    MAX_LINE,
    DatasetRow,
    LabelledFace,
    RowCounts,
    UnusableRow,
    check_usage,
    convert,
    describe_detection,
    labelled_photo,
    read_line,
    way_of_detection,
)
from gudi.training.prepare.faces_file import write_faces
from gudi.training.prepare.files import files_in

# RAF-DB's labels count from 1: surprise, fear, disgust, happiness, sadness, anger, neutral.
RAF_LABELS = tuple(
    EMOTIONS.index(name)
    for name in ("surprised", "fearful", "disgusted", "happy", "sad", "angry", "neutral")
)
RAF_LISTS = ("list_patition_label.txt", "list_partition_label.txt")  # the set's spelling first


def prepare_raf(
    folder: Path,
    out: Path,
    *,
    aligned: bool,
    detector: str = HAAR,
    scale_factor: float = SCALE_FACTOR,
    usage: Sequence[str] = (),
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[Path, RowCounts]:
    """Turn RAF-DB's basic set into the original's npy files.

    Args:
        folder: the set: `list_patition_label.txt` and the folder of the photos at any depth,
            unpacked or in archives.
        out: folder for the files.
        aligned: take the photos of `aligned/`, which are cropped to the face, as they are.
            Otherwise detect the largest face in those of `original/`.
        detector: `haar` or `cnn`. It is part of the file names.
        scale_factor: of Haar's detection. It is part of the file names.
        usage: which of `train` and `test` to take; both by default.
        workers, overwrite, progress: as for `prepare_fer`.

    Returns:
        The start of the files' paths, and the counts of the results.

    Raises:
        DatasetError: the folder is not RAF-DB's, or has no photo with a face.
        OutputError: `out` cannot be written to.
    """
    found_by, settings = way_of_detection(detector, scale_factor, whole=aligned)
    name = "raf_aligned_data" if aligned else f"{found_by}_raf_origin_data"
    progress = progress or Progress()
    if settings:
        note_slow_search(settings.detector, progress)
    listed, photos = _locate(folder, "aligned" if aligned else "original")
    counts = RowCounts()
    rows = list(_read_rows(listed, photos, "_aligned" if aligned else "", usage, counts.usages))
    check_usage(folder, usage, counts.usages)
    counts.rows = len(rows)
    converter = functools.partial(_convert_row, settings)
    faces = convert(rows, len(rows), converter, counts, workers, progress)
    about = {"source": str(folder), **describe_detection(settings), "usage": list(usage)}
    write_faces(out / name, faces, counts, about, overwrite=overwrite)
    return out / name, counts


def _locate(folder: Path, photos: str) -> tuple[Source, Mapping[str, Source]]:
    """Return the list of RAF-DB's basic set, and the files of its folder `photos` by name.

    Args:
        folder: the set: a folder or an archive, with or without further archives in it.
        photos: `aligned` or `original`.
    """
    listed, found = None, dict[str, Source]()
    try:
        for parts, source in files_in(Source.of(folder)):
            if parts[-1] in RAF_LISTS:
                listed = listed or source
            elif photos in parts[:-1]:
                found.setdefault(parts[-1], source)
    except OSError as error:
        raise DatasetError(f"cannot read {folder}: {error.strerror}") from error
    if listed is None or not found:
        missing = RAF_LISTS[0] if listed is None else f"{photos}/"
        raise DatasetError(
            f"{folder} is not the basic set of RAF-DB: it contains no {missing}, not even packed"
        )
    return listed, found


def _read_rows(
    listed: Source,
    photos: Mapping[str, Source],
    suffix: str,
    usage: Sequence[str],
    usages: Counter[str],
) -> Iterator[DatasetRow]:
    """Yield the rows of RAF-DB's list, which has lines such as "train_00001.jpg 5".

    Args:
        listed: the list, in UTF-8 or UTF-16, with the line ends of any system.
        photos: the photos by name.
        suffix: of the photo files' names, before the extension.
        usage: the parts of the set to yield; all if it is empty.
        usages: counts the lines by usage.
    """
    with listed.open() as raw, as_utf_8(io.BufferedReader(raw)) as file:  # type: ignore[arg-type]
        number = 0
        while line := read_line(file):
            number += 1
            cells = line.split()
            where = f"{listed.name}, line {number}"
            if not cells:
                continue
            if len(cells) != 2 or len(line) >= MAX_LINE:
                yield DatasetRow(where, problem="it is not a file name and a number")
                continue
            part = cells[0].partition("_")[0]
            usages[part] += 1
            if not usage or part in usage:
                name = PurePath(cells[0])
                photo = photos.get(f"{name.stem}{suffix}{name.suffix}")
                problem = "" if photo else "there is no such photo"
                yield DatasetRow(cells[0], cells[1], photo or "", problem=problem)


def _convert_row(settings: DetectionOptions | None, row: DatasetRow) -> LabelledFace | None:
    """Return the labelled face of a photo; runs in a worker."""
    if row.label not in map(str, range(1, len(RAF_LABELS) + 1)):
        raise UnusableRow(f"the label {row.label[:20]!r} is not one of 1 to {len(RAF_LABELS)}")
    label = RAF_LABELS[int(row.label) - 1]
    return labelled_photo(label, row.image, settings)

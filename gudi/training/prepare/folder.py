"""Labelled photos as most data sets lie on disk: a folder per emotion, or a table of labels."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gudi.constants import EMOTIONS, SCALE_FACTOR
from gudi.detection import HAAR, note_slow_search
from gudi.errors import DatasetError, InputError, UsageError, one_line
from gudi.media.find import PHOTO_SUFFIXES
from gudi.media.lists import read_list
from gudi.media.source import Source
from gudi.progress import Progress
from gudi.settings import DetectionOptions
from gudi.training.prepare.dataset_rows import (
    DatasetRow,
    LabelledFace,
    RowCounts,
    check_usage,
    convert,
    describe_detection,
    labelled_photo,
    way_of_detection,
)
from gudi.training.prepare.faces_file import write_faces
from gudi.training.prepare.files import ARCHIVE_SUFFIX, files_in
from gudi.training.prepare.raf import RAF_LABELS

# What data sets call the original's emotions, besides their names here.
SYNONYMS = {
    "anger": "angry",
    "disgust": "disgusted",
    "fear": "fearful",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprise": "surprised",
}

# RAF-DB as Kaggle hands it out has folders 1 to 7, and these tables of the same labels.
RAF_TABLES = {"train_labels.csv", "test_labels.csv"}
RAF_NUMBERS = {str(number): EMOTIONS[label] for number, label in enumerate(RAF_LABELS, 1)}

# The parts of a set, by the names of their folders.
USAGES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}

LABEL_COLUMNS = ("label", "emotion", "class")  # the first one that a table has

MAX_TABLE = 2**28  # bytes


def prepare_folder(
    path: Path,
    out: Path,
    *,
    detector: str = HAAR,
    scale_factor: float = SCALE_FACTOR,
    whole: bool = False,
    emotions: Sequence[str] = EMOTIONS,
    labels: Mapping[str, str] | None = None,
    usage: Sequence[str] = (),
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[Path, RowCounts]:
    """Turn labelled photos into npy files as the original's.

    Args:
        path: a folder or an archive with a folder per emotion, or a table: see `folder_faces`.
        out: folder for `sf=1.1_folder_data_images.npy`, float64 of shape (n, 48, 48), 0 to 1, and
            `sf=1.1_folder_data_labels.npy`, float64 of shape (n, classes), one-hot.
        emotions, labels, usage, workers, progress: see `folder_faces`.
        detector, scale_factor, whole, overwrite: as for `prepare_fer`.

    Returns:
        The start of the files' paths, and the counts of the results.

    Raises:
        DatasetError: a label is unknown, or there is no photo with a face.
        OutputError: `out` cannot be written to.
    """
    name, settings = way_of_detection(detector, scale_factor, whole=whole)
    prefix, counts = out / f"{name}_folder_data", RowCounts(tuple(emotions))
    faces = folder_faces(
        path,
        counts,
        settings=settings,
        labels=labels,
        usage=usage,
        workers=workers,
        progress=progress,
    )
    about = {"source": str(path), **describe_detection(settings), "usage": list(usage)}
    write_faces(prefix, faces, counts, about, overwrite=overwrite)
    return prefix, counts


def folder_faces(
    path: Path,
    counts: RowCounts,
    *,
    settings: DetectionOptions | None,
    labels: Mapping[str, str] | None = None,
    usage: Sequence[str] = (),
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[LabelledFace]:
    """Yield the labelled faces of photos, in the order of their paths or of the table.

    Args:
        path: a folder, or a ZIP or tar archive, in which each photo lies in a folder with the
            name of its emotion, at any depth; or a csv file with the columns path and label.
        counts: its `emotions` are the classes; counts the results.
        settings: how the largest face is detected; None takes the photos as they are.
        labels: emotions by the names that the set has for them, besides those of `SYNONYMS`; "" for
            those whose photos are left out.
        usage: the parts to take, of `train`, `validation` and `test`, which are folders further
            up; all by default.
        workers: processes; None for one per CPU.
        progress: reports progress.

    Raises:
        DatasetError: it cannot be read, or a label is unknown.
        UsageError: `labels` names an emotion that is no class.
    """
    progress = progress or Progress()
    if settings:
        note_slow_search(settings.detector, progress)
    for name, emotion in (labels or {}).items():
        if emotion and emotion not in counts.emotions:
            raise UsageError(
                f"--label {one_line(name)}={one_line(emotion)}: the emotion must be one of "
                f"{', '.join(counts.emotions)}"
            )
    given: Mapping[str, str]
    if path.is_file() and not ARCHIVE_SUFFIX.search(path.name):
        if usage:
            raise DatasetError(f"{path} is a table, which has no parts such as {usage[0]}")
        rows, given = list(_table_rows(path)), SYNONYMS
    else:
        rows, given = _folder_rows(Source.of(path))
    meanings = {**given, **{name: name for name in counts.emotions}, **(labels or {})}
    known = {name.casefold(): emotion for name, emotion in meanings.items()}
    _check_labels(path, rows, known, counts.emotions)
    counts.usages.update(row.usage for row in rows)
    check_usage(path, usage, counts.usages)
    rows = [each for each in rows if not usage or each.usage in usage]
    rows = [each for each in rows if known[each.label.casefold()]]
    counts.rows = len(rows)
    classes = {
        name: counts.emotions.index(each) for name, each in known.items() if each in counts.emotions
    }
    converter = functools.partial(_convert_row, settings, classes)
    return convert(rows, len(rows), converter, counts, workers, progress)


def _folder_rows(source: Source) -> tuple[list[DatasetRow], Mapping[str, str]]:
    """Return the photos in folders, and what names mean in this set."""
    rows, known = [], SYNONYMS
    try:
        for parts, found in files_in(source):
            if parts[-1] in RAF_TABLES:
                known = SYNONYMS | RAF_NUMBERS
            elif found.suffix in PHOTO_SUFFIXES and not parts[-1].startswith("."):
                label = parts[-2] if len(parts) > 1 else ""
                above = (USAGES.get(part.casefold()) for part in reversed(parts[:-2]))
                usage = next(filter(None, above), "")
                rows.append(DatasetRow("/".join(parts), label, found, usage))
    except OSError as error:
        raise DatasetError(f"cannot read {source.path}: {error.strerror}") from error
    if not rows:
        raise DatasetError(f"{source.path} has no photos: put them in a folder per emotion")
    return sorted(rows, key=lambda row: row.where), known


def _table_rows(path: Path) -> Iterator[DatasetRow]:
    """Yield the photos of a csv file with the columns path and label."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TABLE + 1)
        if len(data) > MAX_TABLE:
            raise DatasetError(f"{path} has more than {MAX_TABLE:,} bytes")
        for each in read_list(data, str(path), str(path.parent)):
            names = {name.casefold(): name for name in each.extra}
            column = next((names[name] for name in LABEL_COLUMNS if name in names), None)
            if column is None:
                raise DatasetError(f"{path} must have the columns path and label")
            yield DatasetRow(each.where, each.extra[column].strip(), Source.of(each.path))
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    except InputError as error:
        raise DatasetError(str(error)) from error


def _check_labels(
    path: Path, rows: Sequence[DatasetRow], known: Mapping[str, str], emotions: Sequence[str]
) -> None:
    """Raise `DatasetError` if a label stands for none of `emotions`."""
    labels = dict.fromkeys(row.label for row in rows)
    unknown = [name for name in labels if known.get(name.casefold()) not in ("", *emotions)]
    if unknown:
        listed = ", ".join(one_line(name)[:60] or "no label" for name in unknown[:5])
        raise DatasetError(
            f"{path} has labels that are none of {', '.join(emotions)}: {listed}; say what they "
            "mean with --label NAME=EMOTION, leave them out with --label NAME=, or give other "
            "--emotions"
        )


def _convert_row(
    settings: DetectionOptions | None, classes: Mapping[str, int], row: DatasetRow
) -> LabelledFace | None:
    """Return the labelled face of a photo; runs in a worker."""
    return labelled_photo(classes[row.label.casefold()], row.image, settings)

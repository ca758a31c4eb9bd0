"""Faces with labels, in the npy files that the original uses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gudi.constants import EMOTIONS, FACE_SIZE, SCALE_FACTOR
from gudi.errors import DatasetError, UsageError, one_line
from gudi.predictor import UNIT
from gudi.settings import check_emotions

IMAGES, LABELS = "_images.npy", "_labels.npy"

CHUNK = 4096  # faces that are converted at a time

# Values that differ by less than this from whole grey levels count as these.
MAX_ROUNDING = 1e-3

MAX_SUMMARY = 2**24  # bytes

Indices = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int64]
SoftLabels = npt.NDArray[np.float32]

# How far the sum of a soft label may be from 1.
MAX_DEVIATION = 1e-3


@dataclass(frozen=True)
class Dataset:
    """Faces and their emotions.

    Attributes:
        faces: uint8 of shape (n, 48, 48), 0-255; or float32, 0 to 1, if the file has values that
            are not multiples of 1/255.
        labels: int64 of shape (n,), indices of classes; of a soft label, the most probable one.
        soft_labels: float32 of shape (n, classes), 0 to 1, rows sum to 1; None if each face has
            one emotion.
        classes: number of emotions.
    """

    faces: npt.NDArray[np.uint8] | npt.NDArray[np.float32]
    labels: Labels
    soft_labels: SoftLabels | None = None
    classes: int = len(EMOTIONS)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all faces and labels, in hexadecimal."""
        digest = hashlib.sha256(str(self.faces.dtype).encode())
        digest.update(np.ascontiguousarray(self.faces).data)
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").data)
        if self.soft_labels is not None:
            digest.update(np.ascontiguousarray(self.soft_labels, dtype="<f4").data)
        return digest.hexdigest()

    def targets(self, chosen: Indices | slice = slice(None)) -> SoftLabels:
        """Return the labels with the indices `chosen` as float32 of shape (n, classes)."""
        if self.soft_labels is not None:
            return self.soft_labels[chosen]
        return np.eye(self.classes, dtype=np.float32)[self.labels[chosen]]

    def part(self, chosen: Indices) -> Dataset:
        """Return the faces with the indices `chosen` as a data set."""
        soft_labels = None if self.soft_labels is None else self.soft_labels[chosen]
        return Dataset(self.faces[chosen], self.labels[chosen], soft_labels, self.classes)

    def unit(self, chosen: Indices) -> npt.NDArray[np.float32]:
        """Return the faces with the indices `chosen`, float32 of shape (n, 48, 48), 0 to 1."""
        faces = self.faces[chosen]
        return (UNIT[faces] if faces.dtype == np.uint8 else faces).astype(np.float32, copy=False)

    def grey(self, chosen: Indices | slice) -> npt.NDArray[np.uint8]:
        """Return the faces `chosen` as grey levels, uint8 of shape (n, 48, 48)."""
        faces = self.faces[chosen]
        return (faces if faces.dtype == np.uint8 else np.rint(faces * 255)).astype(
            np.uint8, copy=False
        )


def load(path: Path, classes: int = len(EMOTIONS)) -> Dataset:
    """Read the data set at `path`.

    Args:
        path: a folder, one of the two files, or the start of their paths. Of a folder, the set
            `sf=1.1_data` is read, or the only one in it.
        classes: number of columns that the labels must have.

    Raises:
        DatasetError: there is no data set, or it cannot be used.
    """
    prefix = _prefix(path)
    images_path, labels_path = npy_paths(prefix)
    if not images_path.parent.is_dir() or not (images_path.exists() or labels_path.exists()):
        missing = "the folder has no" if path.is_dir() else "there is neither a folder nor"
        raise DatasetError(
            f"no data set at {path}: {missing} {images_path.name}; create one from fer2013.csv or "
            "RAF-DB with gudi prepare"
        )
    images, labels = _map(images_path), _map(labels_path)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    _check_images(images, images_path)
    _check_labels(labels, (len(images), classes), labels_path)
    soft = not np.isin(labels, (0, 1)).all()
    return Dataset(
        _compact(images, images_path),
        np.argmax(labels, axis=1).astype(np.int64),
        np.array(labels, np.float32) if soft else None,
        classes,
    )


def emotions_of(path: Path) -> tuple[str, ...]:
    """Return the names of the classes of the data set at `path`, as `gudi prepare` wrote them.

    Without that record, they are the original's.

    Raises:
        DatasetError: the record cannot be read.
    """
    prefix = _prefix(path)
    summary = prefix.with_name(f"{prefix.name}.json")
    try:
        with summary.open("rb") as file:
            content = json.loads(file.read(MAX_SUMMARY))
        return check_emotions(list(content.get("classes", EMOTIONS)))
    except FileNotFoundError:
        return EMOTIONS
    except (OSError, ValueError, AttributeError, TypeError, UsageError) as error:
        raise DatasetError(f"cannot read {summary}: {one_line(error)}") from error


def join(sets: Sequence[Dataset]) -> Dataset:
    """Return the faces of all `sets`, which have the same classes, in this order."""
    if len(sets) == 1:
        return sets[0]
    if len({each.faces.dtype for each in sets}) > 1:
        sets = [replace(each, faces=each.unit(np.arange(len(each.labels)))) for each in sets]
    soft = any(each.soft_labels is not None for each in sets)
    return Dataset(
        np.concatenate([each.faces for each in sets]),
        np.concatenate([each.labels for each in sets]),
        np.concatenate([each.targets() for each in sets]) if soft else None,
        sets[0].classes,
    )


def split(data: Dataset) -> tuple[Dataset, Dataset]:
    """Return training and validation faces, nine tenths and one tenth, as the original does."""
    from sklearn.model_selection import train_test_split

    count = len(data.labels)
    if count < 10:
        raise DatasetError(f"{count} faces are too few: a tenth of them must be held back")
    kept, held_back = train_test_split(np.arange(count), test_size=0.1, random_state=42)
    return data.part(kept), data.part(held_back)


def npy_paths(prefix: Path) -> tuple[Path, Path]:
    """Return the paths of the faces and of the labels of the data set `prefix`."""
    return prefix.with_name(prefix.name + IMAGES), prefix.with_name(prefix.name + LABELS)


def _prefix(path: Path) -> Path:
    """Return the common prefix of the two files of the data set at `path`."""
    if path.is_dir():
        return path / _set_in(path)
    if path.name.endswith((IMAGES, LABELS)):
        return path.with_name(path.name[: -len(IMAGES)])
    return path


def _set_in(folder: Path) -> str:
    """Return the common prefix of the names of the data set's files in `folder`."""
    usual = f"sf={SCALE_FACTOR}_data"
    names = sorted(path.name[: -len(IMAGES)] for path in folder.glob(f"*{IMAGES}"))
    if usual in names or not names:
        return usual
    if len(names) > 1:
        raise DatasetError(
            f"{folder} holds several data sets; name one of them, such as {folder / names[0]} (or "
            f"{', '.join(names[1:4])})"
        )
    return names[0]


def _map(path: Path) -> npt.NDArray[Any]:
    """Map the npy file at `path`. Pickled objects are refused."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is an archive of several arrays")
        return array
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing; gudi prepare writes both files") from None
    except Exception as error:  # NumPy raises many types for a damaged header
        raise DatasetError(f"cannot read {path} as an npy file: {one_line(error)}") from error


def _check_images(images: npt.NDArray[Any], path: Path) -> None:
    size = (FACE_SIZE, FACE_SIZE)
    if images.ndim != 3 or images.shape[1:] != size or images.dtype.kind not in "fu":
        raise DatasetError(
            f"{path} holds {images.dtype} of shape {images.shape}, not (n, 48, 48) faces"
        )
    if len(images) == 0:
        raise DatasetError(f"{path} holds no faces")


def _check_labels(labels: npt.NDArray[Any], shape: tuple[int, int], path: Path) -> None:
    if labels.shape != shape:
        raise DatasetError(
            f"{path} has the shape {labels.shape}, not {shape}: one row per face, one column per "
            "emotion"
        )
    if labels.dtype.kind not in "fuib" or not (
        ((labels >= 0) & (labels <= 1)).all()
        and (np.abs(labels.sum(axis=1) - 1) <= MAX_DEVIATION).all()
    ):
        raise DatasetError(f"{path} holds no labels: each row must be 0 to 1 and sum to 1")


def _compact(
    images: npt.NDArray[Any], path: Path
) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    """Return `images` as uint8 if that loses nothing, else as float32."""
    if images.dtype == np.uint8:
        return np.array(images)
    exact, compact = True, np.empty(images.shape, np.uint8)
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK] * 255.0
        if not (np.isfinite(part).all() and part.min() > -0.5 and part.max() < 255.5):
            raise DatasetError(f"{path} holds values that are not between 0 and 1")
        compact[start : start + CHUNK] = np.rint(part)
        rounding = np.abs(part - compact[start : start + CHUNK]).max()
        exact = exact and bool(rounding < MAX_ROUNDING)
    return compact if exact else np.array(images, np.float32)

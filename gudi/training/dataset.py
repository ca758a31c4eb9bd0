"""Faces with labels, as the npy files in which the original kept them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gudi.constants import EMOTIONS, FACE_SIZE, SCALE_FACTOR
from gudi.errors import DatasetError, one_line
from gudi.predictor import UNIT

CHUNK = 4096  # faces that are converted at a time


@dataclass(frozen=True)
class Dataset:
    """Faces and what they show.

    Attributes:
        faces: uint8 of shape (n, 48, 48), 0-255; or float32, 0 to 1, where the source holds values
            that are no 255ths.
        labels: int64 of shape (n,), places in the list of classes.
    """

    faces: np.ndarray
    labels: np.ndarray

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all faces and labels, in hexadecimal."""
        digest = hashlib.sha256(str(self.faces.dtype).encode())
        digest.update(np.ascontiguousarray(self.faces).data)
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").data)
        return digest.hexdigest()

    def unit(self, chosen: np.ndarray) -> np.ndarray:
        """Return the faces with the numbers `chosen`, float32 of shape (n, 48, 48), 0 to 1."""
        chosen_faces = self.faces[chosen]
        return UNIT[chosen_faces] if chosen_faces.dtype == np.uint8 else chosen_faces

    def grey(self, chosen: np.ndarray | slice) -> np.ndarray:
        """Return the faces `chosen` as grey levels, uint8 of shape (n, 48, 48)."""
        chosen_faces = self.faces[chosen]
        if chosen_faces.dtype == np.uint8:
            return chosen_faces
        return np.rint(chosen_faces * 255).astype(np.uint8)


def load(path: Path, classes: int = len(EMOTIONS)) -> Dataset:
    """Read the data set at `path`: a folder, or what the names of the two files begin with.

    In a folder `sf=1.1_data_images.npy` and `sf=1.1_data_labels.npy` are meant, or the only set
    that is there.

    Raises:
        DatasetError: it is not there, or not a data set.
    """
    given = path
    if path.is_dir():
        path = path / _set_in(path)
    elif path.name.endswith(("_images.npy", "_labels.npy")):
        path = path.with_name(path.name[: -len("_images.npy")])
    images_path, labels_path = file_names(path)
    if not images_path.parent.is_dir() or not (images_path.exists() or labels_path.exists()):
        raise DatasetError(
            f"no data set at {given}: "
            + ("the folder has no " if given.is_dir() else "neither a folder nor ")
            + f"{images_path.name}; gudi prepare makes one, from fer2013.csv or RAF-DB"
        )
    images, labels = _array(images_path), _array(labels_path)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    size = (FACE_SIZE, FACE_SIZE)
    if images.ndim != 3 or images.shape[1:] != size or images.dtype.kind not in "fu":
        raise DatasetError(
            f"{images_path} holds {images.dtype} of shape {images.shape}, not (n, 48, 48) faces"
        )
    if len(images) == 0:
        raise DatasetError(f"{images_path} holds no faces")
    if labels.shape != (len(images), classes):
        raise DatasetError(
            f"{labels_path} has the shape {labels.shape}, not ({len(images)}, {classes}): a "
            "row for each face, a column for each emotion"
        )
    if labels.dtype.kind not in "fuib" or not (
        np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()
    ):
        raise DatasetError(f"{labels_path} is not one-hot: one 1 a row, everything else 0")
    return Dataset(_compact(images, images_path), np.argmax(labels, axis=1).astype(np.int64))


def join(sets: Sequence[Dataset]) -> Dataset:
    """Return the faces of all `sets`, one after the other."""
    if len(sets) == 1:
        return sets[0]
    if len({each.faces.dtype for each in sets}) > 1:
        sets = [Dataset(each.unit(np.arange(len(each.labels))), each.labels) for each in sets]
    return Dataset(
        np.concatenate([each.faces for each in sets]),
        np.concatenate([each.labels for each in sets]),
    )


def split(data: Dataset) -> tuple[Dataset, Dataset]:
    """Return training and validation faces, a tenth for the latter, as the original splits them."""
    from sklearn.model_selection import train_test_split

    if len(data.labels) < 10:
        raise DatasetError(f"{len(data.labels)} faces are too few to hold a tenth of them back")
    kept, held_back = train_test_split(np.arange(len(data.labels)), test_size=0.1, random_state=42)
    return Dataset(data.faces[kept], data.labels[kept]), Dataset(
        data.faces[held_back], data.labels[held_back]
    )


def _set_in(folder: Path) -> str:
    """Return what the names of the files of the data set in `folder` begin with."""
    usual = f"sf={SCALE_FACTOR}_data"
    there = sorted(path.name[: -len("_images.npy")] for path in folder.glob("*_images.npy"))
    if usual in there or not there:
        return usual
    if len(there) > 1:
        raise DatasetError(
            f"{folder} holds several data sets: name one of them, {folder / there[0]} say, or "
            + ", ".join(there[1:4])
        )
    return there[0]


def file_names(prefix: Path) -> tuple[Path, Path]:
    """Return where the faces and the labels of the data set `prefix` are."""
    return tuple(prefix.with_name(f"{prefix.name}_{part}.npy") for part in ("images", "labels"))


def _array(path: Path) -> np.ndarray:
    """Map the npy file at `path`; objects in it, which would have to be unpickled, are refused."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is an archive of several arrays")
        return array
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing; gudi prepare writes both files") from None
    except Exception as error:  # whatever NumPy makes of a header that means nothing
        raise DatasetError(f"{path} cannot be read as an npy file: {one_line(error)}") from error


def _compact(images: np.ndarray, path: Path) -> np.ndarray:
    """Return `images` as uint8 where that loses nothing, else as float32."""
    if images.dtype == np.uint8:
        return np.array(images)
    exact, compact = True, np.empty(images.shape, np.uint8)
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK] * 255.0
        if not (np.isfinite(part).all() and part.min() > -0.5 and part.max() < 255.5):
            raise DatasetError(f"{path} holds values that are not between 0 and 1")
        compact[start : start + CHUNK] = np.rint(part)
        exact = exact and np.abs(part - compact[start : start + CHUNK]).max() < 1e-3
    return compact if exact else np.array(images, np.float32)

"""Write labelled faces to the original's two npy files, or collect them in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from gudi.constants import FACE_SIZE
from gudi.errors import DatasetError, OutputError
from gudi.files import check_writable, npy_file, write_errors, write_json
from gudi.training.dataset import Dataset, npy_paths
from gudi.training.prepare.dataset_rows import LabelledFace, RowCounts


def write_faces(
    prefix: Path,
    faces: Iterable[LabelledFace],
    counts: RowCounts,
    settings: dict[str, Any],
    *,
    overwrite: bool,
) -> None:
    """Write `faces` to npy files as they are generated, and a summary to a JSON file.

    All three files appear complete, or none of them.

    Args:
        prefix: start of the files' paths.
        faces: the faces.
        counts: filled while `faces` is consumed.
        settings: the first entries of the summary; `source` names the data set.
        overwrite: replace files of these names.

    Raises:
        DatasetError: there are no faces.
        OutputError: the files exist already, or cannot be written.
    """
    check_writable(prefix.parent)
    paths = npy_paths(prefix)
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        raise OutputError(f"{existing[0]} already exists; replace it with --overwrite")
    one_hot = np.eye(len(counts.emotions))
    with write_errors(prefix):
        prefix.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            add_image, add_label = (
                stack.enter_context(npy_file(path, shape))
                for path, shape in zip(paths, ((FACE_SIZE, FACE_SIZE), one_hot.shape[:1]))
            )
            for label, face, soft_label in faces:
                add_image(face / 255.0)
                add_label(one_hot[label] if soft_label is None else np.array(soft_label))
            if not counts.faces:
                raise _no_faces(settings["source"], counts)
        summary = settings | {
            "rows": counts.rows,
            "faces": counts.faces,
            "no_face": counts.no_face,
            "rejected": counts.rejected,
            "classes": {name: counts.classes[name] for name in counts.emotions},
            "reasons": counts.reasons,
        }
        write_json(prefix.with_name(f"{prefix.name}.json"), summary)


def _no_faces(source: str, counts: RowCounts) -> DatasetError:
    first = f" (first: {counts.reasons[0]})" if counts.reasons else ""
    return DatasetError(
        f"{source} has no usable rows with a face: {counts.no_face} show no face, "
        f"{counts.rejected} are unusable{first}"
    )


def collect(faces: Iterable[LabelledFace], classes: int) -> Dataset:
    """Return `faces` of so many classes as a data set in memory, about 2 kB per face."""
    labels, images = [], []
    for label, face, _ in faces:
        labels.append(label)
        images.append(face)
    return Dataset(
        np.array(images, np.uint8).reshape(-1, FACE_SIZE, FACE_SIZE),
        np.array(labels, np.int64),
        classes=classes,
    )

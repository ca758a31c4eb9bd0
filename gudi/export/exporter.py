"""Convert the network of a checkpoint, and check the result before it is published.

Both forms are built from the weights. What was written is loaded again and must predict the same as
TFLearn's network or, where TensorFlow is not installed, as gudi's network for ONNX Runtime.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gudi.checkpoint import load, weight_shapes
from gudi.constants import EMOTIONS, FACE_SIZE
from gudi.engines.engine import AUTO, TENSORFLOW, without_idle_units
from gudi.errors import OutputError, UsageError
from gudi.export import onnx_file, saved_model
from gudi.export.interface import Array, Interface
from gudi.files import TEMPORARY_PREFIX, check_parent, check_replaceable, write_errors
from gudi.packages import has_tensorflow
from gudi.predictor import Predictor
from gudi.progress import Progress

ONNX, SAVED_MODEL = "onnx", "savedmodel"
FORMS = {ONNX: onnx_file, SAVED_MODEL: saved_model}

# The largest accepted difference between a probability and gudi's own.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Exported:
    """A network that was exported.

    Attributes:
        path: the file or folder.
        emotions: the names of its outputs.
        idle_units: the number of hidden units that were left out because they have no effect.
        checked_with: the software that ran it for the comparison.
        faces: the number of images in the comparison.
        difference: the largest difference between a probability and gudi's own.
        engine: what computed gudi's own, `tensorflow` if it is installed.
    """

    path: Path
    emotions: tuple[str, ...]
    idle_units: int
    checked_with: str
    faces: int
    difference: float
    engine: str


def export(
    out: Path,
    checkpoint: str | os.PathLike[str] | None = None,
    *,
    form: str | None = None,
    dtype: str = "uint8",
    emotions: Sequence[str] = EMOTIONS,
    network: int | None = None,
    mirror: bool | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write the network of a checkpoint to `out`, completely or not at all.

    Args:
        out: the ONNX file, or the folder of the SavedModel.
        checkpoint, emotions, network, mirror: as `gudi.predictor.Predictor` takes them.
        form: `onnx` or `savedmodel`; None to go by the suffix of `out`.
        dtype: the type of the network's input, `uint8` (0 to 255) or `float32` (0 to 1).
        overwrite: whether to replace an ONNX file or a SavedModel.
        progress: receives notes for the user.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        OutputError: `out` already exists, cannot be written, or would predict something else.
        UsageError: the suffix of `out` does not determine the form.
        GudiError: the package that the form needs is not installed.
    """
    form = form or _form_by_suffix(out)
    FORMS[form].check_installed()
    _check_replaceable(out, form, overwrite)
    check_parent(out)
    weights = load(checkpoint, emotions, network)
    weights.note_recovery(progress)
    values = without_idle_units(weights.values)
    mirror = weights.mirror if mirror is None else mirror
    interface = Interface(tuple(emotions), dtype, weights.fingerprint, mirror)
    faces = _sample_faces()
    engine = TENSORFLOW if has_tensorflow() else AUTO
    with Predictor(weights, "cpu", len(faces), emotions, mirror=mirror, engine=engine) as predictor:
        expected, engine = predictor.predict(faces), predictor.engine
    with write_errors(out):
        try:
            with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=out.parent) as scratch:
                staged = Path(scratch) / form
                FORMS[form].write(staged, values, interface)
                found, checked_with = FORMS[form].predict(staged, interface.convert(faces))
                difference = _compare(out, found, expected)
                _check_replaceable(out, form, overwrite)
                _publish(staged, out)
        except UnicodeError as error:
            raise OutputError(
                f"cannot write {out}: TensorFlow accepts only names in UTF-8"
            ) from error
    idle = weight_shapes()["FullyConnected/b"][0] - len(values["FullyConnected/b"])
    return Exported(out, interface.emotions, idle, checked_with, len(faces), difference, engine)


def _form_by_suffix(out: Path) -> str:
    """Return the form by the suffix of `out`."""
    forms = {".onnx": ONNX, "": SAVED_MODEL}
    if out.suffix.lower() not in forms:
        raise UsageError(
            f"{out}: the suffix {out.suffix} stands for no format; use .onnx (for phones, too: see "
            "docs/phone.md), or no suffix for a SavedModel, or choose with "
            f"--format {ONNX} or --format {SAVED_MODEL}"
        )
    return forms[out.suffix.lower()]


def _check_replaceable(out: Path, form: str, overwrite: bool) -> None:
    """Raise `OutputError` unless `out` is free, or has the same form and may be replaced."""
    if not os.path.lexists(out) or (form == SAVED_MODEL and _is_empty_folder(out)):
        return
    check_replaceable(out, overwrite=overwrite)
    if form == ONNX and not out.is_file():
        raise OutputError(f"{out} is not a file, so it is not replaced; choose another name")
    if form == SAVED_MODEL and not saved_model.is_saved_model(out):
        raise OutputError(
            f"{out} is not a SavedModel, or contains other files, so it is not replaced; choose "
            "another name"
        )


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _sample_faces() -> npt.NDArray[np.uint8]:
    """Return images to compare networks with, uint8 of shape (16, 48, 48).

    They are coarse and fine patterns with all grey levels, so that the predictions differ.
    """
    random = np.random.default_rng(0)
    patterns = [
        np.kron(
            random.integers(0, 256, (4, cells, cells), np.uint8),
            np.ones((1, FACE_SIZE // cells, FACE_SIZE // cells), np.uint8),
        )
        for cells in (4, 8, 16, FACE_SIZE)
    ]
    return np.concatenate(patterns)


def _compare(out: Path, found: Array, expected: Array) -> float:
    """Return the largest difference; raise `OutputError` if it is too large."""
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:  # also if it is NaN
        raise OutputError(
            f"{out} was not written: its probabilities would differ from gudi's own by up to "
            f"{difference:.2g}"
        )
    return difference


def _publish(staged: Path, out: Path) -> None:
    """Move `staged` to `out`, and a folder that it replaces to the folder of `staged`."""
    if not out.is_dir():
        os.replace(staged, out)
        return
    old = staged.with_name("old")
    os.rename(out, old)
    try:
        os.rename(staged, out)
    except BaseException:
        os.rename(old, out)
        raise

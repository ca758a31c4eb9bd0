"""Temperature scaling: make the probabilities match the observed accuracy."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from gudi.checkpoint import load
from gudi.errors import DatasetError
from gudi.predictor import Predictor
from gudi.training.dataset import Dataset

# A temperature outside of this range means that the labels have nothing to do with the faces.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.2, 5.0

# Probabilities are rounded to float32, so the smallest may be 0.
SMALLEST = 1e-30


def find_temperature(
    checkpoint: str | os.PathLike[str] | None,
    data: Dataset,
    *,
    network: int | None = None,
    mirror: bool | None = None,
) -> float:
    """Return the temperature by which to divide the logits (Guo et al. 2017).

    It minimises the mean cross-entropy with the labels. It changes no decision, except that the
    mean for a face and its mirror image may change if the two disagree.

    Args:
        checkpoint, network, mirror: as `gudi.Predictor` takes them.
        data: labelled faces that the checkpoint was not trained with.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        DatasetError: the labels do not fit the predictions at all.
    """
    weights = load(checkpoint, network=network)
    faces = data.grey(slice(None))
    with Predictor(weights, mirror=False) as predictor:
        views = [predictor.predict(faces)]
        if weights.mirror if mirror is None else mirror:
            views.append(predictor.predict(np.ascontiguousarray(faces[:, :, ::-1])))
    return _best_temperature(np.log(np.maximum(views, SMALLEST, dtype=np.float64)), data.targets())


def _best_temperature(logits: npt.NDArray[np.float64], targets: npt.NDArray[np.float32]) -> float:
    """Return the temperature with the lowest cross-entropy.

    Args:
        logits: of shape (views, n, classes); the probabilities of all views are averaged.
        targets: of shape (n, classes), rows sum to 1.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import softmax

    def cross_entropy(temperature: float) -> float:
        probabilities = softmax(logits / temperature, axis=-1).mean(axis=0)
        return -float((targets * np.log(np.maximum(probabilities, SMALLEST))).sum(axis=1).mean())

    bounds = (MIN_TEMPERATURE, MAX_TEMPERATURE)
    best = float(minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x)
    if not MIN_TEMPERATURE * 1.01 < best < MAX_TEMPERATURE * 0.99:
        raise DatasetError("the labels do not fit what the checkpoint predicts for these faces")
    return best

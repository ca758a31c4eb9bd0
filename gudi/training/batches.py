"""The batches that the network is trained with: faces and targets."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from gudi.predictor import Predictor
from gudi.progress import Progress
from gudi.training.augment import augment, corrupt
from gudi.training.dataset import Dataset
from gudi.training.training_settings import TrainingSettings

# Batches that are prepared while the network trains on another one.
BATCHES_AHEAD = 4

Batch = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


def epoch_order(data: Dataset, settings: TrainingSettings, epoch: int) -> npt.NDArray[np.int64]:
    """Return the indices of the faces in the order in which `epoch` shows them."""
    random = np.random.default_rng((settings.seed, epoch))
    count = len(data.labels)
    copies = np.floor(_wanted_copies(data, settings) + random.random(count)).astype(int)
    return random.permutation(np.repeat(np.arange(count), copies))


def _wanted_copies(data: Dataset, settings: TrainingSettings) -> npt.NDArray[np.float64]:
    """Return how often an epoch should show each face, on average."""
    counts = np.bincount(data.labels)
    wanted: npt.NDArray[np.float64] = counts.max() / np.maximum(counts, 1)
    wanted = wanted[data.labels] ** settings.balance
    if settings.sample_weight:
        wanted *= data.targets().max(axis=1) ** settings.sample_weight
    return wanted


def class_prior(data: Dataset, settings: TrainingSettings) -> npt.NDArray[np.float32] | None:
    """Return the factors of predictions in training, see `gudi.network.build_trainer`.

    They are the frequency of each class among the faces that an epoch shows, to the power of
    `settings.logit_adjustment`; None if that is 0.
    """
    if not settings.logit_adjustment:
        return None
    copies = _wanted_copies(data, settings)
    frequencies = copies @ data.targets() / copies.sum()
    # A class without any face must not make the loss infinite.
    prior = np.maximum(frequencies, 1e-6) ** settings.logit_adjustment
    return np.asarray(prior, np.float32)


def teacher_predictions(
    settings: TrainingSettings, data: Dataset, progress: Progress
) -> npt.NDArray[np.float32]:
    """Return the mean prediction of the teachers in `settings` for each face and its mirror image.

    Returns:
        Probabilities, float32 of shape (n, classes).
    """
    sums = np.zeros((len(data.labels), data.classes), np.float32)
    for teacher in settings.teacher:
        with Predictor(
            teacher, settings.device, emotions=settings.emotions, mirror=True, fixed_batches=True
        ) as predictor:
            starts = range(0, len(sums), predictor.batch_size)
            progress.start("teacher's batches", len(starts))
            for start in starts:
                part = slice(start, start + predictor.batch_size)
                sums[part] += predictor.predict(data.grey(part))
                progress.advance()
            progress.finish()
    return sums / np.float32(len(settings.teacher))


def face_targets(
    data: Dataset,
    smoothing: float,
    predictions: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """Return the target probabilities of each face.

    Args:
        data: faces with labels.
        smoothing: fraction of each label that is spread over all classes.
        predictions: of a teacher; they are half of the targets.

    Returns:
        Float32 of shape (n, classes); rows sum to 1.
    """
    targets = data.targets() * (1 - smoothing) + smoothing / data.classes
    if predictions is not None:
        targets = (targets + predictions) / 2
    return targets.astype(np.float32, copy=False)


def count_batches(order: npt.NDArray[np.int64], settings: TrainingSettings) -> int:
    """Return the number of batches of an epoch that shows the faces `order`."""
    return math.ceil(len(order) / settings.batch_size)


def batches(
    data: Dataset,
    targets: npt.NDArray[np.float32],
    order: npt.NDArray[np.int64],
    settings: TrainingSettings,
    *,
    epoch: int,
    first: int = 0,
) -> Iterator[Batch]:
    """Yield the batches of `epoch` from number `first`.

    A batch depends only on the seed, the epoch and its number, so that a resumed epoch continues
    as if it had not been interrupted.

    Yields:
        Faces, float32 of shape (n, 48, 48, 1), and targets, float32 of shape (n, classes).
    """

    def batch(number: int) -> Batch:
        chosen = order[number * settings.batch_size : (number + 1) * settings.batch_size]
        faces = data.unit(chosen)
        random = np.random.default_rng((settings.seed, epoch, number))
        if settings.augmentation:
            faces = augment(faces, random, settings.augmentation)
        if settings.corruption:
            faces = corrupt(faces, random, settings.corruption)
        return faces[..., None], targets[chosen]

    with ThreadPoolExecutor(1, "batches") as thread:
        waiting: deque[Future[Batch]] = deque()
        try:
            for number in range(first, count_batches(order, settings)):
                waiting.append(thread.submit(batch, number))
                if len(waiting) > BATCHES_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            thread.shutdown(cancel_futures=True)

"""Measure a checkpoint on faces with known emotions, as the original's `plot_emotion_matrix`."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from gudi.checkpoint import load as load_weights
from gudi.constants import EMOTIONS, SCALE_FACTOR
from gudi.detection import HAAR
from gudi.errors import DatasetError
from gudi.files import atomic_write, write_errors, write_json
from gudi.predictor import Predictor
from gudi.progress import Progress
from gudi.settings import DetectionOptions
from gudi.training.dataset import IMAGES, Dataset, emotions_of, load
from gudi.training.prepare import RowCounts, collect, fer_faces, folder_faces, is_fer

# Probabilities are at least this, as in TFLearn's cross-entropy.
MIN_PROBABILITY = 1e-10

FEW_FACES = 100

BATCHES_PER_STEP = 4  # a step advances the progress by one


@dataclass(frozen=True)
class EmotionScores:
    """How well one emotion is recognised. A score is NaN if there are no faces to divide by.

    Attributes:
        name: the emotion.
        count: faces that are labelled as it.
        precision: fraction of the faces recognised as it that are labelled as it.
        recall: fraction of the faces labelled as it that are recognised as it.
        f1: harmonic mean of precision and recall.
    """

    name: str
    count: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Evaluation:
    """How well a checkpoint recognises the faces of one data set.

    Attributes:
        scores: of each emotion.
        confusion: int64 of shape (classes, classes): number of faces that are labelled as the row
            and recognised as the column.
        accuracy: fraction of the faces that are recognised as labelled.
        loss: mean cross-entropy.
        right: bool of shape (n,): which faces are recognised as labelled.
        lost: number of labelled photos in which no face was found.
    """

    scores: tuple[EmotionScores, ...]
    confusion: npt.NDArray[np.int64]
    accuracy: float
    loss: float
    right: npt.NDArray[np.bool_]
    lost: int = 0

    @property
    def accuracy_with_lost(self) -> float:
        """Fraction of all photos that are recognised as labelled; lost faces count as wrong."""
        return self.accuracy * self.count / (self.count + self.lost)

    @property
    def count(self) -> int:
        """Number of faces."""
        return int(self.confusion.sum())

    @property
    def names(self) -> list[str]:
        """Names of the emotions."""
        return [each.name for each in self.scores]

    @property
    def fractions(self) -> npt.NDArray[np.float64]:
        """The confusion matrix with rows that sum to 1; NaN in rows without faces."""
        labelled = self.confusion.sum(axis=1, keepdims=True)
        fractions = np.full(self.confusion.shape, np.nan)
        np.divide(self.confusion, labelled, out=fractions, where=labelled > 0)
        return fractions


def evaluate(predictor: Predictor, data: Dataset, progress: Progress | None = None) -> Evaluation:
    """Predict the faces of `data` and compare the top emotions with the labels."""
    from sklearn.metrics import (
        accuracy_score,
        confusion_matrix,
        precision_recall_fscore_support,
    )

    probabilities = _predict(predictor, data, progress or Progress())
    recognised, classes = probabilities.argmax(axis=1), range(len(predictor.emotions))
    scores = precision_recall_fscore_support(
        data.labels, recognised, labels=classes, zero_division=np.nan
    )
    likelihood = probabilities[np.arange(len(data.labels)), data.labels].astype(float)
    return Evaluation(
        scores=tuple(
            EmotionScores(name, int(count), float(precision), float(recall), float(f1))
            for name, precision, recall, f1, count in zip(predictor.emotions, *scores)
        ),
        confusion=confusion_matrix(data.labels, recognised, labels=classes),
        accuracy=float(accuracy_score(data.labels, recognised)),
        right=recognised == data.labels,
        loss=float(-np.log(np.maximum(likelihood, MIN_PROBABILITY)).mean()),
    )


def _predict(predictor: Predictor, data: Dataset, progress: Progress) -> npt.NDArray[np.float32]:
    """Return the probabilities of all faces, float32 of shape (n, classes)."""
    probabilities = np.empty((len(data.labels), len(predictor.emotions)), np.float32)
    step = predictor.batch_size * BATCHES_PER_STEP
    starts = range(0, len(probabilities), step)
    progress.start("batches", len(starts))
    for start in starts:
        part = slice(start, start + step)
        probabilities[part] = predictor.predict(data.grey(part))
        progress.advance()
    progress.finish()
    return probabilities


def as_text(evaluation: Evaluation) -> str:
    """Return the figures as a table for people."""
    names = evaluation.names
    width = max(map(len, names))
    lines = [
        f"accuracy {evaluation.accuracy:.4f} (n={evaluation.count:,}), "
        f"cross-entropy {evaluation.loss:.4f}"
    ]
    if evaluation.lost:
        lines.append(
            f"accuracy {evaluation.accuracy_with_lost:.4f} if the {evaluation.lost:,} photos "
            "without a face count as wrong"
        )
    if evaluation.count < FEW_FACES:
        lines.append(f"these are fewer than {FEW_FACES} faces: chance changes the figures much")
    lines += [
        "",
        f"{'':{width}}  precision  recall      f1       n",
    ]
    lines += [
        f"{each.name:{width}}  {as_score(each.precision):>9}  {as_score(each.recall):>6}  "
        f"{as_score(each.f1):>6}  {each.count:6,}"
        for each in evaluation.scores
    ]
    lines += ["", "Rows: labels. Columns: recognised emotions. In percent of the row:"]
    lines.append(f"{'':{width}}  " + "  ".join(f"{name[:6]:>6}" for name in names))
    lines += [
        f"{name:{width}}  " + "  ".join(f"{_percent(fraction):>6}" for fraction in row)
        for name, row in zip(names, evaluation.fractions)
    ]
    return "\n".join(lines)


def as_score(value: float) -> str:
    """Return a score for people."""
    return "-" if np.isnan(value) else f"{value:.4f}"


def _percent(fraction: float) -> str:
    return "-" if np.isnan(fraction) else f"{100 * fraction:.1f}"


def as_record(evaluation: Evaluation) -> dict[str, Any]:
    """Return the figures for a JSON file; None in place of NaN."""

    def known(value: float) -> float | None:
        return None if np.isnan(value) else round(value, 6)

    return {
        "faces": evaluation.count,
        "accuracy": round(evaluation.accuracy, 6),
        "lost_faces": evaluation.lost,
        "accuracy_with_lost": round(evaluation.accuracy_with_lost, 6),
        "cross_entropy": round(evaluation.loss, 6),
        "classes": {
            each.name: {
                "faces": each.count,
                "precision": known(each.precision),
                "recall": known(each.recall),
                "f1": known(each.f1),
            }
            for each in evaluation.scores
        },
        "confusion": evaluation.confusion.tolist(),
    }


def is_prepared(source: Path) -> bool:
    """Return whether `source` is a prepared data set, rather than a csv file or photos."""
    if source.is_dir():
        return any(source.glob(f"*{IMAGES}"))
    return source.suffix == ".npy" or not source.exists()


def evaluate_source(
    source: Path,
    *,
    checkpoints: Sequence[str | Path] = (),
    usage: Sequence[str] = (),
    faces: str = "both",
    detector: str = HAAR,
    scale_factor: float = SCALE_FACTOR,
    emotions: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    network: int | None = None,
    mirror: bool | None = None,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, list[Evaluation]]:
    """Evaluate checkpoints on a prepared data set, on FER2013's csv file, or on photos.

    Args:
        source: a data set as `gudi.training.dataset.load` takes it, FER2013's csv file, or what
            `gudi.training.prepare.folder_faces` takes.
        checkpoints: one or more; without any, the one that gudi finds by itself.
        network, mirror, device: as `gudi.predictor.Predictor` takes them.
        usage, detector, scale_factor, workers: if it is not prepared, as
            `gudi.training.prepare.prepare_fer` takes them.
        faces: if it is not prepared: `whole` photos, `detected` faces, or `both`.
        emotions: the names of the classes; None for those that a prepared set has, or else the
            original's.
        labels: as `gudi.training.prepare.folder_faces` takes them.
        progress: reports progress.

    Returns:
        Evaluations by name, of each checkpoint: `faces` for a prepared data set, else `whole` and
        `detected`. Of detected faces, `lost` is the number of photos without one.

    Raises:
        DatasetError: there are no faces.
        CheckpointError, DeviceError: as for `Predictor`.
    """
    progress = progress or Progress()
    if is_prepared(source):
        emotions = emotions or emotions_of(source)
        sets = {"faces": (load(source, len(emotions)), 0)}
    else:
        emotions = tuple(emotions or EMOTIONS)
        detected = DetectionOptions(detector=detector, scale_factor=scale_factor)
        ways = {"whole": None, "detected": detected}
        read = functools.partial(
            _read, source, emotions, labels=labels, usage=usage, workers=workers, progress=progress
        )
        sets = {name: read(how) for name, how in ways.items() if faces in (name, "both")}
    found: dict[str, list[Evaluation]] = {name: [] for name in sets}
    given: Sequence[str | Path | None] = checkpoints or [None]
    for checkpoint in given:
        weights = load_weights(checkpoint, emotions, network)
        weights.note_recovery(progress)
        with Predictor(
            weights, device, emotions=emotions, mirror=mirror, fixed_batches=True
        ) as predictor:
            how = "each face and its mirror image" if predictor.mirror else "faces as they are"
            progress.note(f"{weights.source} predicts {how}")
            for name, (data, lost) in sets.items():
                found[name].append(replace(evaluate(predictor, data, progress), lost=lost))
    return found


def _read(
    source: Path,
    emotions: tuple[str, ...],
    settings: DetectionOptions | None,
    *,
    labels: Mapping[str, str] | None,
    progress: Progress,
    **options: Any,
) -> tuple[Dataset, int]:
    """Return the faces of FER2013's csv file or of photos, and how many photos have none."""
    counts = RowCounts(emotions)
    if is_fer(source):
        faces = fer_faces(source, counts, settings=settings, progress=progress, **options)
    else:
        faces = folder_faces(
            source, counts, settings=settings, labels=labels, progress=progress, **options
        )
    data = collect(faces, len(emotions))
    if counts.rejected:
        progress.note(
            f"{counts.rejected:,} of {counts.rows:,} rows of {source} are unusable; the first is "
            f"{counts.reasons[0]}"
        )
    if not counts.faces:
        raise DatasetError(f"{source} has no faces ({'detected' if settings else 'whole'})")
    return data, counts.no_face


def write_all(evaluations: Mapping[str, Evaluation], folder: Path) -> None:
    """Write `evaluation.json`, and for each evaluation `confusion-NAME.csv` and `.png`."""
    records = {name: as_record(each) for name, each in evaluations.items()}
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "evaluation.json", records)
        for name, evaluation in evaluations.items():
            with atomic_write(folder / f"confusion-{name}.csv") as file:
                file.write(_confusion_as_csv(evaluation).encode())
            title = f"{name}: accuracy {evaluation.accuracy:.4f} (n={evaluation.count:,})"
            with atomic_write(folder / f"confusion-{name}.png") as file:
                _draw(evaluation, title, file)


def by_name(evaluations: Mapping[str, Sequence[Evaluation]]) -> dict[str, Evaluation]:
    """Return all evaluations, with the checkpoint's number in the name if there are more."""
    return {
        name if len(found) == 1 else f"{name}-{number}": each
        for name, found in evaluations.items()
        for number, each in enumerate(found, 1)
    }


def _confusion_as_csv(evaluation: Evaluation) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["labelled", *evaluation.names])
    for emotion, row in zip(evaluation.names, evaluation.confusion):
        rows.writerow([emotion, *row])
    return text.getvalue()


def _draw(evaluation: Evaluation, title: str, file: IO[bytes]) -> None:
    """Draw the confusion matrix with normalised rows, as the original does."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names, fractions = evaluation.names, evaluation.fractions
    figure = Figure(figsize=(7, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image)
    axes.set(xlabel="recognised as", ylabel="labelled as", title=title)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    for (row, column), fraction in np.ndenumerate(fractions):
        if not np.isnan(fraction):
            colour = "white" if fraction > 0.5 else "black"
            axes.text(column, row, f"{fraction:.2f}", ha="center", va="center", color=colour)
    figure.savefig(file, format="png", dpi=100)

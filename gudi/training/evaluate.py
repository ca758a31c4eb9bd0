"""Measure a checkpoint by faces whose expression is known: the original's `plot_emotion_matrix`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gudi.checkpoint import load as load_weights
from gudi.constants import EMOTIONS, SCALE_FACTOR
from gudi.errors import DatasetError, OutputError
from gudi.files import atomic_write
from gudi.predictor import Predictor
from gudi.progress import Progress
from gudi.training.dataset import Dataset, load
from gudi.training.prepare import Prepared, collect, fer_faces

BATCHES_A_STEP = 4  # between two signs of progress


@dataclass(frozen=True)
class Class:
    """How well one emotion is recognised; shares are NaN where there is nothing to take them of.

    Attributes:
        name: the emotion.
        count: faces that are labelled so.
        precision: share of the faces recognised as it that are labelled so.
        recall: share of the faces labelled so that are recognised as it.
        f1: harmonic mean of the two.
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
        emotions: names of the classes.
        confusion: int64 of shape (classes, classes): labelled as the row, recognised as the column.
        loss: mean cross-entropy of the probabilities that the labels got.
    """

    emotions: tuple[str, ...]
    confusion: np.ndarray
    loss: float

    @property
    def count(self) -> int:
        """Number of faces."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of the faces that are recognised as labelled."""
        return float(np.trace(self.confusion) / self.count)

    @property
    def classes(self) -> list[Class]:
        """Precision, recall and F1 of each emotion."""
        right = np.diag(self.confusion).astype(float)
        labelled, recognised = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        with np.errstate(invalid="ignore"):
            precision, recall = right / recognised, right / labelled
            f1 = 2 * right / (labelled + recognised)
        return [
            Class(name, int(labelled[i]), float(precision[i]), float(recall[i]), float(f1[i]))
            for i, name in enumerate(self.emotions)
        ]

    @property
    def shares(self) -> np.ndarray:
        """The confusion matrix with rows that sum to 1; NaN where nothing is labelled so."""
        with np.errstate(invalid="ignore"):
            return self.confusion / self.confusion.sum(axis=1, keepdims=True)


def evaluate(predictor: Predictor, data: Dataset, progress: Progress | None = None) -> Evaluation:
    """Predict the faces of `data` and hold the strongest emotions against the labels."""
    progress = progress or Progress()
    classes = len(predictor.emotions)
    confusion, loss = np.zeros((classes, classes), np.int64), 0.0
    step = predictor.batch_size * BATCHES_A_STEP
    starts = range(0, len(data.labels), step)
    progress.start("batches", len(starts))
    for start in starts:
        labels = data.labels[start : start + step]
        probabilities = predictor.predict(data.grey(slice(start, start + step)))
        np.add.at(confusion, (labels, probabilities.argmax(axis=1)), 1)
        likely = probabilities[np.arange(len(labels)), labels].astype(float)
        loss -= np.log(np.maximum(likely, 1e-10)).sum()
        progress.advance()
    progress.finish()
    return Evaluation(predictor.emotions, confusion, float(loss / len(data.labels)))


def as_text(evaluation: Evaluation) -> str:
    """Return the figures as a table for people."""
    width = max(map(len, evaluation.emotions))
    lines = [
        f"accuracy {evaluation.accuracy:.4f} (n={evaluation.count:,}), "
        f"cross-entropy {evaluation.loss:.4f}",
        "",
        f"{'':{width}}  precision  recall      f1       n",
    ]
    lines += [
        f"{each.name:{width}}  {_share(each.precision):>9}  {_share(each.recall):>6}  "
        f"{_share(each.f1):>6}  {each.count:6,}"
        for each in evaluation.classes
    ]
    lines += ["", "labelled as the row, recognised as the column, per cent of the row:"]
    names = [name[:6] for name in evaluation.emotions]
    lines.append(f"{'':{width}}  " + "  ".join(f"{name:>6}" for name in names))
    lines += [
        f"{name:{width}}  "
        + "  ".join(f"{'-' if np.isnan(share) else f'{100 * share:.1f}':>6}" for share in row)
        for name, row in zip(evaluation.emotions, evaluation.shares)
    ]
    return "\n".join(lines)


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"


def as_record(evaluation: Evaluation) -> dict:
    """Return the figures as JSON can hold them; None where there are none."""

    def known(value: float) -> float | None:
        return None if np.isnan(value) else round(value, 6)

    return {
        "faces": evaluation.count,
        "accuracy": round(evaluation.accuracy, 6),
        "cross_entropy": round(evaluation.loss, 6),
        "classes": {
            each.name: {
                "faces": each.count,
                "precision": known(each.precision),
                "recall": known(each.recall),
                "f1": known(each.f1),
            }
            for each in evaluation.classes
        },
        "confusion": evaluation.confusion.tolist(),
    }


def is_csv(source: Path) -> bool:
    """Tell whether `source` is a file with rows, not a prepared data set."""
    return source.is_file() and source.suffix != ".npy"


def evaluate_source(
    source: Path,
    *,
    checkpoint: str | None = None,
    usage: Sequence[str] = (),
    faces: str = "both",
    scale_factor: float = SCALE_FACTOR,
    emotions: Sequence[str] = EMOTIONS,
    network: int | None = None,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Evaluation]:
    """Evaluate a checkpoint on a prepared data set, or straight on FER2013's csv.

    Args:
        source: as `gudi.dataset.load` takes it, or a csv.
        checkpoint, network, device, emotions: as `gudi.predictor.Predictor` takes them.
        usage, scale_factor, workers: as `gudi.prepare.prepare_fer` takes them; for a csv.
        faces: of a csv's pictures `whole` or `detected` ones, or `both`.
        progress: is told how far it is.

    Returns:
        Evaluations by what they were made on.

    Raises:
        DatasetError, CheckpointError, DeviceError: as those it calls.
    """
    progress = progress or Progress()
    if not is_csv(source):
        sets = {"faces": load(source, len(emotions))}
    else:
        sets = {}
        for name, factor in (("whole", None), ("detected", scale_factor)):
            if faces in (name, "both"):
                found = Prepared()
                rows = fer_faces(
                    source,
                    found,
                    scale_factor=factor,
                    usage=usage,
                    workers=workers,
                    progress=progress,
                )
                sets[name] = collect(rows)
        if found.rejected:
            progress.note(
                f"{found.rejected:,} of {found.rows:,} rows of {source} cannot be used, the first: "
                f"{found.reasons[0]}"
            )
        for name, data in sets.items():
            if len(data.labels) == 0:
                raise DatasetError(f"{source} shows no faces ({name})")
    weights = load_weights(checkpoint, emotions, network)
    weights.note_recovery(progress)
    with Predictor(weights, device, emotions=emotions, fixed_batches=True) as predictor:
        return {name: evaluate(predictor, data, progress) for name, data in sets.items()}


def write_all(evaluations: Mapping[str, Evaluation], folder: Path) -> None:
    """Write `evaluation.json`, and `confusion-NAME.csv` and `.png` for each, into `folder`.

    Raises:
        OutputError: they cannot be written.
    """
    records = {name: as_record(each) for name, each in evaluations.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / "evaluation.json") as file:
            file.write((json.dumps(records, indent=2) + "\n").encode())
        for name, evaluation in evaluations.items():
            with atomic_write(folder / f"confusion-{name}.csv") as file:
                file.write(_confusion_as_csv(evaluation).encode())
            title = f"{name}: accuracy {evaluation.accuracy:.4f} (n={evaluation.count:,})"
            with atomic_write(folder / f"confusion-{name}.png") as file:
                _draw(evaluation.emotions, evaluation.shares, title, file)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written to: {error.strerror or error}") from error


def _confusion_as_csv(evaluation: Evaluation) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["labelled", *evaluation.emotions])
    for emotion, row in zip(evaluation.emotions, evaluation.confusion):
        rows.writerow([emotion, *row])
    return text.getvalue()


def _draw(emotions: Sequence[str], shares: np.ndarray, title: str, file: io.IOBase) -> None:
    """Draw the confusion matrix, rows normalised, as the original does."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image)
    axes.set(xlabel="recognised as", ylabel="labelled as", title=title)
    axes.set_xticks(range(len(emotions)), emotions, rotation=45, ha="right")
    axes.set_yticks(range(len(emotions)), emotions)
    for (row, column), share in np.ndenumerate(shares):
        if not np.isnan(share):
            colour = "white" if share > 0.5 else "black"
            axes.text(column, row, f"{share:.2f}", ha="center", va="center", color=colour)
    figure.savefig(file, format="png", dpi=100)

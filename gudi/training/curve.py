"""The learning curve of a training: one row per epoch, as a table and as a figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from gudi.files import atomic_write, write_errors

CURVE = "learning_curve.csv"
CURVE_PICTURE = "learning_curve.png"

# Curves with fewer epochs have a mark for each: a line needs two.
MARKED_EPOCHS = 20


@dataclass(frozen=True)
class EpochMetrics:
    """The results of one epoch: a row of `learning_curve.csv`.

    Attributes:
        epoch: its number, from 1.
        step: batches trained so far.
        learning_rate: at its end.
        loss, accuracy: means over its batches, with dropout and augmentation.
        validation_loss, validation_accuracy: over all validation faces, without either.
        seconds: how long it took, including validation.
    """

    epoch: int
    step: int
    learning_rate: float
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


def write_curve(history: Sequence[EpochMetrics], path: Path) -> None:
    """Write the learning curve as a table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(EpochMetrics))
    for row in history:
        writer.writerow(f"{v:.6g}" if isinstance(v, float) else v for v in asdict(row).values())
    with write_errors(path), atomic_write(path) as file:
        file.write(text.getvalue().encode())


def draw_curve(history: Sequence[EpochMetrics], path: Path) -> None:
    """Write the learning curve as a figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [row.epoch for row in history]
    marker = "o" if len(history) < MARKED_EPOCHS else ""
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy")):
        training = [getattr(row, name) for row in history]
        validation = [getattr(row, f"validation_{name}") for row in history]
        axes.plot(epochs, training, marker=marker, label="training")
        axes.plot(epochs, validation, marker=marker, label="validation")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel="epoch", ylabel=name)
        axes.grid(alpha=0.3)
        axes.legend()
    with write_errors(path), atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=100)

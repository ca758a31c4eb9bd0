"""Snapshots: everything that is needed to continue a training from a certain batch.

A snapshot is a folder, `snapshots/step-000000600`, with the variables as a TensorFlow bundle and
the rest in `state.json`. It appears complete or not at all.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from gudi import checkpoint
from gudi.errors import CheckpointError, OutputError
from gudi.files import TEMPORARY_PREFIX
from gudi.training.curve import EpochMetrics

SNAPSHOTS = "snapshots"
STATE = "state.json"
VARIABLES = "variables"

# If the last snapshot is damaged, the one before it is used.
KEPT_SNAPSHOTS = 2

Variables = dict[str, npt.NDArray[Any]]


@dataclass
class TrainingState:
    """The progress of a training.

    Attributes:
        epoch: complete epochs.
        batch: finished batches of the current epoch.
        step: finished batches of all epochs.
        history: metrics of the complete epochs.
        loss, accuracy: sums over the finished batches of the current epoch.
        seconds: time spent on those batches.
        average_loss, average_accuracy: moving averages over all batches, as TFLearn keeps them.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    history: list[EpochMetrics] = field(default_factory=list)
    loss: float = 0.0
    accuracy: float = 0.0
    seconds: float = 0.0
    average_loss: float = 0.0
    average_accuracy: float = 0.0

    @classmethod
    def from_json(cls, values: Any) -> TrainingState:
        """Return the state that `asdict` described; raise `TypeError` if it has other keys."""
        state = cls(**values)
        state.history = [EpochMetrics(**row) for row in values["history"]]
        return state

    def count_batch(self, loss: float, accuracy: float) -> None:
        """Count one more finished batch."""
        self.batch += 1
        self.step += 1
        self.loss += loss
        self.accuracy += accuracy
        # TensorFlow's ExponentialMovingAverage(0.9, num_updates), which TFLearn uses.
        decay = min(0.9, (1 + self.step) / (10 + self.step))
        self.average_loss += (1 - decay) * (loss - self.average_loss)
        self.average_accuracy += (1 - decay) * (accuracy - self.average_accuracy)

    def finish_epoch(self, metrics: EpochMetrics) -> None:
        """Close the current epoch and start the next one."""
        self.history.append(metrics)
        self.epoch += 1
        self.batch, self.loss, self.accuracy, self.seconds = 0, 0.0, 0.0, 0.0


def snapshot_folders(out: Path) -> list[Path]:
    """Return the snapshots of the training in `out`, oldest first."""
    return sorted((out / SNAPSHOTS).glob("step-*"))


def read_snapshot(folder: Path) -> tuple[TrainingState, Variables]:
    """Return the state and the variables in one snapshot.

    Raises:
        CheckpointError, OSError, ValueError, KeyError, TypeError: it is damaged.
    """
    state = TrainingState.from_json(json.loads((folder / STATE).read_text(encoding="utf-8")))
    file = checkpoint.open_checkpoint(folder / VARIABLES)
    return state, {name: file.read(name)[0] for name in file.tensors}


def read_last_snapshot(
    out: Path, note: Callable[[str], None]
) -> tuple[TrainingState, Variables] | None:
    """Return the last intact snapshot of the training in `out`; None if there is none.

    `note` is called with a message about each damaged snapshot.
    """
    for folder in reversed(snapshot_folders(out)):
        try:
            return read_snapshot(folder)
        except (CheckpointError, OSError, ValueError, KeyError, TypeError) as error:
            note(f"cannot use {folder}: {error}")
    return None


def write_snapshot(out: Path, state: TrainingState, values: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a snapshot and remove all but the last `KEPT_SNAPSHOTS`."""
    folder = out / SNAPSHOTS / f"step-{state.step:09d}"
    try:
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=out) as scratch:
            staged = Path(scratch) / "snapshot"
            staged.mkdir()
            checkpoint.write_v2(staged / VARIABLES, values)
            text = json.dumps(asdict(state), indent=1)
            (staged / STATE).write_text(text, encoding="utf-8")
            staged.rename(folder)
    except (OSError, OutputError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"cannot write {folder}: {reason}; make room, then resume with --resume"
        ) from error
    for old in snapshot_folders(out)[:-KEPT_SNAPSHOTS]:
        shutil.rmtree(old, ignore_errors=True)

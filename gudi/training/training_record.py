"""`run.json`: settings, faces and progress of a training."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from gudi.errors import TrainingError
from gudi.files import write_json
from gudi.training.curve import EpochMetrics
from gudi.training.training_settings import TrainingSettings
from gudi.version import __version__

RUN = "run.json"

RUNNING, FINISHED, INTERRUPTED = "running", "finished", "interrupted"
FAILED, DIVERGED = "failed", "diverged"


@dataclass(frozen=True)
class FaceFingerprints:
    """SHA-256 of the faces and labels that a training is given, see `Dataset.fingerprint`.

    Attributes:
        data: of the training faces, before a tenth of them is held back.
        validation: of the validation faces; None if they are that tenth.
    """

    data: str
    validation: str | None


@dataclass(frozen=True)
class Resumption:
    """One time that a training was resumed.

    Attributes:
        step: batches trained before.
        changes: settings that changed, with their new values.
    """

    step: int
    changes: dict[str, Any]


@dataclass(frozen=True)
class TrainingRecord:
    """The content of `run.json`.

    Attributes:
        settings: how the network is trained.
        fingerprints: of the faces.
        faces, validation_faces: number of faces to train with and to validate with.
        started: date and time in ISO 8601, UTC.
        resumed: each time that the training was resumed.
        state: `running`, `finished`, `interrupted`, `failed` or `diverged`.
        epochs_done: complete epochs.
        last_epoch: metrics of the last complete epoch; None before the first.
        seconds: time spent on complete epochs.
    """

    settings: TrainingSettings
    fingerprints: FaceFingerprints
    faces: int
    validation_faces: int
    started: str
    resumed: tuple[Resumption, ...] = ()
    state: str = RUNNING
    epochs_done: int = 0
    last_epoch: EpochMetrics | None = None
    seconds: float = 0.0

    @classmethod
    def from_json(cls, values: Any) -> TrainingRecord:
        """Return the record that `to_json` described.

        Raises:
            KeyError, TypeError, ValueError: a value that is needed to resume is missing or wrong.
        """
        if not isinstance(values["epochs_done"], int):
            raise ValueError(f"epochs_done is {values['epochs_done']!r}")
        last = values["last_epoch"]
        record = cls(**{each.name: values[each.name] for each in fields(cls)})
        return replace(
            record,
            settings=TrainingSettings(**values["settings"]),
            fingerprints=FaceFingerprints(**values["fingerprints"]),
            resumed=tuple(Resumption(**each) for each in values["resumed"]),
            last_epoch=EpochMetrics(**last) if last else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the content of `run.json`, including the versions of the software that runs."""
        return {
            "gudi": __version__,
            **asdict(self),
            "versions": {"python": platform.python_version()}
            | {name: metadata.version(name) for name in ("tensorflow", "tflearn", "numpy")},
        }

    def updated(self, state: str, history: Sequence[EpochMetrics]) -> TrainingRecord:
        """Return this record in another state, after the epochs in `history`."""
        return replace(
            self,
            state=state,
            epochs_done=len(history),
            last_epoch=history[-1] if history else None,
            seconds=round(sum(row.seconds for row in history), 1),
        )


def now() -> str:
    """Return the current date and time in ISO 8601, UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def read_record(folder: Path) -> TrainingRecord:
    """Return the record of the training in `folder`.

    Raises:
        TrainingError: there is none, or it cannot be read.
    """
    path = folder / RUN
    try:
        return TrainingRecord.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise TrainingError(f"{folder} holds no training to resume: it has no {RUN}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"cannot read {path}: {error}") from error


def write_record(record: TrainingRecord, folder: Path) -> None:
    """Write `record` to `folder`."""
    write_json(folder / RUN, record.to_json())

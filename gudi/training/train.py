"""Train the network, with the original's settings or with those of a recipe."""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gudi import checkpoint
from gudi.constants import CHECKPOINT_NAME, HIDDEN_UNITS
from gudi.engines.engine import check_device
from gudi.errors import OutputError, TrainingDiverged, TrainingError, UsageError
from gudi.files import check_writable, remove_temporary_files, write_errors
from gudi.locks import folder_lock
from gudi.progress import Progress, format_duration
from gudi.signals import stop_requested
from gudi.training.batches import (
    batches,
    class_prior,
    count_batches,
    epoch_order,
    face_targets,
    teacher_predictions,
)
from gudi.training.curve import CURVE, CURVE_PICTURE, EpochMetrics, draw_curve, write_curve
from gudi.training.dataset import Dataset, split
from gudi.training.snapshots import (
    KEPT_SNAPSHOTS,
    SNAPSHOTS,
    TrainingState,
    Variables,
    read_last_snapshot,
    snapshot_folders,
    write_snapshot,
)
from gudi.training.tensorboard import LOGS, RUN_ID, TensorBoardLog
from gudi.training.training_record import (
    DIVERGED,
    FAILED,
    FINISHED,
    INTERRUPTED,
    RUN,
    RUNNING,
    FaceFingerprints,
    Resumption,
    TrainingRecord,
    now,
    read_record,
    write_record,
)
from gudi.training.training_session import TrainingSession
from gudi.training.training_settings import CHANGEABLE, TrainingSettings

LOCK_HOLDER = "another training"

# Variables that an optimizer keeps for each weight.
OPTIMIZER_SLOTS = {"momentum": 1, "adam": 2}

LAST_LAYER = ("FullyConnected_1/W", "FullyConnected_1/b")

# A learning rate that makes a good checkpoint better: 0.001, which suits random weights, makes it
# worse (docs/training.md).
FINE_TUNING_RATE = 5e-5

# The remaining time is estimated from this many epochs.
TIMED_EPOCHS = 5


@dataclass(frozen=True)
class TrainingResult:
    """How a call of `train` or `resume` ended.

    Attributes:
        prefix: the checkpoint; None if the training was interrupted.
        history: metrics of all complete epochs.
    """

    prefix: Path | None
    history: list[EpochMetrics]


@dataclass(frozen=True)
class _TrainingFaces:
    training: Dataset
    validation: Dataset
    fingerprints: FaceFingerprints


def train(
    data: Dataset,
    out: Path,
    settings: TrainingSettings,
    *,
    validation: Dataset | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> TrainingResult:
    """Train a network on `data` and write it to `out` under the original's names.

    A snapshot is written after each epoch. The first SIGINT or SIGTERM ends the training after the
    current batch, with a snapshot.

    Args:
        data: the faces. Without `validation`, a tenth of them is held back, as in the original.
        out: folder for the checkpoint and the other files of the training.
        settings: how the network is trained.
        validation: faces to validate with.
        progress: reports progress.
        overwrite: replace an earlier training in `out`.

    Raises:
        OutputError: `out` holds a training already, or cannot be written to.
        TrainingDiverged: the loss became NaN or infinite.
    """
    check_writable(out)
    progress = progress or Progress()
    device = _device(settings)
    faces = _training_faces(data, validation)
    with folder_lock(out, LOCK_HOLDER):
        _check_unused(out, settings, overwrite=overwrite)
        weights = _initial_weights(settings)
        targets = _targets(faces, settings, progress)
        _clear(out)
        record = TrainingRecord(
            settings=settings,
            fingerprints=faces.fingerprints,
            faces=len(faces.training.labels),
            validation_faces=len(faces.validation.labels),
            started=now(),
        )
        write_record(record, out)
        return _run(out, record, faces, targets, TrainingState(), weights, device, progress)


def resume(
    data: Dataset,
    out: Path,
    changes: Mapping[str, Any],
    *,
    validation: Dataset | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Resume the training in `out` from its last snapshot.

    Args:
        data, validation, progress: as for `train`. The faces must be the same.
        out: the folder of the training.
        changes: settings by name; the training keeps the others.

    Raises:
        TrainingError: there is nothing to resume, or the faces are different.
        UsageError: a setting is different that must not change.
        OutputError, TrainingDiverged: as for `train`.
    """
    progress = progress or Progress()
    read_record(out)  # the lock would create a missing folder
    with folder_lock(out, LOCK_HOLDER):
        earlier = read_record(out)
        settings = _changed_settings(out, earlier, changes)
        device = _device(settings)
        faces = _training_faces(data, validation)
        if earlier.fingerprints != faces.fingerprints:
            raise TrainingError(
                f"{out} was started with other faces; give the same --data and --validation, or "
                "start over with --overwrite"
            )
        with write_errors(out):
            remove_temporary_files(out)
        state, variables = _last_point(out, earlier, settings, progress)
        record = replace(earlier, settings=settings)
        if state.step:
            before = asdict(earlier.settings)
            changed = {k: v for k, v in asdict(settings).items() if before[k] != v}
            resumption = Resumption(state.step, changed)
            record = replace(record, resumed=(*earlier.resumed, resumption))
        finished = state.epoch >= settings.epochs
        targets = None if finished else _targets(faces, settings, progress)
        return _run(out, record, faces, targets, state, variables, device, progress)


def _device(settings: TrainingSettings) -> str:
    """Return TensorFlow's name of the device to train on."""
    check_device(settings.device)
    from gudi.engines.tensorflow_graph import tensorflow_device

    return tensorflow_device(settings.device)


def _training_faces(data: Dataset, validation: Dataset | None) -> _TrainingFaces:
    fingerprints = FaceFingerprints(
        data.fingerprint, validation.fingerprint if validation is not None else None
    )
    training, validation = (data, validation) if validation is not None else split(data)
    return _TrainingFaces(training, validation, fingerprints)


def _targets(
    faces: _TrainingFaces, settings: TrainingSettings, progress: Progress
) -> npt.NDArray[np.float32]:
    """Return the target probabilities of the training faces."""
    predictions = None
    if settings.teacher:
        predictions = teacher_predictions(settings, faces.training, progress)
    return face_targets(faces.training, settings.label_smoothing, predictions)


def _check_unused(out: Path, settings: TrainingSettings, *, overwrite: bool) -> None:
    """Raise `OutputError` if `out` holds a training or a checkpoint, or the disk is too full."""
    existing = [name for name in (RUN, SNAPSHOTS) if (out / name).exists()]
    if existing and not overwrite:
        raise OutputError(
            f"{out} already holds a training ({existing[0]}); resume it with --resume, or start "
            "over with --overwrite"
        )
    classes, copies = len(settings.emotions), 1 + OPTIMIZER_SLOTS[settings.optimizer]
    copies += settings.ema_decay > 0
    snapshots = copies * (KEPT_SNAPSHOTS + 1) * _weights_size(classes, settings.units)
    # Half of the snapshots, because they have no second name.
    size = 2 * _weights_size(classes) + snapshots // 2
    checkpoint.check_free_space(out / CHECKPOINT_NAME, size, replace=overwrite)


def _weights_size(classes: int, units: int = HIDDEN_UNITS) -> int:
    """Return the size of a network's weights in bytes."""
    return sum(4 * math.prod(shape) for shape in checkpoint.weight_shapes(classes, units).values())


def _clear(out: Path) -> None:
    """Remove an earlier training, but not its checkpoint: the new one replaces it at the end."""
    for name in (SNAPSHOTS, LOGS):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in (CURVE, CURVE_PICTURE, RUN):
        (out / name).unlink(missing_ok=True)


def _initial_weights(settings: TrainingSettings) -> Variables:
    """Return the weights of `settings.init`, cut to `settings.units`; none for random weights.

    The last layer is left out if it has another number of classes.
    """
    if not settings.init:
        return {}
    file = checkpoint.open_checkpoint(settings.init)
    network = checkpoint.choose_network(file, classes=None)
    values = checkpoint.read_weights(file, network).values
    used = checkpoint.used_units(values)
    if used > settings.units:
        raise UsageError(
            f"{file.prefix} uses {used} hidden units: units = {settings.units} is too low"
        )
    shapes = checkpoint.weight_shapes(len(settings.emotions), settings.units)
    if network.classes != len(settings.emotions):
        for name in LAST_LAYER:
            del shapes[name]
    return {name: values[name][tuple(map(slice, shape))] for name, shape in shapes.items()}


def settings_to_start(changes: Mapping[str, Any], emotions: Sequence[str]) -> TrainingSettings:
    """Return the settings of a training, with defaults that suit its first weights.

    With `init`, as many hidden units are trained as the checkpoint uses and, if all layers start
    with its weights, the learning rate is `FINE_TUNING_RATE`.

    Args:
        changes: settings by name; the others have their defaults.
        emotions: the names of the classes.

    Raises:
        CheckpointError: `init` cannot be read.
        UsageError: a setting is not allowed.
    """
    settings = TrainingSettings(**{"emotions": emotions, **changes})
    if not settings.init:
        return settings
    file = checkpoint.open_checkpoint(settings.init)
    network = checkpoint.choose_network(file, classes=None)
    values = checkpoint.read_weights(file, network).values
    suited: dict[str, float] = {"units": checkpoint.used_units(values)}
    if network.classes == len(settings.emotions):
        suited["learning_rate"] = FINE_TUNING_RATE
    return TrainingSettings(**{"emotions": emotions, **suited, **changes})


def _changed_settings(
    out: Path, earlier: TrainingRecord, changes: Mapping[str, Any]
) -> TrainingSettings:
    """Return the settings to resume with."""
    for name, value in changes.items():
        before = getattr(earlier.settings, name)
        if value != before and name not in CHANGEABLE:
            raise UsageError(
                f"{out} was started with {name} {before}, which cannot change to {value}; start "
                "over with --overwrite"
            )
    settings = replace(earlier.settings, **changes)
    if settings.epochs < earlier.epochs_done:
        raise UsageError(
            f"{out} has {earlier.epochs_done} finished epochs, more than {settings.epochs}"
        )
    return settings


def _last_point(
    out: Path, earlier: TrainingRecord, settings: TrainingSettings, progress: Progress
) -> tuple[TrainingState, Variables]:
    """Return the state and all variables of the last snapshot, or the start of the training."""
    snapshot = read_last_snapshot(out, progress.note)
    if snapshot is None:
        if earlier.epochs_done or snapshot_folders(out):
            raise TrainingError(
                f"{out / SNAPSHOTS} has no usable snapshot, although {earlier.epochs_done} epochs "
                "are finished; start over with --overwrite"
            )
        progress.note("there is no snapshot yet: starting from the beginning")
        return TrainingState(), _initial_weights(settings)
    state, variables = snapshot
    if state.epoch < settings.epochs:
        progress.note(f"resuming at epoch {state.epoch + 1}, batch {state.batch + 1}")
    return state, variables


def _run(
    out: Path,
    record: TrainingRecord,
    faces: _TrainingFaces,
    targets: npt.NDArray[np.float32] | None,
    state: TrainingState,
    variables: Variables,
    device: str,
    progress: Progress,
) -> TrainingResult:
    """Train until the end, or until a signal stops it, and write the checkpoint.

    Args:
        targets: of the training faces; None if all epochs are finished.
        state, variables: what to start with. After the first step, these are all variables.
    """
    prefix = out / CHECKPOINT_NAME
    with _failure_recorded(out, record, state):
        with (
            TrainingSession(
                record.settings,
                variables,
                device,
                prior=class_prior(faces.training, record.settings),
                complete=state.step > 0,
            ) as session,
            stop_requested() as stop,
            TensorBoardLog(out / LOGS / RUN_ID) as log,
        ):
            if targets is not None:
                loop = _TrainingLoop(out, record, faces, targets, state, session, log, progress)
                if not loop.run(stop):
                    write_record(record.updated(INTERRUPTED, state.history), out)
                    return TrainingResult(None, state.history)
            values = _checkpoint_variables(session, state)
        progress.note(f"writing {prefix}")
        checkpoint.save(prefix, values, replace=True)
        write_curve(state.history, out / CURVE)
        draw_curve(state.history, out / CURVE_PICTURE)
    write_record(record.updated(FINISHED, state.history), out)
    return TrainingResult(prefix, state.history)


@contextlib.contextmanager
def _failure_recorded(out: Path, record: TrainingRecord, state: TrainingState) -> Iterator[None]:
    """Write to `run.json` how the block failed, if it does."""
    try:
        yield
    except BaseException as error:
        ended = FAILED
        if isinstance(error, TrainingDiverged):
            ended = DIVERGED
        elif isinstance(error, KeyboardInterrupt):
            ended = INTERRUPTED
        with contextlib.suppress(OutputError):  # `error` already says that the disk is full
            write_record(record.updated(ended, state.history), out)
        raise


def _checkpoint_variables(session: TrainingSession, state: TrainingState) -> Variables:
    """Return all variables of the original's checkpoint."""
    last = state.history[-1] if state.history else None
    scalars = {
        "Accuracy/Mean/moving_avg": state.average_accuracy,
        "Crossentropy/Mean/moving_avg": state.average_loss,
        "Global_Step": state.step,
        "Training_step": state.step,
        "val_acc": last.validation_accuracy if last else 0,
        "val_loss": last.validation_loss if last else 0,
    }
    return {
        **session.checkpoint_variables(),
        **{name: np.array(value, np.float32) for name, value in scalars.items()},
        "is_training": np.array(False),
    }


class _TrainingLoop:
    """Trains epoch after epoch, and writes a snapshot, the curve and `run.json` after each."""

    def __init__(
        self,
        out: Path,
        record: TrainingRecord,
        faces: _TrainingFaces,
        targets: npt.NDArray[np.float32],
        state: TrainingState,
        session: TrainingSession,
        log: TensorBoardLog,
        progress: Progress,
    ) -> None:
        self._out, self._record, self._settings = out, record, record.settings
        self._faces, self._targets, self._state = faces, targets, state
        self._session, self._log, self._progress = session, log, progress

    def run(self, stop: Sequence[object]) -> bool:
        """Train until the last epoch; return False if `stop` was filled before."""
        state = self._state
        if self._settings.init and not state.step:
            loss, accuracy = self._session.validate(self._faces.validation)
            self._progress.note(
                f"before the first epoch: validation loss {loss:.4f}, accuracy {accuracy:.4f}"
            )
        while state.epoch < self._settings.epochs:
            finished = self._train_epoch(stop)
            self._write_snapshot()
            if not finished:
                return False
            write_curve(state.history, self._out / CURVE)
            write_record(self._record.updated(RUNNING, state.history), self._out)
            if stop and state.epoch < self._settings.epochs:
                return False
        return True

    def _train_epoch(self, stop: Sequence[object]) -> bool:
        """Train the rest of the current epoch; return False if `stop` was filled before its end."""
        state, settings, data = self._state, self._settings, self._faces.training
        order = epoch_order(data, settings, state.epoch)
        count = count_batches(order, settings)
        started = time.monotonic() - state.seconds
        self._progress.start(f"epoch {state.epoch + 1} of {settings.epochs}", count - state.batch)
        self._session.set_training(True)
        try:
            for batch in batches(
                data, self._targets, order, settings, epoch=state.epoch, first=state.batch
            ):
                rate = settings.learning_rate_at(state.epoch + (state.batch + 0.5) / count)
                loss, accuracy, summaries = self._session.train_batch(batch, rate, state.step)
                if not math.isfinite(loss):
                    raise self._diverged(
                        f"the loss became {loss} in batch {state.batch + 1} of epoch "
                        f"{state.epoch + 1}"
                    )
                state.count_batch(loss, accuracy)
                self._log.write(state.step, {"Loss": loss, "Accuracy": accuracy}, summaries)
                self._progress.advance()
                if stop and state.batch < count:
                    state.seconds = time.monotonic() - started
                    return False
            self._finish_epoch(count, started)
            return True
        finally:
            self._progress.finish()

    def _finish_epoch(self, count: int, started: float) -> None:
        """Validate, and close the epoch of `count` batches that started at `started`."""
        state, settings = self._state, self._settings
        loss, accuracy = self._session.validate(self._faces.validation)
        if not math.isfinite(loss):
            raise self._diverged(f"the validation loss became {loss} in epoch {state.epoch + 1}")
        metrics = EpochMetrics(
            epoch=state.epoch + 1,
            step=state.step,
            learning_rate=settings.learning_rate_at(state.epoch + 1 - 1 / count),
            loss=state.loss / count,
            accuracy=state.accuracy / count,
            validation_loss=loss,
            validation_accuracy=accuracy,
            seconds=time.monotonic() - started,
        )
        state.finish_epoch(metrics)
        self._log.write(state.step, {"Loss/Validation": loss, "Accuracy/Validation": accuracy})
        self._progress.note(
            f"epoch {metrics.epoch} of {settings.epochs}: loss {metrics.loss:.4f}, accuracy "
            f"{metrics.accuracy:.4f}; validation loss {loss:.4f}, accuracy {accuracy:.4f} "
            f"(n={len(self._faces.validation.labels):,}); {format_duration(metrics.seconds)}, "
            f"about {format_duration(self._seconds_left())} left"
        )

    def _seconds_left(self) -> float:
        """Return the estimated time for the remaining epochs, from the last ones."""
        seconds = [metrics.seconds for metrics in self._state.history[-TIMED_EPOCHS:]]
        return (self._settings.epochs - self._state.epoch) * sum(seconds) / len(seconds)

    def _write_snapshot(self) -> None:
        state = self._state
        values = self._session.variables()
        for name, value in values.items():
            if not checkpoint.is_finite(value):
                raise self._diverged(f"{name} is NaN or infinite at step {state.step}")
        write_snapshot(self._out, state, values)

    def _diverged(self, what: str) -> TrainingDiverged:
        rate = self._settings.learning_rate_at(self._state.epoch + 0.5)
        snapshots = self._out / SNAPSHOTS
        kept = f"; the last good snapshot is in {snapshots}" if snapshot_folders(self._out) else ""
        return TrainingDiverged(
            f"{what}: the learning rate ({rate:g}) is too high; set a lower "
            f"learning_rate in the recipe, and start over with --overwrite{kept}"
        )

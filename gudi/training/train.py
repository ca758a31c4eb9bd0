"""Train the network: the original's way, or one that gets further in less time."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import platform
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from gudi import __version__, checkpoint
from gudi.constants import CHECKPOINT_NAME, EMOTIONS
from gudi.errors import (
    CheckpointError,
    OutputError,
    TrainingDiverged,
    TrainingError,
    UsageError,
)
from gudi.files import TEMPORARY_PREFIX, atomic_write, check_writable, folder_lock
from gudi.predictor import Predictor, check_device, tensorflow_device
from gudi.progress import Progress
from gudi.signals import stop_requested
from gudi.training.augment import augment
from gudi.training.dataset import Dataset, split

# What a run leaves beside the checkpoint.
CURVE = "learning_curve.csv"
CURVE_PICTURE = "learning_curve.png"
RUN = "run.json"
SNAPSHOTS = "snapshots"
LOGS = "logs"

RUN_ID = "FER"  # the original's
STATE = "state.json"

# Should the last one prove damaged there is the one before it.
KEPT_SNAPSHOTS = 2

# Batches that are got ready while the network works on one.
BATCHES_AHEAD = 4

VALIDATION_BATCH = 256


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained; the defaults are the original's.

    Attributes:
        recipe: `original` or `augmented`; where the other values come from unless given.
        epochs: passes over the training faces.
        batch_size: faces a step.
        optimizer: `momentum` (0.9) or `adam`.
        learning_rate: of the first epoch; with `cosine` the highest.
        schedule: `constant`, times `decay` each epoch; or `cosine`, rising for two epochs, then
            falling to 0 along half a cosine (Loshchilov and Hutter 2017, without restarts).
        decay: see `schedule`.
        keep, keep_hidden: shares of the features and of the hidden units that dropout keeps.
        smoothing: share of each label that is spread over all classes (Szegedy et al. 2016).
        variation: how far the faces are varied, see `gudi.augment`; 0 not at all.
        balance: how far rare classes are shown more often, as a power of how much rarer than the
            most frequent one they are: 0 not at all, 1 as often as that.
        average: a moving average of the weights is measured and written instead of the weights
            themselves; it keeps this share of itself at each step (Polyak and Juditsky 1992), 0
            for none.
        units: how many of the hidden layer's 3072 units are used; the others stay 0 and cost no
            time.
        init: a checkpoint whose weights to begin with, as `gudi.checkpoint.find` takes it; "" for
            random ones.
        teacher: a checkpoint whose answers count for half of each label, with the recipe's
            smoothing in the other half (Hinton et al. 2015): they tell how like each other
            expressions are, and doubt labels that are wrong; "" for none.
        seed: of the first weights, the order of the faces and their variations.
        precision: `float32`, or `bfloat16` for processors that compute it faster.
        tensorboard_verbose: 0 loss and accuracy, 1 histograms of gradients, 2 of weights, 3 of
            activations, as TFLearn has it.
        device: as `gudi.predictor.Predictor` takes it.
    """

    recipe: str = "original"
    epochs: int = 100
    batch_size: int = 50
    optimizer: str = "momentum"
    learning_rate: float = 0.001
    schedule: str = "constant"
    decay: float = 1.0
    keep: float = 0.3
    keep_hidden: float = 1.0
    smoothing: float = 0.0
    variation: float = 0.0
    balance: float = 0.0
    average: float = 0.0
    units: int = 3072
    init: str = ""
    teacher: str = ""
    seed: int = 42
    precision: str = "float32"
    tensorboard_verbose: int = 0
    device: str = "auto"

    def rate(self, epoch: float) -> float:
        """Return the learning rate at `epoch`, counted from 0 with its fraction."""
        if self.schedule == "constant":
            return self.learning_rate * self.decay ** int(epoch)
        rising = min(1.0, epoch / min(2, self.epochs / 10))
        return self.learning_rate * rising * (1 + math.cos(math.pi * epoch / self.epochs)) / 2


RECIPES = {
    "original": TrainingSettings(),
    "augmented": TrainingSettings(
        recipe="augmented",
        batch_size=128,
        optimizer="adam",
        learning_rate=0.0008,
        schedule="cosine",
        keep=0.4,
        keep_hidden=0.5,
        smoothing=0.1,
        variation=1.0,
        balance=0.5,
    ),
}

# What may change when a run goes on; anything else would make it another run.
CHANGEABLE = {"epochs", "precision", "tensorboard_verbose", "device"}


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: a row of `learning_curve.csv`.

    Attributes:
        epoch: its number, from 1.
        step: batches trained on so far.
        learning_rate: at its end.
        loss, accuracy: means over its batches, with dropout and variations.
        validation_loss, validation_accuracy: over all validation faces, without either.
        seconds: that it took.
    """

    epoch: int
    step: int
    learning_rate: float
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


@dataclass
class _State:
    """Where a training stands; all of it goes into a snapshot.

    Attributes:
        epoch: complete epochs.
        batch: batches of the next epoch that are done.
        step: batches done in all.
        history: a row an epoch.
        loss, accuracy: sums over the batches of the next epoch that are done.
        seconds: spent on them.
        average_loss, average_accuracy: moving ones over the batches, as TFLearn keeps them.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    history: list[Epoch] = field(default_factory=list)
    loss: float = 0.0
    accuracy: float = 0.0
    seconds: float = 0.0
    average_loss: float = 0.0
    average_accuracy: float = 0.0


@dataclass(frozen=True)
class Trained:
    """What `train` did.

    Attributes:
        prefix: the checkpoint; None where the training was interrupted before its end.
        history: a row an epoch.
    """

    prefix: Path | None
    history: list[Epoch]


def settings_for(recipe: str, changes: Mapping[str, Any]) -> TrainingSettings:
    """Return the settings of `recipe` with those of `changes` that are not None."""
    return _changed(RECIPES[recipe], changes)


def _changed(settings: TrainingSettings, changes: Mapping[str, Any]) -> TrainingSettings:
    return replace(settings, **{k: v for k, v in changes.items() if v is not None})


def train(
    data: Dataset,
    out: Path,
    settings: TrainingSettings,
    *,
    validation: Dataset | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> Trained:
    """Train a network on `data` and write it to `out` under the original's names.

    A snapshot is taken after each epoch, and when the first SIGINT or SIGTERM ends the training.

    Args:
        data: the faces; without `validation` a tenth of them is held back, as in the original.
        out: folder for the checkpoint and what else the training leaves.
        settings: how.
        validation: faces to measure by instead.
        progress: is told how far it is.
        overwrite: replace an earlier training in `out`.

    Raises:
        OutputError: `out` holds a training already, or cannot be written.
        TrainingDiverged: the loss is no number any more.
    """
    check_writable(out)
    run = _Run(data, out, settings, validation, progress or Progress())
    with folder_lock(out, "another training"):
        run.begin(overwrite=overwrite)
        return run.go_on()


def resume(
    data: Dataset,
    out: Path,
    changes: Mapping[str, Any],
    *,
    validation: Dataset | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Go on with the training in `out` from its last snapshot.

    Args:
        data, validation, progress: as for `train`; the faces must be the same.
        out: the folder of the training.
        changes: settings by name; None for what it was begun with.

    Raises:
        TrainingError: there is nothing to go on with, or something has changed that must not.
        OutputError, TrainingDiverged: as for `train`.
    """
    read_run(out)
    with folder_lock(out, "another training"):
        return _resume(data, out, changes, validation, progress or Progress())


def _resume(
    data: Dataset,
    out: Path,
    changes: Mapping[str, Any],
    validation: Dataset | None,
    progress: Progress,
) -> Trained:
    begun = read_run(out)
    settings = TrainingSettings(**begun["settings"])
    for name, value in changes.items():
        if value not in (None, getattr(settings, name)) and name not in CHANGEABLE:
            raise UsageError(
                f"{out} was begun with {name} {getattr(settings, name)}, not {value}; "
                "--overwrite begins anew"
            )
    settings = _changed(settings, changes)
    if settings.epochs < begun["epochs_done"]:
        raise UsageError(
            f"{out} has {begun['epochs_done']} epochs done already, more than {settings.epochs}"
        )
    run = _Run(data, out, settings, validation, progress)
    run.pick_up(begun)
    return run.go_on()


def read_run(out: Path) -> dict[str, Any]:
    """Return the account of the training in `out`.

    Raises:
        TrainingError: there is none.
    """
    try:
        account = json.loads((out / RUN).read_text(encoding="utf-8"))
        settings = asdict(TrainingSettings(**account["settings"]))
        for name, default in asdict(TrainingSettings()).items():
            kinds = (float, int) if isinstance(default, float) else (type(default),)
            if type(settings[name]) not in kinds:
                raise ValueError(f"{name} is {settings[name]!r}")
        if not isinstance(account["epochs_done"], int):
            raise ValueError(f"epochs_done is {account['epochs_done']!r}")
        return {"resumed": [], **account} | {
            name: account[name] for name in ("fingerprints", "began")
        }
    except FileNotFoundError:
        raise TrainingError(f"{out} holds no training to go on with: no {RUN}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{out / RUN} cannot be read: {error}") from error


class _Run:
    """A training from its beginning, or from a snapshot, to its end."""

    def __init__(
        self,
        data: Dataset,
        out: Path,
        settings: TrainingSettings,
        validation: Dataset | None,
        progress: Progress,
    ) -> None:
        check_device(settings.device)
        self.device = tensorflow_device(settings.device)
        self.out, self.settings, self.progress = out, settings, progress
        self.fingerprints = {
            "data": data.fingerprint,
            "validation": validation.fingerprint if validation else None,
        }
        self.data, self.validation = (data, validation) if validation else split(data)
        self.prefix = out / CHECKPOINT_NAME
        self.state = _State()
        self.values: dict[str, np.ndarray] = {}
        self.began = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.resumed: list[dict[str, Any]] = []
        self.loaded: Path | None = None

    def begin(self, *, overwrite: bool) -> None:
        """Get the folder ready for a new training."""
        self.values = _first_weights(self.settings)
        there = [name for name in (RUN, SNAPSHOTS) if (self.out / name).exists()]
        if there and not overwrite:
            raise OutputError(
                f"{self.out} holds a training already ({there[0]}); --resume goes on with it, "
                "--overwrite begins anew"
            )
        size = sum(4 * math.prod(shape) for shape in checkpoint.weight_shapes().values())
        checkpoint.check_free_space(self.prefix, 2 * size, replace=overwrite)
        for name in (SNAPSHOTS, LOGS):
            shutil.rmtree(self.out / name, ignore_errors=True)
        for name in (CURVE, CURVE_PICTURE, RUN):
            (self.out / name).unlink(missing_ok=True)
        self._write_run("running")

    def pick_up(self, begun: Mapping[str, Any]) -> None:
        """Load the last snapshot."""
        if begun["fingerprints"] != self.fingerprints:
            raise TrainingError(
                f"{self.out} was begun with other faces; give it the same --data and --validation, "
                "or --overwrite to begin anew"
            )
        self.began = begun["began"]
        _sweep(self.out)
        for folder in reversed(_snapshots(self.out)):
            try:
                self.state, self.values = _read_snapshot(folder)
                break
            except (CheckpointError, OSError, ValueError, KeyError, TypeError) as error:
                self.progress.note(f"{folder} cannot be used: {error}")
        else:
            if begun["epochs_done"] or _snapshots(self.out):
                raise TrainingError(
                    f"{self.out / SNAPSHOTS} holds no snapshot that can be used, though "
                    f"{begun['epochs_done']} epochs were done; --overwrite begins anew"
                )
            self.progress.note("there is no snapshot yet: begun anew")
            self.values = _first_weights(self.settings)
            return
        self.loaded = folder
        before = begun["settings"]
        changes = {k: v for k, v in asdict(self.settings).items() if before.get(k, v) != v}
        self.resumed = [*begun["resumed"], {"step": self.state.step, "changes": changes}]
        where = f"epoch {self.state.epoch + 1}, batch {self.state.batch + 1}"
        if self.state.epoch < self.settings.epochs:
            self.progress.note(f"goes on with {where}")

    def go_on(self) -> Trained:
        """Train until the end or until somebody wants it to stop."""
        from gudi.network import build_trainer, quiet

        settings = self.settings
        with quiet():
            trainer = build_trainer(
                len(EMOTIONS),
                optimizer=settings.optimizer,
                average=settings.average,
                histograms=settings.tensorboard_verbose,
                device=self.device,
                keep=settings.keep,
                keep_hidden=settings.keep_hidden,
                units=settings.units,
                seed=settings.seed,
            )
            session = _session(trainer, settings, self.values, resumed=self.loaded is not None)
        self.values = {}
        taught = None
        if settings.teacher and self.state.epoch < settings.epochs:
            taught = _answers(settings.teacher, self.data, settings.device, self.progress)
        targets = _targets(self.data.labels, settings.smoothing, taught)
        try:
            with stop_requested() as stop, _Logs(self.out / LOGS / RUN_ID) as logs, session:
                while self.state.epoch < settings.epochs:
                    if not self._epoch(trainer, session, targets, logs, stop):
                        self._snapshot(trainer, session)
                        self._write_run("interrupted")
                        return Trained(None, self.state.history)
                    self._snapshot(trainer, session)
                    self._write_curve()
                    self._write_run("running")
                values = self._checkpoint(trainer, session)
            self.progress.note(f"writing {self.prefix}")
            checkpoint.save(self.prefix, values, replace=True)
            self._write_curve()
            draw_curve(self.state.history, self.out / CURVE_PICTURE)
        except BaseException as error:
            state = "diverged" if isinstance(error, TrainingDiverged) else "failed"
            with contextlib.suppress(OutputError):  # a full disk, of which `error` tells already
                self._write_run("interrupted" if isinstance(error, KeyboardInterrupt) else state)
            raise
        self._write_run("finished")
        return Trained(self.prefix, self.state.history)

    def _epoch(
        self, trainer: Any, session: Any, targets: np.ndarray, logs: _Logs, stop: list
    ) -> bool:
        """Train one epoch, or what is left of it; return False where it was stopped before."""
        state, settings = self.state, self.settings
        order = _order(self.data.labels, settings, state.epoch)
        count = math.ceil(len(order) / settings.batch_size)
        began = time.monotonic() - state.seconds
        label = f"epoch {state.epoch + 1} of {settings.epochs}"
        self.progress.start(label, count - state.batch)
        session.run(trainer.network.training_mode.assign(True))
        wanted = [trainer.step, trainer.loss, trainer.accuracy]
        if trainer.summaries is not None:
            wanted.append(trainer.summaries)
        try:
            for faces, labels in _batches(self.data, targets, order, settings, state):
                rate = settings.rate(state.epoch + (state.batch + 0.5) / count)
                feed = {
                    trainer.network.faces: faces,
                    trainer.labels: labels,
                    trainer.learning_rate: rate,
                    trainer.steps: state.step,
                }
                _, loss, accuracy, *summaries = session.run(wanted, feed)
                if not np.isfinite(loss):
                    raise self._diverged(f"the loss became {loss} in batch {state.batch + 1}")
                self._count(float(loss), float(accuracy))
                logs.step(state.step, {"Loss": loss, "Accuracy": accuracy}, summaries)
                self.progress.advance()
                if stop and state.batch < count:
                    state.seconds = time.monotonic() - began
                    return False
            self._finish(trainer, session, logs, count, time.monotonic() - began)
            return True
        finally:
            self.progress.finish()

    def _count(self, loss: float, accuracy: float) -> None:
        state = self.state
        state.batch += 1
        state.step += 1
        state.loss += loss
        state.accuracy += accuracy
        # TensorFlow's ExponentialMovingAverage(0.9, num_updates), which TFLearn uses.
        decay = min(0.9, (1 + state.step) / (10 + state.step))
        state.average_loss += (1 - decay) * (loss - state.average_loss)
        state.average_accuracy += (1 - decay) * (accuracy - state.average_accuracy)

    def _finish(self, trainer: Any, session: Any, logs: _Logs, count: int, seconds: float) -> None:
        """Measure by the validation faces and close the epoch."""
        state = self.state
        began = time.monotonic()
        with _averages_in_use(trainer, session):
            loss, accuracy = _validate(trainer, session, self.validation)
        if not np.isfinite(loss):
            raise self._diverged(f"the validation loss became {loss}")
        state.epoch += 1
        row = Epoch(
            epoch=state.epoch,
            step=state.step,
            learning_rate=self.settings.rate(state.epoch - 1 / count),
            loss=state.loss / count,
            accuracy=state.accuracy / count,
            validation_loss=loss,
            validation_accuracy=accuracy,
            seconds=seconds + time.monotonic() - began,
        )
        state.history.append(row)
        state.batch, state.loss, state.accuracy, state.seconds = 0, 0.0, 0.0, 0.0
        logs.step(state.step, {"Loss/Validation": loss, "Accuracy/Validation": accuracy}, [])
        self.progress.note(
            f"epoch {row.epoch} of {self.settings.epochs}: loss {row.loss:.4f}, accuracy "
            f"{row.accuracy:.4f}; validation loss {loss:.4f}, accuracy {accuracy:.4f} "
            f"(n={len(self.validation.labels):,}); {row.seconds:.0f} s, {self._left()} left"
        )

    def _diverged(self, what: str) -> TrainingDiverged:
        epoch, kept = self.state.epoch + 1, len(_snapshots(self.out)) > 0
        return TrainingDiverged(
            f"{what} of epoch {epoch}: the learning rate, {self.settings.rate(epoch - 0.5):g}, is "
            "too high; "
            + (f"the last good snapshot is kept in {self.out / SNAPSHOTS}, " if kept else "")
            + "--learning-rate sets a lower one for a training begun anew"
        )

    def _left(self) -> str:
        """Return the time that the other epochs will take, going by the last few."""
        last = [row.seconds for row in self.state.history[-5:]]
        minutes = (self.settings.epochs - self.state.epoch) * sum(last) / len(last) / 60
        return f"{minutes // 60:.0f} h {minutes % 60:.0f} min"

    def _snapshot(self, trainer: Any, session: Any) -> None:
        """Write down all that is needed to go on from here, and drop older snapshots."""
        folder = self.out / SNAPSHOTS / f"step-{self.state.step:09d}"
        if folder == self.loaded:
            return
        values = session.run(trainer.state)
        with np.errstate(all="ignore"):
            unsound = [name for name, each in values.items() if not np.isfinite(each.sum())]
        if unsound:
            raise self._diverged(f"{unsound[0]} holds no numbers any more in the middle")
        shutil.rmtree(folder, ignore_errors=True)  # one that proved damaged
        try:
            folder.parent.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=self.out) as scratch:
                staged = Path(scratch) / "snapshot"
                staged.mkdir()
                checkpoint.write_v2(staged / "variables", values)
                state = json.dumps(asdict(self.state), indent=1)
                (staged / STATE).write_text(state, encoding="utf-8")
                staged.rename(folder)
        except (OSError, OutputError) as error:
            why = getattr(error, "strerror", None) or error
            raise OutputError(
                f"{folder} cannot be written: {why}; with more room, --resume goes on"
            ) from error
        for old in _snapshots(self.out)[:-KEPT_SNAPSHOTS]:
            shutil.rmtree(old, ignore_errors=True)

    def _checkpoint(self, trainer: Any, session: Any) -> dict[str, np.ndarray]:
        """Return the variables of the original's checkpoint."""
        trained = session.run(trainer.state)
        last = self.state.history[-1] if self.state.history else None
        values = {}
        for name, shape in checkpoint.weight_shapes().items():
            weight = trainer.averages.get(name, trainer.state[name])
            values[name] = _padded(trained[weight.op.name], shape)
            slot = trained.get(f"{name}/Momentum")
            values[f"{name}/Momentum"] = (
                np.zeros(shape, np.float32) if slot is None else _padded(slot, shape)
            )
        scalars = {
            "Accuracy/Mean/moving_avg": self.state.average_accuracy,
            "Crossentropy/Mean/moving_avg": self.state.average_loss,
            "Global_Step": self.state.step,
            "Training_step": self.state.step,
            "val_acc": last.validation_accuracy if last else 0,
            "val_loss": last.validation_loss if last else 0,
        }
        values |= {name: np.array(value, np.float32) for name, value in scalars.items()}
        values["is_training"] = np.array(False)
        return values

    def _write_curve(self) -> None:
        text = io.StringIO()
        names = [each.name for each in fields(Epoch)]
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        for row in self.state.history:
            values = (getattr(row, name) for name in names)
            writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in values])
        _write(self.out / CURVE, text.getvalue())

    def _write_run(self, state: str) -> None:
        account = {
            "gudi": __version__,
            "state": state,
            "began": self.began,
            "settings": asdict(self.settings),
            "resumed": self.resumed,
            "fingerprints": self.fingerprints,
            "faces": len(self.data.labels),
            "validation_faces": len(self.validation.labels),
            "epochs_done": self.state.epoch,
            "last_epoch": asdict(self.state.history[-1]) if self.state.history else None,
            "seconds": round(sum(row.seconds for row in self.state.history), 1),
            "versions": {"python": platform.python_version()}
            | {name: metadata.version(name) for name in ("tensorflow", "tflearn", "numpy")},
        }
        _write(self.out / RUN, json.dumps(account, indent=2) + "\n")


def draw_curve(history: list[Epoch], path: Path) -> None:
    """Write the learning curve as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [row.epoch for row in history]
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy")):
        marker = "o" if len(history) < 20 else ""  # a single epoch makes no line
        axes.plot(epochs, [getattr(row, name) for row in history], marker=marker, label="training")
        validation = [getattr(row, f"validation_{name}") for row in history]
        axes.plot(epochs, validation, marker=marker, label="validation")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel="epoch", ylabel=name)
        axes.grid(alpha=0.3)
        axes.legend()
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=100)


class _Logs:
    """What TensorBoard shows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> _Logs:
        from gudi.network import tf

        # Outside a graph of its own the writer would refuse to work beside an eager one.
        with tf.Graph().as_default():
            self._writer = tf.summary.FileWriter(str(self.folder))
        self._summary = tf.Summary
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def step(self, step: int, values: Mapping[str, float], summaries: list[bytes]) -> None:
        """Write down the scalars `values` and serialized `summaries` of `step`."""
        summary = self._summary(
            value=[
                self._summary.Value(tag=name, simple_value=value) for name, value in values.items()
            ]
        )
        self._writer.add_summary(summary, step)
        for each in summaries:
            self._writer.add_summary(each, step)


def _session(
    trainer: Any, settings: TrainingSettings, values: Mapping[str, np.ndarray], *, resumed: bool
) -> Any:
    """Return a session in which variables have their `values`.

    Those that have none begin with their first ones, unless a training is `resumed`.
    """
    from gudi.network import open_session, start

    session = open_session(trainer.network.graph, bfloat16=settings.precision == "bfloat16")
    session.run(trainer.network.training_mode.initializer)
    for name, variable in trainer.state.items():
        if resumed or name in values:
            start(session, variable, values[name])
        else:
            session.run(variable.initializer)
    return session


def _first_weights(settings: TrainingSettings) -> dict[str, np.ndarray]:
    """Return the weights to begin with, as wide as the network is trained; none for random ones.

    Raises:
        CheckpointError: it cannot be used.
        UsageError: more of its hidden units are in use than there will be.
    """
    if not settings.init:
        return {}
    file = checkpoint.open_checkpoint(settings.init)
    values = checkpoint.read_weights(file, checkpoint.choose_network(file)).values
    incoming, outgoing = values["FullyConnected/W"], values["FullyConnected_1/W"]
    used = np.flatnonzero(incoming.any(axis=0) | outgoing.any(axis=1))
    if used.size and used[-1] >= settings.units:
        raise UsageError(
            f"{file.prefix} uses {used[-1] + 1} hidden units, more than --units {settings.units}"
        )
    return values | {
        "FullyConnected/W": incoming[:, : settings.units],
        "FullyConnected/b": values["FullyConnected/b"][: settings.units],
        "FullyConnected_1/W": outgoing[: settings.units],
    }


def _order(labels: np.ndarray, settings: TrainingSettings, epoch: int) -> np.ndarray:
    """Return the numbers of the faces in the order in which `epoch` shows them."""
    random = np.random.default_rng((settings.seed, epoch))
    counts = np.bincount(labels)
    wanted = (counts.max() / np.maximum(counts, 1)) ** settings.balance
    copies = np.floor(wanted[labels] + random.random(len(labels))).astype(int)
    return random.permutation(np.repeat(np.arange(len(labels)), copies))


def _answers(teacher: str, data: Dataset, device: str, progress: Progress) -> np.ndarray:
    """Return what the checkpoint `teacher` makes of each face and its mirror image, as targets.

    Float32 of shape (n, classes), the mean of the two.
    """
    answers = np.empty((len(data.labels), len(EMOTIONS)), np.float32)
    with Predictor(teacher, device, fixed_batches=True) as predictor:
        starts = range(0, len(answers), predictor.batch_size)
        progress.start("teacher's batches", len(starts))
        for start in starts:
            part = slice(start, start + predictor.batch_size)
            faces = data.grey(part)
            answers[part] = (predictor.predict(faces) + predictor.predict(faces[:, :, ::-1])) / 2
            progress.advance()
        progress.finish()
    return answers


def _targets(labels: np.ndarray, smoothing: float, taught: np.ndarray | None) -> np.ndarray:
    """Return what each face should give: float32 of shape (n, classes), rows sum to 1."""
    classes = len(EMOTIONS)
    targets = np.eye(classes, dtype=np.float32)[labels] * (1 - smoothing) + smoothing / classes
    return targets if taught is None else (targets + taught) / 2


def _batches(
    data: Dataset, targets: np.ndarray, order: np.ndarray, settings: TrainingSettings, state: _State
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the batches of the next epoch that are not done: faces and targets, float32.

    They depend on seed, epoch and number alone, so a resumed epoch goes on as it would have.
    """
    epoch, done = state.epoch, state.batch
    count = math.ceil(len(order) / settings.batch_size)

    def batch(number: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = order[number * settings.batch_size : (number + 1) * settings.batch_size]
        faces = data.unit(chosen)
        if settings.variation:
            random = np.random.default_rng((settings.seed, epoch, number))
            faces = augment(faces, random, settings.variation)
        return faces[..., None], targets[chosen]

    with ThreadPoolExecutor(1, "batches") as thread:
        waiting: deque = deque()
        try:
            for number in range(done, count):
                waiting.append(thread.submit(batch, number))
                if len(waiting) > BATCHES_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            thread.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _averages_in_use(trainer: Any, session: Any) -> Iterator[None]:
    """Give the weights the values of their averages for a while, where averages are kept."""
    from gudi.network import start

    if not trainer.averages:
        yield
        return
    trained = session.run(trainer.network.weights)
    averages = session.run(trainer.averages)
    for name, variable in trainer.network.weights.items():
        start(session, variable, averages[name])
    yield
    for name, variable in trainer.network.weights.items():
        start(session, variable, trained[name])


def _validate(trainer: Any, session: Any, data: Dataset) -> tuple[float, float]:
    """Return mean loss and accuracy over `data`."""
    session.run(trainer.network.training_mode.assign(False))
    loss = accuracy = 0.0
    for start in range(0, len(data.labels), VALIDATION_BATCH):
        chosen = np.arange(start, min(start + VALIDATION_BATCH, len(data.labels)))
        labels = np.eye(len(EMOTIONS), dtype=np.float32)[data.labels[chosen]]
        feed = {trainer.network.faces: data.unit(chosen)[..., None], trainer.labels: labels}
        values = session.run([trainer.loss, trainer.accuracy], feed)
        loss += float(values[0]) * len(chosen)
        accuracy += float(values[1]) * len(chosen)
    return loss / len(data.labels), accuracy / len(data.labels)


def _padded(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return `values` with zeros behind, for the hidden units that were not used."""
    return np.pad(values, [(0, wanted - there) for wanted, there in zip(shape, values.shape)])


def _snapshots(out: Path) -> list[Path]:
    """Return the snapshots in `out`, oldest first."""
    return sorted((out / SNAPSHOTS).glob("step-*"))


def _read_snapshot(folder: Path) -> tuple[_State, dict[str, np.ndarray]]:
    state = _State(**json.loads((folder / STATE).read_text(encoding="utf-8")))
    state.history = [Epoch(**row) for row in state.history]
    file = checkpoint.open_checkpoint(folder / "variables")
    return state, {name: file.read(name)[0] for name in file.tensors}


def _sweep(out: Path) -> None:
    """Remove what a killed process has left half written."""
    for left in out.glob(f"{TEMPORARY_PREFIX}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    try:
        with atomic_write(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error

"""A TensorFlow session that trains and validates the network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gudi import checkpoint
from gudi.errors import TrainingError
from gudi.quiet import quiet
from gudi.training.batches import Batch
from gudi.training.dataset import Dataset
from gudi.training.snapshots import Variables
from gudi.training.training_settings import TrainingSettings

VALIDATION_BATCH = 256


class TrainingSession:
    """A TensorFlow session with the network, its loss and its optimizer; a context manager.

    Args:
        settings: how the network is trained.
        values: first values of variables, by name. The dictionary is emptied, so that the values
            are not in memory twice.
        device: TensorFlow's name of the device, see `gudi.engines.tensorflow_graph`.
        prior: see `gudi.network.build_trainer`.
        complete: `values` must hold all variables. Otherwise the missing ones get random values,
            or 0 if they are not weights.

    Raises:
        TrainingError: a variable is missing from `values`.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        values: Variables,
        device: str,
        *,
        prior: npt.NDArray[np.float32] | None = None,
        complete: bool,
    ) -> None:
        from gudi.network import build_trainer, open_session

        with quiet():
            self._trainer = build_trainer(
                len(settings.emotions),
                optimizer=settings.optimizer,
                ema_decay=settings.ema_decay,
                histograms=settings.tensorboard_verbose,
                prior=prior,
                device=device,
                keep=settings.keep,
                keep_hidden=settings.keep_hidden,
                units=settings.units,
                seed=settings.seed,
            )
            self._session: Any = open_session(
                self._trainer.network.graph, bfloat16=settings.precision == "bfloat16"
            )
            try:
                self._shapes = checkpoint.weight_shapes(len(settings.emotions))
                self._initialize(values, complete=complete)
            except BaseException:
                self._session.close()
                raise

    def __enter__(self) -> TrainingSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def _initialize(self, values: Variables, *, complete: bool) -> None:
        from gudi.network import start

        self._session.run(self._trainer.network.training_mode.initializer)
        for name, variable in self._trainer.state.items():
            if name in values:
                start(self._session, variable, values.pop(name))
            elif complete:
                raise TrainingError(f"the snapshot has no variable {name}")
            else:
                self._session.run(variable.initializer)
        values.clear()

    def set_training(self, training: bool) -> None:
        """Switch dropout on or off."""
        self._session.run(self._trainer.network.training_mode.assign(training))

    def train_batch(
        self, batch: Batch, learning_rate: float, step: int
    ) -> tuple[float, float, list[bytes]]:
        """Train one step.

        Args:
            batch: faces and targets.
            learning_rate: of this step.
            step: batches trained before.

        Returns:
            The batch's mean loss and accuracy, and serialized summaries for TensorBoard.
        """
        trainer = self._trainer
        fetches = [trainer.step, trainer.loss, trainer.accuracy]
        if trainer.summaries is not None:
            fetches.append(trainer.summaries)
        feed = {
            trainer.network.faces: batch[0],
            trainer.labels: batch[1],
            trainer.learning_rate: learning_rate,
            trainer.steps: step,
        }
        _, loss, accuracy, *summaries = self._session.run(fetches, feed)
        return float(loss), float(accuracy), summaries

    def validate(self, data: Dataset) -> tuple[float, float]:
        """Return mean loss and accuracy over `data`, without dropout; of the averages, if kept."""
        self.set_training(False)
        trainer, count = self._trainer, len(data.labels)
        loss = accuracy = 0.0
        with self._averages_in_use():
            for first in range(0, count, VALIDATION_BATCH):
                chosen = np.arange(first, min(first + VALIDATION_BATCH, count))
                feed = {
                    trainer.network.faces: data.unit(chosen)[..., None],
                    trainer.labels: data.targets(chosen),
                }
                means = self._session.run([trainer.validation_loss, trainer.accuracy], feed)
                loss += float(means[0]) * len(chosen)
                accuracy += float(means[1]) * len(chosen)
        return loss / count, accuracy / count

    @contextlib.contextmanager
    def _averages_in_use(self) -> Iterator[None]:
        """Use the averages of the weights, if kept, in place of the weights."""
        from gudi.network import start

        trainer, session = self._trainer, self._session
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

    def variables(self) -> Variables:
        """Return all variables that a training needs to continue, by name."""
        values: Variables = self._session.run(self._trainer.state)
        return values

    def checkpoint_variables(self) -> Variables:
        """Return the weights, or their averages, and their momentum as the original saves them.

        Hidden units that are not in use are 0, and so is momentum if the optimizer has none.
        """
        trainer, trained = self._trainer, self.variables()
        values: Variables = {}
        for name, shape in self._shapes.items():
            weight: Any = trainer.averages.get(name, trainer.state[name])
            values[name] = checkpoint.padded(trained[weight.op.name], shape)
            momentum = trained.get(f"{name}/Momentum")
            values[f"{name}/Momentum"] = (
                np.zeros(shape, np.float32)
                if momentum is None
                else checkpoint.padded(momentum, shape)
            )
        return values

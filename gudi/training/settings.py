"""How a network is trained: settings and the recipes that provide them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

# The learning rate of the `cosine` schedule rises for this many epochs, or for a tenth of a
# training that is shorter than 20 epochs.
WARM_UP_EPOCHS = 2


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained. The defaults are the original's.

    Attributes:
        recipe: `original` or `augmented`: the source of the values that are not given.
        epochs: passes over the training faces.
        batch_size: faces per step.
        optimizer: `momentum` (0.9) or `adam`.
        learning_rate: of the first epoch; for `cosine`, the highest.
        schedule: `constant` multiplies the learning rate by `decay` after each epoch. `cosine`
            raises it for two epochs, then lowers it to 0 along half a cosine (Loshchilov and
            Hutter 2017, without restarts).
        decay: see `schedule`.
        keep, keep_hidden: fractions of the features and of the hidden units that dropout keeps.
        smoothing: fraction of each label that is spread over all classes (Szegedy et al. 2016).
        variation: how much faces are varied, see `gudi.training.augment`; 0 leaves them as they
            are.
        wear: the probability that a face is made as bad as real pictures are, in each of several
            ways, see `gudi.training.augment.wear`.
        balance: how much more often rare classes are shown. A class that has 1/n as many faces as
            the most frequent one is shown n**balance times as often: 0 changes nothing, 1 shows
            all classes equally often.
        agreement: how much less often faces are shown on whose emotion people disagree: a face
            whose most probable emotion has the probability p in a soft label is shown
            p**agreement times as often. 0 changes nothing.
        adjustment: of the logits, for classes that are rare (Menon et al. 2021): the network is
            trained as if what it predicts was multiplied by each class's frequency to this power.
            So it predicts rare classes more often: 0 changes nothing, 1 as if all classes were
            equally frequent.
        average: if not 0, a moving average of the weights is measured and saved instead of the
            weights. This is the fraction that it keeps of itself at each step (Polyak and Juditsky
            1992).
        units: hidden units in use, of the hidden layer's 3072. The others stay 0 and cost no time.
        init: checkpoint whose weights the training starts with, as `gudi.checkpoint.find` takes
            it; "" for random weights.
        teacher: checkpoints whose mean predictions are half of each label; the other half is the
            label with the recipe's smoothing (Hinton et al. 2015). Predictions show which
            expressions resemble each other, and soften labels that are wrong.
        seed: of the first weights, the order of the faces and their variations.
        precision: `float32`, or `bfloat16`, which is faster on CPUs with AVX512-BF16 or AMX, and
            many times slower on CPUs without AVX-512.
        tensorboard_verbose: as in TFLearn: 0 logs loss and accuracy, 1 also histograms of
            gradients, 2 also of weights, 3 also of activations.
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
    wear: float = 0.0
    balance: float = 0.0
    agreement: float = 0.0
    adjustment: float = 0.0
    average: float = 0.0
    units: int = 3072
    init: str = ""
    teacher: tuple[str, ...] = ()
    seed: int = 42
    precision: str = "float32"
    tensorboard_verbose: int = 0
    device: str = "auto"

    @classmethod
    def from_json(cls, values: Any) -> TrainingSettings:
        """Return the settings that `to_json` described.

        Raises:
            TypeError: `values` is not an object, or has an unknown setting.
            ValueError: a value has the wrong type.
        """
        settings = cls(**values)
        teachers = settings.teacher
        if isinstance(teachers, str):  # earlier versions took one
            teachers = (teachers,) if teachers else ()
        if not isinstance(teachers, (tuple, list)) or not all(
            isinstance(each, str) for each in teachers
        ):
            raise ValueError(f"teacher is {teachers!r}")
        settings = replace(settings, teacher=tuple(teachers))
        for name, default in asdict(cls()).items():
            value = getattr(settings, name)
            types = (float, int) if isinstance(default, float) else (type(default),)
            if type(value) not in types:
                raise ValueError(f"{name} is {value!r}")
        return settings

    def to_json(self) -> dict[str, Any]:
        """Return all settings by name."""
        return asdict(self)

    def changed(self, changes: Mapping[str, Any]) -> TrainingSettings:
        """Return these settings with those values of `changes` that are not None."""
        return replace(self, **{name: v for name, v in changes.items() if v is not None})

    def learning_rate_at(self, epoch: float) -> float:
        """Return the learning rate at `epoch`, which counts from 0 and may have a fraction."""
        if self.schedule == "constant":
            return self.learning_rate * self.decay ** int(epoch)
        rise = min(1.0, epoch / min(WARM_UP_EPOCHS, self.epochs / 10))
        return self.learning_rate * rise * (1 + math.cos(math.pi * epoch / self.epochs)) / 2


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

# Settings that may change when a training is resumed. A change of any other would make it a
# different training.
CHANGEABLE = frozenset({"epochs", "precision", "tensorboard_verbose", "device"})


def settings_for(recipe: str, changes: Mapping[str, Any]) -> TrainingSettings:
    """Return the settings of `recipe` with those values of `changes` that are not None."""
    return RECIPES[recipe].changed(changes)

"""The settings of a training, declared once.

Recipe files, options of `gudi train`, `run.json` and the table in docs/training.md follow from the
declaration.
"""

# Without `from __future__ import annotations`: the checks need the types of the fields.
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gudi.constants import EMOTIONS, HIDDEN_UNITS
from gudi.declarations import Options, declared, option
from gudi.errors import UsageError, one_line
from gudi.settings import check_emotions, split_emotions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# The learning rate of the `cosine` schedule rises for this many epochs, or for a tenth of a
# training that is shorter than 20 epochs.
WARM_UP_EPOCHS = 2

MAX_RECIPE = 2**16  # bytes


def _paths(value: Any) -> tuple[str, ...]:
    if isinstance(value, (tuple, list)) and all(
        isinstance(path, str) and "\0" not in path for path in value
    ):
        return tuple(value)
    raise UsageError(f"teacher must be a list of texts. Received: {value!r}")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Options):
    """How a network is trained. The defaults are the original's.

    Raises:
        UsageError: a value has the wrong type, or is not allowed.
    """

    epochs: int = option(100, "Passes over the training faces.", least=1, most=100_000)
    batch_size: int = option(50, "Faces per step.", least=1, most=4096)
    optimizer: str = option("momentum", "`momentum` is 0.9.", choices=("momentum", "adam"))
    learning_rate: float = option(
        0.001, "Learning rate, the highest of `cosine`.", above=0, most=1e38
    )
    schedule: str = option(
        "constant",
        "`constant` multiplies the learning rate by `learning_rate_decay` after each epoch. "
        "`cosine` raises it for two epochs, then lowers it to 0 along half a cosine (Loshchilov "
        "and Hutter 2017, without restarts).",
        choices=("constant", "cosine"),
    )
    learning_rate_decay: float = option(1.0, "See `schedule`.", above=0, most=1)
    keep: float = option(0.3, "Fraction of the features that dropout keeps.", above=0, most=1)
    keep_hidden: float = option(
        1.0, "Fraction of the hidden units that dropout keeps.", above=0, most=1
    )
    label_smoothing: float = option(
        0.0,
        "Fraction of each label that is spread over all emotions (Szegedy et al. 2016).",
        least=0,
        most=1,
    )
    augmentation: float = option(
        0.0,
        "Strength of the random rotation, shift, scale, contrast, brightness and erasing of each "
        "face. Above 0, half of the faces are also mirrored.",
        least=0,
        most=1,
    )
    corruption: float = option(
        0.0,
        "Probability of each of these for each face: uneven light, blur, coarse pixels, noise, "
        "JPEG artefacts.",
        least=0,
        most=1,
    )
    balance: float = option(
        0.0,
        "Class balance: an emotion with 1/n as many faces as the most frequent one is shown "
        "n^balance times as often.",
        least=0,
        most=1,
    )
    sample_weight: float = option(
        0.0,
        "With soft labels, faces on which people disagree are shown less often: weight = (share of "
        "the top emotion)^sample_weight.",
        least=0,
        most=10,
    )
    logit_adjustment: float = option(
        0.0,
        "Tau of the logit adjustment (Menon et al. 2021): the higher, the more often rare emotions "
        "are predicted, up to 1, as if all were equally frequent.",
        least=0,
        most=1,
    )
    ema_decay: float = option(
        0.0,
        "Validate and save an exponential moving average of the weights that keeps this fraction "
        "of itself at each step (Polyak and Juditsky 1992). 0 turns this off.",
        least=0,
        below=1,
    )
    units: int = option(
        HIDDEN_UNITS,
        "Hidden units in use. The others stay 0: training is faster, and the packed checkpoint is "
        "smaller.",
        least=1,
        most=HIDDEN_UNITS,
    )
    init: str = option(
        "",
        "Checkpoint whose weights to start with: prefix, folder or any file. Empty for random "
        "weights.",
    )
    teacher: tuple[str, ...] = option(
        (),
        "Checkpoints whose mean prediction makes up half of each label (Hinton et al. 2015).",
        metavar="a list of texts",
        check=_paths,
    )
    seed: int = option(
        42,
        "Seed of the random weights, of the order of the faces and of their augmentation.",
        least=0,
        most=2**31 - 1,
    )
    precision: str = option(
        "float32",
        "`bfloat16` lets oneDNN compute in bfloat16 where that is safe: faster on CPUs with "
        "AVX512-BF16 or AMX, many times slower on CPUs without AVX-512. Variables and predictions "
        "stay float32.",
        choices=("float32", "bfloat16"),
    )
    tensorboard_verbose: int = option(
        0,
        "As in TFLearn: 0 logs loss and accuracy, 1 also histograms of the gradients, 2 of the "
        "weights, 3 of the activations. Histograms make a step several times slower. The original "
        "uses 2.",
        least=0,
        most=3,
    )
    emotions: Sequence[str] = option(
        EMOTIONS,
        "Names of the classes, in the order of the labels.",
        metavar="a list of texts",
        shown_default="those of the faces",
        parse=split_emotions,
        check=check_emotions,
    )
    device: str = option("auto", "`auto`, `cpu`, `gpu` or `gpu:N`.")

    def learning_rate_at(self, epoch: float) -> float:
        """Return the learning rate at `epoch`, which counts from 0 and may have a fraction."""
        if self.schedule == "constant":
            return self.learning_rate * self.learning_rate_decay ** int(epoch)
        rise = min(1.0, epoch / min(WARM_UP_EPOCHS, self.epochs / 10))
        return self.learning_rate * rise * (1 + math.cos(math.pi * epoch / self.epochs)) / 2


# Settings that may change when a training is resumed. A change of any other would make it a
# different training.
CHANGEABLE = frozenset({"epochs", "precision", "tensorboard_verbose", "device"})


def read_recipe(path: Path) -> dict[str, Any]:
    """Return the settings in the TOML file at `path` by name.

    Raises:
        UsageError: it cannot be read, or a setting is unknown or not allowed.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_RECIPE + 1)
        if len(content) > MAX_RECIPE:
            raise ValueError(f"it has more than {MAX_RECIPE:,} bytes")
        values = tomllib.loads(content.decode())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not a TOML file: {one_line(error)}") from error
    for name in values:
        if name not in declared(TrainingSettings):
            raise UsageError(
                f"{path}: there is no setting {one_line(name)[:60]}; choose from "
                f"{', '.join(declared(TrainingSettings))}"
            )
    try:
        settings = TrainingSettings(**values)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return {name: getattr(settings, name) for name in values}

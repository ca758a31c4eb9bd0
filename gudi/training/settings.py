"""The settings of a training, declared once.

Recipe files, options of `gudi train`, `run.json` and the table in docs/training.md follow from the
declaration.
"""

from __future__ import annotations

import math
import sys
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from gudi.constants import HIDDEN_UNITS
from gudi.errors import UsageError, one_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# The learning rate of the `cosine` schedule rises for this many epochs, or for a tenth of a
# training that is shorter than 20 epochs.
WARM_UP_EPOCHS = 2

MAX_RECIPE = 2**16  # bytes


def setting(default: Any, allowed: str | tuple[str, ...], text: str) -> Any:
    """Return a field of `TrainingSettings`.

    Args:
        default: the original's value. It determines the type.
        allowed: an interval such as "(0, 1]", which includes 1 and not 0; or choices; or "" for a
            path.
        text: its effect, for help and documentation.
    """
    return field(default=default, metadata={"allowed": allowed, "text": text})


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained. The defaults are the original's.

    Raises:
        UsageError: a value has the wrong type, or is not allowed.
    """

    epochs: int = setting(100, "[1, 100000]", "Passes over the training faces.")
    batch_size: int = setting(50, "[1, 4096]", "Faces per step.")
    optimizer: str = setting("momentum", ("momentum", "adam"), "`momentum` is 0.9.")
    learning_rate: float = setting(0.001, "(0, 1e38]", "Learning rate, the highest of `cosine`.")
    schedule: str = setting(
        "constant",
        ("constant", "cosine"),
        "`constant` multiplies the learning rate by `learning_rate_decay` after each epoch. "
        "`cosine` raises it for two epochs, then lowers it to 0 along half a cosine (Loshchilov "
        "and Hutter 2017, without restarts).",
    )
    learning_rate_decay: float = setting(1.0, "(0, 1]", "See `schedule`.")
    keep: float = setting(0.3, "(0, 1]", "Fraction of the features that dropout keeps.")
    keep_hidden: float = setting(1.0, "(0, 1]", "Fraction of the hidden units that dropout keeps.")
    label_smoothing: float = setting(
        0.0, "[0, 1]", "Fraction of each label that is spread over all emotions (Szegedy et al. "
        "2016).",
    )  # fmt: skip
    augmentation: float = setting(
        0.0, "[0, 1]", "Strength of the random rotation, shift, scale, contrast, brightness and "
        "erasing of each face. Above 0, half of the faces are also mirrored.",
    )  # fmt: skip
    corruption: float = setting(
        0.0, "[0, 1]", "Probability of each of these for each face: uneven light, blur, coarse "
        "pixels, noise, JPEG artefacts.",
    )  # fmt: skip
    balance: float = setting(
        0.0, "[0, 1]", "Class balance: an emotion with 1/n as many faces as the most frequent one "
        "is shown n^balance times as often.",
    )  # fmt: skip
    sample_weight: float = setting(
        0.0, "[0, 10]", "With soft labels, faces on which people disagree are shown less often: "
        "weight = (share of the top emotion)^sample_weight.",
    )  # fmt: skip
    logit_adjustment: float = setting(
        0.0, "[0, 1]", "Tau of the logit adjustment (Menon et al. 2021): the higher, the more "
        "often rare emotions are predicted, up to 1, as if all were equally frequent.",
    )  # fmt: skip
    ema_decay: float = setting(
        0.0, "[0, 1)", "Validate and save an exponential moving average of the weights that keeps "
        "this fraction of itself at each step (Polyak and Juditsky 1992). 0 turns this off.",
    )  # fmt: skip
    units: int = setting(
        HIDDEN_UNITS, f"[1, {HIDDEN_UNITS}]", "Hidden units in use. The others stay 0: training is "
        "faster, and the packed checkpoint is smaller.",
    )  # fmt: skip
    init: str = setting(
        "", "", "Checkpoint whose weights to start with: prefix, folder or any file. Empty for "
        "random weights.",
    )  # fmt: skip
    teacher: tuple[str, ...] = setting(
        (), "", "Checkpoints whose mean prediction makes up half of each label (Hinton et al. "
        "2015).",
    )  # fmt: skip
    seed: int = setting(
        42, f"[0, {2**31 - 1}]", "Seed of the random weights, of the order of the faces and of "
        "their augmentation.",
    )  # fmt: skip
    precision: str = setting(
        "float32", ("float32", "bfloat16"), "`bfloat16` lets oneDNN compute in bfloat16 where that "
        "is safe: faster on CPUs with AVX512-BF16 or AMX, many times slower on CPUs without "
        "AVX-512. Variables and predictions stay float32.",
    )  # fmt: skip
    tensorboard_verbose: int = setting(
        0, "[0, 3]", "As in TFLearn: 0 logs loss and accuracy, 1 also histograms of the gradients, "
        "2 of the weights, 3 of the activations. Histograms make a step several times slower. The "
        "original uses 2.",
    )  # fmt: skip
    device: str = setting("auto", "", "`auto`, `cpu`, `gpu` or `gpu:N`.")

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not _is_allowed(each, value):
                raise UsageError(
                    f"{each.name} must be {describe_allowed(each)}. "
                    f"Received: {one_line(repr(value))[:60]}"
                )
            kind: Any = type(each.default)  # 1 is allowed for 1.0, and a list for a tuple
            object.__setattr__(self, each.name, kind(value))

    def learning_rate_at(self, epoch: float) -> float:
        """Return the learning rate at `epoch`, which counts from 0 and may have a fraction."""
        if self.schedule == "constant":
            return self.learning_rate * self.learning_rate_decay ** int(epoch)
        rise = min(1.0, epoch / min(WARM_UP_EPOCHS, self.epochs / 10))
        return self.learning_rate * rise * (1 + math.cos(math.pi * epoch / self.epochs)) / 2


# By name.
SETTINGS: dict[str, Field[Any]] = {each.name: each for each in fields(TrainingSettings)}

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
        if name not in SETTINGS:
            raise UsageError(
                f"{path}: there is no setting {one_line(name)[:60]}; choose from "
                f"{', '.join(SETTINGS)}"
            )
    try:
        settings = TrainingSettings(**values)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return {name: getattr(settings, name) for name in values}


def bounds(each: Field[Any]) -> tuple[float, float]:
    """Return the ends of the interval of a numeric setting."""
    low, high = map(float, each.metadata["allowed"][1:-1].split(","))
    return low, high


def describe_allowed(each: Field[Any]) -> str:
    """Return the allowed values of a setting in words."""
    allowed = each.metadata["allowed"]
    if isinstance(allowed, tuple):
        return " or ".join(allowed)
    if not allowed:
        return "a list of strings" if isinstance(each.default, tuple) else "a string"
    low, high = bounds(each)
    kind = "whole number" if isinstance(each.default, int) else "number"
    last = "to below" if allowed.endswith(")") else "to"
    if allowed.startswith("("):
        return f"a {kind} above {low:.10g}, up {last} {high:.10g}"
    return f"a {kind} from {low:.10g} {last} {high:.10g}"


def _is_allowed(each: Field[Any], value: Any) -> bool:
    allowed, kind = each.metadata["allowed"], type(each.default)
    if kind is str:
        return isinstance(value, str) and (value in allowed if allowed else "\0" not in value)
    if kind is tuple:
        return isinstance(value, (tuple, list)) and all(
            isinstance(path, str) and "\0" not in path for path in value
        )
    if type(value) not in (kind, int):
        return False
    low, high = bounds(each)
    above_low = value > low if allowed.startswith("(") else value >= low
    below_high = value < high if allowed.endswith(")") else value <= high
    return bool(above_low and below_high)  # False for NaN

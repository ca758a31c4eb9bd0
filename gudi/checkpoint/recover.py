"""Recover a V2 checkpoint of which only the data file is left.

A data file is the bytes of all variables in the order of their names, without padding
(`tensorflow/core/util/tensor_bundle/tensor_bundle.cc`). Which variables TFLearn saved for the Gudi
network under each version of TensorFlow is known, so the file's size leaves a few possible layouts.
All but one are rejected because values of counters, averages, flags or weights are implausible.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gudi.checkpoint.locate import regular_name
from gudi.checkpoint.networks import weight_shapes
from gudi.checkpoint.tensors import Array, size_in_bytes
from gudi.checkpoint.v2 import TensorLocation, V2File, read_at
from gudi.errors import CheckpointIncomplete

CLASSES = range(2, 21)

# How optimizers name the slots of a weight, before and since TensorFlow 1.0.
SLOTS: dict[str, tuple[str, ...]] = {
    "no optimizer": (),
    "momentum": ("{}/Momentum",),
    "momentum of TensorFlow 0.12": ("Momentum/{}/Momentum",),
    "Adam": ("{}/Adam", "{}/Adam_1"),
    "Adam of TensorFlow 0.12": ("Adam/{}/Adam", "Adam/{}/Adam_1"),
}

# The moving averages of accuracy and loss, and what old versions of TensorFlow kept with them.
AVERAGES = ((), ("moving_avg",), ("moving_avg", "moving_avg/biased", "moving_avg/local_step"))

# Other variables that only some versions of TFLearn and TensorFlow save.
OPTIONAL = (("Global_Step", "Training_step"), ("is_training",), ("val_acc", "val_loss"))
POWERS = (("Adam/beta1_power", "Adam/beta2_power"), ("beta1_power", "beta2_power"))

# Larger weights result from reading at the wrong offset.
LARGEST_WEIGHT = 100.0
LARGEST_COUNT = 2**24  # counters are float32, which cannot count further

# A sample is as long as a row of the large matrix: no row of a trained one is all zeros.
SAMPLES, SAMPLE_SIZE = 256, 4 * 3072


class _Layout(NamedTuple):
    """The variables of one kind of Gudi checkpoint: shapes and types by name."""

    description: str
    classes: int
    variables: dict[str, tuple[tuple[int, ...], str]]


def recover(prefix: Path, data: Path) -> V2File:
    """Return the checkpoint whose data file is `data`.

    Raises:
        CheckpointIncomplete: the file is not recognised as that of a Gudi checkpoint.
    """
    size = data.stat().st_size
    layouts = _layouts_of_size(size)
    found: dict[object, tuple[str, dict[str, TensorLocation]]] = {}
    for layout in layouts:
        locations = _locate(layout)
        if _is_plausible(data, locations):
            offsets = tuple(locations[name].offset for name in weight_shapes(layout.classes))
            found.setdefault((offsets, layout.classes), (layout.description, locations))
    if len(found) == 1:
        ((description, locations),) = found.values()
        note = (
            f"recovered from the size and contents of {data.name} alone (there are no checksums "
            f"that would reveal damage), as {description}"
        )
        return V2File(prefix, None, ((data,),), locations, note, "V2 without index")
    if not layouts:
        why = "no Gudi checkpoint has this size, so it was cut short or is another file"
    elif found:
        why = "it can be read in more than one way"
    else:
        why = "its contents are not those of a Gudi checkpoint of this size"
    raise CheckpointIncomplete(
        f"{regular_name(prefix, 'index')} is missing, and {data.name} ({size:,} bytes) cannot be "
        f"used without it: {why}; copy both from the place where the checkpoint was made"
    )


@functools.lru_cache(maxsize=4)
def _layouts_of_size(size: int) -> list[_Layout]:
    """Return the layouts whose data takes `size` bytes."""
    return [
        layout
        for layout in _layouts()
        if sum(size_in_bytes(*each) for each in layout.variables.values()) == size
    ]


def _layouts() -> Iterator[_Layout]:
    """Yield the layout of each kind of Gudi checkpoint."""
    for classes, (optimizer, slots) in itertools.product(CLASSES, SLOTS.items()):
        weights = {name: (shape, "float32") for name, shape in weight_shapes(classes).items()}
        large = weights | {slot.format(name): weights[name] for name in weights for slot in slots}
        for names in _small_variables(optimizer, slots):
            small: dict[str, tuple[tuple[int, ...], str]] = {
                name: ((), "bool" if name == "is_training" else "float32") for name in names
            }
            yield _Layout(f"{optimizer}, {classes} classes", classes, large | small)


def _small_variables(optimizer: str, slots: tuple[str, ...]) -> Iterator[list[str]]:
    """Yield the names of counters, averages and flags that were saved with `optimizer`."""
    # TensorFlow 0.12 put the moving average of the loss into the optimizer's scope as well,
    scope = slots[0].partition("{")[0] if slots else ""
    # and always kept other variables with an average.
    kept = [each for each in AVERAGES if not (scope and len(each) == 1)]
    for averages, powers, *others in itertools.product(
        kept,
        POWERS if optimizer.startswith("Adam") else [()],
        *(((), names) for names in OPTIONAL),
    ):
        yield [
            *(f"Accuracy/Mean/{name}" for name in averages),
            *(f"{scope}Crossentropy/Mean/{name}" for name in averages),
            *powers,
            *itertools.chain(*others),
        ]


def _locate(layout: _Layout) -> dict[str, TensorLocation]:
    """Return the locations of the variables in a data file of this layout."""
    locations, offset = {}, 0
    for name in sorted(layout.variables):
        shape, dtype = layout.variables[name]
        size = size_in_bytes(shape, dtype)
        locations[name] = TensorLocation(dtype, shape, size, shard=0, offset=offset, crc32c=None)
        offset += size
    return locations


def _is_plausible(data: Path, locations: dict[str, TensorLocation]) -> bool:
    """Return whether the values at all `locations` in `data` are plausible."""
    return all(
        _test(name)(_sample(data, location))
        # Flags and counters first: they are quick to read, and the first to be wrong.
        for name, location in sorted(locations.items(), key=lambda item: item[1].size)
    )


def _sample(data: Path, location: TensorLocation) -> Array:
    """Return a variable, or samples from all over it if it is large."""
    if location.size <= SAMPLES * SAMPLE_SIZE:
        return read_at(data, location)[0].reshape(-1)
    samples = []
    for number in range(SAMPLES):
        start = (location.size - SAMPLE_SIZE) * number // (SAMPLES - 1) // 4 * 4
        sample = TensorLocation(
            "float32", (SAMPLE_SIZE // 4,), SAMPLE_SIZE, 0, location.offset + start, crc32c=None
        )
        samples.append(read_at(data, sample)[0])
    return np.concatenate(samples)


def _test(name: str) -> Callable[[Array], bool]:
    """Return a function that checks values of the variable `name` for plausibility."""
    if name == "is_training":
        return lambda values: bool(values.view(np.uint8)[0] <= 1)
    if name in ("Global_Step", "Training_step") or name.endswith("/local_step"):
        return lambda values: _within(values, 0, LARGEST_COUNT) and float(values[0]).is_integer()
    if name == "val_acc" or name.startswith("Accuracy/") or name.endswith("_power"):
        return lambda values: _within(values, 0, 1)
    if name == "val_loss" or "Crossentropy/" in name:
        return lambda values: _within(values, 0, LARGEST_WEIGHT)
    if name.endswith("/Adam_1"):
        return lambda values: _within(values, 0, math.inf)  # a mean of squares
    if name in weight_shapes():
        if name.endswith("/b"):  # biases may all be 0
            return lambda values: _within(values, -LARGEST_WEIGHT, LARGEST_WEIGHT)
        return lambda values: (
            _within(values, -LARGEST_WEIGHT, LARGEST_WEIGHT) and _has_no_gaps(values)
        )
    return lambda values: _within(values, -math.inf, math.inf)


def _has_no_gaps(values: Array) -> bool:
    """Return whether no run of `values` is all 0, as it is after an incomplete download."""
    step = SAMPLE_SIZE // 4
    return all(values[start : start + step].any() for start in range(0, len(values), step))


def _within(values: Array, low: float, high: float) -> bool:
    return bool(np.isfinite(values).all() and values.min() >= low and values.max() <= high)

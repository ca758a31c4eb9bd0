"""Recover a V2 checkpoint of which only the data file is left.

A data file is nothing but the variables' bytes, in the order of their sorted names, without
padding (`tensorflow/core/util/tensor_bundle/tensor_bundle.cc`). What TFLearn saved with the Gudi
network under which TensorFlow is known, so the length of the file leaves few layouts, and
what stands where counters, averages and flags must be leaves one. A candidate that does not look
like what it should be is not believed.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gudi.checkpoint.locate import regular_name
from gudi.checkpoint.networks import weight_shapes
from gudi.checkpoint.tensors import size_in_bytes
from gudi.checkpoint.v2 import Bundle, Entry, read_at
from gudi.errors import CheckpointIncomplete

CLASSES = range(2, 21)

# What it is called, its number of classes, and its variables' shapes and types.
_Layout = tuple[str, int, dict[str, tuple[tuple[int, ...], str]]]

# How optimizers name their slots of a weight, before and since TensorFlow 1.0.
SLOTS = {
    "no optimizer": (),
    "momentum": ("{}/Momentum",),
    "momentum of TensorFlow 0.12": ("Momentum/{}/Momentum",),
    "Adam": ("{}/Adam", "{}/Adam_1"),
    "Adam of TensorFlow 0.12": ("Adam/{}/Adam", "Adam/{}/Adam_1"),
}

# The running averages of accuracy and loss, with what old TensorFlow kept beside them.
AVERAGES = ((), ("moving_avg",), ("moving_avg", "moving_avg/biased", "moving_avg/local_step"))

# What else some versions of TFLearn and TensorFlow have and others lack.
OPTIONAL = (("Global_Step", "Training_step"), ("is_training",), ("val_acc", "val_loss"))
POWERS = (("Adam/beta1_power", "Adam/beta2_power"), ("beta1_power", "beta2_power"))

# Larger weights than this come of reading at the wrong place.
LARGEST_WEIGHT = 100.0
LARGEST_COUNT = 2**24  # beyond it float32, the type of the counters, cannot count

# A piece is as long as a row of the big matrix: training leaves none of them all 0.
SAMPLES, SAMPLE_SIZE = 256, 4 * 3072


def recover(prefix: Path, data: Path) -> Bundle:
    """Return the checkpoint whose data file is `data`.

    Raises:
        CheckpointIncomplete: it is not known as that of a Gudi checkpoint.
    """
    size = data.stat().st_size
    layouts, found = _layouts_of(size), {}
    for description, classes, shapes in layouts:
        entries = _lay_out(shapes)
        if _plausible(data, entries):
            places = tuple(entries[name].offset for name in weight_shapes(classes))
            found.setdefault((places, classes), (description, entries))
    if len(found) == 1:
        ((description, entries),) = found.values()
        note = (
            f"recovered from the length and contents of {data.name} alone, without checksums that "
            "would tell of damage, as"
        )
        return Bundle(
            prefix, None, ((data,),), entries, f"{note} {description}", "V2 without index"
        )
    raise CheckpointIncomplete(
        f"{regular_name(prefix, 'index')} is missing, and {data.name} ({size:,} bytes) cannot be "
        "used without: "
        + (
            "its length is that of no Gudi checkpoint, so it was cut short or is another file"
            if not layouts
            else "it can be read in more than one way"
            if found
            else "what stands in it is not what a Gudi checkpoint of that length holds"
        )
        + "; copy both from where the checkpoint was made"
    )


@functools.lru_cache(maxsize=4)
def _layouts_of(size: int) -> list[_Layout]:
    """Return what the kinds of Gudi checkpoint hold whose data takes `size` bytes."""
    return [
        layout
        for layout in _layouts()
        if sum(size_in_bytes(*each) for each in layout[2].values()) == size
    ]


def _layouts() -> Iterator[_Layout]:
    """Yield what each kind of Gudi checkpoint holds."""
    scalar, flag = ((), "float32"), ((), "bool")
    for classes, (optimizer, slots) in itertools.product(CLASSES, SLOTS.items()):
        weights = {name: (shape, "float32") for name, shape in weight_shapes(classes).items()}
        big = weights | {slot.format(name): weights[name] for name in weights for slot in slots}
        # TensorFlow 0.12 put the loss's average into the optimizer's scope, too,
        scope = slots[0].partition("{")[0] if slots else ""
        # and never kept an average alone.
        kept = [each for each in AVERAGES if not (scope and len(each) == 1)]
        for averages, powers, *others in itertools.product(
            kept,
            POWERS if optimizer.startswith("Adam") else [()],
            *(((), names) for names in OPTIONAL),
        ):
            small = [f"Accuracy/Mean/{name}" for name in averages]
            small += [f"{scope}Crossentropy/Mean/{name}" for name in averages]
            small += [*powers, *itertools.chain(*others)]
            shapes = big | {name: flag if name == "is_training" else scalar for name in small}
            yield f"{optimizer}, {classes} classes", classes, shapes


def _lay_out(shapes: dict[str, tuple[tuple[int, ...], str]]) -> dict[str, Entry]:
    """Return where variables of `shapes` lie in a data file."""
    entries, offset = {}, 0
    for name in sorted(shapes):
        shape, dtype = shapes[name]
        size = size_in_bytes(shape, dtype)
        entries[name] = Entry(dtype, shape, size, shard=0, offset=offset, crc32c=None)
        offset += size
    return entries


def _plausible(data: Path, entries: dict[str, Entry]) -> bool:
    """Tell whether what lies in `data` looks like `entries`."""
    return all(
        _looks_right(name)(_sample(data, entry))
        # Flags and counters first: they are quick to read and the first to be wrong.
        for name, entry in sorted(entries.items(), key=lambda item: item[1].size)
    )


def _sample(data: Path, entry: Entry) -> np.ndarray:
    """Return a variable, or where it is large pieces of it from one end to the other."""
    if entry.size <= SAMPLES * SAMPLE_SIZE:
        return read_at(data, entry)[0].reshape(-1)
    pieces = []
    for number in range(SAMPLES):
        start = (entry.size - SAMPLE_SIZE) * number // (SAMPLES - 1) // 4 * 4
        piece = Entry(
            "float32", (SAMPLE_SIZE // 4,), SAMPLE_SIZE, 0, entry.offset + start, crc32c=None
        )
        pieces.append(read_at(data, piece)[0])
    return np.concatenate(pieces)


def _looks_right(name: str) -> Callable[[np.ndarray], bool]:
    """Return the test that the values of the variable `name` have to pass."""
    if name == "is_training":
        return lambda values: values.view(np.uint8)[0] <= 1
    if name in ("Global_Step", "Training_step", "Accuracy/Mean/moving_avg/local_step"):
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
        return lambda values: _within(values, -LARGEST_WEIGHT, LARGEST_WEIGHT) and _filled(values)
    return lambda values: _within(values, -math.inf, math.inf)


def _filled(values: np.ndarray) -> bool:
    """Tell whether no piece of `values` is all 0, as where a download was broken off."""
    piece = SAMPLE_SIZE // 4
    return all(values[start : start + piece].any() for start in range(0, len(values), piece))


def _within(values: np.ndarray, low: float, high: float) -> bool:
    return bool(np.isfinite(values).all() and values.min() >= low and values.max() <= high)

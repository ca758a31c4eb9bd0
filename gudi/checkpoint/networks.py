"""Find Gudi networks among the variables of a checkpoint.

Variables do not always have the same names. If a second network is built in the same graph, TFLearn
continues to number the layers (`Conv2D_3/W`). The names of optimizer slots changed with TensorFlow
1.0 (from `Momentum/Conv2D/W/Momentum` to `Conv2D/W/Momentum`). Forks have other classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gudi.checkpoint.tensors import Array, Tensor
from gudi.constants import EMOTIONS, HIDDEN_UNITS

CONVOLUTIONS = ("Conv2D", "Conv2D_1", "Conv2D_2")
CONNECTIONS = ("FullyConnected", "FullyConnected_1")

# Nearly half of a checkpoint is this matrix, and nearly all of the rest is its momentum.
MATRIX = "FullyConnected/W"

LAYER = re.compile(r"(?P<kind>Conv2D|FullyConnected)(?:_(?P<number>\d{1,6}))?/(?P<part>[Wb])")

# An optimizer slot of a weight; the first part of the name is from before TensorFlow 1.0.
SLOT = re.compile(rf"(?:[^/]+/)?(?P<weight>{LAYER.pattern})/(?P<slot>[^/]+)")

# A process that built dozens of networks is implausible, but a malicious file may claim it.
MAX_LAYERS = 60

# Optimizers by TensorFlow's names of their slots.
OPTIMIZERS = {
    "Momentum": "momentum",
    "Adam": "Adam",
    "Adam_1": "Adam",
    "RMSProp": "RMSProp",
    "RMSProp_1": "RMSProp",
    "Adagrad": "AdaGrad",
    "Adadelta": "AdaDelta",
    "Adadelta_1": "AdaDelta",
    "Ftrl": "Ftrl",
    "Ftrl_1": "Ftrl",
}


@dataclass(frozen=True)
class StoredNetwork:
    """One Gudi network in a checkpoint.

    Attributes:
        names: the checkpoint's name of each weight, by the network's name of it.
        classes: number of outputs.
        slots: names of the optimizer slots of these weights.
        optimizer: name of the optimizer; "" if there are no slots, because another network of the
            checkpoint was trained or because the slots were not saved.
    """

    names: dict[str, str]
    classes: int
    slots: tuple[str, ...]
    optimizer: str


def weight_shapes(
    classes: int = len(EMOTIONS), units: int = HIDDEN_UNITS
) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the weights of a network with `units` hidden units.

    18432 is the number of features after the convolutions: 128 channels of 12x12.
    """
    return {
        "Conv2D/W": (5, 5, 1, 64),
        "Conv2D/b": (64,),
        "Conv2D_1/W": (5, 5, 64, 64),
        "Conv2D_1/b": (64,),
        "Conv2D_2/W": (4, 4, 64, 128),
        "Conv2D_2/b": (128,),
        MATRIX: (18432, units),
        "FullyConnected/b": (units,),
        "FullyConnected_1/W": (units, classes),
        "FullyConnected_1/b": (classes,),
    }


def used_units(values: Mapping[str, Array]) -> int:
    """Return the number of hidden units up to the last one with a weight that is not 0."""
    used = values[MATRIX].any(axis=0) | values["FullyConnected_1/W"].any(axis=1)
    used |= values["FullyConnected/b"] != 0
    return int(np.flatnonzero(used).max(initial=0)) + 1


def find_networks(tensors: Mapping[str, Tensor]) -> list[StoredNetwork]:
    """Return the Gudi networks among `tensors`, in the order in which they were built."""
    convolutions, connections = _layers(tensors, "Conv2D"), _layers(tensors, "FullyConnected")
    if max(len(convolutions), len(connections)) > MAX_LAYERS:
        return []
    shapes = weight_shapes()
    stems = _runs(tensors, convolutions, [shapes[f"{layer}/W"] for layer in CONVOLUTIONS])
    heads = _runs(tensors, connections, [shapes[MATRIX], None])
    slots = _slots(tensors)
    networks = (
        _network(tensors, dict(zip((*CONVOLUTIONS, *CONNECTIONS), (*stem, *head))), slots)
        for stem, head in zip(stems, heads)
    )
    return [network for network in networks if network is not None]


def trained(networks: Sequence[StoredNetwork]) -> StoredNetwork | None:
    """Return the one trained network: the only one, or the only one with slots; else None."""
    candidates = [each for each in networks if each.optimizer] if len(networks) > 1 else networks
    return candidates[0] if len(candidates) == 1 else None


def _layers(tensors: Mapping[str, Tensor], kind: str) -> list[str]:
    """Return the layers of `kind` that have weights, in the order of their numbers."""
    numbers = {
        int(layer["number"] or 0): name.partition("/")[0]
        for name in tensors
        if (layer := LAYER.fullmatch(name)) and layer["kind"] == kind and layer["part"] == "W"
    }
    return [numbers[number] for number in sorted(numbers)]


def _runs(
    tensors: Mapping[str, Tensor], layers: Sequence[str], shapes: Sequence[tuple[int, ...] | None]
) -> list[Sequence[str]]:
    """Return the runs of neighbours in `layers` whose weights have `shapes`; None fits any."""
    runs, position = [], 0
    while position + len(shapes) <= len(layers):
        run = layers[position : position + len(shapes)]
        if all(
            shape is None or tensors[f"{layer}/W"].shape == shape
            for layer, shape in zip(run, shapes)
        ):
            runs.append(run)
            position += len(shapes)
        else:
            position += 1
    return runs


def _network(
    tensors: Mapping[str, Tensor], layers: Mapping[str, str], slots: Mapping[str, Sequence[str]]
) -> StoredNetwork | None:
    """Return the network that consists of `layers`; None if a tensor is missing or does not fit.

    Args:
        tensors: the checkpoint's variables.
        layers: the checkpoint's name of each layer, by the network's name of it.
        slots: names of optimizer slots by the checkpoint's name of the weight.
    """
    last = tensors[f"{layers['FullyConnected_1']}/W"].shape
    classes = last[-1] if last else 0
    if classes < 2:
        return None
    names = {}
    for name, shape in weight_shapes(classes).items():
        layer, _, part = name.partition("/")
        names[name] = f"{layers[layer]}/{part}"
        tensor = tensors.get(names[name])
        if tensor is None or (tensor.shape, tensor.dtype) != (shape, "float32"):
            return None
    own_slots = [slot for weight in names.values() for slot in slots.get(weight, ())]
    optimizers = sorted({OPTIMIZERS[slot.rpartition("/")[2]] for slot in own_slots})
    return StoredNetwork(names, classes, tuple(own_slots), "+".join(optimizers))


def _slots(tensors: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Return the names of optimizer slots by the weight that they belong to."""
    slots: dict[str, list[str]] = {}
    for name in tensors:
        slot = SLOT.fullmatch(name)
        if slot and slot["slot"] in OPTIMIZERS:
            slots.setdefault(slot["weight"], []).append(name)
    return slots

"""Find Gudi networks among the variables of a checkpoint.

The variables are not always called alike. TFLearn numbers layers on when a second network is built
in the same graph (`Conv2D_3/W`), optimizers keep slots under names of their own that changed with
TensorFlow 1.0 (`Momentum/Conv2D/W/Momentum`, `Conv2D/W/Momentum`), and forks have other classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gudi.checkpoint.tensors import Tensor
from gudi.constants import EMOTIONS

LAYER = re.compile(r"(?P<kind>Conv2D|FullyConnected)(?:_(?P<number>\d{1,6}))?/(?P<part>[Wb])")

# A weight's slot, since TensorFlow 1.0 and before.
SLOT = re.compile(rf"(?:[^/]+/)?(?P<weight>{LAYER.pattern})/(?P<slot>[^/]+)")

# Nobody builds the network dozens of times in a process; a stranger's file may say so all the same.
MAX_LAYERS = 60

# TensorFlow's names of optimizer slots.
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
class Layout:
    """One Gudi network in a checkpoint.

    Attributes:
        names: the checkpoint's name of each weight, by the name that the network has for it.
        classes: number of outputs.
        slots: names of the optimizer's slots for it.
        optimizer: its name, "" where there are no slots: the network was not trained here.
    """

    names: dict[str, str]
    classes: int
    slots: tuple[str, ...]
    optimizer: str


def weight_shapes(classes: int = len(EMOTIONS)) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the network's weights, as TFLearn calls them.

    18432 is what 128 channels of 12x12 make when they are flattened.
    """
    return {
        "Conv2D/W": (5, 5, 1, 64),
        "Conv2D/b": (64,),
        "Conv2D_1/W": (5, 5, 64, 64),
        "Conv2D_1/b": (64,),
        "Conv2D_2/W": (4, 4, 64, 128),
        "Conv2D_2/b": (128,),
        "FullyConnected/W": (18432, 3072),
        "FullyConnected/b": (3072,),
        "FullyConnected_1/W": (3072, classes),
        "FullyConnected_1/b": (classes,),
    }


def find_networks(tensors: Mapping[str, Tensor]) -> list[Layout]:
    """Return the Gudi networks among `tensors`, in the order in which they were built."""
    convolutions, connections = _layers(tensors, "Conv2D"), _layers(tensors, "FullyConnected")
    if max(len(convolutions), len(connections)) > MAX_LAYERS:
        return []
    shapes = weight_shapes()
    wanted = [shapes[f"{layer}/W"] for layer in ("Conv2D", "Conv2D_1", "Conv2D_2")]
    stems = _runs(tensors, convolutions, wanted)
    heads = _runs(tensors, connections, [shapes["FullyConnected/W"], None])
    networks, slots = [], _slots(tensors)
    for stem, head in zip(stems, heads):
        layers = dict(zip(("Conv2D", "Conv2D_1", "Conv2D_2"), stem))
        layers |= dict(zip(("FullyConnected", "FullyConnected_1"), head))
        network = _network(tensors, layers, slots)
        if network is not None:
            networks.append(network)
    return networks


def trained(networks: list[Layout]) -> Layout | None:
    """Return the one network that was trained: the only one, or the only one with slots."""
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
    tensors: Mapping[str, Tensor], layers: list[str], shapes: list[tuple[int, ...] | None]
) -> list[list[str]]:
    """Return the runs of neighbours in `layers` whose weights have `shapes`; None is any."""
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
    tensors: Mapping[str, Tensor], layers: dict[str, str], slots: dict[str, list[str]]
) -> Layout | None:
    """Return the network that consists of `layers`, or None where something of it does not fit."""
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
    of_network = [slot for weight in names.values() for slot in slots.get(weight, ())]
    optimizers = sorted({OPTIMIZERS[slot.rpartition("/")[2]] for slot in of_network})
    return Layout(names, classes, tuple(of_network), "+".join(optimizers))


def _slots(tensors: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Return the names of optimizer slots by the weight that they are for."""
    slots: dict[str, list[str]] = {}
    for name in tensors:
        slot = SLOT.fullmatch(name)
        if slot and slot["slot"] in OPTIMIZERS:
            slots.setdefault(slot["weight"], []).append(name)
    return slots

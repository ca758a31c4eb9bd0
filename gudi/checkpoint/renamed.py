"""Read checkpoints of forks, whose variables have other names than the original's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from gudi.checkpoint.networks import CONNECTIONS, CONVOLUTIONS, find_networks, weight_shapes
from gudi.checkpoint.tensors import Array, Tensor, TensorFile, join_notes
from gudi.errors import CheckpointForeign, UsageError

LAYERS = (*CONVOLUTIONS, *CONNECTIONS)

# The weights of a first convolution, within a scope.
_IN_SCOPE = re.compile(r"(?P<scope>.+)/Conv2D(?:_\d+)?/W")


class RenamedFile:
    """A checkpoint with other names for its variables; a `TensorFile`.

    Args:
        file: the checkpoint.
        stored: its names of the variables by their new names.
        note: why they are renamed.
    """

    def __init__(self, file: TensorFile, stored: Mapping[str, str], note: str) -> None:
        self._file, self._stored = file, stored
        self.prefix: Path = file.prefix
        self.format: str = file.format
        self.tensors: Mapping[str, Tensor] = {
            name: file.tensors[each] for name, each in stored.items()
        }
        self.recovered = join_notes(file.recovered, note)

    def read(self, name: str) -> tuple[Array, int]:
        """Return the variable `name` and its CRC-32C."""
        return self._file.read(self._stored[name])

    def verify(self, name: str) -> None:
        """Verify the variable `name`."""
        self._file.verify(self._stored[name])


def without_scope(file: TensorFile) -> TensorFile:
    """Return `file` without the scope of its network, if there is one and only one network."""
    if find_networks(file.tensors):
        return file
    scopes = {match["scope"] for name in file.tensors if (match := _IN_SCOPE.fullmatch(name))}
    found = []
    for scope in sorted(scopes):
        # Slots may have it twice, or after the name of the optimizer.
        part = re.compile(rf"(^|/)(?:{re.escape(scope)}/)+")
        stored = {part.sub(r"\1", name): name for name in file.tensors}
        renamed = RenamedFile(file, stored, f"its variables were in the scope {scope}/")
        if len(find_networks(renamed.tensors)) == 1:
            found.append(renamed)
    return found[0] if len(found) == 1 else file


def rename(file: TensorFile, names: Mapping[str, str]) -> TensorFile:
    """Return `file` with the original's names.

    Args:
        file: a checkpoint.
        names: the original's names of layers, such as `Conv2D`, or of variables, such as
            `Conv2D/W`, by those of the checkpoint.

    Raises:
        CheckpointForeign: it has no such layer or variable, or one of another shape.
        UsageError: the original has none of that name.
    """
    if not names:
        return file
    weights: dict[str, str] = {}
    for old, new in names.items():
        weights |= {old: new} if new in weight_shapes() else _of_layer(file, old, new)
    if missing := weights.keys() - file.tensors.keys():
        raise CheckpointForeign(f"{file.prefix} has no variable {min(missing)}")
    kept, stored = {}, {}
    for name in file.tensors:
        weight = next((each for each in weights if f"{name}/".startswith(f"{each}/")), None)
        if weight is None:
            kept[name] = name
        else:  # the weight, or one of its slots
            stored[weights[weight] + name[len(weight) :]] = name
    renamed = ", ".join(f"{old} to {new}" for old, new in names.items())
    return RenamedFile(file, kept | stored, f"renamed {renamed}")


def suggestion(tensors: Mapping[str, Tensor]) -> str:
    """Return the options that rename the layers of a fork; "" if they are not all clear."""
    layers = {name.rpartition("/")[0] for name in tensors if "/" in name}
    options = []
    for new in LAYERS:
        fitting = [old for old in layers if len(_parts(tensors, old, new)) == 2]
        if len(fitting) != 1:
            return ""
        options.append(f"--rename {fitting[0]}={new}")
    return " ".join(options)


def _of_layer(file: TensorFile, old: str, new: str) -> dict[str, str]:
    """Return the original's names of weights and biases of a layer by those of the checkpoint."""
    if new not in LAYERS:
        raise UsageError(f"the original has no {new}: rename to one of {', '.join(LAYERS)}")
    found = _parts(file.tensors, old, new)
    if len(found) != 2:
        raise CheckpointForeign(f"{file.prefix} has no layer {old} with the shapes of {new}")
    return found


def _parts(tensors: Mapping[str, Tensor], old: str, new: str) -> dict[str, str]:
    """Return the variables of the layer `old` with the shapes of `new`: the original's by name."""
    weights, biases = weight_shapes()[f"{new}/W"], weight_shapes()[f"{new}/b"]
    found = {}
    for name, tensor in tensors.items():
        if name.rpartition("/")[0] == old and tensor.dtype == "float32":
            if len(tensor.shape) == len(weights) and tensor.shape[:-1] == weights[:-1]:
                found[name] = f"{new}/W"
            elif len(tensor.shape) == len(biases):
                found[name] = f"{new}/b"
    return found

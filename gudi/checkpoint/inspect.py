"""Describe a checkpoint: its contents, its problems, and whether gudi can use it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

import numpy as np

from gudi.checkpoint.formats import open_checkpoint
from gudi.checkpoint.locate import PACKED, CheckpointFiles, find
from gudi.checkpoint.networks import StoredNetwork, find_networks, trained
from gudi.checkpoint.tensors import Tensor, TensorFile
from gudi.checkpoint.v2 import parse_index
from gudi.checkpoint.weights import Weights, choose_network, read_weights
from gudi.errors import CheckpointCorrupt, CheckpointError, CheckpointIncomplete

COUNTERS = ("Global_Step", "Training_step")

# Values of `Inspection.checksums`; `DAMAGED` may be followed by names of variables.
UNVERIFIED, GOOD, DAMAGED = "not verified", "good", "damaged"


@dataclass(frozen=True)
class InspectedTensor:
    """One variable of a checkpoint; its type is NumPy's name, or `type N` for any other."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass
class InspectedNetwork:
    """One Gudi network of a checkpoint.

    Attributes:
        classes: number of outputs.
        first_layer: the checkpoint's name of its first layer.
        optimizer: name of the optimizer; None if there are no slots.
        slots: number of the optimizer's slots.
        taken: whether gudi uses this network.
    """

    classes: int
    first_layer: str
    optimizer: str | None
    slots: int
    taken: bool


@dataclass
class Inspection:
    """What is known about a checkpoint.

    Attributes:
        prefix: the path that names it.
        files: its files: sizes in bytes by name.
        missing: suffixes of the files that a complete V2 checkpoint has and this one lacks.
        format: `V2`, `V2 without index`, `V1` or `packed`; None if that is unknown.
        written_by: the version of TensorFlow that wrote it, if known.
        tensors: its variables, sorted by name.
        networks: its Gudi networks, in the order in which they were built.
        optimizer: the optimizer that trained the network; None if there are no slots.
        step: the training step at which it was saved; None if that is unknown.
        checksums: whether they are right: one of the constants above, or why there are none.
        recovered: "", or how an incomplete checkpoint was made usable.
        problem: "", or why gudi cannot use it.
        usable: whether gudi can use it.
    """

    prefix: str
    files: dict[str, int]
    missing: list[str]
    format: str | None = None
    written_by: str | None = None
    tensors: list[InspectedTensor] = field(default_factory=list)
    networks: list[InspectedNetwork] = field(default_factory=list)
    optimizer: str | None = None
    step: int | None = None
    checksums: str = UNVERIFIED
    recovered: str = ""
    problem: str = ""
    usable: bool = False

    def as_json(self) -> str:
        """Return everything as a JSON object, whose keys are the names of the attributes."""
        return json.dumps(asdict(self), indent=2)


def inspect(
    path: str | os.PathLike[str] | None = None,
    *,
    verify: bool = False,
    number: int | None = None,
    names: Mapping[str, str] = MappingProxyType({}),
) -> Inspection:
    """Return what is known about the checkpoint at `path`.

    Only lists of variables and counters are read, unless `verify` asks for every byte.

    Args:
        path: as `gudi.checkpoint.find` takes it.
        verify: verify the checksums of all data, and that no weight is NaN or infinite and no
            layer all 0.
        number: which network if there are several, see `choose_network`.
        names: see `open_checkpoint`.

    Raises:
        CheckpointError: there is no checkpoint at `path`.
    """
    files = find(path)
    found = Inspection(
        prefix=str(files.prefix),
        files={each.name: each.stat().st_size for each in files.parts.values()},
        missing=_missing(files),
    )
    try:
        file = open_checkpoint(path, names)
    except CheckpointError as error:
        _add_problem(found, error)
        if isinstance(error, CheckpointIncomplete) and "index" in files.parts:
            # The index lists the contents of the missing data.
            found.format = "V2"
            _add_tensors(found, parse_index(files.parts["index"])[1])
        return found
    found.format, found.recovered = file.format, file.recovered
    _add_tensors(found, file.tensors)
    if file.format in ("V1", PACKED):
        found.missing = []  # these have only one file
    try:
        found.step = _step(file)
        if verify:
            found.checksums = _verify(file)
        _add_network(found, file, number, verify=verify)
    except CheckpointError as error:
        _add_problem(found, error)
    return found


def _missing(files: CheckpointFiles) -> list[str]:
    """Return the suffixes that a complete V2 checkpoint has and this one lacks."""
    if set(files.parts) in ({""}, {PACKED}, {"", "meta"}):
        return []  # may be a V1 or packed checkpoint, which has only one file
    missing = [] if "index" in files.parts else [".index"]
    if not any(part.startswith("data-") for part in files.parts):
        missing.append(".data-00000-of-00001")
    return missing


def _add_problem(found: Inspection, error: CheckpointError) -> None:
    found.problem = str(error)
    if isinstance(error, CheckpointCorrupt) and found.checksums == UNVERIFIED:
        found.checksums = DAMAGED


def _add_tensors(found: Inspection, tensors: Mapping[str, Tensor]) -> None:
    networks = find_networks(tensors)
    used = trained(networks)
    found.written_by = _writer(tensors)
    found.tensors = [
        InspectedTensor(name, tensor.dtype, tensor.shape)
        for name, tensor in sorted(tensors.items())
    ]
    found.networks = [
        InspectedNetwork(
            classes=network.classes,
            first_layer=network.names["Conv2D/W"].partition("/")[0],
            optimizer=network.optimizer or None,
            slots=len(network.slots),
            taken=network is used,
        )
        for network in networks
    ]
    found.optimizer = (used.optimizer or None) if used else None


def _add_network(found: Inspection, file: TensorFile, number: int | None, *, verify: bool) -> None:
    """Note which network is used, and whether that is possible.

    Raises:
        CheckpointError: it cannot be used.
    """
    network: StoredNetwork = choose_network(file, classes=None, number=number)
    if verify:
        _check_values(read_weights(file, network))
    found.usable = True
    for each, stored in zip(found.networks, find_networks(file.tensors)):
        each.taken = stored == network
    found.optimizer = network.optimizer or None
    found.recovered = file.recovered


def _check_values(weights: Weights) -> None:
    """Check that the weights are those of a trained network.

    Raises:
        CheckpointCorrupt: some are NaN or infinite, or all weights of a layer are 0.
    """
    for name, values in weights.values.items():
        unusable = np.count_nonzero(~np.isfinite(values))
        if unusable:
            raise CheckpointCorrupt(
                f"{weights.source}: {unusable:,} of the {values.size:,} numbers of {name} are NaN "
                "or infinite, which happens when training diverges; use an earlier checkpoint"
            )
        if name.endswith("/W") and not values.any():
            raise CheckpointCorrupt(
                f"{weights.source}: all weights of {name} are 0; use another copy of the checkpoint"
            )


def _writer(tensors: Mapping[str, Tensor]) -> str:
    """Return the version of TensorFlow that the names of the variables reveal."""
    if any(name.startswith(("Momentum/", "Adam/Conv2D")) for name in tensors):
        return "TensorFlow 0.12 or older (slots are named after the optimizer)"
    if any(name.endswith(("/Momentum", "/Adam")) for name in tensors):
        return "TensorFlow 1.0 or newer (slots are named after their weights)"
    return "unknown (no optimizer slots)"


def _step(file: TensorFile) -> int | None:
    """Return the training step at which the checkpoint was saved."""
    for name in COUNTERS:
        tensor = file.tensors.get(name)
        if tensor is not None and (tensor.dtype, tensor.shape) == ("float32", ()):
            value = float(file.read(name)[0])
            if value.is_integer():
                return int(value)
    return None


def _verify(file: TensorFile) -> str:
    """Verify every variable and return which ones are damaged."""
    if file.format == "V2 without index":
        return "none: they were in the index"
    damaged = []
    for name in file.tensors:
        try:
            file.verify(name)
        except CheckpointCorrupt:
            damaged.append(name)
    return f"{DAMAGED}: {', '.join(damaged)}" if damaged else GOOD

"""The ten tensors that make a Gudi network, taken out of a checkpoint."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gudi.checkpoint.networks import Layout, find_networks, trained, weight_shapes
from gudi.checkpoint.opening import open_checkpoint
from gudi.checkpoint.tensors import Tensor, TensorFile
from gudi.constants import EMOTIONS
from gudi.errors import CheckpointCorrupt, CheckpointForeign


@dataclass(frozen=True)
class Weights:
    """A trained network.

    Attributes:
        source: the checkpoint's prefix.
        fingerprint: of names, shapes and checksums, in hexadecimal: the same network has the
            same, whatever its files are called and whatever else is in them.
        values: float32 arrays by the network's variable names.
        recovered: "" or what had to be made up for to read it.
    """

    source: Path
    fingerprint: str
    values: dict[str, np.ndarray]
    recovered: str = ""


def load(
    path: str | os.PathLike | None = None,
    emotions: Sequence[str] = EMOTIONS,
    network: int | None = None,
) -> Weights:
    """Read the network that is meant from the checkpoint that `path` stands for.

    Args:
        path: as `gudi.checkpoint.find` takes it.
        emotions: the names of its classes.
        network: which one of several, from 1; None for the one that was trained.

    Raises:
        CheckpointError: it cannot be used.
    """
    file = open_checkpoint(path)
    return read_weights(file, choose_network(file, len(emotions), network))


def choose_network(
    file: TensorFile, classes: int | None = len(EMOTIONS), number: int | None = None
) -> Layout:
    """Return the network in `file` that is meant.

    Args:
        file: an opened checkpoint.
        classes: the number of classes that it has to have; None for any.
        number: which one, in the order in which they were built, from 1; None for the one that
            was trained.

    Raises:
        CheckpointForeign: there is none, or no telling which is meant.
    """
    networks = find_networks(file.tensors)
    if not networks:
        raise CheckpointForeign(f"{file.prefix} is not a checkpoint of the Gudi network: "
                                f"{_why_none(file.tensors)}")  # fmt: skip
    if number is not None and not 1 <= number <= len(networks):
        raise CheckpointForeign(
            f"{file.prefix} holds {len(networks)} network(s), no number {number}"
        )
    network = trained(networks) if number is None else networks[number - 1]
    if network is None:
        raise CheckpointForeign(
            f"{file.prefix} holds {len(networks)} networks, and which one was trained cannot be "
            f"told; --network 1 to --network {len(networks)} chooses"
        )
    if classes not in (None, network.classes):
        raise CheckpointForeign(
            f"{file.prefix} tells {network.classes} classes apart, not {classes}; --emotions with "
            f"{network.classes} names, separated by commas, says what they are called"
        )
    return network


def read_weights(file: TensorFile, network: Layout) -> Weights:
    """Read the weights of `network`, and nothing else: no optimizer slots, no counters.

    Raises:
        CheckpointCorrupt: a checksum is wrong, or values are no numbers.
    """
    values, digest = {}, hashlib.sha256()
    for name, stored in network.names.items():
        tensor, crc = file.read(stored)
        # One NaN or infinity makes the sum one, and weights that add up to 1e38 are none.
        with np.errstate(invalid="ignore", over="ignore"):
            total = tensor.sum()
        if not np.isfinite(total):
            raise CheckpointCorrupt(
                f"{file.prefix}: {stored} holds values that are no numbers (NaN or infinite); its "
                "training diverged, an earlier checkpoint is needed"
            )
        digest.update(f"{name} {tensor.shape} {crc:08x}\n".encode())
        values[name] = tensor
    return Weights(file.prefix, digest.hexdigest(), values, file.recovered)


def _why_none(tensors: Mapping[str, Tensor]) -> str:
    """Say what is missing for a Gudi network, or does not fit."""
    shapes = weight_shapes()
    missing = [name for name in shapes if name not in tensors]
    if missing:
        return f"it has no {_some(missing)}, but {_some(tensors) or 'nothing at all'}"
    for name, shape in shapes.items():
        tensor = tensors[name]
        if (tensor.shape[:-1], tensor.dtype) != (shape[:-1], "float32") or (
            tensor.shape != shape and not name.startswith("FullyConnected_1/")
        ):
            return f"{name} is {tensor.dtype} {list(tensor.shape)}, not float32 {list(shape)}"
    return "its last layer has as many biases as it has no weights for"


def _some(names: Iterable[str]) -> str:
    """Return the first few of `names` and how many more there are."""
    names = list(names)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")

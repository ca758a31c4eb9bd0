"""The ten tensors of a Gudi network, read from a checkpoint."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gudi.checkpoint.formats import open_checkpoint
from gudi.checkpoint.networks import StoredNetwork, find_networks, trained, weight_shapes
from gudi.checkpoint.packed import PackedFile
from gudi.checkpoint.renamed import suggestion
from gudi.checkpoint.tensors import Array, Tensor, TensorFile, is_finite
from gudi.constants import EMOTIONS
from gudi.errors import CheckpointCorrupt, CheckpointForeign
from gudi.settings import HAAR

if TYPE_CHECKING:
    from gudi.progress import Progress


@dataclass(frozen=True)
class Weights:
    """The weights of a trained network.

    Attributes:
        source: the checkpoint's prefix.
        fingerprint: a hash of names, shapes and checksums, in hexadecimal. The same network has the
            same one, independent of file names and of other contents.
        values: float32 arrays by the network's variable names. The last hidden units may be missing
            if their weights are 0.
        recovered: "", or how an incomplete checkpoint was made usable.
        mirror: whether the network should predict each face and its mirror image; only packed
            checkpoints have this flag.
        detector: the one whose faces the network was trained for, `haar` or `cnn`; only packed
            checkpoints tell.
    """

    source: Path
    fingerprint: str
    values: dict[str, Array]
    recovered: str = ""
    mirror: bool = False
    detector: str = HAAR

    def note_recovery(self, progress: Progress | None) -> None:
        """Tell the user if an incomplete checkpoint was made usable, and how."""
        if self.recovered and progress is not None:
            progress.note(f"{self.source}: {self.recovered}")


def load(
    path: str | os.PathLike[str] | None = None,
    emotions: Sequence[str] = EMOTIONS,
    network: int | None = None,
) -> Weights:
    """Read the weights of a network from the checkpoint at `path`.

    Args:
        path: as `gudi.checkpoint.find` takes it.
        emotions: the names of the network's classes.
        network: which network if there are several, see `choose_network`.

    Raises:
        CheckpointError: the checkpoint cannot be used.
    """
    file = open_checkpoint(path)
    return read_weights(file, choose_network(file, len(emotions), network), used_units=True)


def choose_network(
    file: TensorFile, classes: int | None = len(EMOTIONS), number: int | None = None
) -> StoredNetwork:
    """Return the network in `file` to use.

    Args:
        file: an open checkpoint.
        classes: the number of classes that it must have; None for any.
        number: which one, from 1, in the order in which they were built; None for the one that was
            trained.

    Raises:
        CheckpointForeign: there is none, or it is unclear which one was trained.
    """
    networks = find_networks(file.tensors)
    if not networks:
        problem = _mismatch(file.tensors)
        if options := suggestion(file.tensors):
            problem += f"; its shapes fit, so try gudi checkpoint adopt {file.prefix} {options}"
        raise CheckpointForeign(f"{file.prefix} is not a checkpoint of the Gudi network: {problem}")
    if number is not None and not 1 <= number <= len(networks):
        many = "1 network" if len(networks) == 1 else f"{len(networks)} networks"
        raise CheckpointForeign(f"{file.prefix} contains {many}; there is no number {number}")
    network = trained(networks) if number is None else networks[number - 1]
    if network is None:
        raise CheckpointForeign(
            f"{file.prefix} contains {len(networks)} networks, and it is unclear which one was "
            f"trained; choose one with --network 1 to --network {len(networks)}"
        )
    if classes not in (None, network.classes):
        raise CheckpointForeign(
            f"{file.prefix} has {network.classes} classes, not {classes}; name them with "
            f"--emotions: {network.classes} names, separated by commas"
        )
    return network


def read_weights(file: TensorFile, network: StoredNetwork, *, used_units: bool = False) -> Weights:
    """Read the weights of `network` and nothing else: no optimizer slots, no counters.

    Args:
        file: an open checkpoint.
        network: a network in it.
        used_units: the last hidden units may be missing if their weights are 0.

    Raises:
        CheckpointCorrupt: a checksum is wrong, or values are not finite.
    """
    packed = file if used_units and isinstance(file, PackedFile) else None
    values, digest = {}, hashlib.sha256()
    for name, stored in network.names.items():
        tensor, crc = (
            (packed.used[stored], packed.checksum(stored)) if packed else file.read(stored)
        )
        if not is_finite(tensor):
            raise CheckpointCorrupt(
                f"{file.prefix}: {stored} contains NaN or infinite values, so its training "
                "diverged; use an earlier checkpoint"
            )
        digest.update(f"{name} {file.tensors[stored].shape} {crc:08x}\n".encode())
        values[name] = tensor
    how = (file.mirror, file.detector) if isinstance(file, PackedFile) else ()
    return Weights(file.prefix, digest.hexdigest(), values, file.recovered, *how)


def _mismatch(tensors: Mapping[str, Tensor]) -> str:
    """Return what is missing from a Gudi network, or does not fit."""
    shapes = weight_shapes()
    missing = [name for name in shapes if name not in tensors]
    if missing:
        return f"it has no {_first_few(missing)}, but {_first_few(tensors) or 'nothing at all'}"
    for name, shape in shapes.items():
        tensor = tensors[name]
        if (tensor.shape[:-1], tensor.dtype) != (shape[:-1], "float32") or (
            tensor.shape != shape and not name.startswith("FullyConnected_1/")
        ):
            return f"{name} is {tensor.dtype} {list(tensor.shape)}, not float32 {list(shape)}"
    return "the numbers of weights and biases of its last layer differ"


def _first_few(names: Iterable[str]) -> str:
    """Return the first four of `names`, and how many more there are."""
    names = list(names)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")

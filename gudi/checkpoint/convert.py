"""Convert a checkpoint: into a complete set for the original's scripts, or into one small file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from gudi.checkpoint.formats import open_checkpoint
from gudi.checkpoint.locate import PACKED_SUFFIX, PART, STATE_FILE
from gudi.checkpoint.networks import StoredNetwork
from gudi.checkpoint.packed import pack
from gudi.checkpoint.tensors import Array, TensorFile
from gudi.checkpoint.weights import choose_network, read_weights
from gudi.checkpoint.write import check_free_space, save
from gudi.constants import CHECKPOINT_NAME, EMOTIONS
from gudi.errors import CheckpointCorrupt, CheckpointError, OutputError, UsageError, one_line
from gudi.files import check_parent, write_errors
from gudi.packages import has_tensorflow

# The variables that the original's graph has besides the weights and their momentum, so that its
# Saver requires them. In a new graph they are 0.
SCALARS = (
    "Accuracy/Mean/moving_avg",
    "Crossentropy/Mean/moving_avg",
    "Global_Step",
    "Training_step",
    "val_acc",
    "val_loss",
)

# The layer that computes the logits.
LAST_LAYER = ("FullyConnected_1/W", "FullyConnected_1/b")

# Names that Windows and Linux allow, that need no escape in a `checkpoint` file, and that leave
# room for the longest suffix within the 255 bytes of a file name.
NAME = re.compile(r'(?![. ])[^/\\:*?"<>|]{1,100}(?<![. ])')
WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
MAX_NAME_BYTES = 220


@dataclass(frozen=True)
class Adopted:
    """A checkpoint that was rewritten.

    Attributes:
        prefix: where it is now.
        notes: what the user should know about it.
    """

    prefix: Path
    notes: tuple[str, ...]


def adopt(
    path: str | os.PathLike[str] | None,
    folder: Path,
    name: str = CHECKPOINT_NAME,
    number: int | None = None,
    *,
    names: Mapping[str, str] = MappingProxyType({}),
) -> Adopted:
    """Rewrite the checkpoint at `path` in `folder`, with everything that the original requires.

    Args:
        path: as `gudi.checkpoint.find` takes it. Its files are not changed.
        folder: where to; created if it is missing.
        name: the name of the files.
        number: which network if there are several, see `choose_network`.
        names: see `open_checkpoint`.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        OutputError: the new one cannot be written.
        UsageError: `name` is not allowed.
    """
    check_name(name)
    prefix = folder / name
    file = open_checkpoint(path, names)
    network = choose_network(file, classes=None, number=number)
    check_free_space(prefix, 2 * sum(file.tensors[name].size for name in network.names.values()))
    values, damaged = _original_variables(file, network)
    save(prefix, values)
    notes = [file.recovered, f"format of the source: {file.format}", *damaged]
    if network.optimizer and network.optimizer != "momentum":
        notes.append(
            f"the slots of {network.optimizer} were left out: the original trains with momentum"
        )
    if network.classes != len(EMOTIONS):
        notes.append(f"it has {network.classes} classes: use it with --emotions")
    if not has_tensorflow():
        notes.append(
            "no .meta was written, because TensorFlow is not installed; no script of Gudi reads it"
        )
    notes.append("every variable was read back and equals the source")
    return Adopted(prefix, tuple(filter(None, notes)))


def pack_checkpoint(
    path: str | os.PathLike[str] | None,
    packed: Path,
    number: int | None = None,
    *,
    mirror: bool | None = None,
    detector: str | None = None,
    temperature: float = 1.0,
) -> int:
    """Write the weights of the checkpoint at `path` to one small file; return its size in bytes.

    Args:
        path: as `gudi.checkpoint.find` takes it. Its files are not changed.
        packed: the file to write; its name must end in `.gudi`.
        number: which network if there are several, see `choose_network`.
        mirror: whether to predict each face and its mirror image by default; None for what the
            checkpoint at `path` says.
        detector: the one to find faces with by default; None as for `mirror`.
        temperature: what the logits are divided by, see `gudi.training.calibrate`.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        OutputError: `packed` already exists, or cannot be written.
        UsageError: `packed` has another suffix.
    """
    if packed.suffix != PACKED_SUFFIX:
        raise UsageError(f"the name of a packed checkpoint must end in {PACKED_SUFFIX}: {packed}")
    if os.path.lexists(packed):
        raise OutputError(f"{packed} already exists")
    check_parent(packed)
    file = open_checkpoint(path)
    weights = read_weights(file, choose_network(file, classes=None, number=number))
    with write_errors(packed):
        values = dict(weights.values)
        for name in LAST_LAYER if temperature != 1 else ():
            values[name] = (values[name] / temperature).astype(np.float32)
        pack(
            values,
            packed,
            mirror=weights.mirror if mirror is None else mirror,
            detector=detector or weights.detector,
        )
    try:
        written = open_checkpoint(packed)
        read_weights(written, choose_network(written, classes=None))
    except CheckpointError:
        packed.unlink()
        raise
    return packed.stat().st_size


def check_name(name: str) -> None:
    """Raise `UsageError` unless a checkpoint can have this `name` on any operating system."""
    if name == STATE_FILE or PART.fullmatch(name) or WINDOWS_DEVICE.fullmatch(name):
        raise UsageError(f"{one_line(name)} cannot be the name of a checkpoint: it is reserved")
    if not (NAME.fullmatch(name) and name.isprintable() and len(name.encode()) <= MAX_NAME_BYTES):
        raise UsageError(
            f"{one_line(name) or 'an empty string'} cannot be the name of a checkpoint: use at "
            'most 100 characters, none of / \\ : * ? " < > | and no dot or space at either end'
        )


def _original_variables(
    file: TensorFile, network: StoredNetwork
) -> tuple[dict[str, Array], list[str]]:
    """Return all variables of the original's graph, from `file` where it has them, and notes.

    Weights stay as they are. Momentum is kept; if there is none it is 0, as before the first step.
    The original's graph has no place for the slots of another optimizer. Damaged variables other
    than weights become 0, with a note.
    """
    notes: list[str] = []
    values = dict(read_weights(file, network).values)
    for name, stored in network.names.items():
        slots = [slot for slot in network.slots if slot.endswith(f"{stored}/Momentum")]
        values[f"{name}/Momentum"] = _read_or_zeros(file, slots, values[name].shape, notes)
    for name in SCALARS:
        # TensorFlow 0.12 put the average of the loss into the optimizer's scope.
        values[name] = _read_or_zeros(file, (name, f"Momentum/{name}"), (), notes)
    values["is_training"] = np.zeros((), bool)
    return values, notes


def _read_or_zeros(
    file: TensorFile, names: Iterable[str], shape: tuple[int, ...], notes: list[str]
) -> Array:
    """Return the first sound variable of `names` that is float32 of `shape`, or else zeros."""
    for name in names:
        tensor = file.tensors.get(name)
        if tensor is not None and (tensor.dtype, tensor.shape) == ("float32", shape):
            try:
                return file.read(name)[0]
            except CheckpointCorrupt:
                notes.append(f"{name} is damaged and was set to 0; predictions do not need it")
    return np.zeros(shape, np.float32)

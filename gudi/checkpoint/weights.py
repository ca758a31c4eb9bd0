"""The ten tensors that make a Gudi network, taken out of a checkpoint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gudi.checkpoint.bundle import Bundle, open_bundle
from gudi.emotions import EMOTIONS
from gudi.errors import CheckpointCorrupt, CheckpointForeign


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


@dataclass(frozen=True)
class Weights:
    """A trained network.

    Attributes:
        source: the checkpoint's prefix.
        fingerprint: of names, shapes and checksums, in hexadecimal: the same network has the
            same, whatever its files are called and whatever else is in them.
        values: float32 arrays by variable name.
    """

    source: Path
    fingerprint: str
    values: dict[str, np.ndarray]


def open_gudi(prefix: Path, classes: int = len(EMOTIONS)) -> Bundle:
    """Open the checkpoint `prefix` and make sure that it lists the weights, without reading them.

    Raises:
        CheckpointForeign: they are not there, or not of the network's shapes.
        CheckpointError: as `open_bundle`.
    """
    bundle = open_bundle(prefix)
    _check(bundle, weight_shapes(classes))
    return bundle


def load_weights(prefix: Path, classes: int = len(EMOTIONS)) -> Weights:
    """Read the weights of `prefix`, and nothing else of it: no optimizer slots, no counters.

    Raises:
        CheckpointCorrupt: a checksum is wrong, or values are no numbers.
        CheckpointError: as `open_gudi`.
    """
    bundle = open_gudi(prefix, classes)
    values, digest = {}, hashlib.sha256()
    for name, shape in weight_shapes(classes).items():
        tensor = bundle.read(name)
        # One NaN or infinity makes the sum one, and in float64 nothing else does.
        if not np.isfinite(tensor.sum(dtype=np.float64)):
            raise CheckpointCorrupt(
                f"{prefix}: {name} holds values that are no numbers (NaN or infinite); its "
                "training diverged, an earlier checkpoint is needed"
            )
        digest.update(f"{name} {shape} {bundle.tensors[name].crc32c:08x}\n".encode())
        values[name] = tensor
    return Weights(prefix, digest.hexdigest(), values)


def _check(bundle: Bundle, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise unless `bundle` lists every weight with its shape and type."""
    missing = [name for name in shapes if name not in bundle.tensors]
    if missing:
        raise CheckpointForeign(
            f"{bundle.prefix} is not a Gudi checkpoint: it has no {_some(missing)}, but "
            f"{_some(bundle.tensors) or 'nothing at all'}"
        )
    classes = bundle.tensors["FullyConnected_1/b"].shape
    for name, shape in shapes.items():
        tensor = bundle.tensors[name]
        if (tensor.shape, tensor.dtype) == (shape, "float32"):
            continue
        hint = ""
        if name.startswith("FullyConnected_1/") and len(classes) == 1:
            hint = f"; it tells {classes[0]} classes apart, not {shape[-1]}"
        raise CheckpointForeign(
            f"{bundle.prefix} is not a checkpoint of the Gudi network: {name} is {tensor.dtype} "
            f"{list(tensor.shape)}, not float32 {list(shape)}{hint}"
        )


def _some(names: list[str] | dict[str, object]) -> str:
    """Return the first few of `names` and how many more there are."""
    first = ", ".join(list(names)[:4])
    return first + (f" and {len(names) - 4} more" if len(names) > 4 else "")

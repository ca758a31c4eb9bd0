"""Say what a checkpoint is, what is wrong with it, and whether gudi can use it."""

from __future__ import annotations

import os
from typing import Any

from gudi.checkpoint.locate import PACKED, Files, find
from gudi.checkpoint.networks import Layout, find_networks, trained
from gudi.checkpoint.opening import open_checkpoint
from gudi.checkpoint.tensors import Tensor, TensorFile
from gudi.checkpoint.v2 import parse_index
from gudi.checkpoint.weights import choose_network, read_weights
from gudi.errors import CheckpointCorrupt, CheckpointError, CheckpointIncomplete

COUNTERS = ("Global_Step", "Training_step")


def inspect(
    path: str | os.PathLike | None = None, *, verify: bool = False, number: int | None = None
) -> dict[str, Any]:
    """Return what there is to know of the checkpoint that `path` stands for.

    Only directories and counters are read, unless `verify` asks for every byte.

    Args:
        path: as `gudi.checkpoint.find` takes it.
        verify: hold all data against its checksums.
        number: which of several networks, see `choose_network`.

    Returns:
        A dictionary that JSON can hold: `prefix`, `files` (name and size), `missing`, `format`,
        `written_by`, `tensors` (name, dtype, shape), `networks`, `optimizer`, `step`,
        `checksums`, `recovered`, `problem` and `usable`.

    Raises:
        CheckpointError: there is nothing at `path`.
    """
    files = find(path)
    report = {
        "prefix": str(files.prefix),
        "files": {each.name: each.stat().st_size for each in files.parts.values()},
        "missing": _missing(files),
        "format": None,
        "written_by": None,
        "tensors": [],
        "networks": [],
        "optimizer": None,
        "step": None,
        "checksums": "not looked at",
        "recovered": "",
        "problem": "",
        "usable": False,
    }
    try:
        file = open_checkpoint(path)
    except CheckpointError as error:
        report["problem"] = str(error)
        if isinstance(error, CheckpointCorrupt):
            report["checksums"] = "damaged"
        if isinstance(error, CheckpointIncomplete) and "index" in files.parts:
            # The index still tells what the missing data would hold.
            _, tensors = parse_index(files.parts["index"])
            report |= {"format": "V2"} | _described(tensors)
        return report
    report |= {"format": file.format, "recovered": file.recovered} | _described(file.tensors)
    if file.format in ("V1", PACKED):
        report["missing"] = []  # one file is all that there ever was
    try:
        report["step"] = _step(file)
        if verify:
            report["checksums"] = _verified(file)
        network = choose_network(file, classes=None, number=number)
        if verify:
            read_weights(file, network)
        report["usable"] = True
        for each, meant in zip(report["networks"], find_networks(file.tensors)):
            each["taken"] = meant == network
        report["optimizer"] = network.optimizer or None
        report["recovered"] = file.recovered
    except CheckpointError as error:
        report["problem"] = str(error)
        if isinstance(error, CheckpointCorrupt) and report["checksums"] == "not looked at":
            report["checksums"] = "damaged"
    return report


def _missing(files: Files) -> list[str]:
    """Return the endings that a complete V2 set has and this one has not."""
    if set(files.parts) in ({""}, {PACKED}) or set(files.parts) == {"", "meta"}:
        return []  # one file may be all that there ever was
    wanted = ("index", "data-00000-of-00001")
    sharded = any(part.startswith("data-") for part in files.parts)
    return [f".{part}" for part in wanted if part not in files.parts and not (
        part.startswith("data") and sharded)]  # fmt: skip


def _described(tensors: dict[str, Tensor]) -> dict[str, Any]:
    networks = find_networks(tensors)
    meant = trained(networks)
    return {
        "written_by": _writer(tensors),
        "tensors": [
            {"name": name, "dtype": tensor.dtype, "shape": list(tensor.shape)}
            for name, tensor in sorted(tensors.items())
        ],
        "networks": [_network(each, each is meant) for each in networks],
        "optimizer": meant.optimizer or None if meant else None,
    }


def _network(network: Layout, meant: bool) -> dict[str, Any]:
    return {
        "classes": network.classes,
        "first_layer": network.names["Conv2D/W"].partition("/")[0],
        "optimizer": network.optimizer or None,
        "slots": len(network.slots),
        "taken": meant,
    }


def _writer(tensors: dict[str, Tensor]) -> str:
    """Return what the names of the variables tell of the TensorFlow that wrote them."""
    if any(name.startswith(("Momentum/", "Adam/Conv2D")) for name in tensors):
        return "TensorFlow 0.12 or older (slots under the optimizer's name)"
    if any(name.endswith(("/Momentum", "/Adam")) for name in tensors):
        return "TensorFlow 1.0 or newer (slots beside their weights)"
    return "unknown (no optimizer slots)"


def _step(file: TensorFile) -> int | None:
    """Return the training step that the checkpoint was written at."""
    for name in COUNTERS:
        tensor = file.tensors.get(name)
        if tensor is not None and (tensor.dtype, tensor.shape) == ("float32", ()):
            value = float(file.read(name)[0])
            if value.is_integer():
                return int(value)
    return None


def _verified(file: TensorFile) -> str:
    """Check every variable and say which are damaged."""
    if file.format == "V2 without index":
        return "none: they were in the index"
    damaged = []
    for name in file.tensors:
        try:
            file.verify(name)
        except CheckpointCorrupt:
            damaged.append(name)
    return f"damaged: {', '.join(damaged)}" if damaged else "good"

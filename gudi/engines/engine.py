"""Choose an engine, and open it.

TensorFlow with TFLearn's graph is the reference and uses GPUs. ONNX Runtime starts in a tenth of
the time, and is faster on CPUs.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gudi.errors import UsageError
from gudi.packages import check_tensorflow, has_tensorflow

AUTO, TENSORFLOW, ONNX = ENGINES = "auto", "tensorflow", "onnx"

FEW = 16  # rows of a matrix

DEVICES = re.compile(r"auto|cpu|gpu|gpu:\d+")


class Engine(Protocol):
    """A loaded network.

    Attributes:
        name: `tensorflow` or `onnx`.
        device: TensorFlow's name of the device, such as `/CPU:0`.
        same_bits: whether a face has the same probabilities, bit for bit, in every batch.
    """

    name: str
    device: str
    same_bits: bool

    def predict(self, faces: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return float32 of shape (n, classes), the probabilities of `faces`.

        Args:
            faces: float32 of shape (n, 48, 48, 1), 0 to 1.

        Raises:
            MemoryError: the device has too little memory for that many faces.
        """
        ...

    def close(self) -> None:
        """Release the memory."""


def check_device(device: str) -> None:
    """Raise `UsageError` unless `device` is a name that `open_engine` accepts."""
    if not DEVICES.fullmatch(device):
        raise UsageError(f"no such device: {device}; choose auto, cpu, gpu or gpu:N")


def engine_for(engine: str, device: str) -> str:
    """Return the engine that `auto` means for a device, or the one that is named.

    Raises:
        UsageError: there is no such engine or device, the engine does not use this device, or it
            is not installed.
        GudiError: TensorFlow is needed and not installed.
    """
    check_device(device)
    if engine not in ENGINES:
        raise UsageError(f"no such engine: {engine}; choose {', '.join(ENGINES)}")
    if engine == ONNX and device.startswith("gpu"):
        raise UsageError(f"the engine onnx uses CPUs only; for {device} choose tensorflow")
    installed = importlib.util.find_spec("onnxruntime") is not None
    if engine == ONNX and not installed:
        raise UsageError("the engine onnx needs the package onnxruntime: pip install onnxruntime")
    if engine == AUTO:
        on_cpu = device == "cpu" or (
            device == "auto" and not (_may_have_gpu() and has_tensorflow())
        )
        engine = ONNX if on_cpu and installed else TENSORFLOW
    if engine == TENSORFLOW:
        check_tensorflow(f"the engine tensorflow (--device {device})")
    return engine


def open_engine(
    name: str,
    weights: Mapping[str, npt.NDArray[np.float32]],
    device: str = "auto",
    threads: int | None = None,
    batch_size: int = 256,
) -> Engine:
    """Return an engine with the network that has these weights.

    Args:
        name: `tensorflow` or `onnx`, as `engine_for` returns it.
        weights: by their names in the network; hidden units that are never active are removed.
        device: `auto`, `cpu`, `gpu` or `gpu:N`.
        threads: CPU threads to use; None for one per CPU.
        batch_size: how many faces the engine usually gets at a time.

    Raises:
        DeviceError: the device is not available.
    """
    # Imported when it is needed: TensorFlow takes seconds.
    active = without_idle_units(weights)
    if name == ONNX:
        from gudi.engines.onnx_runtime import OnnxEngine

        return OnnxEngine(active, threads, batch_size)
    from gudi.engines.tensorflow_graph import TensorFlowEngine

    return TensorFlowEngine(active, device, threads)


def without_idle_units(
    weights: Mapping[str, npt.NDArray[np.float32]],
) -> dict[str, npt.NDArray[np.float32]]:
    """Return the weights without the hidden units that add nothing for any face.

    Such a unit is 0 before or after the ReLU. The probabilities stay the same.
    """
    matrix, bias, head = (
        weights[name] for name in ("FullyConnected/W", "FullyConnected/b", "FullyConnected_1/W")
    )
    used = np.flatnonzero(head.any(axis=1))
    # Few units have no bias, and few of those no weights in the first rows. Only for these is the
    # large matrix read: that takes as long as the rest of the loading.
    active = bias[used] > 0
    for rows in (slice(FEW), slice(None)):
        active[~active] = matrix[rows, used[~active]].any(axis=0)
    used = used[active]
    if len(used) == len(bias):
        return dict(weights)
    if not len(used):
        used = np.array([0])  # a layer has at least one unit
    return dict(weights) | {
        "FullyConnected/W": np.ascontiguousarray(matrix[:, used]),
        "FullyConnected/b": bias[used],
        "FullyConnected_1/W": head[used],
    }


def _may_have_gpu() -> bool:
    """Return whether TensorFlow may find a GPU on this machine, without asking it."""
    if sys.platform == "darwin":
        return importlib.util.find_spec("tensorflow-plugins") is not None
    # NVIDIA's and AMD's drivers, and the one that Windows lends to Linux.
    devices = Path("/dev")
    names = ("nvidia[0-9]*", "kfd", "dxg")
    return any(True for name in names for _ in devices.glob(name))

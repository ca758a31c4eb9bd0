"""Predict the expressions of cropped faces: load a network once, then predict often."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from gudi.checkpoint import Weights, load
from gudi.constants import EMOTIONS, FACE_SIZE
from gudi.errors import CheckpointCorrupt, DeviceError, UsageError

DEVICES = re.compile(r"auto|cpu|gpu|gpu:\d+")

# The network's input for each grey level. The original divides by 255 in float64 and feeds the
# result to the network as float32.
UNIT = (np.arange(256) / 255.0).astype(np.float32)


class Predictor:
    """A loaded Gudi network.

    Use it as a context manager, or call `close`. Several threads may use one predictor, and several
    predictors with different checkpoints may be open at the same time. On a GPU, a pass of `n`
    faces is padded to the next power of two, because TensorFlow chooses its kernels anew for every
    new shape. If a pass does not fit into the GPU's memory, `batch_size` is halved.

    Args:
        checkpoint: prefix, folder or any file of a checkpoint; None for the default one, see
            `gudi.checkpoint.find`. Or weights that `gudi.checkpoint.load` has read.
        device: `cpu`, `gpu`, `gpu:1` (the second GPU) or `auto` (a GPU if TensorFlow sees one).
        batch_size: the most faces that go through the network in one pass.
        emotions: the names of the network's outputs, in order; the original's seven by default.
        network: which network to use if the checkpoint holds several, from 1, in the order in
            which they were built; None for the trained one.
        threads: CPU threads that TensorFlow may use; None for one per CPU.
        fixed_batches: pad every pass to exactly `batch_size` faces. With a `batch_size` of 256, a
            face then has the same probabilities, bit for bit, whatever faces it is predicted with;
            otherwise they may differ by about 1e-7 (measured on CPUs). One face then takes as long
            as `batch_size` faces.

    Attributes:
        checkpoint: the checkpoint's prefix.
        fingerprint: identifies the weights, see `gudi.checkpoint.Weights`.
        recovered: "", or how an incomplete checkpoint was made usable.
        emotions: the names of the network's outputs, in order.
        device: TensorFlow's name of the device, such as `/CPU:0`.
        batch_size: as above; smaller once the GPU's memory did not suffice.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        DeviceError: the device is not available.
        UsageError: `device` is not one of the names above.
        ValueError: `batch_size` is less than 1.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike[str] | Weights | None = None,
        device: str = "auto",
        batch_size: int = 256,
        emotions: Sequence[str] | None = None,
        network: int | None = None,
        *,
        threads: int | None = None,
        fixed_batches: bool = False,
    ) -> None:
        check_device(device)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1. Received: {batch_size}")
        self.emotions = tuple(emotions) if emotions is not None else EMOTIONS
        self.batch_size, self._fixed_batches = batch_size, fixed_batches
        if not isinstance(checkpoint, Weights):
            checkpoint = load(checkpoint, self.emotions, network)
        self.checkpoint = checkpoint.source
        self.recovered = checkpoint.recovered
        self.fingerprint = checkpoint.fingerprint

        # Imported after the checks above, so that errors do not wait seconds for TensorFlow.
        from gudi.network import build, load_weights, open_session, quiet, tf

        self._out_of_memory = tf.errors.ResourceExhaustedError
        with quiet():
            self.device = tensorflow_device(device)
            self._network = build(len(self.emotions), device=self.device)
            self._session: Any = open_session(self._network.graph, threads=threads)
            load_weights(self._session, self._network, checkpoint.values)

    def predict(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return the probabilities of the emotions, float32 of shape (n, classes), rows sum to 1.

        Args:
            faces: uint8 of shape (n, 48, 48), grey, as `gudi.detection.crop` cuts them.

        Raises:
            CheckpointCorrupt: the network's output is not finite.
            RuntimeError: the predictor is closed.
            ValueError: `faces` has another shape or type.
        """
        faces = np.asarray(faces)
        if faces.dtype != np.uint8 or faces.shape[1:] != (FACE_SIZE, FACE_SIZE):
            raise ValueError(
                f"faces must be uint8 of shape (n, {FACE_SIZE}, {FACE_SIZE}). "
                f"Received: {faces.dtype} of shape {faces.shape}"
            )
        if self._session is None:
            raise RuntimeError("this predictor is closed")
        probabilities = np.empty((len(faces), len(self.emotions)), np.float32)
        done = 0
        while done < len(faces):
            batch = faces[done : done + self.batch_size]
            size = self._pass_size(len(batch))
            try:
                probabilities[done : done + len(batch)] = self._predict_batch(batch, size)
            except self._out_of_memory:
                if size == 1:
                    raise
                self.batch_size = min(self.batch_size, size // 2)
            else:
                done += len(batch)
        if not np.isfinite(probabilities).all():
            raise CheckpointCorrupt(
                f"{self.checkpoint} predicts NaN for some faces: its weights are far too large, "
                "which happens when training diverges; use an earlier checkpoint"
            )
        return probabilities

    def close(self) -> None:
        """Release the memory. Closing twice is harmless."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _pass_size(self, count: int) -> int:
        """Return the number of faces, with padding, in a pass of `count` faces."""
        if self._fixed_batches:
            return max(count, self.batch_size)
        if self.device.startswith("/GPU"):
            return max(count, min(1 << (count - 1).bit_length(), self.batch_size))
        return count

    def _predict_batch(self, faces: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.float32]:
        """Predict `faces` in one pass, padded to `size` faces."""
        batch = np.zeros((size, FACE_SIZE, FACE_SIZE, 1), np.float32)
        batch[: len(faces), :, :, 0] = UNIT[faces]
        feed = {self._network.faces: batch}
        probabilities: npt.NDArray[np.float32]
        probabilities = self._session.run(self._network.probabilities, feed)
        return probabilities[: len(faces)]


def check_device(device: str) -> None:
    """Raise `UsageError` unless `device` is a name that `Predictor` accepts."""
    if not DEVICES.fullmatch(device):
        raise UsageError(f"no such device: {device}; choose auto, cpu, gpu or gpu:N")


def tensorflow_device(device: str) -> str:
    """Return TensorFlow's name for `device`.

    Raises:
        DeviceError: TensorFlow does not see this GPU.
    """
    from gudi.network import quiet, tf

    with quiet():
        gpus = [] if device == "cpu" else tf.config.list_physical_devices("GPU")
    if not gpus and device.startswith("gpu"):
        raise DeviceError(
            f"{device} was requested, but TensorFlow {tf.__version__} sees no GPU; check the "
            "driver with nvidia-smi, install the CUDA libraries with pip install 'gudi[gpu]', or "
            "use --device cpu"
        )
    number = int(device.partition(":")[2] or 0)
    if gpus and number >= len(gpus):
        raise DeviceError(f"{device} was requested, but TensorFlow sees only {len(gpus)} GPU(s)")
    return f"/GPU:{number}" if gpus else "/CPU:0"

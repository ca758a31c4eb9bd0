"""Predict the expression of cropped faces: load once, then batch after batch."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np

from gudi.checkpoint import Weights, load
from gudi.constants import EMOTIONS, FACE_SIZE
from gudi.errors import CheckpointCorrupt, DeviceError, GudiError, UsageError

DEVICES = re.compile(r"auto|cpu|gpu|gpu:\d+")

# What the network takes for each grey level: the original's image / 255., float64 there and fed to
# the network as float32.
UNIT = (np.arange(256) / 255.0).astype(np.float32)


class Predictor:
    """A loaded Gudi network.

    Use it as a context manager, or call `close`. Several, with different checkpoints, can be open
    at the same time. On a GPU it takes memory as it needs it and leaves the rest to others; where
    that is not enough, `batch_size` is halved.

    Args:
        checkpoint: prefix, folder or any file of a checkpoint; None takes the default one, see
            `gudi.checkpoint.find`. Or weights that `gudi.checkpoint.load` has read.
        device: `cpu`, `gpu`, `gpu:1` (the second one), or `auto`, a GPU where TensorFlow sees one.
        batch_size: faces that go through the network at a time. Every pass has this size, the last
            one filled up, because a GPU settles on its kernels anew for each shape. A few faces at
            a time are quicker with a small one. With 256 a face has the same probabilities in
            any company; with fewer they may differ by some 1e-7 (measured on CPUs).
        emotions: the names of the network's outputs in their order; the original's seven by
            default.
        network: which one of several networks in the checkpoint, from 1 in the order in which they
            were built; the trained one by default.
        threads: processors that it may use, of those that are not GPUs; None for all.
        filled: fill batches up as said above; otherwise a pass is as large as what there is.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        DeviceError: the device is not there.
        UsageError: there is no such kind of device.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike | Weights | None = None,
        device: str = "auto",
        batch_size: int = 256,
        emotions: Sequence[str] | None = None,
        network: int | None = None,
        *,
        threads: int | None = None,
        filled: bool = True,
    ) -> None:
        check_device(device)
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, but has to be at least 1")
        self.emotions = tuple(emotions) if emotions is not None else EMOTIONS
        self.batch_size, self._filled = batch_size, filled
        if not isinstance(checkpoint, Weights):
            checkpoint = load(checkpoint, self.emotions, network)
        self.checkpoint = checkpoint.source
        self.recovered = checkpoint.recovered
        self.fingerprint = checkpoint.fingerprint

        # Only now: what can be wrong above should not wait for the seconds that TensorFlow takes.
        from gudi.network import build, quiet, tf

        self._no_memory = tf.errors.ResourceExhaustedError
        with quiet():
            self.device = place(device)
            self._network = build(len(self.emotions), device=self.device)
            self._session = _session(self._network, checkpoint.values, threads)

    def predict(self, faces: np.ndarray) -> np.ndarray:
        """Return the probabilities of the emotions, float32 of shape (n, classes), rows sum to 1.

        Args:
            faces: uint8 of shape (n, 48, 48), grey, as `gudi.detection.crop` cuts them.

        Raises:
            ValueError: `faces` has another shape or type.
            CheckpointCorrupt: the weights give no numbers.
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
            part = slice(done, min(done + self.batch_size, len(faces)))
            try:
                probabilities[part] = self._predict_batch(faces[part])
            except self._no_memory:
                if self.batch_size == 1:
                    raise
                self.batch_size //= 2
            else:
                done = part.stop
        if not np.isfinite(probabilities).all():
            raise CheckpointCorrupt(
                f"{self.checkpoint} gives no numbers for some faces: its weights are far too "
                "large, as when a training has diverged"
            )
        return probabilities

    def close(self) -> None:
        """Give the memory back. Closing twice does no harm."""
        if self._session is not None:
            self._session.close()
            self._session = self._network = None

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _predict_batch(self, faces: np.ndarray) -> np.ndarray:
        size = self.batch_size if self._filled else len(faces)
        batch = np.zeros((size, FACE_SIZE, FACE_SIZE, 1), np.float32)
        batch[: len(faces), :, :, 0] = UNIT[faces]
        feed = {self._network.faces: batch}
        return self._session.run(self._network.probabilities, feed)[: len(faces)]


def check_device(device: str) -> None:
    """Raise `UsageError` unless `device` is a name that `Predictor` knows."""
    if not DEVICES.fullmatch(device):
        raise UsageError(f"no such device: {device}; there are auto, cpu, gpu and gpu:N")


def place(device: str) -> str:
    """Return TensorFlow's name for `device`."""
    from gudi.network import quiet, tf

    with quiet():
        gpus = [] if device == "cpu" else tf.config.list_physical_devices("GPU")
    if not gpus and device.startswith("gpu"):
        raise DeviceError(
            f"{device} was asked for, but TensorFlow {tf.__version__} sees no GPU; nvidia-smi "
            "shows the driver, pip install 'gudi[gpu]' brings the CUDA libraries, --device cpu "
            "does without"
        )
    number = int(device.partition(":")[2] or 0)
    if gpus and number >= len(gpus):
        raise DeviceError(f"{device} was asked for, but TensorFlow sees {len(gpus)} GPU(s)")
    return f"/GPU:{number}" if gpus else "/CPU:0"


def _session(network: Any, values: dict[str, np.ndarray], threads: int | None) -> Any:
    """Return a session with so many threads in which `network` has its weights."""
    from gudi.network import start, tf

    shapes = {name: tuple(map(int, each.shape)) for name, each in network.weights.items()}
    if shapes != {name: value.shape for name, value in values.items()}:
        raise GudiError(f"the network's variables are {shapes}: not those of a Gudi checkpoint")
    options = tf.GPUOptions(allow_growth=True)
    session = tf.Session(
        graph=network.graph,
        config=tf.ConfigProto(
            gpu_options=options,
            allow_soft_placement=True,
            intra_op_parallelism_threads=threads or 0,
            inter_op_parallelism_threads=threads or 0,
        ),
    )
    session.run(network.training_mode.initializer)  # False: no dropout
    for name, variable in network.weights.items():
        start(session, variable, values[name])
    return session

"""TensorFlow with TFLearn's graph, on CPUs and GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gudi.errors import DeviceError
from gudi.network import build, load_weights, open_session, tf
from gudi.quiet import quiet


class TensorFlowEngine:
    """The original's network.

    On a GPU it allocates memory as needed, and pads the number of faces to the next power of two,
    because TensorFlow chooses its kernels again for every new shape.

    Args:
        weights: by their names in the network.
        device: `auto`, `cpu`, `gpu` or `gpu:N`.
        threads: CPU threads to use; None for one per CPU.

    Raises:
        DeviceError: TensorFlow does not see this GPU.
    """

    name, same_bits = "tensorflow", False

    def __init__(
        self, weights: Mapping[str, npt.NDArray[np.float32]], device: str, threads: int | None
    ) -> None:
        units, classes = weights["FullyConnected_1/W"].shape
        with quiet():
            self.device = tensorflow_device(device)
            self._network = build(classes, device=self.device, units=units)
            self._session: Any = open_session(self._network.graph, threads=threads)
            load_weights(self._session, self._network, weights)

    def predict(self, faces: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the probabilities of `faces`, see `gudi.engines.Engine`."""
        count = len(faces)
        if self.device.startswith("/GPU"):
            padding = (1 << (count - 1).bit_length()) - count
            faces = np.pad(faces, [(0, padding), (0, 0), (0, 0), (0, 0)])
        try:
            found = self._session.run(self._network.probabilities, {self._network.faces: faces})
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(f"{count} faces do not fit into the memory of the device") from error
        return np.asarray(found[:count], np.float32)

    def close(self) -> None:
        """Release the memory."""
        self._session.close()


def tensorflow_device(device: str) -> str:
    """Return TensorFlow's name for `device`.

    Raises:
        DeviceError: TensorFlow does not see this GPU.
    """
    with quiet():
        gpus = [] if device == "cpu" else tf.config.list_physical_devices("GPU")
    if not gpus and device.startswith("gpu"):
        raise DeviceError(
            f"{device} was requested, but TensorFlow {tf.__version__} sees no GPU; check the "
            "driver with nvidia-smi, install the CUDA libraries with "
            "pip install 'tensorflow[and-cuda]', or use --device cpu"
        )
    number = int(device.partition(":")[2] or 0)
    if gpus and number >= len(gpus):
        raise DeviceError(f"{device} was requested, but TensorFlow sees only {len(gpus)} GPU(s)")
    return f"/GPU:{number}" if gpus else "/CPU:0"

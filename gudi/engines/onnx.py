"""ONNX Runtime, on CPUs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnxruntime

from gudi.engines.onnx_model import INPUTS, OUTPUT, build_model, network_tensors

ERRORS_ONLY = 3  # ONNX Runtime's level of messages


class OnnxEngine:
    """The network in ONNX Runtime.

    It computes each face alone: the probabilities of a face are the same, to the last bit, whatever
    faces it is predicted with (measured on x86-64).

    Args:
        weights: by their names in the network.
        threads: CPU threads to use; None for one per CPU.
    """

    name, device, same_bits = "onnx", "/CPU:0", True

    def __init__(self, weights: Mapping[str, npt.NDArray[np.float32]], threads: int | None) -> None:
        # The session keeps the arrays that it is given. Inside the model they would be copied.
        tensors = network_tensors(weights)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.intra_op_num_threads = threads or 0
        options.add_external_initializers(
            list(tensors),
            [onnxruntime.OrtValue.ortvalue_from_numpy(each) for each in tensors.values()],
        )
        model = build_model(tensors, len(weights["FullyConnected_1/b"]), external=True)
        self._session: onnxruntime.InferenceSession | None = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )

    def predict(self, faces: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the probabilities of `faces`, see `gudi.engines.Engine`."""
        if self._session is None:
            raise RuntimeError("this engine is closed")
        (probabilities,) = self._session.run([OUTPUT], {INPUTS["float32"]: faces})
        return np.asarray(probabilities, np.float32)

    def close(self) -> None:
        """Release the memory."""
        self._session = None

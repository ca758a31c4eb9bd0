"""ONNX Runtime, on CPUs."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnxruntime

from gudi.engines.onnx_model import INPUTS, OUTPUT, build_model, network_tensors
from gudi.errors import ClosedError

ERRORS_ONLY = 3  # ONNX Runtime's level of messages

# Faces in one pass. More are no faster, and each takes about 1 MB.
PASS_SIZE = 64

# From this batch size it pays to copy the large matrix into the session, in the order of the
# computation: batches take 10% less time, but loading takes longer, and 150 MB more for the shipped
# checkpoint. Below it the matrix is an input, which is not copied.
COPY_FROM_BATCH = 64
MATRIX = "FullyConnected/W"

_OPEN: weakref.WeakSet[onnxruntime.InferenceSession] = weakref.WeakSet()


def _keep_sessions() -> None:
    """Never destroy the sessions in a forked process, which would wait for threads it lacks."""
    for session in _OPEN:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_sessions)


class OnnxEngine:
    """The network in ONNX Runtime.

    If `batch_size` is 64 or more, each face is computed alone: its probabilities are the same, bit
    for bit, in every batch (measured on x86-64).

    Args:
        weights: by their names in the network.
        threads: CPU threads to use; None for one per CPU.
        batch_size: how many faces `predict` usually gets.
    """

    name, device = "onnx", "/CPU:0"

    def __init__(
        self, weights: Mapping[str, npt.NDArray[np.float32]], threads: int | None, batch_size: int
    ) -> None:
        tensors = network_tensors(weights)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.intra_op_num_threads = threads or 0
        self.same_bits = batch_size >= COPY_FROM_BATCH
        # Its threads would wait for each other by spinning, on CPUs that workers need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        fed = [] if self.same_bits else [MATRIX]
        model = build_model(tensors, len(weights["FullyConnected_1/b"]), external=True, fed=fed)
        # The session keeps the arrays that it is given, and copies those that are in the model.
        self._fed = {name: tensors.pop(name) for name in fed}
        options.add_external_initializers(
            list(tensors),
            [onnxruntime.OrtValue.ortvalue_from_numpy(each) for each in tensors.values()],
        )
        self._session: onnxruntime.InferenceSession | None = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        _OPEN.add(self._session)

    def predict(self, faces: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the probabilities of `faces`, see `gudi.engines.Engine`."""
        if self._session is None:
            raise ClosedError("this engine is closed")
        passes = [
            self._session.run(
                [OUTPUT], self._fed | {INPUTS["float32"]: faces[start : start + PASS_SIZE]}
            )[0]
            for start in range(0, len(faces), PASS_SIZE)
        ]
        return np.concatenate(passes, dtype=np.float32)

    def close(self) -> None:
        """Release the memory."""
        self._session = None
        self._fed = {}

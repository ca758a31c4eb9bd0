"""Write a network as an ONNX file, and run that file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gudi.engines.onnx_model import OUTPUT, build_model, network_tensors
from gudi.errors import GudiError
from gudi.export.interface import Array, Interface
from gudi.predictor import UNIT
from gudi.quiet import quiet


def check_installed() -> None:
    """Raise `GudiError` unless the package onnx can be imported."""
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise GudiError(
            f"ONNX files need the package onnx ({error}): pip install onnx, or use "
            "--format savedmodel"
        ) from error


def write(path: Path, values: Mapping[str, Array], interface: Interface) -> None:
    """Write the network with the weights `values` to `path`."""
    from onnx import checker

    metadata = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in interface.metadata().items()
    }
    model = build_model(
        network_tensors(values),
        len(interface.emotions),
        interface.dtype,
        unit=UNIT,
        metadata=metadata,
        mirror=interface.mirror,
    )
    checker.check_model(model)
    path.write_bytes(model)


def predict(path: Path, faces: Array) -> tuple[npt.NDArray[np.float32], str]:
    """Return the probabilities that the ONNX file gives for `faces`, and what ran it.

    That is onnxruntime if it is installed, else ONNX's reference implementation.
    """
    content = path.read_bytes()  # a path would have to be UTF-8
    with quiet():
        try:
            import onnxruntime
        except ImportError:
            from onnx import __version__ as version
            from onnx.reference import ReferenceEvaluator

            model: Any = ReferenceEvaluator(content)
            (probabilities,) = model.run([OUTPUT], {model.input_names[0]: faces})
            return probabilities, f"onnx.reference {version}"
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        (probabilities,) = session.run([OUTPUT], {session.get_inputs()[0].name: faces})
    return probabilities, f"onnxruntime {onnxruntime.__version__}"

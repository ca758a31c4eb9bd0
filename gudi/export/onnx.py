"""Write a network as an ONNX file, and run that file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gudi import __version__
from gudi.constants import FACE_SIZE
from gudi.errors import GudiError
from gudi.export.interface import OUTPUT, Array, Interface
from gudi.predictor import UNIT

# ONNX 1.6, from 2019: old runtimes load it, and the network needs nothing newer.
OPSET, IR_VERSION = 11, 6

# TensorFlow's SAME padding for the kernel of each layer, as ONNX writes it: top, left, bottom,
# right.
PADDINGS = {"Conv2D": [2, 2, 2, 2], "Conv2D_1": [2, 2, 2, 2], "Conv2D_2": [1, 1, 2, 2]}
POOL_PADDING = [0, 0, 1, 1]


def check_installed() -> None:
    """Raise `GudiError` unless the package onnx can be imported."""
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise GudiError(
            f"ONNX files need the package onnx ({error}): pip install 'gudi[onnx]', or use "
            "--format savedmodel"
        ) from error


def write(path: Path, values: Mapping[str, Array], interface: Interface) -> None:
    """Write the network with the weights `values` to `path`."""
    path.write_bytes(_model(values, interface).SerializeToString())


def predict(path: Path, faces: Array) -> tuple[npt.NDArray[np.float32], str]:
    """Return the probabilities that the ONNX file gives for `faces`, and what ran it.

    That is onnxruntime if it is installed, else ONNX's reference implementation.
    """
    from gudi.network import quiet

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


class _Nodes:
    """The operators of a model, each of which takes the outputs of earlier ones."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator and return the name of its output."""
        from onnx import helper

        output = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def add_layer(self, operator: str, data: str, layer: str, **attributes: Any) -> str:
        """Add an operator that takes `data` and the weights of `layer`."""
        return self.add(operator, data, f"{layer}/W", f"{layer}/b", **attributes)


def _model(values: Mapping[str, Array], interface: Interface) -> Any:
    """Return the network as an ONNX model.

    ONNX puts channels first, so images are transposed before the convolutions and after them, and
    kernels are stored transposed. The other weights are the checkpoint's.
    """
    from onnx import checker, helper, numpy_helper

    constants = {
        name: value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
        for name, value in values.items()
    }
    if interface.dtype == "uint8":
        constants["UNIT"] = UNIT
    taken, given = (
        helper.np_dtype_to_tensor_dtype(np.dtype(each)) for each in (interface.dtype, "f4")
    )
    metadata = interface.metadata()
    describe = helper.make_tensor_value_info
    faces = describe(interface.input, taken, ["n", FACE_SIZE, FACE_SIZE, 1], metadata["input"])
    probabilities = describe(OUTPUT, given, ["n", len(interface.emotions)], metadata["output"])
    tensors = [
        numpy_helper.from_array(np.ascontiguousarray(value), name)
        for name, value in constants.items()
    ]
    graph = helper.make_graph(
        _nodes(constants, interface), "gudi", [faces], [probabilities], tensors
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="gudi",
        producer_version=__version__,
        doc_string=f"Facial expressions. Input {metadata['input']}. Output {metadata['output']}.",
    )
    helper.set_model_props(
        model,
        {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in metadata.items()
        },
    )
    checker.check_model(model)
    return model


def _nodes(constants: Mapping[str, Array], interface: Interface) -> list[Any]:
    """Return the operators of the network, the last of which gives `OUTPUT`."""
    from onnx import TensorProto

    nodes = _Nodes()
    data = interface.input
    if interface.dtype == "uint8":
        data = nodes.add("Gather", "UNIT", nodes.add("Cast", data, to=TensorProto.INT32))
    data = nodes.add("Transpose", data, perm=[0, 3, 1, 2])
    for layer, padding in PADDINGS.items():
        kernel = constants[f"{layer}/W"].shape[2:]
        data = nodes.add_layer("Conv", data, layer, kernel_shape=kernel, pads=padding)
        data = nodes.add("Relu", data)
        if layer != "Conv2D_2":
            data = nodes.add(
                "MaxPool", data, kernel_shape=[3, 3], strides=[2, 2], pads=POOL_PADDING
            )
    data = nodes.add("Flatten", nodes.add("Transpose", data, perm=[0, 2, 3, 1]))
    data = nodes.add("Relu", nodes.add_layer("Gemm", data, "FullyConnected"))
    nodes.add("Softmax", nodes.add_layer("Gemm", data, "FullyConnected_1"), axis=1)
    nodes.nodes[-1].output[0] = OUTPUT
    return nodes.nodes

"""Build the network as an ONNX model, without TensorFlow and without the package onnx.

An ONNX model is a protocol buffer (`onnx/onnx.proto`). This module encodes the few messages that
the network needs. A test compares its probabilities with those of `gudi.network`, which builds the
network as the original does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gudi.constants import FACE_SIZE
from gudi.protobuf import encode_chunk, encode_integer, encode_text
from gudi.version import __version__

# ONNX 1.6 of 2019: old runtimes load it, and the network needs nothing newer.
OPSET, IR_VERSION = 11, 6

# Names of input and output. The names of inputs contain the range of values.
INPUTS = {"uint8": "faces_0_to_255", "float32": "faces_0_to_1"}
OUTPUT = "probabilities"

# TensorFlow's SAME padding for the kernels of each layer: top, left, bottom, right.
PADDINGS = {"Conv2D": (2, 2, 2, 2), "Conv2D_1": (2, 2, 2, 2), "Conv2D_2": (1, 1, 2, 2)}
POOL_PADDING = (0, 0, 1, 1)

# TensorProto.DataType.
ELEMENT_TYPES = {"float32": 1, "uint8": 2, "int64": 7}
INT32 = 6

# AttributeProto.AttributeType.
INT, INTS = 2, 7

EXTERNAL = 1  # TensorProto.DataLocation

Tensors = Mapping[str, npt.NDArray[Any]]

# Constants of a mirrored model: the order of columns, and how to split the output.
MIRROR = {
    "columns": np.array([2], np.int64),
    "last": np.array([-1], np.int64),
    "before_first": np.array([-FACE_SIZE - 1], np.int64),
    "backwards": np.array([-1], np.int64),
}


def network_tensors(weights: Tensors) -> dict[str, npt.NDArray[np.float32]]:
    """Return the constants of the model: kernels in ONNX's order, everything else as it is."""
    return {
        name: np.ascontiguousarray(value.transpose(3, 2, 0, 1) if value.ndim == 4 else value)
        for name, value in weights.items()
    }


def build_model(
    tensors: Tensors,
    classes: int,
    dtype: str = "float32",
    *,
    unit: npt.NDArray[np.float32] | None = None,
    metadata: Mapping[str, str] | None = None,
    mirror: bool = False,
    external: bool = False,
    fed: Collection[str] = (),
) -> bytes:
    """Return the network as the content of an ONNX file.

    Images are transposed to ONNX's order, channels first, and features back, so that the weights
    of the hidden layer are the checkpoint's.

    Args:
        tensors: the result of `network_tensors`.
        classes: number of probabilities.
        dtype: of the input, `float32` (0 to 1) or `uint8` (grey levels, 0 to 255).
        unit: float32 of shape (256,), the value of each grey level; for uint8.
        metadata: properties of the model, for people who find the file. `input` and `output` also
            describe input and output.
        mirror: return the mean for each face and its mirror image.
        external: omit the values of the constants; the session gets them separately.
        fed: constants that are inputs instead; each pass gets them.
    """
    constants, about = dict(tensors), metadata or {}
    if dtype == "uint8" and unit is not None:
        constants["unit"] = unit
    if mirror:
        constants |= MIRROR | {"pairs": np.array([2, -1, classes], np.int64)}
    shape = ("n", FACE_SIZE, FACE_SIZE, 1)
    graph = _message(
        *(encode_chunk(1, node) for node in _nodes(tensors, dtype, mirror)),
        encode_text(2, "gudi"),
        *(
            encode_chunk(5, _tensor(name, value, external))
            for name, value in constants.items()
            if name not in fed
        ),
        encode_chunk(11, _value_info(INPUTS[dtype], dtype, shape, about.get("input", ""))),
        *(
            encode_chunk(11, _value_info(name, "float32", constants[name].shape, ""))
            for name in fed
        ),
        encode_chunk(12, _value_info(OUTPUT, "float32", ("n", classes), about.get("output", ""))),
    )
    properties = (
        encode_chunk(14, encode_text(1, name) + encode_text(2, text))
        for name, text in about.items()
    )
    interface = [f"{name.capitalize()} {about[name]}." for name in ("input", "output") if about]
    return _message(
        encode_integer(1, IR_VERSION),
        encode_text(2, "gudi"),
        encode_text(3, __version__),
        encode_text(6, " ".join(["Facial expressions.", *interface])),
        encode_chunk(7, graph),
        encode_chunk(8, encode_text(1, "") + encode_integer(2, OPSET)),
        *properties,
    )


def _nodes(tensors: Tensors, dtype: str, mirror: bool) -> list[bytes]:
    """Return the operations of the network in order."""
    nodes: list[bytes] = []

    def add(
        operator: str, *inputs: str, output: str = "", **attributes: int | Sequence[int]
    ) -> str:
        output = output or f"{operator}_{len(nodes)}"
        nodes.append(_node(operator, inputs, output, attributes))
        return output

    data = INPUTS[dtype]
    if dtype == "uint8":
        data = add("Gather", "unit", add("Cast", data, to=INT32))
    if mirror:
        mirrored = add("Slice", data, "last", "before_first", "columns", "backwards")
        data = add("Concat", data, mirrored, axis=0)
    data = add("Transpose", data, perm=(0, 3, 1, 2))
    for name, padding in PADDINGS.items():
        kernel = tensors[f"{name}/W"].shape[2:]
        data = add("Conv", data, f"{name}/W", f"{name}/b", kernel_shape=kernel, pads=padding)
        data = add("Relu", data)
        if name != "Conv2D_2":
            data = add("MaxPool", data, kernel_shape=(3, 3), strides=(2, 2), pads=POOL_PADDING)
    data = add("Flatten", add("Transpose", data, perm=(0, 2, 3, 1)))
    data = add("Relu", add("Gemm", data, "FullyConnected/W", "FullyConnected/b"))
    data = add("Gemm", data, "FullyConnected_1/W", "FullyConnected_1/b")
    if not mirror:
        add("Softmax", data, axis=1, output=OUTPUT)
        return nodes
    data = add("Reshape", add("Softmax", data, axis=1), "pairs")
    add("ReduceMean", data, axes=(0,), keepdims=0, output=OUTPUT)
    return nodes


def _node(
    operator: str, inputs: Iterable[str], output: str, attributes: Mapping[str, int | Sequence[int]]
) -> bytes:
    return _message(
        *(encode_text(1, each) for each in inputs),
        encode_text(2, output),
        encode_text(4, operator),
        *(encode_chunk(5, _attribute(name, value)) for name, value in attributes.items()),
    )


def _attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return _message(encode_text(1, name), encode_integer(3, value), encode_integer(20, INT))
    numbers = (encode_integer(8, each) for each in value)
    return _message(encode_text(1, name), *numbers, encode_integer(20, INTS))


def _tensor(name: str, value: npt.NDArray[Any], external: bool) -> bytes:
    head = _message(
        *(encode_integer(1, side) for side in value.shape),
        encode_integer(2, ELEMENT_TYPES[value.dtype.name]),
        encode_text(8, name),
    )
    if external:
        location = encode_text(1, "location") + encode_text(2, name)
        return _message(head, encode_chunk(13, location), encode_integer(14, EXTERNAL))
    return _message(head, encode_chunk(9, value.astype(value.dtype.newbyteorder("<")).tobytes()))


def _value_info(name: str, dtype: str, shape: Sequence[int | str], description: str) -> bytes:
    sides = (
        encode_chunk(1, encode_text(2, side) if isinstance(side, str) else encode_integer(1, side))
        for side in shape
    )
    tensor = _message(encode_integer(1, ELEMENT_TYPES[dtype]), encode_chunk(2, _message(*sides)))
    return _message(
        encode_text(1, name), encode_chunk(2, encode_chunk(1, tensor)), encode_text(3, description)
    )


def _message(*fields: bytes) -> bytes:
    return b"".join(fields)

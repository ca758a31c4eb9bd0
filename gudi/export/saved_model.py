"""Write a network as TensorFlow's SavedModel, and run that."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gudi.checkpoint.networks import CONVOLUTIONS
from gudi.constants import FACE_SIZE
from gudi.engines.onnx_model import OUTPUT
from gudi.export.interface import Array, Interface
from gudi.media.names import utf8_path
from gudi.packages import check_tensorflow
from gudi.predictor import UNIT
from gudi.quiet import quiet

# The file that identifies a SavedModel, and everything that its folder may contain.
MODEL_FILE = "saved_model.pb"
PARTS = {
    MODEL_FILE, "variables", "assets", "assets.extra", "fingerprint.pb", "keras_metadata.pb",
}  # fmt: skip

METADATA = Path("assets.extra", "gudi.json")


def check_installed() -> None:
    """Raise `GudiError` unless TensorFlow is installed."""
    check_tensorflow("the format savedmodel")


def is_saved_model(path: Path) -> bool:
    """Return whether `path` is a folder with a SavedModel and nothing else."""
    return (path / MODEL_FILE).is_file() and set(os.listdir(path)) <= PARTS


def write(path: Path, values: Mapping[str, Array], interface: Interface) -> None:
    """Write the network with the weights `values` to the folder `path`.

    It has the form of TensorFlow 1, which TensorFlow 2 loads as well. Its variables have the
    checkpoint's names.

    Raises:
        OSError: it cannot be written.
        UnicodeError: the path is not UTF-8.
    """
    from gudi.network import open_session, start, tensorflow_write_errors, tf

    with quiet(), tf.Graph().as_default(), open_session(gpu=False) as session:
        faces = tf.placeholder(interface.dtype, [None, FACE_SIZE, FACE_SIZE, 1], interface.input)
        weights = {
            name: tf.get_variable(
                name, value.shape, initializer=tf.zeros_initializer(), use_resource=True
            )
            for name, value in values.items()
        }
        probabilities = _probabilities(faces, weights, mirror=interface.mirror)
        for name, variable in weights.items():
            start(session, variable, values[name])
        signature = tf.saved_model.predict_signature_def(
            {interface.input: faces}, {OUTPUT: probabilities}
        )
        with tensorflow_write_errors(path):
            builder = tf.saved_model.Builder(utf8_path(str(path)))
            builder.add_meta_graph_and_variables(
                session,
                [tf.saved_model.SERVING],
                {tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY: signature},
                strip_default_attrs=True,  # older versions may not know them
            )
            builder.save()
    _drop_debug_names(path / MODEL_FILE)
    (path / METADATA).parent.mkdir()
    (path / METADATA).write_text(
        json.dumps(interface.metadata(), indent=2) + "\n", encoding="utf-8"
    )


def predict(path: Path, faces: Array) -> tuple[npt.NDArray[np.float32], str]:
    """Return the probabilities that the SavedModel gives for `faces`, and what ran it."""
    from gudi.network import open_session, tf

    with quiet(), tf.Graph().as_default(), open_session(gpu=False) as session:
        model = tf.saved_model.load(session, [tf.saved_model.SERVING], utf8_path(str(path)))
        signature = model.signature_def[tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY]
        (taken,) = signature.inputs.values()
        probabilities = session.run(signature.outputs[OUTPUT].name, {taken.name: faces})
    return probabilities, f"TensorFlow {tf.__version__}"


def _probabilities(faces: Any, weights: Mapping[str, Any], *, mirror: bool) -> Any:
    """Build the network in TensorFlow and return its output."""
    from gudi.network import tf

    data = faces
    if faces.dtype == tf.uint8:
        # Not a division, which TensorFlow turns into a multiplication that rounds differently.
        data = tf.gather(UNIT, tf.cast(faces, tf.int32))
    if mirror:
        data = tf.concat([data, tf.reverse(data, [2])], 0)
    for layer in CONVOLUTIONS:
        data = tf.nn.conv2d(data, weights[f"{layer}/W"], [1, 1, 1, 1], "SAME")
        data = tf.nn.relu(tf.nn.bias_add(data, weights[f"{layer}/b"]))
        if layer != "Conv2D_2":
            data = tf.nn.max_pool2d(data, 3, 2, "SAME")
    data = tf.reshape(data, [-1, data.shape[1] * data.shape[2] * data.shape[3]])
    data = tf.nn.bias_add(data @ weights["FullyConnected/W"], weights["FullyConnected/b"])
    data = tf.nn.relu(data) @ weights["FullyConnected_1/W"]
    data = tf.nn.bias_add(data, weights["FullyConnected_1/b"])
    if not mirror:
        return tf.nn.softmax(data, name=OUTPUT)
    pairs = tf.reshape(tf.nn.softmax(data), [2, -1, data.shape[1]])
    return tf.reduce_mean(pairs, 0, name=OUTPUT)


def _drop_debug_names(path: Path) -> None:
    """Remove an attribute that TensorFlow 1 does not know and therefore refuses."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel.FromString(path.read_bytes())
    for node in model.meta_graphs[0].graph_def.node:
        node.attr.pop("debug_name", None)
    path.write_bytes(model.SerializeToString(deterministic=True))

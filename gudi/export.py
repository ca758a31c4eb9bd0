"""Write a network for use without TFLearn: as an ONNX file, or as TensorFlow's SavedModel.

Both are built anew from the weights. Before they take their place they are loaded again, and have
to answer as TFLearn's network does.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gudi import __version__
from gudi.checkpoint import choose_network, open_checkpoint, read_weights
from gudi.constants import EMOTIONS, FACE_SIZE
from gudi.errors import GudiError, OutputError, UsageError
from gudi.files import TEMPORARY_PREFIX, check_writable
from gudi.predictor import UNIT, Predictor
from gudi.progress import Progress

ONNX, SAVED_MODEL = "onnx", "savedmodel"

# What an exported network takes, by its type. The names say the range wherever they are seen.
INPUTS = {"uint8": "faces_0_to_255", "float32": "faces_0_to_1"}
OUTPUT = "probabilities"

# ONNX 1.6, of 2019: old runtimes load it, and the network needs nothing newer.
OPSET, IR_VERSION = 11, 6

# TensorFlow's SAME for each layer's kernel as ONNX has it: top, left, bottom, right.
PADDINGS = {"Conv2D": [2, 2, 2, 2], "Conv2D_1": [2, 2, 2, 2], "Conv2D_2": [1, 1, 2, 2]}
POOL_PADDING = [0, 0, 1, 1]

# What may be in the folder of a SavedModel, and the file that makes it one.
SAVED_MODEL_FILE = "saved_model.pb"
SAVED_MODEL_PARTS = {
    SAVED_MODEL_FILE, "variables", "assets", "assets.extra", "fingerprint.pb", "keras_metadata.pb",
}  # fmt: skip
ABOUT = Path("assets.extra", "gudi.json")

# How far an exported network's probabilities may be from TFLearn's.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Exported:
    """A network that was written.

    Attributes:
        path: the file or folder.
        emotions: names of its outputs.
        idle_units: how many hidden units were left out because they have no effect.
        checked_with: what it was loaded with to be compared.
        faces: how many pictures it was compared by.
        difference: the largest one of a probability from TFLearn's.
    """

    path: Path
    emotions: tuple[str, ...]
    idle_units: int
    checked_with: str
    faces: int
    difference: float


def export(
    out: Path,
    checkpoint: str | os.PathLike | None = None,
    *,
    form: str | None = None,
    dtype: str = "uint8",
    emotions: Sequence[str] = EMOTIONS,
    network: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write the network of a checkpoint to `out`, whole or not at all.

    Args:
        out: the ONNX file or the SavedModel's folder.
        checkpoint: as `Predictor` takes it, and so are `emotions` and `network`.
        form: `onnx` or `savedmodel`; None goes by the ending of `out`.
        dtype: the type of the network's input, `uint8` (0-255) or `float32` (0-1).
        overwrite: replace an ONNX file or a SavedModel.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        OutputError: `out` is there already, or cannot be written, or answers otherwise than gudi.
        UsageError: the ending says nothing.
        GudiError: the package onnx is not installed.
    """
    form = form or _form_by_ending(out)
    if form == ONNX:
        _check_onnx()
    _check_replaceable(out, form, overwrite)
    check_writable(out.parent)
    file = open_checkpoint(checkpoint)
    if file.recovered and progress:
        progress.note(f"{file.prefix}: {file.recovered}")
    weights = read_weights(file, choose_network(file, len(emotions), network))
    values = without_idle_units(weights.values)
    about = _about(emotions, dtype, weights.fingerprint)
    faces = _sample_faces()
    with Predictor(checkpoint, "cpu", len(faces), emotions, network) as predictor:
        expected = predictor.predict(faces)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=out.parent) as scratch:
            staged = Path(scratch) / form
            _write(staged, form, values, dtype, about)
            taken = faces[..., None] if dtype == "uint8" else UNIT[faces][..., None]
            ask = _ask_onnx if form == ONNX else _ask_saved_model
            answers, checked_with = ask(staged, taken)
            difference = _compare(out, answers, expected)
            _check_replaceable(out, form, overwrite)
            _publish(staged, out)
    except UnicodeError as error:
        raise OutputError(
            f"{out} cannot be written: TensorFlow takes only names that are UTF-8"
        ) from error
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror or error}") from error
    idle = len(weights.values["FullyConnected/b"]) - len(values["FullyConnected/b"])
    return Exported(out, tuple(emotions), idle, checked_with, len(faces), difference)


def _form_by_ending(out: Path) -> str:
    """Return the form that the name `out` stands for.

    Raises:
        UsageError: it has an ending of something else.
    """
    forms = {".onnx": ONNX, "": SAVED_MODEL}
    if out.suffix.lower() not in forms:
        raise UsageError(
            f"{out}: the ending {out.suffix} stands for no format; end it in .onnx, leave the "
            f"ending out for a SavedModel, or say --format {ONNX} or --format {SAVED_MODEL}"
        )
    return forms[out.suffix.lower()]


def _check_replaceable(out: Path, form: str, overwrite: bool) -> None:
    """Raise `OutputError` unless `out` is free, or may be replaced and is of the same kind."""
    if not os.path.lexists(out) or (form == SAVED_MODEL and _is_empty_folder(out)):
        return
    if not overwrite:
        raise OutputError(f"{out} is there already; --overwrite replaces it")
    if form == ONNX and not out.is_file():
        raise OutputError(f"{out} is no file, and not replaced by one; choose another name")
    if form == SAVED_MODEL and not _is_saved_model(out):
        raise OutputError(f"{out} is not just a SavedModel, and not replaced; choose another name")


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _is_saved_model(path: Path) -> bool:
    return (path / SAVED_MODEL_FILE).is_file() and set(os.listdir(path)) <= SAVED_MODEL_PARTS


def _check_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise GudiError(
            f"ONNX files need the package onnx ({error}): pip install 'gudi[onnx]'; "
            f"--format {SAVED_MODEL} does without"
        ) from error


def without_idle_units(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights without the hidden units that add nothing, whatever the face is.

    Those are 0 before or behind the ReLU: the probabilities stay the same.
    """
    matrix, bias, head = (
        values[name] for name in ("FullyConnected/W", "FullyConnected/b", "FullyConnected_1/W")
    )
    used = (matrix.any(axis=0) | (bias > 0)) & head.any(axis=1)
    used[0] |= not used.any()  # a layer has at least one
    return dict(values) | {
        "FullyConnected/W": matrix[:, used],
        "FullyConnected/b": bias[used],
        "FullyConnected_1/W": head[used],
    }


def _about(emotions: Sequence[str], dtype: str, fingerprint: str) -> dict[str, Any]:
    """Return what the files say about the network."""
    grey = "grey levels from 0 (black) to 255" if dtype == "uint8" else "grey levels / 255, 0 to 1"
    return {
        "emotions": list(emotions),
        "input": f"{INPUTS[dtype]}: {dtype} of shape (n, {FACE_SIZE}, {FACE_SIZE}, 1), faces cut "
        f"out and resized, {grey}",
        "output": f"{OUTPUT}: float32 of shape (n, {len(emotions)}), in the order of emotions",
        "fingerprint": fingerprint,
        "written_by": f"gudi {__version__}",
    }


def _sample_faces() -> np.ndarray:
    """Return pictures to compare networks by, uint8 of shape (n, 48, 48).

    Coarse and fine patterns with all grey levels, so that the answers differ from each other.
    """
    random = np.random.default_rng(0)
    cells = (4, 8, 16, FACE_SIZE)
    return np.concatenate(
        [
            np.kron(
                random.integers(0, 256, (4, cell, cell), np.uint8),
                np.ones((1, FACE_SIZE // cell, FACE_SIZE // cell), np.uint8),
            )
            for cell in cells
        ]
    )


def _write(
    path: Path, form: str, values: Mapping[str, np.ndarray], dtype: str, about: dict[str, Any]
) -> None:
    if form == ONNX:
        path.write_bytes(_onnx_model(values, dtype, about).SerializeToString())
    else:
        _write_saved_model(path, values, dtype)
        (path / ABOUT).parent.mkdir()
        (path / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _onnx_model(values: Mapping[str, np.ndarray], dtype: str, about: Mapping[str, Any]) -> Any:
    """Return the network as an ONNX model.

    Images are in ONNX's order, channels first, between two transpositions, and kernels are, too;
    the other weights are the checkpoint's.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    taken, given = (helper.np_dtype_to_tensor_dtype(np.dtype(each)) for each in (dtype, "f4"))
    constants = {
        name: value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
        for name, value in values.items()
    }
    nodes = []

    def add(operator: str, *inputs: str, **attributes: Any) -> str:
        output = f"{operator}_{len(nodes)}"
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def layer(operator: str, data: str, name: str, **attributes: Any) -> str:
        return add(operator, data, f"{name}/W", f"{name}/b", **attributes)

    data = INPUTS[dtype]
    if dtype == "uint8":
        constants["UNIT"] = UNIT
        data = add("Gather", "UNIT", add("Cast", data, to=TensorProto.INT32))
    data = add("Transpose", data, perm=[0, 3, 1, 2])
    for name, padding in PADDINGS.items():
        kernel = constants[f"{name}/W"].shape[2:]
        data = add("Relu", layer("Conv", data, name, kernel_shape=kernel, pads=padding))
        if name != "Conv2D_2":
            data = add("MaxPool", data, kernel_shape=[3, 3], strides=[2, 2], pads=POOL_PADDING)
    data = add("Flatten", add("Transpose", data, perm=[0, 2, 3, 1]))
    data = add("Relu", layer("Gemm", data, "FullyConnected"))
    add("Softmax", layer("Gemm", data, "FullyConnected_1"), axis=1)
    nodes[-1].output[0] = OUTPUT

    describe = helper.make_tensor_value_info
    faces = describe(INPUTS[dtype], taken, ["n", FACE_SIZE, FACE_SIZE, 1], about["input"])
    probabilities = describe(OUTPUT, given, ["n", len(about["emotions"])], about["output"])
    tensors = [
        numpy_helper.from_array(np.ascontiguousarray(value), name)
        for name, value in constants.items()
    ]
    graph = helper.make_graph(nodes, "gudi", [faces], [probabilities], tensors)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="gudi",
        producer_version=__version__,
        doc_string=f"Facial expressions. Input {about['input']}. Output {about['output']}.",
    )
    helper.set_model_props(
        model,
        {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in about.items()
        },
    )
    checker.check_model(model)
    return model


def _ask_onnx(path: Path, faces: np.ndarray) -> tuple[np.ndarray, str]:
    """Return what the ONNX file answers, and what it was loaded with.

    That is onnxruntime where it is installed, else the reference implementation of ONNX.
    """
    from gudi.network import quiet

    with quiet():
        try:
            import onnxruntime
        except ImportError:
            from onnx import __version__ as version
            from onnx.reference import ReferenceEvaluator

            model, name = ReferenceEvaluator(path.read_bytes()), f"onnx.reference {version}"
            return model.run([OUTPUT], {model.input_names[0]: faces})[0], name
        # The content, because a path has to be UTF-8.
        session = onnxruntime.InferenceSession(
            path.read_bytes(), providers=["CPUExecutionProvider"]
        )
        answers = session.run([OUTPUT], {session.get_inputs()[0].name: faces})[0]
    return answers, f"onnxruntime {onnxruntime.__version__}"


def _write_saved_model(path: Path, values: Mapping[str, np.ndarray], dtype: str) -> None:
    """Write the network as a SavedModel, in the form of TensorFlow 1 that TensorFlow 2 takes, too.

    Its variables have the checkpoint's names.
    """
    from gudi.network import quiet, start, tf

    with quiet(), tf.Graph().as_default(), _session() as session:
        faces = tf.placeholder(dtype, [None, FACE_SIZE, FACE_SIZE, 1], INPUTS[dtype])
        weights = {
            name: tf.get_variable(
                name, value.shape, initializer=tf.zeros_initializer(), use_resource=True
            )
            for name, value in values.items()
        }
        probabilities = _layers(faces, weights)
        for name, variable in weights.items():
            start(session, variable, values[name])
        signature = tf.saved_model.predict_signature_def(
            {INPUTS[dtype]: faces}, {OUTPUT: probabilities}
        )
        try:
            builder = tf.saved_model.Builder(str(path))
            builder.add_meta_graph_and_variables(
                session,
                [tf.saved_model.SERVING],
                {tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY: signature},
                strip_default_attrs=True,  # older versions may not know them
            )
            _drop_debug_names(Path(os.fsdecode(builder.save())))
        except tf.errors.OpError as error:
            # "PATH/variables/…; No space left on device", among other lines.
            why = re.search(rf"{re.escape(str(path))}[^;\n]*; (.*)", error.message)
            raise OSError(why[1] if why else error.message) from error


def _drop_debug_names(path: Path) -> None:
    """Take what TensorFlow 1 has never heard of, and therefore refuses, out of a SavedModel."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel.FromString(path.read_bytes())
    for node in model.meta_graphs[0].graph_def.node:
        node.attr.pop("debug_name", None)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _layers(faces: Any, weights: Mapping[str, Any]) -> Any:
    """Build the network in TensorFlow; return its probabilities."""
    from gudi.network import tf

    data = faces
    if faces.dtype == tf.uint8:
        # Not a division: TensorFlow makes a multiplication of it, which rounds otherwise.
        data = tf.gather(UNIT, tf.cast(faces, tf.int32))
    for name in PADDINGS:
        data = tf.nn.conv2d(data, weights[f"{name}/W"], [1, 1, 1, 1], "SAME")
        data = tf.nn.relu(tf.nn.bias_add(data, weights[f"{name}/b"]))
        if name != "Conv2D_2":
            data = tf.nn.max_pool2d(data, 3, 2, "SAME")
    data = tf.reshape(data, [-1, data.shape[1] * data.shape[2] * data.shape[3]])
    data = tf.nn.bias_add(data @ weights["FullyConnected/W"], weights["FullyConnected/b"])
    data = tf.nn.relu(data) @ weights["FullyConnected_1/W"]
    return tf.nn.softmax(tf.nn.bias_add(data, weights["FullyConnected_1/b"]), name=OUTPUT)


def _ask_saved_model(path: Path, faces: np.ndarray) -> tuple[np.ndarray, str]:
    """Return what the SavedModel answers, and what it was loaded with."""
    from gudi.network import quiet, tf

    with quiet(), tf.Graph().as_default(), _session() as session:
        model = tf.saved_model.load(session, [tf.saved_model.SERVING], str(path))
        signature = model.signature_def[tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY]
        (taken,) = signature.inputs.values()
        answers = session.run(signature.outputs[OUTPUT].name, {taken.name: faces})
    return answers, f"TensorFlow {tf.__version__}"


def _session() -> Any:
    """Return a session that leaves GPUs alone."""
    from gudi.network import tf

    return tf.Session(config=tf.ConfigProto(device_count={"GPU": 0}))


def _compare(out: Path, answers: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference; raise `OutputError` where it is too large."""
    difference = float(np.abs(answers - expected).max())
    if not difference <= TOLERANCE:  # as it is not if there is a NaN
        raise OutputError(
            f"{out} was not written: its probabilities would be up to {difference:.2g} away from "
            "gudi's own"
        )
    return difference


def _publish(staged: Path, out: Path) -> None:
    """Move what was written to its place, and a folder that it replaces into the scratch folder."""
    if not out.is_dir():
        os.replace(staged, out)
        return
    old = staged.with_name("old")
    os.rename(out, old)
    try:
        os.rename(staged, out)
    except BaseException:
        os.rename(old, out)
        raise

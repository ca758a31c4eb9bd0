"""The network, built line by line as the original builds it.

This is the only file that imports tflearn. The last release of tflearn, 0.5.0, uses two names that
current releases of TensorFlow and Pillow no longer have; they are restored before the import. Like
tflearn, this module disables the behaviour of TensorFlow 2 in the whole process.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gudi.constants import EMOTIONS, FACE_SIZE, HIDDEN_UNITS
from gudi.errors import GudiError
from gudi.quiet import quiet

__all__ = [
    "Network",
    "Trainer",
    "bfloat16_config",
    "build",
    "build_trainer",
    "load_weights",
    "open_session",
    "start",
    "tensorflow_write_errors",
    "tf",
    "tflearn",
]

KEEP = 0.3  # TFLearn's dropout takes the fraction that is kept

# TensorFlow has no type annotations.
Graph: TypeAlias = Any
Operation: TypeAlias = Any
Session: TypeAlias = Any
SessionConfig: TypeAlias = Any
TensorNode: TypeAlias = Any
Variable: TypeAlias = Any


# By default TensorFlow uses oneDNN only on CPUs with AVX512-VNNI or AMX. On CPUs that have AVX2
# alone, a training step with oneDNN takes 0.6 times as long.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


@contextlib.contextmanager
def _without_keras() -> Iterator[None]:
    """Keep TensorFlow from importing Keras, which gudi does not use, and from configuring it.

    If told to use Keras 2, which is not installed, TensorFlow imports none. Keras 3 would import
    SciPy, scikit-learn and matplotlib and take more than a third of the time. The copy of Keras
    inside TensorFlow writes a file below the home folder, unless `KERAS_HOME` is not a folder.
    """
    during = {"TF_USE_LEGACY_KERAS": "1", "KERAS_HOME": os.devnull}
    before = {name: os.environ.pop(name) for name in during if name in os.environ}
    os.environ.update(during)
    try:
        yield
    finally:
        for name in during:
            del os.environ[name]
        os.environ.update(before)


with quiet():
    import PIL.Image

    with _without_keras():
        import tensorflow.compat.v1 as tf
    from tensorflow.python.util import nest

    if not hasattr(nest, "is_sequence"):
        nest.is_sequence = nest.is_nested
    if not hasattr(PIL.Image, "ANTIALIAS"):
        PIL.Image.ANTIALIAS = PIL.Image.Resampling.LANCZOS  # type: ignore[attr-defined]
    import tflearn


@dataclass(frozen=True)
class Network:
    """One network in a graph of its own.

    Attributes:
        graph: the TensorFlow graph, which contains nothing else.
        faces: placeholder, float32 of shape (n, 48, 48, 1), 0 to 1.
        probabilities: float32 of shape (n, classes).
        weights: the trained variables by name, `Conv2D/W` to `FullyConnected_1/b`.
        training_mode: the bool variable that enables dropout.
        steps: the number of finished steps, a float32 that can be fed; it seeds dropout.
    """

    graph: Graph
    faces: TensorNode
    probabilities: TensorNode
    weights: dict[str, Variable]
    training_mode: Variable
    steps: TensorNode | None


@dataclass(frozen=True)
class Trainer:
    """A network and its training.

    Attributes:
        network: the network.
        labels: placeholder, float32 of shape (n, classes), rows sum to 1.
        learning_rate: placeholder, a float32.
        step: the operation that learns from one batch.
        loss: the minimised value: mean cross-entropy of the batch, float32.
        validation_loss: the same without `prior`, see `build_trainer`.
        accuracy: fraction of the batch whose most probable class is the label's, float32.
        state: all variables that a training needs to continue, by name: the weights, the
            optimizer's slots and the moving averages, under the names that TensorFlow gives them.
        averages: the moving averages by the name of the weight; empty if there are none.
        steps: placeholder, a float32: the number of finished steps, by which the averages decay
            faster at the start of a training.
        summaries: serialized histograms for TensorBoard; None if there are none.
    """

    network: Network
    labels: TensorNode
    learning_rate: TensorNode
    step: Operation
    loss: TensorNode
    validation_loss: TensorNode
    accuracy: TensorNode
    state: dict[str, Variable]
    averages: dict[str, Variable]
    steps: TensorNode
    summaries: TensorNode | None


def build(
    classes: int = len(EMOTIONS),
    *,
    training: bool = False,
    device: str | None = None,
    keep: float = KEEP,
    keep_hidden: float = 1.0,
    units: int = HIDDEN_UNITS,
    seed: int | None = None,
) -> Network:
    """Build the original's network in a new graph, where its variables get their original names.

    Args:
        classes: number of outputs.
        training: whether to add the original's `regression` (momentum, categorical cross-entropy).
        device: TensorFlow's name of the device to run on; None lets TensorFlow choose.
        keep: fraction of the features that dropout keeps in training.
        keep_hidden: fraction of the hidden units that dropout keeps in training; the original keeps
            all of them.
        units: width of the hidden layer.
        seed: of the graph's random numbers; None for different ones each time. With a seed, what
            dropout drops depends on it and on the number of the step alone, so that a training can
            be interrupted between any two steps.
    """
    graph = tf.Graph()
    with quiet(), graph.as_default(), graph.device(device):
        tf.set_random_seed(seed)
        steps = None
        if seed is not None:
            steps = tf.placeholder_with_default(tf.constant(0.0), [], name="steps")
        network = tflearn.input_data(shape=[None, FACE_SIZE, FACE_SIZE, 1])
        faces = network
        network = tflearn.conv_2d(network, 64, 5, activation="relu")
        network = tflearn.max_pool_2d(network, 3, strides=2)
        network = tflearn.conv_2d(network, 64, 5, activation="relu")
        network = tflearn.max_pool_2d(network, 3, strides=2)
        network = tflearn.conv_2d(network, 128, 4, activation="relu")
        network = _dropout(network, keep, seed, steps, layer=0)
        network = tflearn.fully_connected(network, units, activation="relu")
        if keep_hidden < 1:
            network = _dropout(network, keep_hidden, seed, steps, layer=1)
        network = tflearn.fully_connected(network, classes, activation="softmax")
        probabilities = network
        if training:
            tflearn.regression(network, optimizer="momentum", loss="categorical_crossentropy")
        return Network(
            graph=graph,
            faces=faces,
            probabilities=probabilities,
            weights={variable.op.name: variable for variable in tf.trainable_variables()},
            training_mode=tflearn.get_training_mode(),
            steps=steps,
        )


def _dropout(
    features: TensorNode, keep: float, seed: int | None, steps: TensorNode | None, *, layer: int
) -> TensorNode:
    """Add TFLearn's dropout, or the same with random numbers of this seed, step and layer."""
    if seed is None:
        return tflearn.dropout(features, keep)
    mixed = tf.stack([tf.constant(seed, tf.int32), 2 * tf.cast(steps, tf.int32) + layer])
    return tf.cond(
        tflearn.get_training_mode(),
        lambda: tf.nn.experimental.stateless_dropout(features, 1 - keep, mixed),
        lambda: features,
    )


def _optimizer(name: str, learning_rate: Any) -> Any:
    if name == "momentum":
        return tf.train.MomentumOptimizer(learning_rate, 0.9)
    return tf.train.AdamOptimizer(learning_rate)


def build_trainer(
    classes: int = len(EMOTIONS),
    *,
    optimizer: str = "momentum",
    ema_decay: float = 0.0,
    histograms: int = 0,
    prior: npt.NDArray[np.float32] | None = None,
    **options: Any,
) -> Trainer:
    """Build the network, its loss and its optimizer, as TFLearn's `DNN.fit` does.

    Args:
        classes: number of outputs.
        optimizer: `momentum` (0.9, the original's) or `adam`.
        ema_decay: decay of the weights' moving averages per step; 0 for no averages.
        histograms: what to summarise at each step, TFLearn's `tensorboard_verbose`: 1 for
            gradients, 2 also for weights, 3 also for activations.
        prior: float32 of shape (classes,), positive: factors of the predicted probabilities while
            training, so that the network learns to predict without them (logit adjustment, Menon
            et al. 2021). None for no factors.
        options: passed to `build`.
    """
    network = build(classes, **options)
    with quiet(), network.graph.as_default(), network.graph.device(options.get("device")):
        labels = tf.placeholder(tf.float32, [None, classes], name="labels")
        learning_rate = tf.placeholder(tf.float32, [], name="learning_rate")
        steps = network.steps
        cross_entropy = tflearn.objectives.categorical_crossentropy
        loss = validation_loss = cross_entropy(network.probabilities, labels)
        if prior is not None:
            loss = cross_entropy(network.probabilities * prior, labels)  # divides by the sum first
        right = tf.equal(tf.argmax(network.probabilities, 1), tf.argmax(labels, 1))
        weights = list(network.weights.values())
        # TFLearn's `DNN` clips at this norm by default.
        gradients, _ = tf.clip_by_global_norm(tf.gradients(loss, weights), 5.0)
        method = _optimizer(optimizer, learning_rate)
        step = method.apply_gradients(zip(gradients, weights))
        slots = {variable.op.name: variable for variable in method.variables()}
        averages = {}
        if ema_decay:
            moving = tf.train.ExponentialMovingAverage(ema_decay, num_updates=steps)
            with tf.control_dependencies([step]):
                step = moving.apply(weights)
            averages = {weight.op.name: moving.average(weight) for weight in weights}
        return Trainer(
            network=network,
            labels=labels,
            learning_rate=learning_rate,
            step=step,
            loss=loss,
            validation_loss=validation_loss,
            accuracy=tf.reduce_mean(tf.cast(right, tf.float32)),
            state=network.weights
            | slots
            | {variable.op.name: variable for variable in averages.values()},
            averages=averages,
            steps=steps,
            summaries=_histograms(histograms, network, gradients),
        )


def _histograms(level: int, network: Network, gradients: list[TensorNode]) -> TensorNode | None:
    """Return the summaries of TFLearn's `tensorboard_verbose` of `level`."""
    if level < 1:
        return None
    each = [
        tf.summary.histogram(f"{name}/gradient", gradient)
        for name, gradient in zip(network.weights, gradients)
    ]
    if level >= 2:
        each += [
            tf.summary.histogram(f"{name}/values", weight)
            for name, weight in network.weights.items()
        ]
    if level >= 3:
        for activation in tf.get_collection(tf.GraphKeys.ACTIVATIONS):
            name = activation.op.name
            each.append(tf.summary.histogram(f"{name}/activation", activation))
            each.append(tf.summary.scalar(f"{name}/sparsity", tf.nn.zero_fraction(activation)))
    return tf.summary.merge(each)


def open_session(
    graph: Graph | None = None,
    *,
    gpu: bool = True,
    threads: int | None = None,
    bfloat16: bool = False,
) -> Session:
    """Return a session that takes a GPU's memory as needed.

    Args:
        graph: the graph to run; None for the current one.
        gpu: whether it may use GPUs.
        threads: CPU threads that it may use; None for one per CPU.
        bfloat16: whether oneDNN may compute in bfloat16, see `bfloat16_config`.
    """
    config = bfloat16_config() if bfloat16 else tf.ConfigProto()
    config.allow_soft_placement = True
    config.gpu_options.allow_growth = True
    if not gpu:
        config.device_count["GPU"] = 0
    config.intra_op_parallelism_threads = threads or 0
    config.inter_op_parallelism_threads = threads or 0
    return tf.Session(graph=graph, config=config)


def bfloat16_config() -> SessionConfig:
    """Return a session's settings with which oneDNN computes in bfloat16 where that is safe.

    Variables stay float32. On CPUs without AVX-512, TensorFlow 2.21 uses an implementation that is
    many times slower than float32.
    """
    from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

    config = tf.ConfigProto()
    rewriter = config.graph_options.rewrite_options
    rewriter.auto_mixed_precision_onednn_bfloat16 = RewriterConfig.ON
    return config


def start(session: Session, variable: Variable, value: npt.ArrayLike) -> None:
    """Initialise `variable` with `value`.

    This computes no random initial values, and stores no second copy in the graph.
    """
    session.run(variable.initializer, {variable.initializer.inputs[1]: value})


def load_weights(
    session: Session, network: Network, values: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Initialise the network's weights with `values`, and disable dropout.

    Raises:
        GudiError: names or shapes of the values are not those of the network's weights.
    """
    expected = {name: tuple(map(int, each.shape)) for name, each in network.weights.items()}
    found = {name: value.shape for name, value in values.items()}
    if found != expected:
        raise GudiError(f"the weights do not fit the network: they are {found}, not {expected}")
    session.run(network.training_mode.initializer)  # False
    for name, variable in network.weights.items():
        start(session, variable, values[name])


@contextlib.contextmanager
def tensorflow_write_errors(path: Path) -> Iterator[None]:
    """Turn TensorFlow's error while it writes `path` into an `OSError` that has only the reason."""
    try:
        yield
    except tf.errors.OpError as error:
        # One of several lines: "PATH.data-00000-of-00001.tempstate123; File too large".
        reason = re.search(rf"{re.escape(str(path))}[^;\n]*; (.*)", error.message)
        raise OSError(reason[1] if reason else error.message) from error

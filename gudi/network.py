"""The network, line by line as the original builds it.

The only file that imports tflearn. tflearn 0.5.0, its last release, takes two names from other
packages that their current releases no longer have; they are given back here before the import.
Importing this module switches TensorFlow 2's behaviour off in the whole process: tflearn does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gudi.emotions import EMOTIONS, FACE_SIZE
from gudi.errors import GudiError

DEBUG_VARIABLE = "GUDI_DEBUG"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep TensorFlow's and tflearn's chatter from the user, unless `$GUDI_DEBUG` is set.

    Their C++ parts write to file descriptor 2 before any setting of theirs takes effect, so the
    descriptor itself is turned away. If the block fails unexpectedly, what was held back is shown.
    """
    if os.environ.get(DEBUG_VARIABLE):
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with _stderr_held_back():
            yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    try:
        stderr = os.dup(2)
    except OSError:  # there is no such descriptor, so nobody to keep anything from
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except (GudiError, KeyboardInterrupt):
            raise  # these say themselves what there is to say
        except BaseException:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


with quiet():
    import PIL.Image
    import tensorflow.compat.v1 as tf
    from tensorflow.python.util import nest

    if not hasattr(nest, "is_sequence"):
        nest.is_sequence = nest.is_nested
    if not hasattr(PIL.Image, "ANTIALIAS"):
        PIL.Image.ANTIALIAS = PIL.Image.Resampling.LANCZOS
    import tflearn


@dataclass(frozen=True)
class Network:
    """One network in a graph of its own.

    Attributes:
        graph: the TensorFlow graph that holds it and nothing else.
        faces: placeholder, float32 of shape (n, 48, 48, 1), 0 to 1.
        probabilities: float32 of shape (n, classes).
        weights: the trained variables by name, `Conv2D/W` to `FullyConnected_1/b`.
        training_mode: the bool variable that switches dropout on.
    """

    graph: tf.Graph
    faces: tf.Tensor
    probabilities: tf.Tensor
    weights: dict[str, Any]
    training_mode: Any


def build(
    classes: int = len(EMOTIONS), *, training: bool = False, device: str | None = None
) -> Network:
    """Build the original's network in a new graph, where its variables get their own names.

    Args:
        classes: number of outputs.
        training: add the original's `regression` (momentum, categorical cross-entropy).
        device: TensorFlow's name of the device that it runs on; None leaves it to TensorFlow.
    """
    graph = tf.Graph()
    with quiet(), graph.as_default(), graph.device(device):
        network = tflearn.input_data(shape=[None, FACE_SIZE, FACE_SIZE, 1])
        faces = network
        network = tflearn.conv_2d(network, 64, 5, activation="relu")
        network = tflearn.max_pool_2d(network, 3, strides=2)
        network = tflearn.conv_2d(network, 64, 5, activation="relu")
        network = tflearn.max_pool_2d(network, 3, strides=2)
        network = tflearn.conv_2d(network, 128, 4, activation="relu")
        network = tflearn.dropout(network, 0.3)  # TFLearn's number is the share that is kept
        network = tflearn.fully_connected(network, 3072, activation="relu")
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
        )

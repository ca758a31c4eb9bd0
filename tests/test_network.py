"""The network's graph, and what importing TensorFlow and tflearn does to a process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import gudi_environment, needs_tensorflow

from gudi import checkpoint as checkpoints
from gudi.errors import GudiError

pytestmark = needs_tensorflow

PREDICT = """
import sys, numpy
from gudi.predictor import Predictor
with Predictor(sys.argv[1], engine="tensorflow") as predictor:
    predictor.predict(numpy.zeros((1, 48, 48), numpy.uint8))
assert not {'keras', 'sklearn', 'matplotlib'} & set(sys.modules)
"""

USE_KERAS = """
import tensorflow
print(tensorflow.keras.layers.Dense.__name__)
"""


def test_variables_have_the_original_names_whatever_was_built_before():
    from gudi import network

    for _ in range(2):
        for training in (False, True):
            built = network.build(training=training)
            shapes = {name: tuple(map(int, each.shape)) for name, each in built.weights.items()}
            assert shapes == checkpoints.weight_shapes()
            assert built.training_mode.op.name == "is_training"


def test_layers_are_those_of_the_original():
    from gudi import network

    graph = network.build(training=True).graph
    layers = {}
    for operation in graph.get_operations():
        if not operation.name.startswith(("gradients", "Accuracy")):
            layers.setdefault(operation.type, []).append(operation)
    assert [each.get_attr("padding") for each in layers["Conv2D"]] == [b"SAME"] * 3
    assert [each.get_attr("ksize") for each in layers["MaxPool"]] == [[1, 3, 3, 1]] * 2
    assert [each.get_attr("strides") for each in layers["MaxPool"]] == [[1, 2, 2, 1]] * 2
    assert len(layers["Relu"]) == 4
    assert len(layers["Softmax"]) == 1
    assert graph.get_collection("trainops"), "there is no regression"


def test_weights_of_another_network_are_refused(made):
    from gudi import network

    built = network.build(6)
    values = checkpoints.load(made[0]).values
    with (
        network.open_session(built.graph, gpu=False) as session,
        pytest.raises(GudiError, match="the weights do not fit the network"),
    ):
        network.load_weights(session, built, values)


def test_predicting_prints_nothing_and_imports_no_keras(narrow):
    done = run_python(PREDICT, narrow)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_debugging_shows_messages_and_keras_can_still_be_imported(narrow):
    done = run_python(PREDICT + USE_KERAS, narrow, GUDI_DEBUG="1")
    assert (done.returncode, done.stdout) == (0, "Dense\n"), done.stderr
    assert "oneDNN" in done.stderr or "tensorflow" in done.stderr


def run_python(script, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=gudi_environment(environment),
        capture_output=True,
        text=True,
    )

"""Run the original's code under the TensorFlow of its time; genuine/README.md uses all of this.

    python tests/checkpoint/old_stack.py install PYTHON VENV
        create a venv with TensorFlow 0.12 (if PYTHON is 2.7), 1.4 (3.6) or 1.15 (3.7), and tflearn
    VENV/bin/python tests/checkpoint/old_stack.py predict FACES.npy PROBABILITIES.npy [OPTIMIZER]
        predict, in a folder that contains data/Gudi_model_100_epochs_20000_faces
    VENV/bin/python tests/checkpoint/old_stack.py write OPTIMIZER SEED [v1]
        write a checkpoint with weights that compress well, in the folder data
    VENV/bin/python tests/checkpoint/old_stack.py find PICTURES FACES.csv
        predict the faces of all pictures in a folder (TensorFlow 1.15 with OpenCV 3.4)

`install` runs under any Python; for 2.7 it needs the package virtualenv before 20.22. The rest
follows the original's code: the network line by line, `isfile` of the bare name, `model.load` of
the prefix, its Haar settings, 48x48 faces divided by 255.
"""

import csv
import os
import subprocess
import sys
from os.path import isfile, join

SAVE_DIRECTORY = "data"
SAVE_MODEL_FILENAME = "Gudi_model_100_epochs_20000_faces"
EMOTIONS = ["angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral"]

# The newest releases for these Pythons, whose pip does not find them by itself.
COMMON = ["numpy==1.16.6", "six==1.16.0", "wheel==0.37.1", "protobuf==3.17.3"]
NEWER = ["pillow==8.4.0", "setuptools==57.5.0", "markdown==3.1.1", "werkzeug==1.0.1"]
PINS = {
    "2.7": ["pillow==6.2.2", "setuptools==44.1.1", "mock==3.0.5"],
    "3.6": NEWER,
    "3.7": NEWER + ["opencv-python-headless==3.4.18.65"],
}
STACKS = {
    "2.7": ["tensorflow==0.12.1", "tflearn==0.2.1"],
    "3.6": ["tensorflow==1.4.0", "tflearn==0.3.2"],
    "3.7": ["tensorflow==1.15.5", "tflearn==0.3.2"],
}


def install(python, venv):
    version = subprocess.check_output(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    )
    version = version.decode().strip()
    if version == "2.7":
        subprocess.check_call([sys.executable, "-m", "virtualenv", "--python", python, venv])
    else:
        subprocess.check_call([python, "-m", "venv", venv])
    pip = [join(venv, "bin", "python"), "-m", "pip", "install", "-q", "--no-compile"]
    # First what other packages require without an upper limit, in a release that is old enough.
    for packages in [COMMON, PINS[version]] + [[each] for each in STACKS[version]]:
        subprocess.check_call(pip + packages)


def build(optimizer="momentum"):
    """Return the original's model, with random weights."""
    import tflearn
    from tflearn.layers.conv import conv_2d, max_pool_2d
    from tflearn.layers.core import dropout, fully_connected, input_data
    from tflearn.layers.estimator import regression

    network = input_data(shape=[None, 48, 48, 1])
    network = conv_2d(network, 64, 5, activation="relu")
    network = max_pool_2d(network, 3, strides=2)
    network = conv_2d(network, 64, 5, activation="relu")
    network = max_pool_2d(network, 3, strides=2)
    network = conv_2d(network, 128, 4, activation="relu")
    network = dropout(network, 0.3)
    network = fully_connected(network, 3072, activation="relu")
    network = fully_connected(network, 7, activation="softmax")
    network = regression(network, optimizer=optimizer, loss="categorical_crossentropy")
    return tflearn.DNN(
        network,
        checkpoint_path=SAVE_DIRECTORY + "/emotion_recognition",
        max_checkpoints=1,
        tensorboard_verbose=2,
    )


def load(optimizer="momentum"):
    """Return the model with the weights of the checkpoint, as the original loads it."""
    model = build(optimizer)
    if not isfile(join(SAVE_DIRECTORY, SAVE_MODEL_FILENAME)):
        sys.exit("the original would now run with random weights")
    model.load(join(SAVE_DIRECTORY, SAVE_MODEL_FILENAME))
    return model


def predict(faces, probabilities, optimizer="momentum"):
    import numpy as np

    images = np.load(faces).reshape([-1, 48, 48, 1]) / 255.0
    np.save(probabilities, np.array(load(optimizer).predict(images)))


def write(optimizer, seed, version="v2"):
    import tensorflow as tf

    model = build(optimizer)
    for variable in tf.global_variables():
        value = make_value(variable.op.name, variable.get_shape().as_list(), int(seed))
        if value is not None:
            # Unlike tf.assign, this adds nothing to the graph that is saved.
            model.session.run(variable.initializer, {variable.initializer.inputs[1]: value})
    if version == "v1":
        model.trainer.saver = tf.train.Saver(write_version=1)
    if not os.path.isdir(SAVE_DIRECTORY):
        os.mkdir(SAVE_DIRECTORY)
    model.save(join(SAVE_DIRECTORY, SAVE_MODEL_FILENAME))


def make_value(name, shape, seed):
    """Return what to save as the variable `name`; None for what tflearn starts with.

    Weights have one of three values, by the layer. The rest is as if trained: steps, averages, and
    slots of the optimizer, which are all 1/8.
    """
    import numpy as np

    if name.endswith(("step", "Step")):
        return 34900.0
    if name.startswith("Accuracy/") or name == "val_acc":
        return 0.75
    if "Crossentropy/" in name or name == "val_loss":
        return 1.25
    if "Momentum" in name or "/Adam" in name:
        return np.full(shape, 0.125, np.float32)
    if not name.endswith(("/W", "/b")):
        return None
    random = np.random.RandomState(seed + len(name) + sum(shape))
    if shape == [18432, 3072]:
        # All zeros but two of each row.
        value = np.zeros(shape, np.float32)
        rows = np.arange(shape[0])
        for start in (0, 1536):
            value[rows, (rows + start) % shape[1]] = random.choice([-0.5, 0.5], shape[0])
        return value
    inputs = np.prod(shape[:-1]) if len(shape) > 1 else 1000
    return (random.randint(-1, 2, shape) * np.sqrt(3.0 / inputs)).astype(np.float32)


def find(pictures, faces):
    import cv2

    model = load()
    data = join(os.path.dirname(cv2.__file__), "data")
    cascade = cv2.CascadeClassifier(join(data, "haarcascade_frontalface_default.xml"))
    rows = []
    for name in sorted(os.listdir(pictures)):
        grey = cv2.cvtColor(cv2.imread(join(pictures, name)), cv2.COLOR_BGR2GRAY)
        boxes = cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5)
        for face, (x, y, width, height) in enumerate(sorted(map(tuple, boxes))):
            crop = grey[y : y + height, x : x + width]
            crop = cv2.resize(crop, (48, 48), interpolation=cv2.INTER_CUBIC) / 255.0
            (answer,) = model.predict(crop.reshape([1, 48, 48, 1]))
            probabilities = [format(float(each), ".6f") for each in answer]
            rows.append([name, face, x, y, width, height] + probabilities)
    with open(faces, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["source", "face", "x", "y", "width", "height"] + EMOTIONS)
        writer.writerows(rows)


if __name__ == "__main__":
    commands = {"install": install, "predict": predict, "write": write, "find": find}
    commands[sys.argv[1]](*sys.argv[2:])

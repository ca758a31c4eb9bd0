"""Load a checkpoint the way the original's scripts do, under the TensorFlow of their time.

    python tests/checkpoint/old_stack.py install PYTHON VENV
        create a venv with tflearn 0.3.2 and TensorFlow 1.4 (if PYTHON is 3.6) or 1.15 (if 3.7)
    VENV/bin/python tests/checkpoint/old_stack.py predict FACES.npy PROBABILITIES.npy
        predict, in a folder that contains data/Gudi_model_100_epochs_20000_faces

`install` runs under any Python. `predict` follows the original's code: the network line by line,
`isfile` of the bare name, `model.load` of the prefix, 48x48 faces divided by 255.
"""

import subprocess
import sys
from os.path import isfile, join

SAVE_DIRECTORY = "data"
SAVE_MODEL_FILENAME = "Gudi_model_100_epochs_20000_faces"

# The newest releases for these Pythons, whose pip does not find them by itself.
PINS = {
    "3.6": ["tensorflow==1.4.0", "markdown==3.1.1", "werkzeug==1.0.1", "protobuf==3.17.3"],
    "3.7": ["tensorflow==1.15.5", "markdown==3.1.1", "werkzeug==1.0.1", "protobuf==3.17.3"],
}
COMMON = ["numpy==1.16.6", "pillow==8.4.0", "six==1.16.0", "setuptools==57.5.0", "wheel==0.37.1"]


def install(python, venv):
    version = subprocess.check_output(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    )
    subprocess.check_call([python, "-m", "venv", venv])
    pip = [join(venv, "bin", "python"), "-m", "pip", "install", "-q", "--no-compile"]
    first, *others = PINS[version.decode().strip()]
    # First what other packages require without an upper limit, in a release that is old enough.
    subprocess.check_call(pip + COMMON)
    subprocess.check_call(pip + others)
    subprocess.check_call(pip + [first])
    subprocess.check_call(pip + ["tflearn==0.3.2"])


def predict(faces, probabilities):
    import numpy as np
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
    network = regression(network, optimizer="momentum", loss="categorical_crossentropy")
    model = tflearn.DNN(
        network,
        checkpoint_path=SAVE_DIRECTORY + "/emotion_recognition",
        max_checkpoints=1,
        tensorboard_verbose=2,
    )
    if not isfile(join(SAVE_DIRECTORY, SAVE_MODEL_FILENAME)):
        sys.exit("the original would now run with random weights")
    model.load(join(SAVE_DIRECTORY, SAVE_MODEL_FILENAME))
    images = np.load(faces).reshape([-1, 48, 48, 1]) / 255.0
    np.save(probabilities, np.array(model.predict(images)))


if __name__ == "__main__":
    {"install": install, "predict": predict}[sys.argv[1]](*sys.argv[2:])

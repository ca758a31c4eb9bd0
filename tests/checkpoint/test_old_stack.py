"""The original's code loads what gudi writes, under the TensorFlow of its time.

Installing that takes a minute. To run the tests often, install it once with `old_stack.py install`
and set GUDI_OLD_STACK to the venv.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checkpoint_sets import V1_SET
from conftest import ROOT, call_gudi

from gudi import checkpoint as checkpoints
from gudi.predictor import Predictor

SCRIPT = Path(__file__).with_name("old_stack.py")


def old_python() -> str:
    """Return a Python that TensorFlow 1.4 or 1.15 can be installed for."""
    pyenv = Path.home() / ".pyenv" / "versions"
    candidates = [shutil.which(f"python{version}") for version in ("3.6", "3.7")]
    candidates += sorted(pyenv.glob("3.6*/bin/python")) + sorted(pyenv.glob("3.7*/bin/python"))
    for candidate in filter(None, candidates):
        done = subprocess.run(
            [candidate, "-c", "import sys; print(sys.version_info[:2] in ((3, 6), (3, 7)))"],
            capture_output=True,
            text=True,
        )
        if done.stdout.strip() == "True":
            return str(candidate)
    pytest.skip("no Python 3.6 or 3.7, which old TensorFlow needs")


@pytest.fixture(scope="module")
def predict_with_original(tmp_path_factory):
    """A function that predicts with the original's code under old TensorFlow."""
    if "GUDI_OLD_STACK" in os.environ:
        venv = Path(os.environ["GUDI_OLD_STACK"])
    else:
        python, venv = old_python(), tmp_path_factory.mktemp("old stack") / "venv"
        setup = subprocess.run(
            [sys.executable, SCRIPT, "install", python, venv], capture_output=True, text=True
        )
        if setup.returncode:
            pytest.skip(f"old TensorFlow cannot be installed: {setup.stderr.strip()[-300:]}")

    def predict(folder: Path, faces: np.ndarray) -> np.ndarray:
        np.save(folder / "faces.npy", faces)
        subprocess.run(
            [venv / "bin" / "python", SCRIPT, "predict", "faces.npy", "probabilities.npy"],
            cwd=folder,
            check=True,
        )
        return np.load(folder / "probabilities.npy")

    return predict


def assert_same_predictions(predict_with_original, folder, faces):
    with Predictor(folder / "data", "cpu") as predictor:
        expected = predictor.predict(faces)
    found = predict_with_original(folder, faces)
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("source", [V1_SET, None], ids=["legacy V1", "shipped"])
def test_original_loads_what_adopt_writes(predict_with_original, made, unpack, tmp_path, source):
    checkpoints.adopt(source and unpack(source), tmp_path / "data")
    assert_same_predictions(predict_with_original, tmp_path, made[1])


@pytest.mark.parametrize("recipe", ["original", "augmented"])
def test_original_loads_what_train_writes(predict_with_original, made, tmp_path, recipe):
    np.save(tmp_path / "x_images.npy", made[1] / 255.0)
    np.save(tmp_path / "x_labels.npy", np.eye(7)[np.arange(len(made[1])) % 7])
    options = ("--recipe", ROOT / "recipes" / f"{recipe}.toml", "--epochs", "2", "--out", "data")
    done = call_gudi("train", "--data", "x", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_predictions(predict_with_original, tmp_path, made[1])

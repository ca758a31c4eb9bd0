"""Probabilities that match the observed accuracy."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import run_gudi, small_face

from gudi import checkpoint
from gudi.errors import DatasetError
from gudi.predictor import Predictor
from gudi.training.calibrate import find_temperature
from gudi.training.dataset import Dataset


@pytest.fixture
def faces():
    return np.stack([small_face(number) for number in range(40)])


@pytest.fixture
def overconfident(narrow, tmp_path):
    """`narrow` with logits that are three times as large."""
    path = tmp_path / "overconfident.gudi"
    checkpoint.pack_checkpoint(narrow, path, temperature=1 / 3)
    return path


@pytest.mark.parametrize("mirror", [False, True])
def test_packed_probabilities_fit_the_labels(narrow, overconfident, faces, tmp_path, mirror):
    with Predictor(narrow, mirror=mirror) as predictor:
        expected = predictor.predict(faces)
    np.save(tmp_path / "whole_data_images.npy", faces / 255)
    np.save(tmp_path / "whole_data_labels.npy", expected.astype(np.float64))
    flag = "--mirror" if mirror else "--no-mirror"
    packed = tmp_path / "calibrated.gudi"
    run = run_gudi("checkpoint", "pack", overconfident, packed, flag, "--calibrate", tmp_path)
    assert run.returncode == 0, run.stderr
    assert "temperature: 3.0" in run.stderr or "temperature: 2.9" in run.stderr
    with Predictor(packed) as predictor:
        assert predictor.mirror == mirror
        np.testing.assert_allclose(predictor.predict(faces), expected, atol=0.01)


def test_labels_that_do_not_fit_at_all_are_refused(overconfident, faces):
    with Predictor(overconfident) as predictor:
        worst = predictor.predict(faces).argmin(axis=1)
    with pytest.raises(DatasetError, match="do not fit"):
        find_temperature(overconfident, Dataset(faces, worst))

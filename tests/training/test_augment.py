"""Variations of faces."""

from __future__ import annotations

import numpy as np
from conftest import small_face

from gudi.training.augment import augment, wear


def test_variations_stay_faces():
    faces = np.stack([small_face(number) / np.float32(255) for number in range(40)])
    varied = augment(faces, np.random.default_rng(1))
    assert (varied.shape, varied.dtype) == ((40, 48, 48), np.float32)
    assert 0 <= varied.min() < varied.max() <= 1
    again = augment(faces, np.random.default_rng(1))
    np.testing.assert_array_equal(varied, again)
    assert len({each.tobytes() for each in varied}) == 40
    assert abs(varied.mean() - faces.mean()) < 0.1


def test_weak_variations_stay_close_to_the_face_or_its_mirror_image():
    faces = np.stack([small_face(number) / np.float32(255) for number in range(40)])
    varied = augment(faces, np.random.default_rng(1), 0.01)
    for number in range(40):
        difference = min(
            np.abs(varied[number] - faces[number][:, ::step]).mean() for step in (1, -1)
        )
        assert 0 < difference < 0.02


def test_worn_faces_stay_faces_and_none_is_worn_without_a_probability():
    faces = np.stack([small_face(number) / np.float32(255) for number in range(40)])
    worn = wear(faces, np.random.default_rng(1), 1)
    assert (worn.shape, worn.dtype) == ((40, 48, 48), np.float32)
    assert 0 <= worn.min() < worn.max() <= 1
    assert all(0.005 < np.abs(worn[n] - faces[n]).mean() < 0.3 for n in range(40))
    np.testing.assert_array_equal(wear(faces, np.random.default_rng(1), 0), faces)
    np.testing.assert_array_equal(wear(faces, np.random.default_rng(1), 1), worn)

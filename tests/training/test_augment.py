"""Random changes of faces."""

from __future__ import annotations

import numpy as np
from conftest import small_face

from gudi.training.augment import augment, corrupt


def test_augmented_faces_stay_faces():
    faces = np.stack([small_face(number) / np.float32(255) for number in range(40)])
    augmented = augment(faces, np.random.default_rng(1))
    assert (augmented.shape, augmented.dtype) == ((40, 48, 48), np.float32)
    assert 0 <= augmented.min() < augmented.max() <= 1
    again = augment(faces, np.random.default_rng(1))
    np.testing.assert_array_equal(augmented, again)
    assert len({each.tobytes() for each in augmented}) == 40
    assert abs(augmented.mean() - faces.mean()) < 0.1


def test_weak_augmentation_stays_close_to_the_face_or_its_mirror_image():
    faces = np.stack([small_face(number) / np.float32(255) for number in range(40)])
    augmented = augment(faces, np.random.default_rng(1), 0.01)
    for number in range(40):
        difference = min(
            np.abs(augmented[number] - faces[number][:, ::step]).mean() for step in (1, -1)
        )
        assert 0 < difference < 0.02


def test_corrupted_faces_stay_faces():
    faces = np.stack([small_face(number) / np.float32(255) for number in range(40)])
    corrupted = corrupt(faces, np.random.default_rng(1), 1)
    assert (corrupted.shape, corrupted.dtype) == ((40, 48, 48), np.float32)
    assert 0 <= corrupted.min() < corrupted.max() <= 1
    assert all(0.005 < np.abs(corrupted[n] - faces[n]).mean() < 0.3 for n in range(40))
    np.testing.assert_array_equal(corrupt(faces, np.random.default_rng(1), 0), faces)
    np.testing.assert_array_equal(corrupt(faces, np.random.default_rng(1), 1), corrupted)

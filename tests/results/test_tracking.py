"""Tracks of faces through a video."""

from __future__ import annotations

import numpy as np
from result_folders import random_probabilities

from gudi.detection import Box
from gudi.results.tracking import SMOOTHING, Tracker


def test_track_continues_with_the_nearest_box():
    tracker, (probabilities,) = Tracker(), random_probabilities(1)

    def numbers(time, *boxes):
        return [number for number, _ in tracker.update(time, boxes, [probabilities] * len(boxes))]

    left, right = Box(0, 0, 100, 100), Box(300, 0, 100, 100)
    assert numbers(0, left, right) == [0, 1]
    assert numbers(0.04, Box(290, 5, 100, 100), Box(20, 0, 100, 100)) == [1, 0]
    assert numbers(0.08, Box(90, 0, 100, 100)) == [2]  # too far from both
    assert numbers(0.9, left) == [0]
    assert numbers(2.5, left) == [3]  # gone for too long
    # Of two that overlap, the one that overlaps more.
    assert numbers(2.6, Box(40, 0, 100, 100), Box(5, 0, 100, 100)) == [4, 3]


def test_probabilities_are_smoothed_along_a_track():
    tracker, box, (first, second) = Tracker(), Box(0, 0, 100, 100), random_probabilities(2)
    ((_, smoothed),) = tracker.update(0, [box], [first])
    np.testing.assert_array_equal(smoothed, first)
    ((_, smoothed),) = tracker.update(0.1, [box], [second])
    weight = np.exp(-0.1 / SMOOTHING)
    np.testing.assert_allclose(smoothed, weight * first + (1 - weight) * second, rtol=1e-6)
    assert smoothed.dtype == np.float32

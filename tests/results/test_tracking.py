"""Tracks of faces through a video."""

from __future__ import annotations

import math

import numpy as np
import pytest
from result_folders import random_probabilities

from gudi.detection import Box
from gudi.results.tracking import SMOOTHING, Tracker

RATE = 25


def follow(*paths, every=1, seconds=4):
    """Return the numbers of the tracks that each face gets, in order.

    Args:
        paths: for each face, a function that returns its centre and its side at a time, or None
            if it is not seen then.
        every: follow only every Nth frame.
        seconds: length of the video.
    """
    tracker, found = Tracker(), [[] for _ in paths]
    for number in range(0, seconds * RATE, every):
        seen = [(face, path(number / RATE)) for face, path in enumerate(paths)]
        seen = [(face, place) for face, place in seen if place is not None]
        boxes = [Box(round(x - s / 2), round(y - s / 2), s, s) for _, (x, y, s) in seen]
        tracks = tracker.update(number / RATE, boxes, random_probabilities(len(boxes)))
        for (face, _), (track, _) in zip(seen, tracks, strict=True):
            if track not in found[face]:
                found[face].append(track)
    return found


def test_faces_that_stay_keep_their_tracks_although_they_are_often_missed():
    def still(x, period):
        return lambda time: (x, 100, 90) if round(time * RATE) % period else None

    assert follow(still(100, 2), still(220, 3), still(340, 5)) == [[0], [1], [2]]


@pytest.mark.parametrize("every", [1, 3])
def test_faces_that_pass_each_other_keep_their_tracks(every):
    def left(time):
        return 50 + 130 * time, 100, 90

    def right(time):
        place = 560 - 130 * time, 115, 80
        return None if abs(place[0] - left(time)[0]) < 60 else place  # hidden by the other

    assert follow(left, right, every=every) == [[0], [1]]


def test_fast_face_keeps_its_track_beside_another():
    def fast(time):
        return 300 + 200 * math.sin(4 * time), 100, 70

    assert follow(fast, lambda time: (900, 100, 80)) == [[0], [1]]


def test_face_that_comes_back_keeps_its_track_for_a_second():
    def away(first, last):
        return lambda time: None if first < time < last else (100 + 20 * time, 100, 80)

    assert follow(away(1, 1.9), lambda time: (400, 100, 90)) == [[0], [1]]
    assert follow(away(1, 2.5), lambda time: (400, 100, 90)) == [[0, 2], [1]]


def test_other_sizes_and_places_are_other_faces():
    assert follow(lambda time: (100, 100, 80 if time < 2 else 160)) == [[0, 1]]
    assert follow(lambda time: (100 if time < 2 else 400, 100, 80)) == [[0, 1]]


def test_scenes_have_tracks_of_their_own():
    tracker, box, values = Tracker(), Box(0, 0, 100, 100), random_probabilities(1)
    assert [number for number, _ in tracker.update(0, [box], values)] == [0]
    tracker.cut()
    assert [number for number, _ in tracker.update(0.04, [box], values)] == [1]


def test_probabilities_are_smoothed_along_a_track():
    tracker, box, (first, second) = Tracker(), Box(0, 0, 100, 100), random_probabilities(2)
    ((_, smoothed),) = tracker.update(0, [box], [first])
    np.testing.assert_array_equal(smoothed, first)
    ((_, smoothed),) = tracker.update(0.1, [box], [second])
    weight = np.exp(-0.1 / SMOOTHING)
    np.testing.assert_allclose(smoothed, weight * first + (1 - weight) * second, rtol=1e-6)
    assert smoothed.dtype == np.float32

"""Tracks of faces through a video."""

from __future__ import annotations

import math

import numpy as np
import pytest
from result_folders import random_probabilities

from gudi.analysis.tracking import SMOOTHING, Tracker
from gudi.records import Box, Face

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
        seen = [(tracks, path(number / RATE)) for tracks, path in zip(found, paths)]
        seen = [(tracks, place) for tracks, place in seen if place is not None]
        faces = [face(round(x - s / 2), round(y - s / 2), s) for _, (x, y, s) in seen]
        tracker.update(number / RATE, faces)
        for (tracks, _), each in zip(seen, faces, strict=True):
            if each.track not in tracks:
                tracks.append(each.track)
    return found


ANY = random_probabilities(1)[0]


def face(x=0, y=0, side=100, probabilities=ANY):
    return Face(Box(x, y, side, side), 20.0, probabilities)


def test_faces_that_stay_keep_their_tracks_although_they_are_often_missed():
    def still(x, period):
        return lambda time: (x, 100, 90) if round(time * RATE) % period else None

    assert follow(still(100, 2), still(220, 3), still(340, 5)) == [[0], [1], [2]]


@pytest.mark.parametrize("seconds", [2, 3.4, 10])
def test_faces_that_stay_keep_their_tracks_whatever_the_interval(seconds):
    places = [lambda time, x=x: (x, 100, 90) for x in (100, 300)]
    assert follow(*places, every=round(seconds * RATE), seconds=60) == [[0], [1]]


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


def test_probabilities_are_smoothed_along_a_track():
    tracker, (first, second) = Tracker(), random_probabilities(2)
    one, other = face(probabilities=first), face(probabilities=second)
    tracker.update(0, [one])
    np.testing.assert_array_equal(one.smoothed, first)
    tracker.update(0.1, [other])
    weight = np.exp(-0.1 / SMOOTHING)
    np.testing.assert_allclose(other.smoothed, weight * first + (1 - weight) * second, rtol=1e-6)
    assert other.smoothed.dtype == np.float32

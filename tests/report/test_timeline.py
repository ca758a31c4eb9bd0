"""The timelines of videos."""

from __future__ import annotations

import re

import pytest

from gudi.report.timeline import BINS, Timeline


@pytest.mark.parametrize(
    ("seconds", "every"), [(0.5, 1), (59, 1), (59, 25), (3 * 3600, 1), (3 * 3600, 25)]
)
def test_size_of_a_timeline_does_not_depend_on_the_video(seconds, every):
    timeline = Timeline(2)
    frames = range(0, int(25 * seconds), every)
    for frame in frames:
        timeline.add(frame / 25, (0.25, 0.75) if frame / 25 < seconds / 2 else (1, 0))
    width, bins = timeline.bins(len(frames), seconds)
    assert 1 <= len(bins) <= BINS
    assert sum(each[0] for each in bins if each) == len(frames)
    assert (len(bins) - 1) * width <= seconds <= len(bins) * width
    assert all(bins[:-1])  # sampled frames leave no gaps
    assert bins[0][1:] == [25, 75, 0, 0]
    assert len(bins) >= min(len(frames) / 4, BINS / 2) - 1


def test_times_without_a_face_remain_empty():
    timeline = Timeline(1)
    for frame in [*range(100), 900]:
        timeline.add(frame / 25, (1.0,))
    _, bins = timeline.bins(1000, 40)
    there = "".join("#" if each else "." for each in bins)
    assert re.fullmatch(r"#+\.+#\.+", there)
    assert there.count("#") / len(there) == pytest.approx(0.1, abs=0.02)
    assert there.rindex("#") / len(there) == pytest.approx(0.9, abs=0.02)

"""The timelines of videos."""

from __future__ import annotations

import re

import pytest
from result_folders import SETTINGS, add_results, video_frame, video_result

from gudi.outputs.report.timeline import BINS, bin_width, make_timeline
from gudi.records import Box
from gudi.store import STORE, Store

FACE = (Box(0, 0, 80, 80), "happy", 0.7)


@pytest.mark.parametrize(
    ("seconds", "every"), [(0.5, 1), (59, 1), (59, 25), (3 * 3600, 1), (3 * 3600, 25)]
)
def test_number_of_bins_does_not_depend_on_the_video(seconds, every):
    frames = range(0, int(25 * seconds), every)
    width = bin_width(seconds, len(frames))
    bins = int(seconds / width) + 1
    assert 1 <= bins <= BINS
    assert bins >= min(len(frames) / 4, BINS / 2) - 1
    assert {int(number / 25 / width) for number in frames} >= set(range(bins - 1))  # no gaps


def test_times_without_a_face_remain_empty(tmp_path):
    seen = {*range(100), 900}
    frames = [video_frame(n, n / 25, [FACE] * (n in seen)) for n in range(1000)]
    with Store(tmp_path / STORE) as store:
        store.start_run(SETTINGS)
        (record,) = add_results(store, [video_result("v", frames)])
        timeline = make_timeline(store, record, 999 / 25)
    assert sum(each[0] for each in timeline.bins if each) == 101
    assert timeline.bins[0][4] == 70
    assert timeline.bins[0][-7:] == [0] * 7  # all faces look the same
    there = "".join("#" if each else "." for each in timeline.bins)
    assert re.fullmatch(r"#+\.+#\.+", there)
    assert there.count("#") / len(there) == pytest.approx(0.1, abs=0.02)
    assert there.rindex("#") / len(there) == pytest.approx(0.9, abs=0.02)

"""The main face of a video."""

from __future__ import annotations

import pytest

from gudi.analysis.main_faces import TrackExtent, main_tracks


@pytest.mark.parametrize(
    ("tracks", "expected"),
    [
        # One after the other, in two sizes of the same person.
        ([(100, 10, 0, 10), (80, 5, 12, 17)], [0, 1]),
        # Somebody in the background, whose track has fewer gaps, and a large pattern for a moment.
        (
            [*((100, 10, n, n + 10) for n in (0, 15, 50)), (60, 60, 0, 60), (300, 0.5, 3, 3.5)],
            [0, 1, 2],
        ),
        # A short close-up.
        ([(90, 30, 0, 30), (180, 2, 31, 33), (40, 30, 0, 30)], [0, 1]),
        # Two people of the same size at the same time: whoever is seen for longer.
        ([(100, 10, 0, 10), (95, 20, 5, 25)], [1]),
        # A short clip.
        ([(100, 0.5, 0, 0.5), (60, 0.8, 0, 0.8)], [0]),
        ([(100, None, 0, 0)], [0]),
        ([], []),
    ],
)
def test_main_face_is_large_seen_for_long_and_alone(tracks, expected):
    extents = [TrackExtent(number, *each) for number, each in enumerate(tracks)]
    assert sorted(main_tracks(extents)) == expected

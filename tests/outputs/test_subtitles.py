"""Subtitles for annotated videos."""

from __future__ import annotations

import pytest
from result_folders import video_frame

from gudi.analysis.summaries import timed
from gudi.analysis.tracking import track
from gudi.constants import EMOTIONS
from gudi.outputs.subtitles import subtitles
from gudi.records import Box

HERE, THERE = Box(0, 0, 100, 100), Box(400, 0, 50, 50)
LEFT, RIGHT = (HERE, "happy"), (THERE, "sad")


def cues(frames, emotions=EMOTIONS):
    """Return the times and lines of each subtitle."""
    tracked = (frame for frame, _ in track(timed(frames)))
    first, *blocks = "".join(subtitles(tracked, emotions)).split("\n\n")
    assert first.strip() == "WEBVTT"
    return [tuple(block.strip().split("\n")) for block in blocks]


def test_subtitles_change_when_a_face_or_its_emotion_does():
    scene = [[]] * 2 + [[LEFT]] * 4 + [[LEFT, RIGHT]] * 4 + [[RIGHT]] * 2
    assert cues([video_frame(n, n / 4, faces) for n, faces in enumerate(scene)]) == [
        ("00:00:00.500 --> 00:00:01.500", "track 0: happy 70%"),
        ("00:00:01.500 --> 00:00:02.500", "track 0: happy 70%", "track 1: sad 70%"),
        ("00:00:02.500 --> 00:00:03.000", "track 1: sad 70%"),
    ]


def test_no_subtitle_is_too_short_to_be_read():
    found = cues([video_frame(n, n / 25, [LEFT] * (n % 2)) for n in range(100)])
    assert 0 < len(found) <= 8
    assert {lines for _, *lines in found for lines in lines} == {"track 0: happy 70%"}


def test_long_videos_have_hours_and_names_of_emotions_are_no_markup():
    names = tuple("<b>" if name == "happy" else name for name in EMOTIONS)
    assert cues([video_frame(n, 3600 * n, [LEFT] * (n != 1)) for n in range(3)], names) == [
        ("00:00:00.000 --> 01:00:00.000", "track 0: &lt;b&gt; 70%"),
        ("02:00:00.000 --> 03:00:00.000", "track 1: &lt;b&gt; 70%"),
    ]


@pytest.mark.parametrize(
    "frames", [[video_frame(n, n / 4) for n in range(4)], [video_frame(0, None, [LEFT])]]
)
def test_pages_and_videos_without_faces_have_no_subtitles(frames):
    assert cues(frames) == []

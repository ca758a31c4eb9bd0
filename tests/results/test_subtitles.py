"""Subtitles for annotated videos."""

from __future__ import annotations

import numpy as np

from gudi.constants import EMOTIONS
from gudi.detection import Box
from gudi.results.records import FaceRow
from gudi.results.subtitles import subtitles
from gudi.results.summaries import FrameFaces

HERE, THERE = Box(0, 0, 100, 100), Box(400, 0, 50, 50)


def frame(number, faces, *, step=0.25, cut=False):
    """Return a frame with faces: boxes and emotions, of which each has the probability 0.7."""
    rows = []
    for box, emotion in faces:
        values = np.full(7, 0.05, np.float32)
        values[EMOTIONS.index(emotion)] = 0.7
        rows.append(FaceRow(number, number * step, box, values))
    return FrameFaces(number, number * step, step, cut, rows)


def cues(frames, emotions=EMOTIONS):
    """Return the times and lines of each subtitle."""
    text = "".join(subtitles(frames, emotions))
    first, *blocks = text.split("\n\n")
    assert first.strip() == "WEBVTT"
    return [tuple(block.strip().split("\n")) for block in blocks]


def test_subtitles_change_when_a_face_or_its_emotion_does():
    frames = [frame(n, []) for n in range(2)]
    frames += [frame(n, [(HERE, "happy")]) for n in range(2, 6)]
    frames += [frame(n, [(HERE, "happy"), (THERE, "sad")]) for n in range(6, 10)]
    frames += [frame(n, [(THERE, "sad")]) for n in range(10, 12)]
    assert cues(frames) == [
        ("00:00:00.500 --> 00:00:01.500", "track 0: happy 70%"),
        ("00:00:01.500 --> 00:00:02.500", "track 0: happy 70%", "track 1: sad 70%"),
        ("00:00:02.500 --> 00:00:03.000", "track 1: sad 70%"),
    ]


def test_no_subtitle_is_too_short_to_be_read():
    frames = [frame(n, [(HERE, "happy")] if n % 2 else [], step=0.04) for n in range(100)]
    found = cues(frames)
    assert 0 < len(found) <= 8
    assert {lines for _, *lines in found for lines in lines} == {"track 0: happy 70%"}


def test_cuts_start_other_faces_and_long_videos_have_hours():
    frames = [frame(n, [(HERE, "happy")], step=3600, cut=n == 1) for n in range(2)]
    assert cues(frames) == [
        ("00:00:00.000 --> 01:00:00.000", "track 0: happy 70%"),
        ("01:00:00.000 --> 02:00:00.000", "track 1: happy 70%"),
    ]


def test_names_of_emotions_are_no_markup():
    names = ("<b>", *EMOTIONS[1:])
    frames = [frame(n, [(HERE, "angry")]) for n in range(4)]
    assert cues(frames, names)[0][1] == "track 0: &lt;b&gt; 70%"


def test_pages_and_videos_without_faces_have_no_subtitles():
    assert cues([frame(n, []) for n in range(4)]) == []
    page = frame(0, [(HERE, "happy")])._replace(time=None, seconds=None)
    assert cues([page]) == []

"""The faces of photos and videos."""

from __future__ import annotations

import numpy as np
import pytest
from result_folders import (
    SETTINGS,
    fill_store,
    photo_result,
    random_probabilities,
    video_frame,
    video_result,
)

from gudi.media.source import Source
from gudi.records import Box, Face, Result, VideoFrame
from gudi.store import STORE, Store

FILM = Source("film.mp4", "film.mp4", "video")


def segment(first, count, error=""):
    """Return a result with one face in each frame of a segment."""
    numbers = range(first, first + count)
    return Result(
        FILM, first, 320, 240,
        [
            Face(Box(n, 2, 30, 40), 8.0, values, frame=n, time_s=n / 25)
            for n, values in zip(numbers, random_probabilities(count, first))
        ],
        [VideoFrame(n, n / 25, bytes(32)) for n in numbers], error,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / STORE) as opened:
        opened.start_run(SETTINGS)
        opened.register(FILM)
        yield opened


def test_video_is_finished_from_its_segments_in_any_order(store):
    for first in (128, 0, 64):
        store.faces.add(segment(first, 64))
    assert store.faces.finished_segments(FILM) == {0, 64, 128}
    assert store.faces.finish(FILM, "", b"\1\2") == ("ok", "")
    (record,) = store.inputs.finished()
    assert (record.faces, record.frames, record.duration) == (192, 192, 191 / 25)
    assert (record.width, record.height, record.digest) == (320, 240, "0102")
    faces = list(store.faces.of_input(record))
    assert [face.frame for face in faces] == list(range(192))
    assert faces[70].box == Box(70, 2, 30, 40)
    np.testing.assert_array_equal(faces[64].probabilities, random_probabilities(64, 64)[0])
    for first, last in ((60, 70), (0, 0), (64, 127), (130, 500), (500, 600)):
        frames = [face.frame for face in store.faces.of_input(record, first, last)]
        assert frames == list(range(first, min(last, 191) + 1))
    assert [len(frame.faces) for frame in store.faces.by_frame(record)] == [1] * 192
    store.faces.forget(FILM)
    assert store.faces.finished_segments(FILM) == set()


def test_error_of_a_video_quotes_its_first_segments(store):
    for number in range(5):
        store.faces.add(segment(64 * number, 0, f"error {number}"))
    status = store.faces.finish(FILM, "it ends unexpectedly", None)
    assert status == ("failed", "it ends unexpectedly; error 0; error 1; error 2")


def test_crops_are_kept_in_the_order_of_the_table(make_files, tmp_path):
    results = [photo_result(path, count) for path, count in zip(make_files(3), (1, 0, 2))]
    for number, result in enumerate(results):
        for face in result.faces:
            face.crop = np.full((48, 48), number, np.uint8)
    with Store(tmp_path / STORE, crops=True) as store:
        fill_store(store, reversed(results))
        assert [crop.mean() for crop in store.crops()] == [0, 2, 2]
        (record, *_) = store.inputs.finished()
        (face,) = store.faces.of_input(record)
        assert (face.frame, face.time_s, face.crop.shape) == (None, None, (48, 48))


def test_faces_are_counted_by_emotion_and_the_strongest_are_found(tmp_path):
    here, there = Box(0, 0, 80, 80), Box(400, 0, 80, 80)
    frames = [
        video_frame(0, 0.0, [(here, "happy", 0.6), (there, "sad", 0.5)]),
        video_frame(1, 1.0, [(here, "happy", 0.9)]),
    ]
    other = [video_frame(0, 0.0, [(here, "happy", 0.8)])]
    with Store(tmp_path / STORE) as store:
        one, two = fill_store(store, [video_result("a", frames), video_result("b", other)])
        counts = {each.emotion: each for each in store.statistics.emotions_of(one)}
        assert {name: each.faces for name, each in counts.items()} == {"happy": 2, "sad": 1}
        assert counts["happy"].confidence == pytest.approx(0.9)
        assert counts["happy"].score == 20
        assert store.emotion_counts() == {"happy": 3, "sad": 1}
        assert store.statistics.strongest(8) == [
            ("happy", one.id, 1, 0), ("happy", two.id, 0, 0), ("sad", one.id, 0, 1),
        ]  # fmt: skip
        assert len(store.statistics.strongest(1)) == 2

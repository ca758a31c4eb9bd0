"""The tables of videos and tracks: hand-made videos, and the right value in every cell."""

from __future__ import annotations

import numpy as np
import pytest
from result_folders import SETTINGS, add_results, video_frame, video_result

from gudi.analysis.scenes import signature
from gudi.columns import TRACKS, VIDEOS, expand, names
from gudi.constants import EMOTIONS
from gudi.records import Box
from gudi.store import STORE, Store

DARK, BRIGHT = (signature(np.full((48, 64), level, np.uint8)) for level in (20, 220))
HERE, THERE = Box(0, 0, 100, 100), Box(400, 0, 50, 50)


@pytest.fixture
def summarize(tmp_path):
    """A function that returns the tables of a video: lists of rows by column.

    It takes arguments of `video_frame`, one tuple for each processed frame.
    """

    def summarized(frames, *, tracked=True):
        result = video_result("film.mp4", [video_frame(*each) for each in frames])
        with Store(tmp_path / STORE) as store:
            store.start_run(SETTINGS)
            add_results(store, [result], tracked=tracked)
            tables = (VIDEOS, store.video_rows()), (TRACKS, store.track_rows())
            return tuple(
                [dict(zip(names(expand(table, EMOTIONS)), row, strict=True)) for row in rows]
                for table, rows in tables
            )

    return summarized


def test_one_face_with_a_gap_at_an_uneven_rate(summarize):
    frames = [
        (0, 0.0, [(HERE, "happy")]),
        (1, 0.1, [(HERE, "happy")]),
        (2, 0.3, []),
        (3, 0.4, [(HERE, "sad")]),
        (4, 0.9, [(HERE, "happy")]),
        (5, 1.0, []),
    ]
    (video,), (track,) = summarize(frames)
    assert video == pytest.approx({
        "source": "film.mp4", "duration_s": 1.1, "frames": 6, "frames_with_face": 4, "faces": 4,
        "mean_faces": 4 / 6, "most_faces": 1, "face_time_s": 0.9, "first_s": 0.0, "last_s": 0.9,
        "emotion": "sad", "changes": 2,
        "share_angry": 0, "share_disgusted": 0, "share_fearful": 0, "share_happy": 0.4 / 0.9,
        "share_sad": 0.5 / 0.9, "share_surprised": 0, "share_neutral": 0,
        "mean_angry": 0.05, "mean_disgusted": 0.05, "mean_fearful": 0.05,
        "mean_happy": (0.4 * 0.7 + 0.5 * 0.05) / 0.9, "mean_sad": (0.5 * 0.7 + 0.4 * 0.05) / 0.9,
        "mean_surprised": 0.05, "mean_neutral": 0.05,
    }, abs=1e-6)  # fmt: skip
    del track["peak_frame"], track["peak_s"], track["peak_confidence"]
    shares = {name: value for name, value in video.items() if name.startswith(("share_", "mean_"))}
    del shares["mean_faces"]
    assert track == pytest.approx({
        "source": "film.mp4", "track": 0, "main": 1, "faces": 4, "first_frame": 0, "last_frame": 4,
        "first_s": 0.0, "last_s": 0.9, "time_s": 0.9, "mean_width": 100.0, "mean_height": 100.0,
        "mean_score": 20.0, "emotion": "sad", "peak_emotion": "happy",
        "changes": 0,  # half a second of sadness does not turn the smoothed probabilities
        **shares,
    }, abs=1e-6)  # fmt: skip


def test_faces_of_one_frame_share_its_time_and_have_tracks_of_their_own(summarize):
    frames = [
        (0, 0.0, [(HERE, "happy"), (THERE, "neutral")]),
        (5, 0.2, [(HERE, "happy"), (THERE, "neutral")]),
        (10, 0.4, [(THERE, "neutral")]),
    ]
    (video,), tracks = summarize(frames)
    assert (video["faces"], video["most_faces"], video["changes"]) == (5, 2, 1)
    assert video["face_time_s"] == video["duration_s"] == pytest.approx(0.6)
    assert (video["share_happy"], video["share_neutral"]) == pytest.approx((1 / 3, 2 / 3))
    assert [(each["track"], each["faces"]) for each in tracks] == [(0, 2), (1, 3)]
    assert [track["time_s"] for track in tracks] == pytest.approx([0.4, 0.6])
    assert [track["emotion"] for track in tracks] == ["happy", "neutral"]
    assert [track["mean_width"] for track in tracks] == [100, 50]
    # A neutral face has its strongest expression, too.
    assert tracks[1]["peak_emotion"] != "neutral"
    assert tracks[1]["peak_confidence"] == pytest.approx(0.05)


def test_cut_ends_a_track_and_untracked_videos_have_none(summarize):
    frames = [
        (0, 0.0, [(HERE, "happy")], DARK),
        (1, 0.04, [(HERE, "happy")], DARK),
        (2, 0.08, [(HERE, "sad")], BRIGHT),
        (3, 0.12, [(HERE, "sad")], BRIGHT),
    ]
    assert summarize(frames, tracked=False)[1] == []
    _, tracks = summarize(frames)
    assert [(track["first_frame"], track["last_frame"]) for track in tracks] == [(0, 1), (2, 3)]


@pytest.mark.parametrize(("seconds", "starts"), [(0.04, [0, 1]), (2, [0])])
def test_people_who_move_between_distant_frames_are_not_cut_off(summarize, seconds, starts):
    picture = np.full((48, 64), 20, np.uint8)
    picture[:, 50:] = 220
    frames = [(0, 0.0, [(HERE, "sad")], DARK), (1, seconds, [(HERE, "sad")], signature(picture))]
    assert [track["first_frame"] for track in summarize(frames)[1]] == starts


@pytest.mark.parametrize(
    ("times", "duration", "face_time"),
    [([0, 0.5], 1.0, 0), ([], None, None), ([0, 0.5, 1, 1], 1.5, 0), ([0.2, 0.2], 0, 0)],
)
def test_video_without_a_face_has_a_row_and_no_track(summarize, times, duration, face_time):
    (video,), tracks = summarize(list(enumerate(times)))
    assert (video["frames"], video["faces"], video["duration_s"]) == (len(times), 0, duration)
    assert video["face_time_s"] == face_time
    assert {video[name] for name in ("first_s", "last_s", "emotion", "share_sad")} == {None}
    assert tracks == []


def test_pages_have_no_time_and_all_count_the_same(summarize):
    frames = [(0, None, [(HERE, "sad")]), (1, None, []), (2, None, [(HERE, "happy")] * 2)]
    (video,), tracks = summarize(frames)
    assert (video["duration_s"], video["face_time_s"], video["first_s"]) == (None, None, None)
    assert (video["share_sad"], video["share_happy"]) == (0.5, 0.5)
    assert tracks == []

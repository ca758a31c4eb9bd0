"""The tables of videos and tracks: hand-made videos, and the right value in every cell."""

from __future__ import annotations

import numpy as np
import pytest

from gudi.constants import EMOTIONS
from gudi.detection import Box
from gudi.media.scenes import signature
from gudi.media.source import Source
from gudi.results.records import FaceRow, ProcessedFrame, SourceRecord
from gudi.results.summaries import Summaries, track_columns, video_columns
from gudi.results.tables import face_records

DARK, BRIGHT = (signature(np.full((48, 64), level, np.uint8)) for level in (20, 220))
HERE, THERE = Box(0, 0, 100, 100), Box(400, 0, 50, 50)


def probabilities(emotion, share=0.7):
    """Return probabilities of which `emotion` has `share`, and the others the same."""
    values = np.full(7, (1 - share) / 6, np.float32)
    values[EMOTIONS.index(emotion)] = share
    return values


def summarize(frames, *, tracked=True, known=True):
    """Return the tables of a video: lists of rows by column.

    Args:
        frames: for each processed frame its number, its time, and box and emotion of each face;
            optionally its signature.
        tracked: whether faces are followed.
        known: whether the ledger knows the frames without a face, too.
    """
    rows, processed = [], []
    for number, time, faces, *look in frames:
        processed.append(ProcessedFrame(number, time, look[0] if look else DARK))
        rows += [FaceRow(number, time, box, probabilities(each), 20.0) for box, each in faces]
    source = SourceRecord(
        1, Source("film.mp4", "film.mp4", "video"), "", "ok", len(rows), len(frames),
        frames[-1][1] if frames else None, 640, 360, "", None, 0, "",
    )  # fmt: skip
    summaries = Summaries(lambda source: processed if known else [])
    faces = face_records(
        [source], lambda source: rows, EMOTIONS, tracked=tracked, summaries=summaries
    )
    assert len(list(faces)) == len(rows)
    return (
        [dict(zip(video_columns(EMOTIONS), row, strict=True)) for row in summaries.videos],
        [dict(zip(track_columns(EMOTIONS), row, strict=True)) for row in summaries.tracks],
    )


def test_one_face_with_a_gap_at_an_uneven_rate():
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
        "source": "film.mp4", "track": 0, "faces": 4, "first_frame": 0, "last_frame": 4,
        "first_s": 0.0, "last_s": 0.9, "time_s": 0.9, "mean_width": 100.0, "mean_height": 100.0,
        "mean_score": 20.0, "emotion": "sad", "peak_emotion": "happy",
        "changes": 0,  # half a second of sadness does not turn the smoothed probabilities
        **shares,
    }, abs=1e-6)  # fmt: skip


def test_faces_of_one_frame_share_its_time_and_have_tracks_of_their_own():
    frames = [
        (0, 0.0, [(HERE, "happy"), (THERE, "neutral")]),
        (5, 0.2, [(HERE, "happy"), (THERE, "neutral")]),
        (10, 0.4, [(THERE, "neutral")]),
    ]
    (video,), tracks = summarize(frames)
    assert (video["faces"], video["most_faces"], video["changes"]) == (5, 2, 1)
    assert video["face_time_s"] == video["duration_s"] == pytest.approx(0.6)
    assert (video["share_happy"], video["share_neutral"]) == pytest.approx((1 / 3, 2 / 3))
    assert [track["time_s"] for track in tracks] == pytest.approx([0.4, 0.6])
    assert [track["emotion"] for track in tracks] == ["happy", "neutral"]
    assert [track["mean_width"] for track in tracks] == [100, 50]
    # A neutral face has its strongest expression, too.
    assert tracks[1]["peak_emotion"] != "neutral"
    assert tracks[1]["peak_confidence"] == pytest.approx(0.05)


def test_cut_ends_a_track():
    frames = [
        (0, 0.0, [(HERE, "happy")], DARK),
        (1, 0.04, [(HERE, "happy")], DARK),
        (2, 0.08, [(HERE, "sad")], BRIGHT),
        (3, 0.12, [(HERE, "sad")], BRIGHT),
    ]
    _, tracks = summarize(frames)
    assert [(track["first_frame"], track["last_frame"]) for track in tracks] == [(0, 1), (2, 3)]


def test_video_without_a_face_has_a_row_and_no_track():
    (video,), tracks = summarize([(0, 0.0, []), (1, 0.5, [])])
    assert (video["frames"], video["faces"], video["duration_s"]) == (2, 0, 1.0)
    assert (video["face_time_s"], video["mean_faces"]) == (0, 0)
    assert {video[name] for name in ("first_s", "last_s", "emotion", "share_sad")} == {None}
    assert tracks == []


def test_video_that_cannot_be_read_has_no_times():
    (video,), tracks = summarize([])
    assert (video["frames"], video["faces"]) == (0, 0)
    assert {video[name] for name in ("duration_s", "face_time_s", "changes", "emotion")} == {None}
    assert tracks == []


def test_pages_have_no_time_and_all_count_the_same():
    frames = [(0, None, [(HERE, "sad")]), (1, None, []), (2, None, [(HERE, "happy")] * 2)]
    (video,), tracks = summarize(frames)
    assert (video["duration_s"], video["face_time_s"], video["first_s"]) == (None, None, None)
    assert (video["share_sad"], video["share_happy"]) == (0.5, 0.5)
    assert tracks == []


def test_videos_of_earlier_versions_have_what_their_faces_tell():
    frames = [(0, 0.0, [(HERE, "sad")]), (1, 0.1, []), (2, 0.2, [(HERE, "sad")])]
    (video,), (track,) = summarize(frames, known=False)
    assert (video["frames"], video["frames_with_face"], video["mean_faces"]) == (3, 2, 2 / 3)
    assert (video["duration_s"], video["face_time_s"], track["time_s"]) == (None, None, None)
    assert (video["last_s"], video["share_sad"], video["emotion"]) == (0.2, 1, "sad")


def test_tracks_come_in_order_and_untracked_videos_have_none():
    frames = [(0, 0.0, [(HERE, "sad"), (THERE, "sad")])]
    frames += [(n, n / 5, [(HERE, "sad")]) for n in range(1, 30)]
    _, tracks = summarize(frames)
    assert [track["track"] for track in tracks] == [0, 1]
    assert [track["faces"] for track in tracks] == [30, 1]
    assert summarize(frames, tracked=False)[1] == []

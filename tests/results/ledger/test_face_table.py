"""The faces of photos and videos."""

from __future__ import annotations

import contextlib
import sqlite3

import numpy as np
import pytest
from result_folders import SETTINGS, fill_ledger, photo_result, random_probabilities

from gudi.detection import Box
from gudi.media.source import Source
from gudi.results.folder import LEDGER
from gudi.results.ledger import Ledger
from gudi.results.records import SourceResult

FILM = Source("film.mp4", "film.mp4", "video")


def segment(first, count, error=""):
    """Return a result with one face in each frame of a segment."""
    return SourceResult(
        FILM, first, 320, 240, [Box(frame, 2, 30, 40) for frame in range(first, first + count)],
        [(frame, frame / 25) for frame in range(first, first + count)],
        probabilities=random_probabilities(count, first), frames=count,
        end=(first + count - 1) / 25, error=error,
    )  # fmt: skip


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / LEDGER, 7) as opened:
        opened.start_run(SETTINGS)
        opened.register(FILM)
        yield opened


def test_video_is_finished_from_its_segments_in_any_order(ledger):
    for first in (128, 0, 64):
        ledger.faces.add(segment(first, 64))
    assert ledger.faces.finished_segments(FILM) == {0, 64, 128}
    assert ledger.faces.finish(FILM, "", b"\1\2") == ("ok", "")
    (record,) = ledger.sources.finished()
    assert (record.faces, record.frames, record.duration) == (192, 192, 191 / 25)
    assert (record.width, record.height, record.digest) == (320, 240, "0102")
    rows = list(ledger.faces.rows(record))
    assert [row.frame for row in rows] == list(range(192))
    assert rows[70].box == Box(70, 2, 30, 40)
    np.testing.assert_array_equal(rows[64].probabilities, random_probabilities(64, 64)[0])


def test_rows_of_some_frames_reach_across_segments(ledger):
    for first in (0, 64, 128):
        ledger.faces.add(segment(first, 64))
    ledger.faces.finish(FILM, "", None)
    (record,) = ledger.sources.finished()
    for first, last in ((60, 70), (0, 0), (64, 127), (130, 500), (500, 600)):
        frames = [row.frame for row in ledger.faces.rows(record, first, last)]
        assert frames == list(range(first, min(last, 191) + 1))


def test_error_of_a_video_quotes_its_first_segments(ledger):
    for number in range(5):
        ledger.faces.add(segment(64 * number, 0, f"error {number}"))
    status = ledger.faces.finish(FILM, "it ends unexpectedly", None)
    assert status == ("failed", "it ends unexpectedly; error 0; error 1; error 2")


def test_forgotten_segments_are_processed_again(ledger):
    ledger.faces.add(segment(0, 64))
    ledger.faces.forget(FILM)
    assert ledger.faces.finished_segments(FILM) == set()


def test_crops_are_kept_in_the_order_of_the_table(make_files, tmp_path):
    results = [photo_result(path, count) for path, count in zip(make_files(3), (1, 0, 2))]
    for number, result in enumerate(results):
        result.crops = np.full((len(result.boxes), 48, 48), number, np.uint8)
    with Ledger(tmp_path / LEDGER, 7, crops=True) as ledger:
        fill_ledger(ledger, reversed(results))
        assert [crop.mean() for crop in ledger.faces.all_crops()] == [0, 2, 2]
        (record, *_) = ledger.sources.finished()
        (row,) = ledger.faces.rows(record)
        assert (row.frame, row.time, row.crop.shape) == (None, None, (48, 48))


def test_ledger_of_an_earlier_version_has_no_scores(make_files, tmp_path):
    (photo,) = make_files(1)
    Ledger(tmp_path / "earlier", 7).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "earlier")) as earlier:
        earlier.execute("PRAGMA user_version=1")
    result = photo_result(photo, 2)
    result.scores = [8.0, 17.0]
    with (
        Ledger(tmp_path / "earlier", 7) as earlier,
        Ledger(tmp_path / "new", 7) as new,
        Ledger(tmp_path / "merged", 7) as merged,
    ):
        fill_ledger(earlier, [result])
        fill_ledger(new, [result])
        merged.start_run(SETTINGS)
        for ledger, prefix, scores in ((earlier, "a/", [None, None]), (new, "b/", [8.0, 17.0])):
            (record,) = ledger.sources.finished()
            assert [row.score for row in ledger.faces.rows(record)] == scores
            copied = merged.copy_from(ledger, record, prefix)
            rows = list(merged.faces.rows(copied))
            assert [row.score for row in rows] == scores
            assert [row.box for row in rows] == result.boxes
            np.testing.assert_array_equal(rows[1].probabilities, result.probabilities[1])

"""A store as a whole: its settings, and inputs copied from another store."""

from __future__ import annotations

import numpy as np
import pytest
from result_folders import SETTINGS, fill_store, photo_result, video_frame, video_result

from gudi.errors import OutputError
from gudi.media.source import Source
from gudi.records import Box
from gudi.store import STORE, Store


@pytest.fixture
def one(tmp_path):
    with Store(tmp_path / "one") as store:
        yield store


@pytest.fixture
def other(tmp_path):
    with Store(tmp_path / "other") as store:
        yield store


def test_settings_and_formats_are_remembered(tmp_path):
    with Store(tmp_path / STORE) as store:
        assert (store.settings, store.formats) == ({}, [])
        store.start_run(SETTINGS)
        store.formats = ["parquet", "csv", "docx"]
    with Store(tmp_path / STORE) as store:
        assert store.settings == SETTINGS
        assert store.formats == ["csv", "parquet"]  # others are not gudi's to remove


def test_input_with_a_known_problem_is_finished_at_once(one):
    one.start_run(SETTINGS)
    one.register(Source("gone.jpg", "gone.jpg", "image", "no such file"))
    (record,) = one.inputs.finished()
    assert (record.status, record.error, record.faces) == ("failed", "no such file", 0)


def test_copied_input_keeps_its_faces_and_loses_its_pictures(make_files, one, other):
    result = photo_result(make_files(1)[0], 2)
    film = video_result("film", [video_frame(0, 0.0, [(Box(1, 2, 50, 50), "sad")])])
    record, video = fill_store(other, [result, film])
    other.drawings.assign_path(record, ["a.jpg"])
    other.drawings.mark_drawn(record, 3)
    record = other.inputs.by_id(record.id)
    one.start_run(SETTINGS)
    copied = one.copy_from(other, record)
    assert (copied.source, copied.status, copied.digest) == (record.source, "ok", record.digest)
    assert (copied.annotated, copied.drawn) == (None, 0)
    faces = list(one.faces.of_input(copied))
    assert [face.box for face in faces] == [face.box for face in result.faces]
    np.testing.assert_array_equal(faces[1].probabilities, result.faces[1].probabilities)
    assert one.copy_from(other, record) is None
    prefixed = one.copy_from(other, record, "other/")
    assert prefixed.source.name == f"other/{record.source.name.lstrip('/')}"
    assert one.inputs.status_counts() == {"ok": 2}
    assert one.videos.peaks(one.copy_from(other, video)) == other.videos.peaks(video) != []


def test_input_with_different_results_is_not_copied(make_files, one, other):
    (path,) = make_files(1)
    fill_store(one, [photo_result(path)])
    path.write_bytes(b"another photo")
    (record,) = fill_store(other, [photo_result(path)])
    with pytest.raises(OutputError, match="there are different results for"):
        one.copy_from(other, record)

"""Which pictures exist, and where."""

from __future__ import annotations

import pytest
from result_folders import fill_store, photo_result

from gudi.settings import PICTURE, THUMBNAIL
from gudi.store import STORE, Store


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / STORE) as opened:
        yield opened


def undrawn(store, pictures):
    found = [record.source.name.rpartition("/")[2] for record in store.drawings.undrawn(pictures)]
    assert len(found) == store.drawings.count_undrawn(pictures)
    return found


def test_inputs_with_faces_are_drawn_once_for_each_kind_of_picture(make_files, store):
    results = [photo_result(path, faces) for path, faces in zip(make_files(4), (1, 0, 1, 1))]
    first, _, third, fourth = fill_store(store, results)
    assert undrawn(store, PICTURE) == ["00.jpg", "02.jpg", "03.jpg"]
    store.drawings.mark_drawn(first, PICTURE)
    store.drawings.mark_drawn(third, PICTURE | THUMBNAIL)
    store.drawings.mark_drawn(fourth, PICTURE, "no such file")
    assert undrawn(store, PICTURE) == []
    assert undrawn(store, PICTURE | THUMBNAIL) == ["00.jpg"]
    failed = store.inputs.by_id(fourth.id)
    assert (failed.status, failed.final_status, failed.final_error) == (
        "ok", "failed", "no such file",
    )  # fmt: skip
    assert store.inputs.status_counts() == {"ok": 2, "no_face": 1, "failed": 1}


def test_no_two_pictures_share_a_path(make_files, store):
    one, two, three = fill_store(store, map(photo_result, make_files(3)))
    assert store.drawings.assign_path(one, ["a.jpg", "2-a.jpg"]) == "a.jpg"
    assert store.drawings.assign_path(two, ["A.jpg", "2-a.jpg"]) == "2-a.jpg"
    store.drawings.mark_removed(one)
    assert store.drawings.assign_path(three, ["a.jpg", "2-a.jpg"]) == "a.jpg"
    assert store.drawings.assign_path(store.inputs.by_id(two.id), ["b.jpg"]) == "2-a.jpg"


def test_pictures_of_excluded_and_faceless_inputs_are_outdated(make_files, store):
    results = [photo_result(path) for path in make_files(3)]
    for record in fill_store(store, results):
        store.drawings.assign_path(record, [record.source.name])
        store.drawings.mark_drawn(record, PICTURE)
    assert not list(store.drawings.outdated())
    fill_store(store, [results[0], photo_result(make_files(2)[1], 0)])
    names = [record.source.name.rpartition("/")[2] for record in store.drawings.outdated()]
    assert names == ["01.jpg", "02.jpg"]

"""Which pictures exist, and where."""

from __future__ import annotations

import pytest
from result_folders import fill_ledger, photo_result

from gudi.outputs.folder import LEDGER
from gudi.results.ledger import Ledger
from gudi.settings import PICTURE, THUMBNAIL


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / LEDGER, 7) as opened:
        yield opened


def by_name(ledger):
    return {record.source.name.rpartition("/")[2]: record for record in ledger.sources.finished()}


def undrawn(ledger, pictures):
    found = [record.source.name.rpartition("/")[2] for record in ledger.drawings.undrawn(pictures)]
    assert len(found) == ledger.drawings.count_undrawn(pictures)
    return found


def test_sources_with_faces_are_drawn_once_for_each_kind_of_picture(make_files, ledger):
    results = [photo_result(path, faces) for path, faces in zip(make_files(4), (1, 0, 1, 1))]
    fill_ledger(ledger, results)
    assert undrawn(ledger, PICTURE) == ["00.jpg", "02.jpg", "03.jpg"]
    records = by_name(ledger)
    ledger.drawings.mark_drawn(records["00.jpg"], PICTURE)
    ledger.drawings.mark_drawn(records["02.jpg"], PICTURE | THUMBNAIL)
    ledger.drawings.mark_drawn(records["03.jpg"], PICTURE, "no such file")
    assert undrawn(ledger, PICTURE) == []
    assert undrawn(ledger, PICTURE | THUMBNAIL) == ["00.jpg"]
    failed = by_name(ledger)["03.jpg"]
    assert (failed.status, failed.final_status, failed.final_error) == (
        "ok", "failed", "no such file",
    )  # fmt: skip
    assert ledger.sources.status_counts() == {"ok": 2, "no_face": 1, "failed": 1}


def test_no_two_pictures_share_a_path(make_files, ledger):
    fill_ledger(ledger, map(photo_result, make_files(3)))
    one, two, three = ledger.sources.finished()
    assert ledger.drawings.assign_path(one, ["a.jpg", "2-a.jpg"]) == "a.jpg"
    assert ledger.drawings.assign_path(two, ["a.jpg", "2-a.jpg"]) == "2-a.jpg"
    ledger.drawings.mark_removed(one)
    assert ledger.drawings.assign_path(three, ["a.jpg", "2-a.jpg"]) == "a.jpg"
    two = by_name(ledger)["01.jpg"]
    assert ledger.drawings.assign_path(two, ["b.jpg"]) == "2-a.jpg"


def test_pictures_of_excluded_and_faceless_sources_are_outdated(make_files, ledger):
    results = [photo_result(path) for path in make_files(3)]
    fill_ledger(ledger, results)
    for record in ledger.sources.finished():
        ledger.drawings.assign_path(record, [record.source.name])
        ledger.drawings.mark_drawn(record, PICTURE)
    assert not list(ledger.drawings.outdated())
    fill_ledger(ledger, [results[0], photo_result(make_files(2)[1], 0)])
    names = [record.source.name.rpartition("/")[2] for record in ledger.drawings.outdated()]
    assert names == ["01.jpg", "02.jpg"]

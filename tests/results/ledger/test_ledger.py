"""A ledger as a whole: its notes, and sources copied from another ledger."""

from __future__ import annotations

import pytest
from result_folders import SETTINGS, fill_ledger, photo_result

from gudi.errors import OutputError
from gudi.media.source import Source
from gudi.results.ledger import Ledger


def test_settings_and_formats_are_remembered(tmp_path):
    with Ledger(tmp_path / "ledger", 7) as ledger:
        assert (ledger.settings, ledger.formats) == ({}, [])
        ledger.start_run(SETTINGS)
        ledger.formats = ["parquet", "csv", "docx"]
    with Ledger(tmp_path / "ledger", 7) as ledger:
        assert ledger.settings == SETTINGS
        assert ledger.formats == ["csv", "parquet"]  # others are not gudi's to remove


def test_source_with_a_known_problem_is_finished_at_once(tmp_path):
    with Ledger(tmp_path / "ledger", 7) as ledger:
        ledger.start_run(SETTINGS)
        ledger.register(Source("gone.jpg", "gone.jpg", "image", "no such file"))
        (record,) = ledger.sources.finished()
        assert (record.status, record.error, record.faces) == ("failed", "no such file", 0)


def test_copied_source_keeps_its_faces_and_loses_its_pictures(make_files, tmp_path):
    result = photo_result(make_files(1)[0], 2)
    with Ledger(tmp_path / "one", 7) as one, Ledger(tmp_path / "other", 7) as other:
        fill_ledger(other, [result])
        (record,) = other.sources.finished()
        other.drawings.assign_path(record, ["a.jpg"])
        other.drawings.mark_drawn(record, 3)
        (record,) = other.sources.finished()
        one.start_run(SETTINGS)
        copied = one.copy_from(other, record)
        assert (copied.source, copied.status, copied.digest) == (
            record.source, "ok", record.digest,
        )  # fmt: skip
        assert (copied.picture, copied.drawn) == (None, 0)
        assert [row.box for row in one.faces.rows(copied)] == result.boxes
        assert one.copy_from(other, record) is None
        prefixed = one.copy_from(other, record, "other/")
        assert prefixed.source.name == f"other/{record.source.name}"
        assert one.sources.status_counts() == {"ok": 2}


def test_source_with_different_results_is_not_copied(make_files, tmp_path):
    (path,) = make_files(1)
    with Ledger(tmp_path / "one", 7) as one, Ledger(tmp_path / "other", 7) as other:
        fill_ledger(one, [photo_result(path)])
        path.write_bytes(b"another photo")
        fill_ledger(other, [photo_result(path)])
        (record,) = other.sources.finished()
        with pytest.raises(OutputError, match="there are different results for"):
            one.copy_from(other, record)

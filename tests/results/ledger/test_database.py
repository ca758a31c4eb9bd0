"""The SQLite file: what is committed stays, and what is not a ledger is refused."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from conftest import gudi_environment
from result_folders import SETTINGS, fill_ledger, photo_result, random_probabilities

from gudi.detection import Box
from gudi.errors import OutputError
from gudi.outputs.folder import LEDGER
from gudi.results.ledger import Ledger
from gudi.store.paths import safe_paths


def test_ledger_cut_off_anywhere_holds_everything_committed_before(make_files, tmp_path):
    """A machine that loses power leaves the write-ahead log cut off anywhere."""
    files, log_path = make_files(20), tmp_path / "a" / f"{LEDGER}-wal"
    (tmp_path / "a").mkdir()
    ledger = Ledger(tmp_path / "a" / LEDGER, 7)
    ledger.start_run(SETTINGS)
    sizes = []
    for path in files:
        ledger.register(photo_result(path).source)
        ledger.faces.add(photo_result(path))
        ledger.commit()
        sizes.append(log_path.stat().st_size)
    log = log_path.read_bytes()
    random = np.random.default_rng(4)
    for cut in [0, *random.integers(0, len(log), 25).tolist(), len(log)]:
        folder = tmp_path / f"cut {cut}"
        folder.mkdir()
        shutil.copy(tmp_path / "a" / LEDGER, folder / LEDGER)
        (folder / f"{LEDGER}-wal").write_bytes(log[:cut])
        with Ledger(folder / LEDGER, 7) as rest:
            names = [record.source.name for record in rest.sources.finished()]
            assert names == [path.as_posix() for path in files[: len(names)]]
            assert len(names) >= sum(size <= cut for size in sizes)
            for record in rest.sources.finished():
                (row,) = rest.faces.rows(record)
                assert row.box == Box(0, 20, 30, 40)
                np.testing.assert_array_equal(row.probabilities, random_probabilities(1)[0])
    ledger.close()


def test_ledger_is_used_by_one_process_at_a_time(make_files, tmp_path):
    with Ledger(tmp_path / LEDGER, 7) as ledger:
        fill_ledger(ledger, map(photo_result, make_files(1)))
        ledger.commit()
        code = "import sys; from pathlib import Path; from gudi.results.ledger import Ledger\n"
        code += "Ledger(Path(sys.argv[1]), 7)"
        other = subprocess.run(
            [sys.executable, "-c", code, tmp_path / LEDGER],
            env=gudi_environment(),
            capture_output=True,
            text=True,
        )
    assert "is in use by another gudi" in other.stderr


def test_files_that_are_not_ledgers_are_refused(tmp_path):
    (tmp_path / LEDGER).write_bytes(b"SQLite format 3\0" + bytes(4000))
    with pytest.raises(OutputError, match=r"ledger\.sqlite is damaged .*--restart"):
        Ledger(tmp_path / LEDGER, 7)
    other = sqlite3.connect(tmp_path / "other")
    other.execute("CREATE TABLE t (a)")
    other.close()
    with pytest.raises(OutputError, match="is not a ledger of this version of gudi"):
        Ledger(tmp_path / "other", 7)


def test_damaged_setting_is_an_error_and_one_of_another_type_is_ignored(tmp_path):
    path = tmp_path / LEDGER
    for value, expected in (("[1, 2]", {}), ('{"a": 1}', {"a": 1})):
        with Ledger(path, 7) as ledger:
            ledger.start_run({})
        with sqlite3.connect(path) as database:
            database.execute("UPDATE meta SET value = ? WHERE key = 'settings'", (value,))
        database.close()
        with Ledger(path, 7) as ledger:
            assert ledger.settings == expected
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = '{' WHERE key = 'settings'")
    database.close()
    with Ledger(path, 7) as ledger, pytest.raises(OutputError, match="is damaged"):
        ledger.settings  # noqa: B018


def test_picture_paths_of_a_stranger_lead_nowhere(make_files, tmp_path):
    with Ledger(tmp_path / LEDGER, 7) as ledger:
        fill_ledger(ledger, map(photo_result, make_files(1)))
        (record,) = ledger.sources.finished()
        ledger.drawings.assign_path(record, ["../../precious.jpg"])
    with Ledger(tmp_path / LEDGER, 7) as ledger:
        (record,) = ledger.sources.finished()
        assert record.picture is None
        assert next(safe_paths("../../precious.jpg")) == "__/__/precious.jpg"


def test_names_that_are_not_utf_8_come_back_unchanged(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")
    result = photo_result(tmp_path / "a.jpg")
    source = type(result.source)("a.jpg", path, "image")
    with Ledger(tmp_path / LEDGER, 7) as ledger:
        ledger.start_run(SETTINGS)
        ledger.register(source)
        assert [each.path for each in ledger.sources.pending()] == [path]

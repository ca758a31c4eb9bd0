"""The SQLite file: what is committed stays, and what is not a store is refused."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from conftest import gudi_environment
from result_folders import SETTINGS, fill_store, photo_result, random_probabilities

from gudi.errors import OutputError
from gudi.media.source import Source
from gudi.records import Box
from gudi.store import STORE, Store
from gudi.store.paths import safe_paths


def test_store_cut_off_anywhere_holds_everything_committed_before(make_files, tmp_path):
    """A machine that loses power leaves the write-ahead log cut off anywhere."""
    files, log_path = make_files(20), tmp_path / "a" / f"{STORE}-wal"
    (tmp_path / "a").mkdir()
    store = Store(tmp_path / "a" / STORE)
    store.start_run(SETTINGS)
    sizes = []
    for path in files:
        store.register(photo_result(path).source)
        store.faces.add(photo_result(path))
        store.commit()
        sizes.append(log_path.stat().st_size)
    log = log_path.read_bytes()
    random = np.random.default_rng(4)
    for cut in [0, *random.integers(0, len(log), 25).tolist(), len(log)]:
        folder = tmp_path / f"cut {cut}"
        folder.mkdir()
        shutil.copy(tmp_path / "a" / STORE, folder / STORE)
        (folder / f"{STORE}-wal").write_bytes(log[:cut])
        with Store(folder / STORE) as rest:
            names = [record.source.name for record in rest.inputs.finished()]
            assert names == [path.as_posix() for path in files[: len(names)]]
            assert len(names) >= sum(size <= cut for size in sizes)
            for record in rest.inputs.finished():
                (face,) = rest.faces.of_input(record)
                assert face.box == Box(0, 20, 30, 40)
                np.testing.assert_array_equal(face.probabilities, random_probabilities(1)[0])
    store.close()


def test_one_process_writes_and_any_number_read(make_files, tmp_path):
    with Store(tmp_path / STORE) as store:
        fill_store(store, map(photo_result, make_files(1)))
        store.commit()
        code = "import sys; from pathlib import Path; from gudi.store import Store\n"
        for call in ("Store(Path(sys.argv[1], 'results.sqlite'))", "Store.open_results(Path('.'))"):
            other = subprocess.run(
                [sys.executable, "-c", code + call, tmp_path],
                env=gudi_environment(),
                cwd=tmp_path,
                capture_output=True,
                text=True,
            )
            assert "is in use: another gudi writes to it" in other.stderr
    with Store.open_results(tmp_path) as one, Store.open_results(tmp_path) as other:
        assert one.emotion_counts() == other.emotion_counts() != {}
        with pytest.raises(OutputError, match="readonly"):
            one.start_run({})
    assert [path.name for path in tmp_path.glob(f"{STORE}*")] == [STORE]
    with pytest.raises(OutputError, match=r"results\.sqlite does not exist.*repeat gudi batch"):
        Store.open_results(tmp_path / "nowhere")


def test_files_that_are_not_stores_are_refused(tmp_path):
    (tmp_path / STORE).write_bytes(b"SQLite format 3\0" + bytes(4000))
    with pytest.raises(OutputError, match=r"results\.sqlite is damaged .*--restart"):
        Store(tmp_path / STORE)
    sqlite3.connect(tmp_path / "other").execute("CREATE TABLE t (a)").connection.close()
    with pytest.raises(OutputError, match="was not written by this version of gudi"):
        Store(tmp_path / "other")


def test_damaged_setting_is_an_error_and_one_of_another_type_is_ignored(tmp_path):
    for value, expected in (("[1, 2]", {}), ('{"a": 1}', {"a": 1}), ("{", None)):
        path = tmp_path / str(len(value))
        with Store(path) as store:
            store.start_run({})
        with sqlite3.connect(path) as database:
            database.execute("UPDATE runs SET settings = ?", (value,))
        database.close()
        if expected is None:
            with pytest.raises(OutputError, match="is damaged"):
                Store(path)
        else:
            with Store(path) as store:
                assert store.settings == expected


def test_picture_paths_of_a_stranger_lead_nowhere(make_files, tmp_path):
    with Store(tmp_path / STORE) as store:
        (record,) = fill_store(store, map(photo_result, make_files(1)))
        store.drawings.assign_path(record, ["../../precious.jpg"])
        assert store.inputs.by_id(record.id).annotated is None
    assert next(safe_paths("../../precious.jpg")) == "__/__/precious.jpg"


def test_paths_that_are_not_utf_8_come_back_unchanged(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")
    with Store(tmp_path / STORE) as store:
        store.start_run(SETTINGS)
        store.register(Source("a.jpg", path, "image"))
        assert [each.path for each in store.inputs.pending()] == [path]

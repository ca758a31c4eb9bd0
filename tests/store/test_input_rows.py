"""Which inputs are new, pending or finished."""

from __future__ import annotations

import os

import pytest
from result_folders import SETTINGS, fill_store, photo_result

from gudi.media.source import Source
from gudi.store import STORE, Store


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / STORE) as opened:
        yield opened


def pending(store):
    return [source.path for source in store.inputs.pending()]


def test_only_changed_sources_are_pending(make_files, store):
    files = make_files(6)
    fill_store(store, map(photo_result, files))
    assert not pending(store)
    os.utime(files[3], ns=(1, 1))  # the same content
    files[4].write_bytes(b"another")
    files[5].unlink()
    store.start_run(SETTINGS)
    for path in files[:5]:
        store.register(photo_result(path).source)
    store.register(Source(files[5].as_posix(), str(files[5]), "image", "no such file"))
    assert pending(store) == [str(files[4])]
    assert store.inputs.status_counts() == {"ok": 4, None: 1, "failed": 1}
    files[5].write_bytes(b"back")
    store.start_run(SETTINGS)
    store.register(photo_result(files[5]).source)
    assert pending(store) == [str(files[5])]


def test_source_that_was_missing_is_processed_when_it_is_back(make_files, store, tmp_path):
    files = make_files(2)
    content = files[0].read_bytes()
    store.start_run(SETTINGS)
    for path in files:
        store.register(photo_result(path).source)
    files[0].rename(tmp_path / "elsewhere")
    store.faces.add(photo_result(files[0], 0, "no such file"))
    store.faces.add(photo_result(files[1], 0, "it is damaged"))
    assert store.inputs.status_counts() == {"failed": 2}
    (tmp_path / "elsewhere").rename(files[0])
    assert files[0].read_bytes() == content
    store.start_run(SETTINGS)
    for path in files:
        store.register(photo_result(path).source)
    assert pending(store) == [str(files[0])]


def test_source_is_new_until_this_run_has_registered_it(make_files, store, tmp_path):
    (path,) = make_files(1)
    (tmp_path / "link").symlink_to(path.parent)
    for _ in range(2):
        store.start_run(SETTINGS)
        assert store.inputs.is_new(Source.of(path))
        store.register(photo_result(path).source)
        assert not store.inputs.is_new(Source.of(path))
        assert not store.inputs.is_new(Source.of(tmp_path / "link" / path.name))


def test_source_is_finished_unless_it_failed_or_changed(make_files, store):
    good, bad = map(photo_result, make_files(2))
    bad.error = "it is damaged"
    store.start_run(SETTINGS)
    store.register(good.source)
    assert not store.inputs.is_finished(good.source)
    fill_store(store, [good, bad])
    assert store.inputs.is_finished(good.source)
    assert store.inputs.is_finished(bad.source)
    assert not store.inputs.is_finished(bad.source, or_failed=False)
    with open(good.source.path, "ab") as file:
        file.write(b"more")
    assert not store.inputs.is_finished(good.source)


def test_failed_sources_and_drawings_are_retried(make_files, store):
    results = [photo_result(path) for path in make_files(4)]
    results[1].error = results[3].error = "it is damaged"
    fill_store(store, results[3:])  # of a run with other inputs
    *_, record = fill_store(store, results[:3])
    store.drawings.mark_drawn(record, 1, "no such file")
    assert store.inputs.status_counts() == {"ok": 1, "failed": 2}
    store.inputs.retry_failed()
    assert pending(store) == [results[1].source.path]
    assert store.inputs.status_counts() == {"ok": 2, None: 1}
    store.start_run(SETTINGS)
    store.register(results[3].source)
    assert store.inputs.status_counts() == {"failed": 1}


def test_sources_of_earlier_runs_are_excluded(make_files, store):
    results = [photo_result(path) for path in make_files(3)]
    fill_store(store, results)
    fill_store(store, results[1:])
    assert store.inputs.count_excluded() == 1
    names = [record.source.name for record in store.inputs.finished()]
    assert names == [result.source.name for result in results[1:]]
    assert len(list(store.inputs.all_runs())) == 3
    assert store.inputs.totals() == (2, 0, 0)
    assert store.inputs.named(names[0]).source == results[1].source
    assert store.inputs.named(results[0].source.name) is None
    assert not store.inputs.has_finished_videos()

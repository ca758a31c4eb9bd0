"""Which sources are new, pending or finished."""

from __future__ import annotations

import os

import pytest
from result_folders import SETTINGS, fill_ledger, photo_result

from gudi.media.source import Source
from gudi.results.folder import LEDGER
from gudi.results.ledger import Ledger


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / LEDGER, 7) as opened:
        yield opened


def pending(ledger):
    return [source.path for source in ledger.sources.pending()]


def test_only_changed_sources_are_pending(make_files, ledger):
    files = make_files(6)
    fill_ledger(ledger, map(photo_result, files))
    assert not pending(ledger)
    os.utime(files[3], ns=(1, 1))  # the same content
    files[4].write_bytes(b"another")
    files[5].unlink()
    ledger.start_run(SETTINGS)
    for path in files[:5]:
        ledger.register(photo_result(path).source)
    ledger.register(Source(files[5].as_posix(), str(files[5]), "image", "no such file"))
    assert pending(ledger) == [str(files[4])]
    assert ledger.sources.status_counts() == {"ok": 4, None: 1, "failed": 1}
    files[5].write_bytes(b"back")
    ledger.start_run(SETTINGS)
    ledger.register(photo_result(files[5]).source)
    assert pending(ledger) == [str(files[5])]


def test_source_that_was_missing_is_processed_when_it_is_back(make_files, ledger, tmp_path):
    files = make_files(2)
    content = files[0].read_bytes()
    ledger.start_run(SETTINGS)
    for path in files:
        ledger.register(photo_result(path).source)
    files[0].rename(tmp_path / "elsewhere")
    ledger.faces.add(photo_result(files[0], 0, "no such file"))
    ledger.faces.add(photo_result(files[1], 0, "it is damaged"))
    assert ledger.sources.status_counts() == {"failed": 2}
    (tmp_path / "elsewhere").rename(files[0])
    assert files[0].read_bytes() == content
    ledger.start_run(SETTINGS)
    for path in files:
        ledger.register(photo_result(path).source)
    assert pending(ledger) == [str(files[0])]


def test_source_is_new_until_this_run_has_registered_it(make_files, ledger, tmp_path):
    (path,) = make_files(1)
    (tmp_path / "link").symlink_to(path.parent)
    for _ in range(2):
        ledger.start_run(SETTINGS)
        assert ledger.sources.is_new(Source.of(path))
        ledger.register(photo_result(path).source)
        assert not ledger.sources.is_new(Source.of(path))
        assert not ledger.sources.is_new(Source.of(tmp_path / "link" / path.name))


def test_source_is_finished_unless_it_failed_or_changed(make_files, ledger):
    good, bad = map(photo_result, make_files(2))
    bad.error = "it is damaged"
    ledger.start_run(SETTINGS)
    ledger.register(good.source)
    assert not ledger.sources.is_finished(good.source)
    fill_ledger(ledger, [good, bad])
    assert ledger.sources.is_finished(good.source)
    assert ledger.sources.is_finished(bad.source)
    assert not ledger.sources.is_finished(bad.source, or_failed=False)
    with open(good.source.path, "ab") as file:
        file.write(b"more")
    assert not ledger.sources.is_finished(good.source)


def test_failed_sources_and_drawings_are_retried(make_files, ledger):
    results = [photo_result(path) for path in make_files(4)]
    results[1].error = results[3].error = "it is damaged"
    fill_ledger(ledger, results[3:])  # of a run with other inputs
    fill_ledger(ledger, results[:3])
    record = ledger.sources.by_id(ledger.sources.id_of(results[2].source))
    ledger.drawings.mark_drawn(record, 1, "no such file")
    assert ledger.sources.status_counts() == {"ok": 1, "failed": 2}
    ledger.sources.retry_failed()
    assert pending(ledger) == [results[1].source.path]
    assert ledger.sources.status_counts() == {"ok": 2, None: 1}
    ledger.start_run(SETTINGS)
    ledger.register(results[3].source)
    assert ledger.sources.status_counts() == {"failed": 1}


def test_sources_of_earlier_runs_are_excluded(make_files, ledger):
    results = [photo_result(path) for path in make_files(3)]
    fill_ledger(ledger, results)
    fill_ledger(ledger, results[1:])
    assert ledger.sources.count_excluded() == 1
    names = [record.source.name for record in ledger.sources.finished()]
    assert names == [result.source.name for result in results[1:]]
    assert len(list(ledger.sources.all_runs())) == 3
    assert ledger.sources.totals() == (2, 0, 0)
    assert not ledger.sources.has_videos()

"""The run record: written, read, and read from files of strangers."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from conftest import ROOT

from gudi.outputs.folder import ResultFolder
from gudi.outputs.run_record import (
    FAILED,
    CheckpointRecord,
    RunCounts,
    RunRecord,
    current_versions,
    read_run_record,
)

COUNTS = RunCounts(
    sources=4, ok=2, no_face=1, failed=1, not_reached=0, earlier=1, processed=3, photos=4,
    videos=0, frames=0, faces=5,
)  # fmt: skip


def full_record():
    return RunRecord(
        settings={"format": "csv", "min_face": 0},
        checkpoint=CheckpointRecord("default.gudi", "c0ffee", ""),
        inputs=["photos"],
        more_inputs=7,
        shard=(1, 4),
        versions=current_versions(),
        state=FAILED,
        failure="OSError: full",
        device="/CPU:0",
        skipped={".txt": 3},
        counts=COUNTS,
        emotion_counts={"happy": 5},
        seconds={"startup": 1.5, "inputs": 2.0},
        processor_seconds={"detect": 3.25},
    )


def test_record_is_read_as_it_was_written(tmp_path):
    record = full_record()
    ResultFolder(tmp_path).write_run_record(record)
    assert read_run_record(tmp_path) == record


def test_unknown_fields_are_omitted(tmp_path):
    record = RunRecord(settings={}, checkpoint=CheckpointRecord(None, "c0ffee"), inputs=[])
    ResultFolder(tmp_path).write_run_record(record)
    content = json.loads((tmp_path / "run.json").read_text())
    assert set(content) == {
        "gudi", "state", "failure", "started", "inputs", "more_inputs", "settings", "shard",
        "checkpoint", "versions",
    }  # fmt: skip
    assert (content["state"], content["shard"]) == ("running", None)
    assert content["checkpoint"] == {"fingerprint": "c0ffee"}
    assert content["started"].startswith("20")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"name": 1}', "[" * 100_000])
def test_other_files_are_not_run_records(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    assert read_run_record(tmp_path) is None
    assert read_run_record(tmp_path / "nowhere") is None


def test_values_of_unexpected_types_count_as_missing(tmp_path):
    names = [
        "state", "failure", "started", "inputs", "more_inputs", "settings", "shard", "checkpoint",
        "versions", "device", "skipped", "counts", "emotion_counts", "seconds", "processor_seconds",
    ]  # fmt: skip
    for strange in ({"path": [1], "a": []}, [[1], 2, 3], 1.5, True, None):
        content = {"gudi": strange} | dict.fromkeys(names, strange)
        (tmp_path / "run.json").write_text(json.dumps(content))
        record = read_run_record(tmp_path)
        assert (record.device, record.shard, record.seconds) == (None, None, None)
        assert record.checkpoint == CheckpointRecord(None, "")
        ResultFolder(tmp_path).write_run_record(record)


def test_times_of_the_last_work_are_kept():
    record = RunRecord(settings={}, checkpoint=CheckpointRecord(None, ""), inputs=[])
    record.keep_last_work(full_record())
    assert (record.device, record.seconds["startup"]) == ("/CPU:0", 1.5)
    assert record.processor_seconds == {"detect": 3.25}
    assert record.counts is None


def test_every_key_is_documented():
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    section = page.partition("## run.json")[2].partition("\n## ")[0]
    for each in (*fields(RunRecord), *fields(RunCounts)):
        assert f"`{each.name}`" in section, each.name

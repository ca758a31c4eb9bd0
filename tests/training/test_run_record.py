"""`run.json`: what is written is read again, and what is damaged is refused."""

from __future__ import annotations

import json

import pytest

from gudi.errors import TrainingError
from gudi.training.curve import EpochMetrics
from gudi.training.training_record import (
    INTERRUPTED,
    FaceFingerprints,
    Resumption,
    TrainingRecord,
    now,
    read_record,
    write_record,
)
from gudi.training.training_settings import TrainingSettings

HISTORY = [EpochMetrics(1, 6, 0.001, 1.9, 0.2, 1.8, 0.3, 2.04)]


@pytest.fixture
def record() -> TrainingRecord:
    return TrainingRecord(
        settings=TrainingSettings(optimizer="adam", epochs=3),
        fingerprints=FaceFingerprints("a" * 64, None),
        faces=54,
        validation_faces=6,
        started=now(),
        resumed=(Resumption(4, {"epochs": 3}),),
    ).updated(INTERRUPTED, HISTORY)


def test_record_survives_a_file(record, tmp_path):
    write_record(record, tmp_path)
    assert read_record(tmp_path) == record
    content = json.loads((tmp_path / "run.json").read_text())
    assert (content["state"], content["epochs_done"], content["seconds"]) == ("interrupted", 1, 2.0)
    assert content["last_epoch"]["validation_accuracy"] == 0.3
    assert set(content["versions"]) == {"python", "tensorflow", "tflearn", "numpy"}


@pytest.mark.parametrize("content", ["{}", "no json", '{"settings": {"epochs": "9"}}', "[]", "5"])
def test_damaged_record_is_refused(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(TrainingError, match=r"cannot read .*run.json: "):
        read_record(tmp_path)


@pytest.mark.parametrize("key", ["settings", "fingerprints", "started", "epochs_done"])
def test_record_without_what_resuming_needs_is_refused(record, tmp_path, key):
    content = record.to_json()
    del content[key]
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(TrainingError, match=f"cannot read .*run.json: .*{key}"):
        read_record(tmp_path)

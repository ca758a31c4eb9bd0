"""Trainings that an earlier version of gudi started and that this version resumes."""

from __future__ import annotations

import json

import numpy as np
from conftest import needs_tensorflow

from gudi import checkpoint as checkpoints
from gudi.training.dataset import Dataset
from gudi.training.train import resume
from training.helpers import StopAfter

# As gudi wrote them before `began` in run.json became `started`.
RUN = """{
  "gudi": "0.1.0",
  "state": "interrupted",
  "began": "2026-11-25T18:59:44+00:00",
  "settings": {
    "recipe": "original", "epochs": 3, "batch_size": 10, "optimizer": "momentum",
    "learning_rate": 1e-09, "schedule": "constant", "decay": 1.0, "keep": 0.3, "keep_hidden": 1.0,
    "smoothing": 0.0, "variation": 0.0, "balance": 0.0, "average": 0.0, "units": 8, "init": "",
    "teacher": "", "seed": 42, "precision": "float32", "tensorboard_verbose": 0, "device": "cpu"
  },
  "resumed": [{"step": 1, "changes": {"epochs": 3}}],
  "fingerprints": {
    "data": "1ec7275c3b8ef01228bf4716b684f965f372fe622e3c6ae62a25898f30f3b5ff",
    "validation": null
  },
  "faces": 36,
  "validation_faces": 4,
  "epochs_done": 1,
  "last_epoch": {
    "epoch": 1, "step": 4, "learning_rate": 1e-09, "loss": 1.9389596283435822,
    "accuracy": 0.1250000037252903, "validation_loss": 1.96206533908844,
    "validation_accuracy": 0.0, "seconds": 29.419674660000055
  },
  "seconds": 29.4,
  "versions": {
    "python": "3.11.7", "tensorflow": "2.21.0", "tflearn": "0.5.0", "numpy": "2.4.6"
  }
}
"""
STATE = """{
 "epoch": 1,
 "batch": 2,
 "step": 6,
 "history": [
  {
   "epoch": 1,
   "step": 4,
   "learning_rate": 1e-09,
   "loss": 1.9389596283435822,
   "accuracy": 0.1250000037252903,
   "validation_loss": 1.96206533908844,
   "validation_accuracy": 0.0,
   "seconds": 29.419674660000055
  }
 ],
 "loss": 3.873509407043457,
 "accuracy": 0.30000001192092896,
 "seconds": 6.711977056999785,
 "average_loss": 1.9316976589652208,
 "average_accuracy": 0.17386364325281833
}"""
SHAPES = {
    "Conv2D/W": (5, 5, 1, 64), "Conv2D/b": (64,),
    "Conv2D_1/W": (5, 5, 64, 64), "Conv2D_1/b": (64,),
    "Conv2D_2/W": (4, 4, 64, 128), "Conv2D_2/b": (128,),
    "FullyConnected/W": (12 * 12 * 128, 8), "FullyConnected/b": (8,),
    "FullyConnected_1/W": (8, 7), "FullyConnected_1/b": (7,),
}  # fmt: skip


@needs_tensorflow
def test_training_of_an_earlier_version_is_resumed(tmp_path):
    faces = (np.arange(40 * 48 * 48).reshape(40, 48, 48) * 7 % 251).astype(np.uint8)
    data = Dataset(faces, np.arange(40) % 7)
    random = np.random.default_rng(1)
    weights = {name: random.normal(0, 0.01, shape) for name, shape in SHAPES.items()}
    slots = {f"{name}/Momentum": np.zeros(shape) for name, shape in SHAPES.items()}
    variables = {name: value.astype(np.float32) for name, value in (weights | slots).items()}
    snapshot = tmp_path / "snapshots" / "step-000000006"
    snapshot.mkdir(parents=True)
    checkpoints.write_v2(snapshot / "variables", variables)
    (snapshot / "state.json").write_text(STATE)
    (tmp_path / "run.json").write_text(RUN)

    progress = StopAfter(4)  # the last two batches of the second epoch, and two of the third
    result = resume(data, tmp_path, {"epochs": 4}, progress=progress)
    assert progress.notes[0] == "resuming at epoch 2, batch 3"
    assert result.prefix is None
    assert [row.epoch for row in result.history] == [1, 2]
    assert result.history[0].seconds == 29.419674660000055
    assert result.history[1].step == 8
    assert 1.9 < result.history[1].loss < 2.0  # half of it from the earlier version

    record = json.loads((tmp_path / "run.json").read_text())
    assert record["started"] == "2026-11-25T18:59:44+00:00"
    assert record["resumed"] == [
        {"step": 1, "changes": {"epochs": 3}},
        {"step": 6, "changes": {"epochs": 4}},
    ]
    assert record["epochs_done"] == 2
    last = tmp_path / "snapshots" / "step-000000010"
    state = json.loads((last / "state.json").read_text())
    assert set(state) == set(json.loads(STATE))
    assert (state["epoch"], state["batch"], state["step"]) == (2, 2, 10)
    file = checkpoints.open_checkpoint(last / "variables")
    assert set(file.tensors) == set(variables)
    for name in SHAPES:  # the learning rate changes next to nothing
        np.testing.assert_allclose(file.read(name)[0], variables[name], atol=1e-6)

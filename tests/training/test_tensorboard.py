"""What TensorBoard shows of a training."""

from __future__ import annotations

import pytest

from gudi.training.dataset import load
from gudi.training.settings import settings_for
from gudi.training.train import train
from training.helpers import BATCHES, StopAfter


@pytest.mark.parametrize("level", [0, 3])
def test_levels_log_what_tflearns_do(work, level):
    from gudi.network import tf

    changes = {"units": 8, "batch_size": 10, "tensorboard_verbose": level, "precision": "bfloat16"}
    settings = settings_for("original", changes)
    result = train(load(work / "data"), work / "out", settings, progress=StopAfter(2 * BATCHES + 1))
    assert result.prefix is None
    (events,) = (work / "out" / "logs" / "FER").iterdir()
    tags = {}
    for event in tf.train.summary_iterator(str(events)):
        for value in event.summary.value:
            tags.setdefault(value.tag, []).append(event.step)
    assert tags["Loss"] == tags["Accuracy"] == list(range(1, 14))
    assert tags["Loss/Validation"] == tags["Accuracy/Validation"] == [6, 12]
    assert ("Conv2D/W/gradient" in tags, "Conv2D/W/values" in tags) == (level == 3, level == 3)
    assert any("sparsity" in tag for tag in tags) == (level == 3)

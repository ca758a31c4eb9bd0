"""What TensorBoard shows of a training."""

from __future__ import annotations

import pytest
from conftest import needs_tensorflow

from gudi.training.dataset import load
from gudi.training.train import train
from gudi.training.training_settings import TrainingSettings
from training.helpers import StopAfter, write_data

pytestmark = needs_tensorflow


@pytest.mark.parametrize("level", [0, 3])
def test_levels_log_what_tflearns_do(tmp_path, level):
    from gudi.network import tf

    write_data(tmp_path / "data", 20)  # two batches per epoch
    changes = {"units": 8, "batch_size": 10, "tensorboard_verbose": level}
    settings, progress = TrainingSettings(**changes), StopAfter(5)
    result = train(load(tmp_path / "data"), tmp_path / "out", settings, progress=progress)
    assert result.prefix is None
    (events,) = (tmp_path / "out" / "logs" / "FER").iterdir()
    tags: dict[str, list[int]] = {}
    for event in tf.train.summary_iterator(str(events)):
        for value in event.summary.value:
            tags.setdefault(value.tag, []).append(event.step)
    assert tags["Loss"] == tags["Accuracy"] == [1, 2, 3, 4, 5]
    assert tags["Loss/Validation"] == tags["Accuracy/Validation"] == [2, 4]
    assert ("Conv2D/W/gradient" in tags, "Conv2D/W/values" in tags) == (level == 3, level == 3)
    assert any("sparsity" in tag for tag in tags) == (level == 3)

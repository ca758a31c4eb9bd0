"""The learning curve as a table and as a picture."""

from __future__ import annotations

import cv2
import pytest

from gudi.errors import OutputError
from gudi.training.curve import EpochMetrics, draw_curve, write_curve

HISTORY = [
    EpochMetrics(1, 6, 0.001, 1.9459101, 0.2, 1.8, 1 / 3, 2.04),
    EpochMetrics(2, 12, 0.0005, 1.5, 0.4, 1.6, 0.5, 2.0),
]


def test_table_has_one_row_per_epoch(tmp_path):
    write_curve(HISTORY, tmp_path / "curve.csv")
    assert (tmp_path / "curve.csv").read_text() == (
        "epoch,step,learning_rate,loss,accuracy,validation_loss,validation_accuracy,seconds\n"
        "1,6,0.001,1.94591,0.2,1.8,0.333333,2.04\n"
        "2,12,0.0005,1.5,0.4,1.6,0.5,2\n"
    )


@pytest.mark.parametrize("epochs", [1, 2])
def test_picture_shows_something(tmp_path, epochs):
    draw_curve(HISTORY[:epochs], tmp_path / "curve.png")
    assert cv2.imread(str(tmp_path / "curve.png")).std() > 0


def test_missing_folder_is_an_output_error(tmp_path):
    for write in (write_curve, draw_curve):
        with pytest.raises(OutputError, match=r"cannot write .*nowhere/curve: No such file"):
            write(HISTORY, tmp_path / "nowhere" / "curve")

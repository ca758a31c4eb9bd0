"""Checkpoints side by side."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import call_gudi

from gudi.training.compare import compare
from gudi.training.evaluate import Evaluation
from training.helpers import write_data


def evaluation(right: str) -> Evaluation:
    """Return an evaluation that is right about the faces marked by 1."""
    marks = np.array([mark == "1" for mark in right])
    return Evaluation((), np.zeros((2, 2), np.int64), marks.mean(), 0.0, marks)


@pytest.mark.parametrize(
    ("first", "other", "expected"),
    [
        ("1000000001", "0111111111", (1, 8, 2 * (1 + 9) / 2**9)),
        ("1100", "1010", (1, 1, 1.0)),
        ("1100", "1100", (0, 0, 1.0)),
        ("111110", "000000", (5, 0, 2 / 2**5)),
    ],
)
def test_mcnemars_test_is_exact(first, other, expected):
    found = compare(evaluation(first), evaluation(other))
    assert (found.first, found.other, found.p_value) == pytest.approx(expected)


def test_two_checkpoints_are_printed_side_by_side(tmp_path, made, narrow):
    write_data(tmp_path / "data" / "sf=1.1_data")
    arguments = ("evaluate", "data", "--checkpoint", made[0], "--checkpoint", narrow)
    ended = call_gudi(*arguments, "--out", "out", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert f"2: {narrow}" in ended.stdout
    assert "2 against 1: only 2 is right about " in ended.stdout
    records = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert f"{records['faces-1']['accuracy']:.4f}" in ended.stdout
    assert f"{records['faces-2']['accuracy']:.4f}" in ended.stdout
    assert (tmp_path / "out" / "confusion-faces-2.csv").is_file()

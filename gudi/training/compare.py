"""Compare checkpoints on the same faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gudi.training.evaluate import Evaluation, as_score


@dataclass(frozen=True)
class Comparison:
    """How two checkpoints differ on the same faces.

    Attributes:
        first, other: number of faces about which only this one is right.
        p_value: of McNemar's exact test (1947), two-sided: how probable a difference as large as
            this would be if both were equally good.
    """

    first: int
    other: int
    p_value: float


def compare(first: Evaluation, other: Evaluation) -> Comparison:
    """Compare two evaluations of the same faces."""
    from scipy.stats import binomtest

    only_first = int(np.sum(first.right & ~other.right))
    only_other = int(np.sum(other.right & ~first.right))
    differing = only_first + only_other
    p_value = float(binomtest(only_first, differing).pvalue) if differing else 1.0
    return Comparison(only_first, only_other, p_value)


def as_table(evaluations: Sequence[Evaluation]) -> str:
    """Return the figures side by side, and how each differs from the first, for people."""
    first = evaluations[0]
    rows = [
        ("", *(str(number) for number, _ in enumerate(evaluations, 1))),
        ("accuracy", *(f"{each.accuracy:.4f}" for each in evaluations)),
        ("cross-entropy", *(f"{each.loss:.4f}" for each in evaluations)),
    ]
    rows += [
        (f"recall of {name}", *(as_score(each.scores[index].recall) for each in evaluations))
        for index, name in enumerate(first.names)
    ]
    width = max(len(row[0]) for row in rows)
    lines = [f"{row[0]:{width}}" + "".join(f"  {cell:>7}" for cell in row[1:]) for row in rows]
    for number, each in enumerate(evaluations[1:], 2):
        found = compare(first, each)
        lines.append(
            f"{number} against 1: only {number} is right about {found.other:,} faces, only 1 about "
            f"{found.first:,}; p = {found.p_value:.2g} (McNemar)"
        )
    return "\n".join(lines)

"""Rows of a table as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any

from gudi.columns import Column

if TYPE_CHECKING:
    import pandas

# Rows of a DataFrame that are Python objects at the same time.
CHUNK = 50_000


def data_frame(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> pandas.DataFrame:
    """Return rows with the values of `columns` as a DataFrame with their types."""
    import pandas

    rows, chunks = iter(rows), []
    while chunk := list(islice(rows, CHUNK)):
        chunks.append(_of_values(columns, zip(*chunk)))
    if not chunks:
        return _of_values(columns, repeat(()))
    return pandas.concat(chunks, ignore_index=True)


def _of_values(columns: Sequence[Column], values: Iterable[Sequence[Any]]) -> pandas.DataFrame:
    import pandas

    return pandas.DataFrame(
        {
            column.name: pandas.Series(each, dtype=column.pandas_type)
            for column, each in zip(columns, values)
        }
    )

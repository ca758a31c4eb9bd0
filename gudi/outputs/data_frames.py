"""Rows of a table as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any

from gudi.columns import Column
from gudi.records import Face

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


def to_dataframe(faces: Iterable[Face | Sequence[Face]]) -> pandas.DataFrame:
    """Return faces as a DataFrame: one row per face, with the columns of `faces.csv`.

    Args:
        faces: what a `Recognizer` returns for pictures, videos or cameras.

    Example:
        >>> with gudi.Recognizer() as recognizer:
        ...     table = gudi.to_dataframe(recognizer(["one.jpg", "two.jpg"]))
    """
    import pandas

    flat = [each for item in faces for each in ([item] if isinstance(item, Face) else item)]
    return pandas.DataFrame(
        {
            "source": face.source,
            "frame": face.frame,
            "time_s": face.time_s,
            **face.box._asdict(),
            "score": face.score,
            "emotion": face.emotion,
            "confidence": face.confidence,
            **dict(zip(face.emotions, map(float, face.probabilities))),
        }
        for face in flat
    )


def _of_values(columns: Sequence[Column], values: Iterable[Sequence[Any]]) -> pandas.DataFrame:
    import pandas

    return pandas.DataFrame(
        {
            column.name: pandas.Series(each, dtype=column.pandas_type)
            for column, each in zip(columns, values)
        }
    )

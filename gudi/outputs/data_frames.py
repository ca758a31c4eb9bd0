"""Rows of a table as a pandas DataFrame."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice, repeat
from typing import TYPE_CHECKING, Any

from gudi.columns import FACES, SMOOTHED, Column, expand
from gudi.constants import EMOTIONS
from gudi.errors import UsageError
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


def _of_values(columns: Sequence[Column], values: Iterable[Sequence[Any]]) -> pandas.DataFrame:
    import pandas

    return pandas.DataFrame(
        {
            column.name: pandas.Series(each, dtype=column.pandas_type)
            for column, each in zip(columns, values)
        }
    )


def to_dataframe(faces: Iterable[Face | Iterable[Face]]) -> pandas.DataFrame:
    """Return faces as a DataFrame with the columns of `faces.csv`, see docs/results.md.

    Args:
        faces: what a recognizer returns for a picture, a list, a video or a camera; or any faces.
            Without a face, the columns of emotions are the original's seven.

    Raises:
        UsageError: there is something else among them.

    Example:
        >>> with gudi.Recognizer() as recognizer:
        ...     table = gudi.to_dataframe(recognizer(["one.jpg", "two.jpg"]))
    """
    found = list(_numbered(faces))
    columns = expand(
        FACES,
        found[0][1].emotions if found else EMOTIONS,
        tracked=any(face.track is not None for _, face in found),
    )
    return data_frame(columns, (_row(columns, number, face) for number, face in found))


def _numbered(faces: Iterable[Face | Iterable[Face]]) -> Iterator[tuple[int, Face]]:
    """Yield each face after its number in its picture."""
    try:
        for picture in _pictures(faces):
            for number, face in enumerate(picture):
                if not isinstance(face, Face):
                    raise TypeError
                yield number, face
    except TypeError as error:
        raise UsageError(f"faces must be those of a recognizer. Received: {faces!r:.60}") from error


def _pictures(faces: Iterable[Face | Iterable[Face]]) -> Iterator[Iterable[Any]]:
    """Yield the faces of each picture, which are in a list or come one after the other."""
    for key, group in groupby(
        faces, lambda item: (item.source, item.frame) if isinstance(item, Face) else None
    ):
        if key is None:
            yield from typing.cast("Iterator[Iterable[Face]]", group)
        else:
            yield group


def _row(columns: Sequence[Column], number: int, face: Face) -> list[Any]:
    smoothed: dict[str, Any] = {}
    if face.smoothed is not None:
        top = int(face.smoothed.argmax())
        smoothed = dict(zip(face.emotions, face.smoothed.tolist()))
        smoothed |= {"emotion": face.emotions[top], "confidence": float(face.smoothed[top])}
    values = {
        "source": face.source,
        "kind": "image" if face.frame is None else "video",
        "frame": face.frame,
        "time_s": face.time_s,
        "face": number,
        **face.box._asdict(),
        "score": face.score,
        "emotion": face.emotion,
        "confidence": face.confidence,
        **dict(zip(face.emotions, face.probabilities.tolist())),
        "track": face.track,
        **{f"{SMOOTHED}{name}": value for name, value in smoothed.items()},
        **face.values,
    }
    return [values.get(column.name) for column in columns]

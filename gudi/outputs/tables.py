"""Write tables as csv, JSON lines or parquet."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

from gudi.columns import Column, names
from gudi.files import atomic_write, write_errors
from gudi.settings import EXCEL_EU, STANDARD

# Rows of a parquet file that are held in memory and compressed together.
PARQUET_ROWS = 50_000

Row = Sequence[Any]


def write_table(
    path: Path,
    rows: Iterable[Row],
    columns: Sequence[Column],
    format: str,
    dialect: str = STANDARD,
) -> None:
    """Write a table to `path`, whole or not at all.

    Args:
        path: the file.
        rows: the values of `columns`; None for a missing value.
        columns: of the table.
        format: `csv`, `jsonl` or `parquet`.
        dialect: of a csv file, one of `gudi.settings.CSV_DIALECTS`.

    Raises:
        OutputError: it cannot be written.
    """
    if format == "parquet":
        _write_parquet(path, rows, columns)
        return
    with text_file(path) as file:
        if format == "jsonl":
            _write_jsonl(file, rows, columns)
        else:
            write_csv(file, rows, columns, dialect)


def write_csv(
    file: IO[str], rows: Iterable[Row], columns: Sequence[Column], dialect: str = STANDARD
) -> None:
    """Write the rows of a table to an open file; None for a missing value."""
    delimiter, point = (";", ",") if dialect == EXCEL_EU else (",", ".")
    file.write("" if dialect == STANDARD else "\ufeff")
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(names(columns))
    formats = [f".{column.decimals}f" for column in columns]
    for row in rows:
        writer.writerow(
            [
                format(value, spec).replace(".", point) if isinstance(value, float) else value
                for spec, value in zip(formats, row)
            ]
        )


def _write_jsonl(file: IO[str], rows: Iterable[Row], columns: Sequence[Column]) -> None:
    headers = names(columns)
    for row in rows:
        values = (round(value, 6) if isinstance(value, float) else value for value in row)
        file.write(json.dumps(dict(zip(headers, values)), ensure_ascii=False) + "\n")


def _write_parquet(path: Path, rows: Iterable[Row], columns: Sequence[Column]) -> None:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema(
        [
            (column.name, pyarrow.string() if column.is_text else getattr(pyarrow, column.type)())
            for column in columns
        ]
    )
    rows = iter(rows)
    with (
        write_errors(path),
        atomic_write(path) as file,
        parquet.ParquetWriter(file, schema) as writer,
    ):
        while group := list(islice(rows, PARQUET_ROWS)):
            values = [
                pyarrow.array(column, kind) for column, kind in zip(zip(*group), schema.types)
            ]
            writer.write_table(pyarrow.Table.from_arrays(values, schema=schema))


@contextlib.contextmanager
def text_file(path: Path) -> Iterator[IO[str]]:
    """Yield a UTF-8 text file that takes the place of `path` when the block ends without an error.

    Raises:
        OutputError: it cannot be written.
    """
    with write_errors(path), atomic_write(path) as binary:
        # File names may hold bytes that are not UTF-8; a table that names them stays readable.
        text = io.TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", newline="")
        yield text
        text.flush()
        text.detach()

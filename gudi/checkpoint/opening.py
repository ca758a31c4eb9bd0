"""Tell the formats apart, by content and not by name, and open what there is."""

from __future__ import annotations

import os
from pathlib import Path

from gudi.checkpoint.bare_data import recover
from gudi.checkpoint.bundle import Bundle, data_size, parse_index
from gudi.checkpoint.locate import Files, find, regular_name
from gudi.checkpoint.tensor_slices import is_table, open_slices
from gudi.checkpoint.tensors import TensorFile
from gudi.errors import CheckpointCorrupt, CheckpointError, CheckpointIncomplete


def open_checkpoint(path: str | os.PathLike | None = None) -> TensorFile:
    """Open the checkpoint that `path` stands for, as `gudi.checkpoint.find` takes it.

    Files that were renamed or lost are made up for where that can be done; nothing is written.

    Raises:
        CheckpointError: there is none, it is damaged, or a file is missing.
    """
    files = find(path)
    try:
        if "index" not in files.parts:
            return _open_without_index(files)
        try:
            return _open_bundle(files)
        except CheckpointCorrupt as damaged:
            return _open_in_spite_of(damaged, files)
    except OSError as error:
        raise CheckpointError(f"{files.prefix} cannot be read: {error.strerror}") from error


def _open_without_index(files: Files) -> TensorFile:
    """Open a V1 checkpoint, whatever its file is called, or what is left of a V2 one."""
    for path in files.data:
        if is_table(path):
            return open_slices(files.prefix, path)
    failures = []
    # Of copies one may have been cut short.
    for path in sorted(files.data, key=lambda path: path.stat().st_size, reverse=True):
        try:
            return recover(files.prefix, path)
        except CheckpointIncomplete as error:
            failures.append(error)
    if failures:
        raise failures[0]
    raise CheckpointIncomplete(
        f"of {files.prefix} there is only {', '.join(path.name for path in files.parts.values())}: "
        "the weights are in .data-00000-of-00001 and the .index says where; copy both from where "
        "the checkpoint was made"
    )


def _open_in_spite_of(damaged: CheckpointCorrupt, files: Files) -> TensorFile:
    """Open a checkpoint whose index is damaged as if there were none, or raise `damaged`."""
    try:
        file = _open_without_index(files)
    except CheckpointError:
        raise damaged from None
    index = files.parts["index"].name
    file.recovered = "; ".join(
        filter(None, (f"{index} is damaged and was not used", file.recovered))
    )
    return file


def _open_bundle(files: Files) -> Bundle:
    """Open a V2 checkpoint that has its index."""
    index = files.parts["index"]
    count, entries = parse_index(index)
    shards, notes = [], []
    for number in range(count):
        part = f"data-{number:05d}-of-{count:05d}"
        regular = regular_name(files.prefix, part)
        candidates = [regular] if count > 1 else [regular, *files.data]
        copies = _whole(candidates, data_size(entries.values(), number))
        shards.append(copies)
        if copies[0] != regular:
            notes.append(f"the data was found in {copies[0].name} instead of {regular.name}")
    return Bundle(files.prefix, index, tuple(shards), entries, "; ".join(notes))


def _whole(candidates: list[Path], wanted: int) -> tuple[Path, ...]:
    """Return those of `candidates` that are there and have the bytes that are wanted."""
    sizes = {path: path.stat().st_size for path in candidates if path.is_file()}
    whole = [path for path, size in sizes.items() if size >= wanted and not is_table(path)]
    if whole:
        return tuple(whole)
    if not sizes:
        raise CheckpointIncomplete(
            f"{candidates[0]} is missing; by the index it has {wanted:,} bytes and holds the "
            "weights: copy it from where the checkpoint was made"
        )
    path, size = next(iter(sizes.items()))
    raise CheckpointIncomplete(
        f"{path} has {size:,} bytes where the index says {wanted:,}: it was cut short; copy it "
        "again"
    )

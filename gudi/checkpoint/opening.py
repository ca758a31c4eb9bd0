"""Tell the formats apart, by content and not by name, and open what there is."""

from __future__ import annotations

import os
from pathlib import Path

from gudi.checkpoint.locate import PACKED, Files, find, regular_name
from gudi.checkpoint.packed import open_packed
from gudi.checkpoint.recover import recover
from gudi.checkpoint.tensors import TensorFile
from gudi.checkpoint.v1 import is_table, open_slices
from gudi.checkpoint.v2 import Bundle, data_size, parse_index
from gudi.errors import CheckpointCorrupt, CheckpointError, CheckpointIncomplete


def open_checkpoint(path: str | os.PathLike | None = None) -> TensorFile:
    """Open the checkpoint that `path` stands for, as `gudi.checkpoint.find` takes it.

    Files that were renamed or lost are made up for where that can be done; nothing is written.

    Raises:
        CheckpointError: there is none, it is damaged, or a file is missing.
    """
    files = find(path)
    try:
        if PACKED in files.parts:
            return open_packed(files.prefix)
        if "index" not in files.parts:
            file = _open_without_index(files)
            if isinstance(file, Bundle):
                file.recovered = f"there is no index; {file.recovered}"
            return file
        try:
            return _open_bundle(files)
        except CheckpointCorrupt as error:
            return _open_in_spite_of(error, files, "is damaged")
        except CheckpointIncomplete as error:
            try:
                return _open_in_spite_of(error, files, "belongs to another checkpoint")
            except CheckpointIncomplete:
                return _open_bundle(files, longer=True)
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


def _open_in_spite_of(error: CheckpointError, files: Files, why: str) -> TensorFile:
    """Open a checkpoint as if it had no index, since that is of no use, or raise `error`."""
    try:
        file = _open_without_index(files)
    except CheckpointError:
        raise error from None
    note = f"{files.parts['index'].name} {why} and was not used"
    file.recovered = "; ".join(filter(None, (note, file.recovered)))
    return file


def _open_bundle(files: Files, *, longer: bool = False) -> Bundle:
    """Open a V2 checkpoint that has its index, with data of the right length, or `longer` data."""
    index = files.parts["index"]
    count, entries = parse_index(index)
    shards, notes = [], []
    for number in range(count):
        part = f"data-{number:05d}-of-{count:05d}"
        regular = regular_name(files.prefix, part)
        candidates = [regular] if count > 1 else [regular, *files.data]
        copies = _whole(candidates, data_size(entries.values(), number), longer)
        shards.append(copies)
        if copies[0] != regular:
            notes.append(f"the data was found in {copies[0].name} instead of {regular.name}")
    return Bundle(files.prefix, index, tuple(shards), entries, "; ".join(notes))


def _whole(candidates: list[Path], wanted: int, longer: bool) -> tuple[Path, ...]:
    """Return those of `candidates` that are there and have the bytes that are wanted."""
    sizes = {path: path.stat().st_size for path in candidates if path.is_file()}
    whole = [
        path
        for path, size in sizes.items()
        if (size == wanted or (longer and size > wanted)) and not is_table(path)
    ]
    if whole:
        return tuple(whole)
    if not sizes:
        raise CheckpointIncomplete(
            f"{candidates[0]} is missing; by the index it has {wanted:,} bytes and holds the "
            "weights: copy it from where the checkpoint was made"
        )
    path, size = next(iter(sizes.items()))
    why = "it was cut short" if size < wanted else "it is of another checkpoint than the index"
    raise CheckpointIncomplete(
        f"{path} has {size:,} bytes where the index says {wanted:,}: {why}; copy both again from "
        "where the checkpoint was made"
    )

"""Tell the formats apart, by content and not by name, and open what there is."""

from __future__ import annotations

import os
from pathlib import Path

from gudi.checkpoint.bare_data import recover
from gudi.checkpoint.bundle import Bundle, data_size, parse_index
from gudi.checkpoint.locate import Files, find, regular_name
from gudi.checkpoint.tensor_slices import is_table, open_slices
from gudi.checkpoint.tensors import TensorFile
from gudi.errors import CheckpointIncomplete


def open_checkpoint(path: str | os.PathLike | None = None) -> TensorFile:
    """Open the checkpoint that `path` stands for, as `gudi.checkpoint.find` takes it.

    Files that were renamed or lost are made up for where that can be done; nothing is written.

    Raises:
        CheckpointError: there is none, it is damaged, or a file is missing.
    """
    files = find(path)
    if "index" in files.parts:
        return _open_bundle(files)
    if "" in files.parts and is_table(files.parts[""]):
        return open_slices(files.parts[""])
    if files.data:
        # Of copies any is as good as another; one may have been cut short.
        return recover(files.prefix, max(files.data, key=lambda path: path.stat().st_size))
    raise CheckpointIncomplete(
        f"of {files.prefix} there is only {', '.join(path.name for path in files.parts.values())}: "
        "the weights are in .data-00000-of-00001 and the .index says where; copy both from where "
        "the checkpoint was made"
    )


def _open_bundle(files: Files) -> Bundle:
    """Open a V2 checkpoint that has its index."""
    index = files.parts["index"]
    count, entries = parse_index(index)
    shards, notes = [], []
    for number in range(count):
        part = f"data-{number:05d}-of-{count:05d}"
        regular = regular_name(files.prefix, part)
        candidates = [regular] if count > 1 else [regular, *files.data]
        shard = _whole(candidates, data_size(entries.values(), number))
        shards.append(shard)
        if shard != regular:
            notes.append(f"the data was found in {shard.name} instead of {regular.name}")
    return Bundle(files.prefix, index, tuple(shards), entries, "; ".join(notes))


def _whole(candidates: list[Path], wanted: int) -> Path:
    """Return the first of `candidates` that is there and has the bytes that are wanted."""
    sizes = {path: path.stat().st_size for path in candidates if path.is_file()}
    for path, size in sizes.items():
        if size >= wanted and not is_table(path):
            return path
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

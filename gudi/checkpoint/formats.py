"""Recognise a checkpoint's format by content, not by name, and open the checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from gudi.checkpoint.locate import PACKED, CheckpointFiles, find, regular_name
from gudi.checkpoint.packed import open_packed
from gudi.checkpoint.recover import recover
from gudi.checkpoint.renamed import rename, without_scope
from gudi.checkpoint.tensors import TensorFile, join_notes
from gudi.checkpoint.v1 import is_table, open_v1
from gudi.checkpoint.v2 import V2File, data_size, parse_index
from gudi.errors import (
    CheckpointCorrupt,
    CheckpointError,
    CheckpointForeign,
    CheckpointIncomplete,
)
from gudi.media.content import ARCHIVE, identify_source


def open_checkpoint(
    path: str | os.PathLike[str] | None = None, names: Mapping[str, str] = MappingProxyType({})
) -> TensorFile:
    """Open the checkpoint at `path`, which may be anything that `gudi.checkpoint.find` accepts.

    It may have renamed files, or lack some. Nothing is written.

    Args:
        path: as above.
        names: other names of its variables, see `gudi.checkpoint.renamed.rename`.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or a file is missing.
    """
    files = find(path)
    try:
        return rename(without_scope(_open(files)), names)
    except CheckpointError as error:
        if set(files.parts) == {""} and (what := _describe_other(files.prefix)):
            raise CheckpointForeign(f"{files.prefix} is not a checkpoint but {what}") from error
        raise
    except OSError as error:
        raise CheckpointError(f"cannot read {files.prefix}: {error.strerror}") from error


def _describe_other(path: Path) -> str:
    """Return what a file is that is no checkpoint, and what to do; "" if that is unknown."""
    if path.suffix.lower() == ".onnx":
        return (
            "a network in ONNX, which gudi only writes; give the checkpoint that it was made from"
        )
    content = identify_source(path)
    if content is None:
        return ""
    packed = content.kind == ARCHIVE or "compressed" in content.what or "archive" in content.what
    return f"{content.what}; unpack it first" if packed else content.what


def _open(files: CheckpointFiles) -> TensorFile:
    if PACKED in files.parts:
        return open_packed(files.prefix)
    if "index" not in files.parts:
        file = _open_without_index(files)
        if isinstance(file, V2File):
            file.recovered = f"there is no index; {file.recovered}"
        return file
    try:
        return _open_v2(files)
    except CheckpointCorrupt as error:
        return _open_despite_index(error, files, "is damaged")
    except CheckpointIncomplete as error:
        try:
            return _open_despite_index(error, files, "belongs to another checkpoint")
        except CheckpointIncomplete:
            return _open_v2(files, allow_longer=True)


def _open_without_index(files: CheckpointFiles) -> TensorFile:
    """Open a V1 checkpoint under any file name, or the remains of a V2 checkpoint."""
    for path in files.data:
        if is_table(path):
            return open_v1(files.prefix, path)
    failures = []
    # If there are several copies, one may have been cut short.
    for path in sorted(files.data, key=lambda path: path.stat().st_size, reverse=True):
        try:
            return recover(files.prefix, path)
        except CheckpointIncomplete as error:
            failures.append(error)
    if failures:
        raise failures[0]
    raise CheckpointIncomplete(
        f"of {files.prefix} there is only {', '.join(path.name for path in files.parts.values())}: "
        "the weights are in .data-00000-of-00001, and the .index says where; copy both from the "
        "place where the checkpoint was made"
    )


def _open_despite_index(error: CheckpointError, files: CheckpointFiles, why: str) -> TensorFile:
    """Open a checkpoint without its unusable index; if that fails, raise `error`."""
    try:
        file = _open_without_index(files)
    except CheckpointError:
        raise error from None
    file.recovered = join_notes(
        f"{files.parts['index'].name} {why} and was not used", file.recovered
    )
    return file


def _open_v2(files: CheckpointFiles, *, allow_longer: bool = False) -> V2File:
    """Open a V2 checkpoint by its index, even with longer data files if `allow_longer`."""
    index = files.parts["index"]
    count, locations = parse_index(index)
    shards, note = [], ""
    for number in range(count):
        regular = regular_name(files.prefix, f"data-{number:05d}-of-{count:05d}")
        candidates = [regular] if count > 1 else [regular, *files.data]
        size = data_size(locations.values(), number)
        copies = _copies(candidates, size, allow_longer=allow_longer)
        shards.append(copies)
        if copies[0] != regular:
            note = f"the data was found in {copies[0].name} instead of {regular.name}"
    return V2File(files.prefix, index, tuple(shards), locations, note)


def _copies(candidates: Sequence[Path], wanted: int, *, allow_longer: bool) -> tuple[Path, ...]:
    """Return the existing `candidates` of the `wanted` size in bytes; at least one, or raise."""
    sizes = {path: path.stat().st_size for path in candidates if path.is_file()}
    copies = tuple(
        path
        for path, size in sizes.items()
        if (size == wanted or (allow_longer and size > wanted)) and not is_table(path)
    )
    if copies:
        return copies
    if not sizes:
        raise CheckpointIncomplete(
            f"{candidates[0]} is missing; according to the index it has {wanted:,} bytes and holds "
            "the weights: copy it from the place where the checkpoint was made"
        )
    path, size = next(iter(sizes.items()))
    why = "it was cut short" if size < wanted else "it belongs to another checkpoint"
    raise CheckpointIncomplete(
        f"{path} has {size:,} bytes, but the index says {wanted:,}: {why}; copy both again from "
        "the place where the checkpoint was made"
    )

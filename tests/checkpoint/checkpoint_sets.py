"""The genuine checkpoints, and what people do to the files of a checkpoint."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from conftest import NAME

from gudi import checkpoint as checkpoints

V2_SETS = [
    "tf0.12-tflearn0.2.1-v2",
    "tf1.4-tflearn0.3.2-v2",
    "tf1.15-tflearn0.3.2-v2",
    "tf1.15-tflearn0.3.2-adam",
]
V1_SET = "tf0.12-tflearn0.2.1-v1"
DATA = ".data-00000-of-00001"

# New suffixes of a set's files by their regular suffixes; other files are missing.
COMPLETE = {".index": ".index", DATA: DATA, ".meta": ".meta"}
ONLY_DATA = {DATA: DATA}
ONLY_DATA_WITH_BARE_NAME = {DATA: ""}


def link_files(folder: Path, target: Path, suffixes: dict[str, str], name: str = NAME) -> Path:
    """Link the checkpoint in `folder` into the new folder `target`, and return that.

    Args:
        folder: contains a checkpoint with the original's name.
        target: the new folder.
        suffixes: the new suffix of each file by its suffix in `folder`.
        name: the new prefix.
    """
    target.mkdir()
    for old, new in suffixes.items():
        os.link(folder / f"{NAME}{old}", target / f"{name}{new}")
    return target


def link_second(prefix: Path, name: str) -> Path:
    """Link index and data of the checkpoint `prefix` to `name` beside it; return the new prefix."""
    for suffix in (".index", DATA):
        os.link(beside(prefix, suffix), prefix.with_name(name + suffix))
    return prefix.with_name(name)


def beside(prefix: Path, suffix: str) -> Path:
    """Return the path of the file with `suffix` of the checkpoint `prefix`."""
    return prefix.with_name(prefix.name + suffix)


def replace(path: Path, content: bytes) -> None:
    """Write a new file at `path`, which may be a link to a file of another test."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def replace_data(prefix: Path, size: int = 13) -> None:
    """Leave zeros instead of the data: too little of it to do without the index."""
    beside(prefix, DATA).unlink()
    with beside(prefix, DATA).open("wb") as file:
        file.truncate(size)


@contextlib.contextmanager
def overwritten(path: Path, offset: int, content: bytes) -> Iterator[None]:
    """Overwrite a part of a file of some hundred megabytes, and restore it at the end."""
    with path.open("r+b") as file:
        file.seek(offset)
        before = file.read(len(content))
        file.seek(offset)
        file.write(content)
    try:
        yield
    finally:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(before)


def flip_bit(path: Path, offset: int) -> contextlib.AbstractContextManager[None]:
    """Flip a bit of a file, and restore it at the end."""
    with path.open("rb") as file:
        file.seek(offset)
        byte = file.read(1)[0]
    return overwritten(path, offset, bytes([byte ^ 4]))


def load(path: Path | str | None = None, **options: int | None) -> checkpoints.Weights:
    """Read the weights of the checkpoint at `path`, choosing the network by `options`."""
    file = checkpoints.open_checkpoint(path)
    return checkpoints.read_weights(file, checkpoints.choose_network(file, **options))


def find(path: Path | str | None = None, **options: dict[str, str]) -> Path:
    """Return the prefix of the checkpoint meant by `path`."""
    return checkpoints.find(path, **options).prefix

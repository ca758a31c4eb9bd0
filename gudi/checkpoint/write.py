"""Write checkpoints under the original's file names, so that its scripts can load them, too.

A set consists of the files that TensorFlow writes, `.index`, `.data-00000-of-00001`, `.meta` and
`checkpoint`, and of the data once more under the bare name: the original's `isfile(prefix)` checks
for that file, and if it is missing the original runs with random weights. Only TensorFlow can make
`.meta`, which the original's scripts do not read: without TensorFlow it is left out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gudi.checkpoint.formats import open_checkpoint
from gudi.checkpoint.locate import STATE_FILE, regular_name
from gudi.checkpoint.tensors import Array, TensorFile, as_bytes
from gudi.checkpoint.v2_write import write_v2
from gudi.errors import CheckpointCorrupt, OutputError, one_line
from gudi.files import TEMPORARY_PREFIX, check_writable, nearest_folder, write_errors
from gudi.packages import has_tensorflow
from gudi.quiet import quiet

DATA = "data-00000-of-00001"

SPARE = 2**20  # bytes for the small files of a set


def save(prefix: Path, values: Mapping[str, Array], *, replace: bool = False) -> TensorFile:
    """Write `values` as the checkpoint `prefix`, read them back and compare them.

    All files are written to a temporary folder, verified, and moved. The index, without which no
    reader recognises the rest as a checkpoint, comes last. An existing `checkpoint` file is not
    changed.

    Args:
        prefix: where to; its folder is created if it is missing.
        values: arrays by variable name, `FullyConnected_1/b` with one value per class.
        replace: whether to replace a checkpoint of that name.

    Returns:
        The checkpoint, opened.

    Raises:
        OutputError: a checkpoint of that name exists, or the files cannot be written.
        CheckpointCorrupt: the values read back are not those that were written.
    """
    folder = prefix.parent
    check_writable(folder)
    with write_errors(prefix):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            size = sum(value.nbytes for value in values.values())
            check_free_space(prefix, size, replace=replace)
            with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=folder) as scratch:
                staged = Path(scratch) / prefix.name
                _write_set(staged, values)
                if replace:
                    _remove(prefix)
                _publish(staged, folder)
        except FileExistsError as error:  # another process was quicker
            raise _name_taken(prefix, Path(error.filename2 or error.filename)) from error
        except UnicodeError as error:
            raise OutputError(
                f"cannot write {one_line(prefix)}: TensorFlow accepts only names in UTF-8"
            ) from error
    return open_checkpoint(prefix)


def check_free_space(prefix: Path, size: int, *, replace: bool = False) -> None:
    """Raise `OutputError` unless the name `prefix` is free and `size` bytes can be written twice.

    Twice, because the second name of the data is a copy if the file system has no links.

    Args:
        prefix: the checkpoint to be written.
        size: of its data, in bytes.
        replace: whether it may replace a checkpoint of that name.
    """
    existing = [path for path in _paths(prefix) if os.path.lexists(path)]
    if existing and not replace:
        raise _name_taken(prefix, existing[0])
    free = shutil.disk_usage(nearest_folder(prefix.parent)).free
    needed = 2 * size + SPARE
    if free < needed:
        raise OutputError(
            f"{prefix.parent} has {free:,} bytes free; the checkpoint may take {needed:,}"
        )


def _write_set(prefix: Path, values: Mapping[str, Array]) -> None:
    """Write all files of a checkpoint, and check that the values can be read back."""
    write_v2(prefix, values)
    if has_tensorflow():
        _write_graph(regular_name(prefix, "meta"), len(values["FullyConnected_1/b"]))
    _compare(prefix, values)
    _link(regular_name(prefix, DATA), prefix)
    prefix.with_name(STATE_FILE).write_text(
        f'model_checkpoint_path: "{prefix.name}"\nall_model_checkpoint_paths: "{prefix.name}"\n',
        encoding="utf-8",
    )


def _write_graph(path: Path, classes: int) -> None:
    """Write the network's graph as TensorFlow's Saver does. gudi itself never reads it."""
    from gudi.network import build, tf

    str(path).encode()  # TensorFlow's own error takes many lines
    with quiet():
        graph = build(classes, training=True).graph
        tf.train.export_meta_graph(str(path), graph=graph, clear_devices=True)


def _compare(prefix: Path, values: Mapping[str, Array]) -> None:
    """Raise `CheckpointCorrupt` unless the checkpoint `prefix` contains exactly `values`."""
    file = open_checkpoint(prefix)
    if set(file.tensors) != set(values):
        raise CheckpointCorrupt(f"{prefix}: the variables are not those that were written")
    for name, value in values.items():
        found, _ = file.read(name)
        if (found.dtype, found.shape) != (value.dtype, value.shape) or not np.array_equal(
            as_bytes(found), as_bytes(value)
        ):
            raise CheckpointCorrupt(f"{prefix}: {name} is not what was written")


def _link(source: Path, alias: Path) -> None:
    """Give the file `source` a second name, or make a copy if the file system has no links."""
    with contextlib.suppress(OSError):
        os.link(source, alias)
        return
    shutil.copyfile(source, alias)


def _publish(staged: Path, folder: Path) -> None:
    """Move the files of a set to `folder`: all of them or none.

    A file that another process has put there in the meantime is not replaced.
    """
    moved: list[Path] = []
    try:
        for part in (DATA, "meta", "", "index"):
            source = regular_name(staged, part) if part else staged
            if part == "meta" and not source.exists():
                continue
            target = folder / source.name
            _move(source, target)
            moved.append(target)
    except BaseException:
        for path in moved:
            with contextlib.suppress(OSError):
                path.unlink()
        raise
    with contextlib.suppress(FileExistsError):
        _move(staged.with_name(STATE_FILE), folder / STATE_FILE)


def _move(source: Path, target: Path) -> None:
    """Move `source` to `target`; raise `FileExistsError` if that exists, unlike a plain rename."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        os.rename(source, target)
    else:
        source.unlink()


def _remove(prefix: Path) -> None:
    """Remove a set, index first: without it no reader recognises the rest as a checkpoint."""
    for path in reversed(_paths(prefix)):
        path.unlink(missing_ok=True)


def _paths(prefix: Path) -> list[Path]:
    """Return the paths of all files of the checkpoint `prefix`, whether they exist or not."""
    return [prefix, *(regular_name(prefix, part) for part in ("meta", "data", DATA, "index"))]


def _name_taken(prefix: Path, path: Path) -> OutputError:
    return OutputError(
        f"{prefix.parent} already contains a checkpoint of that name ({path.name}); choose another "
        "folder or another --name"
    )

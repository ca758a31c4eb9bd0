"""Write checkpoints under the original's names, so that its scripts load them, too.

A set consists of the files that TensorFlow writes, `.index`, `.data-00000-of-00001`, `.meta` and
`checkpoint`, and of the data once more under the bare name: the original's `isfile(prefix)` looks
for that file and goes on with random weights where it is missing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gudi.checkpoint.locate import PACKED_ENDING, PART, STATE_FILE, regular_name
from gudi.checkpoint.networks import Layout
from gudi.checkpoint.opening import open_checkpoint
from gudi.checkpoint.packed import pack
from gudi.checkpoint.tensors import TensorFile
from gudi.checkpoint.v2 import Bundle
from gudi.checkpoint.weights import choose_network, read_weights
from gudi.constants import CHECKPOINT_NAME, EMOTIONS
from gudi.errors import CheckpointCorrupt, CheckpointError, OutputError, UsageError, one_line
from gudi.files import TEMPORARY_PREFIX, check_writable, nearest_folder

DATA = "data-00000-of-00001"

# The variables that the original's graph has beside the weights and their momentum, and that its
# Saver therefore asks for. 0 is what a new graph begins with.
SCALARS = (
    "Accuracy/Mean/moving_avg",
    "Crossentropy/Mean/moving_avg",
    "Global_Step",
    "Training_step",
    "val_acc",
    "val_loss",
)

# What Windows and Linux both take, what needs no escape in a `checkpoint` file, and what leaves
# room for the longest ending within the 255 bytes that a file's name may have.
NAME = re.compile(r'(?![. ])[^/\\:*?"<>|]{1,100}(?<![. ])')
WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
MAX_NAME_BYTES = 220

SPARE = 2**20  # for the small files of a set


@dataclass(frozen=True)
class Adopted:
    """A checkpoint that was written anew.

    Attributes:
        prefix: where it is now.
        notes: what a person should know of it.
    """

    prefix: Path
    notes: tuple[str, ...]


def adopt(
    path: str | os.PathLike | None,
    folder: Path,
    name: str = CHECKPOINT_NAME,
    number: int | None = None,
) -> Adopted:
    """Write the checkpoint at `path` anew into `folder`, with all that the original asks for.

    Args:
        path: as `gudi.checkpoint.find` takes it; its files are only read.
        folder: where to; made where it is missing.
        name: what the files are called.
        number: which of several networks, see `choose_network`.

    Raises:
        CheckpointError: it cannot be read.
        OutputError: it cannot be written.
        UsageError: files of a checkpoint cannot have that name.
    """
    check_name(name)
    prefix = folder / name
    file = open_checkpoint(path)
    network = choose_network(file, classes=None, number=number)
    make_sure_of_room(prefix, 2 * sum(file.tensors[name].size for name in network.names.values()))
    notes = [f"format of the source: {file.format}"]
    save(prefix, complete(file, network, notes))
    notes.insert(0, file.recovered)
    if network.optimizer and network.optimizer != "momentum":
        notes.append(
            f"the slots of {network.optimizer} were left out: the original trains with momentum"
        )
    if network.classes != len(EMOTIONS):
        notes.append(f"it tells {network.classes} classes apart: use it with --emotions")
    notes.append("every variable was read again and is as it was in the source")
    return Adopted(prefix, tuple(filter(None, notes)))


def pack_checkpoint(path: str | os.PathLike | None, packed: Path, number: int | None = None) -> int:
    """Write the weights of the checkpoint at `path` as a packed one; return its size in bytes.

    Args:
        path: as `gudi.checkpoint.find` takes it; its files are only read.
        packed: the file to write; its name ends in `.gudi`.
        number: which of several networks, see `choose_network`.

    Raises:
        CheckpointError: it cannot be read.
        OutputError: `packed` is there already, or cannot be written.
        UsageError: it has another ending.
    """
    if packed.suffix != PACKED_ENDING:
        raise UsageError(f"the name of a packed checkpoint ends in {PACKED_ENDING}, not {packed}")
    if os.path.lexists(packed):
        raise OutputError(f"{packed} is there already")
    file = open_checkpoint(path)
    weights = read_weights(file, choose_network(file, classes=None, number=number))
    check_writable(packed.parent)
    try:
        packed.parent.mkdir(parents=True, exist_ok=True)
        pack(weights.values, packed)
    except OSError as error:
        raise OutputError(f"{packed} cannot be written: {error.strerror or error}") from error
    try:
        again = open_checkpoint(packed)
        read_weights(again, choose_network(again, classes=None))
    except CheckpointError:
        packed.unlink()
        raise
    return packed.stat().st_size


def complete(file: TensorFile, network: Layout, notes: list[str]) -> dict[str, np.ndarray]:
    """Return all variables that the original's graph has, as far as `file` has them.

    Weights are as they are. Momentum is kept; where there is none it is 0, as before the first
    step. Another optimizer's slots have no place in the original's graph. What is damaged, other
    than weights, is set to 0 and goes into `notes`.
    """
    values = read_weights(file, network).values
    for name, stored in network.names.items():
        slots = [slot for slot in network.slots if slot.endswith(f"{stored}/Momentum")]
        values[f"{name}/Momentum"] = _sound(file, slots, values[name].shape, notes)
    for name in SCALARS:
        # TensorFlow 0.12 put the loss's average into the optimizer's scope.
        values[name] = _sound(file, (name, f"Momentum/{name}"), (), notes)
    values["is_training"] = np.zeros((), bool)
    return values


def _sound(
    file: TensorFile, names: Iterable[str], shape: tuple[int, ...], notes: list[str]
) -> np.ndarray:
    """Return the first of the variables `names` that is there as float32 of `shape`, or zeros."""
    for name in names:
        tensor = file.tensors.get(name)
        if tensor is not None and (tensor.dtype, tensor.shape) == ("float32", shape):
            try:
                return file.read(name)[0]
            except CheckpointCorrupt:
                notes.append(f"{name} is damaged and was set to 0; prediction does without it")
    return np.zeros(shape, np.float32)


def save(prefix: Path, values: Mapping[str, np.ndarray], *, replace: bool = False) -> Bundle:
    """Write `values` as the checkpoint `prefix`, read them again and compare every one.

    All files are written to a folder beside their place and moved there when they have been
    found equal; the index, without which no reader takes the rest for a checkpoint, comes last. A
    `checkpoint` file that is there already is left alone.

    Args:
        prefix: where to; its folder is made where it is missing.
        values: arrays by variable name; `FullyConnected_1/b` tells the number of classes.
        replace: let it take the place of one of that name.

    Returns:
        The checkpoint, opened.

    Raises:
        OutputError: there is one of that name, or it cannot be written.
        CheckpointCorrupt: what was read again is not what was written.
    """
    folder = prefix.parent
    check_writable(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        size = sum(value.nbytes for value in values.values())
        make_sure_of_room(prefix, size, replace=replace)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=folder) as scratch:
            staged = Path(scratch) / prefix.name
            write_bundle(staged, values)
            _write_graph(regular_name(staged, "meta"), len(values["FullyConnected_1/b"]))
            _compare(staged, values)
            _link(regular_name(staged, DATA), staged)
            state = f'model_checkpoint_path: "{prefix.name}"\n'
            staged.with_name(STATE_FILE).write_text(
                state + f"all_{state}".replace("path:", "paths:"), encoding="utf-8"
            )
            if replace:
                _remove(prefix)
            _publish(staged, folder)
    except FileExistsError as error:  # somebody else was quicker
        raise _taken(prefix, Path(error.filename2 or error.filename)) from error
    except UnicodeError as error:
        raise OutputError(
            f"{one_line(prefix)} cannot be written: TensorFlow takes only names that are UTF-8"
        ) from error
    except OSError as error:
        raise OutputError(f"{prefix} cannot be written: {error.strerror or error}") from error
    return open_checkpoint(prefix)


def _taken(prefix: Path, path: Path) -> OutputError:
    return OutputError(
        f"{prefix.parent} holds a checkpoint of that name already ({path.name}); choose another "
        "folder or another --name"
    )


def check_name(name: str) -> None:
    """Raise `UsageError` unless a checkpoint can be called `name`, wherever it is taken to."""
    if name == STATE_FILE or PART.fullmatch(name) or WINDOWS_DEVICE.fullmatch(name):
        raise UsageError(f"a checkpoint cannot be called {one_line(name)}: something else is")
    if not (NAME.fullmatch(name) and name.isprintable() and len(name.encode()) <= MAX_NAME_BYTES):
        raise UsageError(
            f"a checkpoint cannot be called {one_line(name) or 'nothing'}: its name is that of "
            'a file, of at most 100 characters, without any of / \\ : * ? " < > | and not '
            "beginning or ending with a dot or a space"
        )


def _remove(prefix: Path) -> None:
    """Remove a set, its index first: without it nobody takes the rest for a whole checkpoint."""
    for path in reversed(_paths(prefix)):
        path.unlink(missing_ok=True)


def _publish(staged: Path, folder: Path) -> None:
    """Move the files of a set to where they belong: all of them, or none.

    One that somebody else has put there in the meantime is not replaced.
    """
    moved: list[Path] = []
    try:
        for part in (DATA, "meta", "", "index"):
            source = regular_name(staged, part) if part else staged
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
    """Move `source` to `target`, or raise `FileExistsError`; a plain rename would replace it."""
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


def make_sure_of_room(prefix: Path, size: int, *, replace: bool = False) -> None:
    """Raise `OutputError` unless the name is free and `size` bytes can be written.

    Twice, since the alias has to be a copy where the file system has no links.
    """
    taken = [path for path in _paths(prefix) if os.path.lexists(path)]
    if taken and not replace:
        raise _taken(prefix, taken[0])
    free = shutil.disk_usage(nearest_folder(prefix.parent)).free
    if free < 2 * size + SPARE:
        raise OutputError(
            f"{prefix.parent} has {free:,} bytes free; the checkpoint may take {2 * size + SPARE:,}"
        )


def _paths(prefix: Path) -> list[Path]:
    """Return the paths of all files of the checkpoint `prefix`, there or not."""
    return [prefix, *(regular_name(prefix, part) for part in ("meta", "data", DATA, "index"))]


def write_bundle(prefix: Path, values: Mapping[str, np.ndarray]) -> None:
    """Let TensorFlow write `.index` and `.data`."""
    from gudi.network import quiet, tf

    str(prefix).encode()  # UnicodeError, before TensorFlow makes many lines of it
    graph = tf.Graph()
    names = sorted(values)
    with quiet(), graph.as_default(), tf.Session(graph=graph) as session:
        tensors = [tf.placeholder(values[name].dtype, values[name].shape) for name in names]
        written = tf.raw_ops.SaveV2(
            prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names),
            tensors=tensors,
        )  # fmt: skip
        try:
            session.run(written, {tensor: values[name] for tensor, name in zip(tensors, names)})
        except tf.errors.OpError as error:
            # "…/NAME.data-00000-of-00001.tempstate123; No space left on device", among other lines.
            why = re.search(rf"^{re.escape(str(prefix))}[^;\n]*; (.*)", error.message, re.MULTILINE)
            raise OutputError(
                f"{prefix.name} cannot be written: {why[1] if why else error}"
            ) from error


def _write_graph(path: Path, classes: int) -> None:
    """Write the network's graph, as TensorFlow's Saver does; gudi itself never reads it."""
    from gudi.network import build, quiet, tf

    with quiet():
        graph = build(classes, training=True).graph
        tf.train.export_meta_graph(str(path), graph=graph, clear_devices=True)


def _compare(prefix: Path, values: Mapping[str, np.ndarray]) -> None:
    """Read the checkpoint `prefix` again and hold every variable against `values`."""
    file = open_checkpoint(prefix)
    if set(file.tensors) != set(values):
        raise CheckpointCorrupt(f"{prefix}: other variables were written than were meant to be")
    for name, value in values.items():
        again, _ = file.read(name)
        if (again.dtype, again.shape) != (value.dtype, value.shape) or not np.array_equal(
            again.reshape(-1).view(np.uint8), np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        ):
            raise CheckpointCorrupt(f"{prefix}: {name} is not what was written")


def _link(source: Path, alias: Path) -> None:
    """Give the file `source` a second name, or make a copy where the file system has no links."""
    with contextlib.suppress(OSError):
        os.link(source, alias)
        return
    shutil.copyfile(source, alias)

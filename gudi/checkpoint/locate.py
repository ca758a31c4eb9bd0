"""Find the checkpoint that a user means by the path at hand.

A V2 checkpoint is a set of files whose names start with the same prefix. A V1 checkpoint is one
file named like the prefix, and so is the copy of a V2 data file that the original's README asks
for. Users pass the prefix, the folder or any one of the files, and the `checkpoint` file next to
them names a folder on the computer on which it was written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gudi.constants import CHECKPOINT_NAME
from gudi.errors import CheckpointError, CheckpointNotFound

ENVIRONMENT_VARIABLE = "GUDI_CHECKPOINT"

# Where a checkpoint is searched for if none is named; the original left its own in data/.
DEFAULT_FOLDERS = ("checkpoints", "data")

# The checkpoint that is part of gudi.
SHIPPED = Path(__file__).with_name("default.gudi")

STATE_FILE = "checkpoint"
MAX_STATE_SIZE = 2**20

PACKED, PACKED_SUFFIX = "packed", ".gudi"

# Folders that archives may hold besides the checkpoint's.
HIDDEN = (".", "__MACOSX")

# `.data` alone is what remains of the suffix if somebody shortened the name.
PART = re.compile(r"(?P<prefix>.+)\.(?P<part>index|meta|data(?:-\d{5}-of-\d{5})?)", re.DOTALL)

ADVICE = (
    "give the folder, the prefix or any one file of the set (.index, .data-00000-of-00001, .meta)"
)


@dataclass(frozen=True)
class CheckpointFiles:
    """The existing files of one checkpoint.

    Attributes:
        prefix: the path that the names of all its files start with.
        parts: the files by the rest of their names: `index`, `meta`, `data-00000-of-00001`,
            `data`, "" for the one that is named like the prefix, and `packed` for a packed one.
    """

    prefix: Path
    parts: dict[str, Path]

    @property
    def data(self) -> list[Path]:
        """The files that may hold the data of a V2 checkpoint, regular names first."""
        names = sorted((each for each in self.parts if each.startswith("data")), reverse=True)
        return [self.parts[each] for each in [*names, ""] if each in self.parts]


def find(
    path: str | os.PathLike[str] | None = None, environ: Mapping[str, str] = os.environ
) -> CheckpointFiles:
    """Return the files of the checkpoint at `path`, or of the default checkpoint.

    Args:
        path: prefix, folder or file. None for the default: `$GUDI_CHECKPOINT`, else the one in
            `./checkpoints`, else the one in `./data`, else the one that is part of gudi.
        environ: the environment.

    Raises:
        CheckpointNotFound: there is no checkpoint, or there are several and it is unclear which one
            is meant.
        CheckpointError: a folder cannot be read.
    """
    if path is not None:
        return _at(Path(path))
    if named := environ.get(ENVIRONMENT_VARIABLE):
        try:
            return _at(Path(named))
        except CheckpointNotFound as error:
            raise CheckpointNotFound(f"${ENVIRONMENT_VARIABLE}: {error}") from None
    for folder in map(Path, DEFAULT_FOLDERS):
        if folder.is_dir() and _prefixes(folder):
            return _files(_choose(folder))
    if SHIPPED.is_file():
        return CheckpointFiles(SHIPPED, {PACKED: SHIPPED})
    raise CheckpointNotFound(
        f"no checkpoint: none was named (--checkpoint PATH, or ${ENVIRONMENT_VARIABLE}), there is "
        f"none in {' or '.join(f'./{folder}' for folder in DEFAULT_FOLDERS)}, and gudi's own, "
        f"{SHIPPED}, is missing: reinstall gudi"
    )


def regular_name(prefix: Path, part: str) -> Path:
    """Return the regular path of the file `part` of the checkpoint `prefix`."""
    return prefix.with_name(f"{prefix.name}.{part}")


def _at(path: Path) -> CheckpointFiles:
    """Return the files of the checkpoint meant by `path`."""
    try:
        return _files(_prefix(path))
    except OSError as error:  # no permission, or the name is too long
        raise CheckpointError(f"cannot search {path} for a checkpoint: {error.strerror}") from error


def _prefix(path: Path) -> Path:
    """Return the prefix meant by `path`. The checkpoint may be incomplete."""
    if path.is_dir() and (_prefixes(path) or not _files(path).parts):
        return _choose(_folder_with_checkpoint(path))
    if path.name == STATE_FILE and path.is_file():
        prefixes = _prefixes(path.parent)
        named = [each for each in _named_by_state_file(path) if each in prefixes or each.is_file()]
        return named[0] if named else _choose(path.parent)
    part = PART.fullmatch(path.name)
    prefix = path.with_name(part["prefix"]) if part else path
    if not _files(prefix).parts:
        others = _prefixes(path.parent) if path.parent.is_dir() else []
        found = f"; {path.parent} contains {_names(others)}" if others else ""
        raise CheckpointNotFound(f"no checkpoint at {path}{found}; {ADVICE}")
    return prefix


def _folder_with_checkpoint(folder: Path) -> Path:
    """Return `folder`, or the only folder in it with a checkpoint: archives are packed like that.

    Raises:
        CheckpointNotFound: several folders in it have checkpoints.
    """
    if _prefixes(folder) or (folder / STATE_FILE).exists():
        return folder
    inner = [folder / name for name in sorted(_list(folder)) if not name.startswith(HIDDEN)]
    inner = [each for each in inner if each.is_dir() and _prefixes(each)]
    if len(inner) > 1:
        raise CheckpointNotFound(
            f"{len(inner)} folders in {folder} contain checkpoints, {_names(inner)}; specify "
            "which one"
        )
    return inner[0] if inner else folder


def _choose(folder: Path) -> Path:
    """Return the prefix that is meant by `folder`.

    The original loads by its fixed name, so that comes first; then the one that TensorFlow calls
    the latest; then the only one.
    """
    prefixes = _prefixes(folder)
    for wanted in (folder / CHECKPOINT_NAME, *_named_by_state_file(folder / STATE_FILE)):
        # A V1 file may have any name; the state file names it.
        if wanted in prefixes or wanted.is_file():
            return wanted
    if len(prefixes) == 1:
        return prefixes[0]
    if prefixes:
        raise CheckpointNotFound(
            f"{folder} contains {len(prefixes)} checkpoints, {_names(prefixes)}, none of them "
            f"named {CHECKPOINT_NAME}; specify which one"
        )
    raise CheckpointNotFound(f"no checkpoint in {folder}; {ADVICE}")


def _named_by_state_file(path: Path) -> list[Path]:
    """Return the prefixes that a `checkpoint` file may name, next to that file.

    Only the last part of the named path is used: the rest describes the computer that wrote it,
    often a Windows one, and a stranger's file must not choose another folder. There may be two
    readings: TensorFlow escapes non-ASCII characters as octal numbers, and people write Windows
    paths without escapes.
    """
    try:
        if not path.is_file():  # a pipe, for example, would block
            return []
        with path.open("rb") as file:
            text = file.read(MAX_STATE_SIZE).decode("utf-8", "replace")
    except OSError:
        return []
    line = re.search(
        r"""^\ufeff?[ \t]*model_checkpoint_path:[ \t]*["'](.*)["']""", text, re.MULTILINE
    )
    readings = dict.fromkeys((_unescape(line[1]), line[1])) if line else {}
    names = (re.split(r"[\\/]+", reading)[-1] for reading in readings)
    return [path.with_name(name) for name in names if name.strip(".") and "\0" not in name]


def _unescape(text: str) -> str:
    r"""Undo the escapes of protocol buffers' text format that occur in paths: `\346` and `\\`."""
    octal = re.sub(
        rb"\\([0-3][0-7]{2})",
        lambda found: bytes([int(found[1], 8)]),
        text.encode("utf-8", "replace"),
    )
    return re.sub(r"\\(.)", r"\1", octal.decode("utf-8", "replace"))


def _files(prefix: Path) -> CheckpointFiles:
    """Return the existing files of the checkpoint `prefix`."""
    if prefix.suffix == PACKED_SUFFIX and prefix.is_file():
        return CheckpointFiles(prefix, {PACKED: prefix})
    parts = {"": prefix} if prefix.is_file() else {}
    for name in sorted(_list(prefix.parent)) if prefix.parent.is_dir() else []:
        part = PART.fullmatch(name)
        if part and part["prefix"] == prefix.name and prefix.with_name(name).is_file():
            parts[part["part"]] = prefix.with_name(name)
    return CheckpointFiles(prefix, parts)


def _prefixes(folder: Path) -> list[Path]:
    """Return the prefixes of the indexes, data files and V1 files in `folder`, sorted."""
    names = _list(folder)
    found = set()
    for name in names:
        part = PART.fullmatch(name)
        if part and part["part"] != "meta":
            prefix = part["prefix"]
        elif name == CHECKPOINT_NAME or f"{name}.meta" in names or name.endswith(PACKED_SUFFIX):
            prefix = name
        else:
            continue
        if (folder / name).is_file():
            found.add(prefix)
    return [folder / prefix for prefix in sorted(found)]


def _list(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError as error:
        raise CheckpointError(f"cannot open {folder}: {error.strerror}") from error


def _names(prefixes: Sequence[Path]) -> str:
    names = ", ".join(prefix.name for prefix in prefixes[:5])
    return f"{names} …" if len(prefixes) > 5 else names

"""Find the checkpoint that a person means by the path that they have.

A V2 checkpoint is a set of files whose names begin with the same prefix; a V1 checkpoint is one
file that is called like the prefix, and so is the copy of a V2 data file that the original's README
asks for. People hand over the prefix, the folder or any one of the files, and the `checkpoint` file
beside them names the folder of the computer that it was written on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gudi.constants import CHECKPOINT_NAME
from gudi.errors import CheckpointError, CheckpointNotFound

ENVIRONMENT_VARIABLE = "GUDI_CHECKPOINT"

# Where a checkpoint is looked for when none is named; the original left its own in data/.
DEFAULT_FOLDERS = ("checkpoints", "data")

# What gudi brings along.
SHIPPED = Path(__file__).with_name("default.gudi")

STATE_FILE = "checkpoint"
MAX_STATE_SIZE = 2**20

PACKED, PACKED_ENDING = "packed", ".gudi"

# `.data` alone is what is left of the name when somebody has cut it.
PART = re.compile(r"(?P<prefix>.+)\.(?P<part>index|meta|data(?:-\d{5}-of-\d{5})?)", re.DOTALL)

ADVICE = (
    "give the folder, the prefix or any one file of the set (.index, .data-00000-of-00001, .meta)"
)


@dataclass(frozen=True)
class Files:
    """What there is of one checkpoint.

    Attributes:
        prefix: the path that the names of all its files begin with.
        parts: the files by what their names end in: `index`, `meta`, `data-00000-of-00001`, `data`,
            "" for the one that is called like the prefix, and `packed` for a packed one.
    """

    prefix: Path
    parts: dict[str, Path]

    @property
    def data(self) -> list[Path]:
        """The files that may hold the data of a V2 checkpoint, the regular names first."""
        names = sorted((each for each in self.parts if each.startswith("data")), reverse=True)
        return [self.parts[each] for each in [*names, ""] if each in self.parts]


def find(path: str | os.PathLike | None = None, environ: Mapping[str, str] = os.environ) -> Files:
    """Return what there is of the checkpoint at `path`, or of the default one.

    Args:
        path: prefix, folder or file; None looks at `$GUDI_CHECKPOINT`, then in `./checkpoints`,
            then in `./data`, and in the end takes the one that comes with gudi.
        environ: the environment.

    Raises:
        CheckpointNotFound: nothing there, or several and no telling which is meant.
        CheckpointError: it cannot be looked at.
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
        return Files(SHIPPED, {PACKED: SHIPPED})
    raise CheckpointNotFound(
        "no checkpoint: none was named (--checkpoint PATH, or "
        f"${ENVIRONMENT_VARIABLE}), there is none in "
        + " or ".join(f"./{folder}" for folder in DEFAULT_FOLDERS)
        + f", and gudi's own, {SHIPPED}, is missing: install gudi anew"
    )


def regular_name(prefix: Path, part: str) -> Path:
    """Return the path that the file `part` of the checkpoint `prefix` has."""
    return prefix.with_name(f"{prefix.name}.{part}")


def _at(path: Path) -> Files:
    """Return what there is of the checkpoint that `path` stands for."""
    try:
        return _files(_prefix(path))
    except OSError as error:  # no permission, or too long a name
        raise CheckpointError(
            f"no checkpoint can be looked for at {path}: {error.strerror}"
        ) from error


def _prefix(path: Path) -> Path:
    """Return the prefix that `path` stands for; it need not be complete."""
    if path.is_dir() and (_prefixes(path) or not _files(path).parts):
        return _choose(path)
    if path.name == STATE_FILE and path.is_file():
        prefixes = _prefixes(path.parent)
        named = [each for each in _named_by_state_file(path) if each in prefixes or each.is_file()]
        return named[0] if named else _choose(path.parent)
    part = PART.fullmatch(path.name)
    prefix = path.with_name(part["prefix"]) if part else path
    if not _files(prefix).parts:
        others = _prefixes(path.parent) if path.parent.is_dir() else []
        found = f"; in {path.parent} there is {_listed(others)}" if others else ""
        raise CheckpointNotFound(f"no checkpoint at {path}{found}; {ADVICE}")
    return prefix


def _choose(folder: Path) -> Path:
    """Return the prefix that is meant by `folder`.

    The original loads by its fixed name, so that comes first; then what TensorFlow says is the
    latest; then the only one.
    """
    prefixes = _prefixes(folder)
    for wanted in (folder / CHECKPOINT_NAME, *_named_by_state_file(folder / STATE_FILE)):
        # A V1 file may be called anything; the state file says that it is one.
        if wanted in prefixes or wanted.is_file():
            return wanted
    if len(prefixes) == 1:
        return prefixes[0]
    if prefixes:
        raise CheckpointNotFound(
            f"{folder} holds {len(prefixes)} checkpoints, {_listed(prefixes)}, none named "
            f"{CHECKPOINT_NAME}; name the one that you mean"
        )
    raise CheckpointNotFound(f"no checkpoint in {folder}; {ADVICE}")


def _named_by_state_file(path: Path) -> list[Path]:
    """Return the prefixes that a `checkpoint` file may name, taken to lie beside it.

    Only the last part of the path counts: the rest is of the computer that wrote it, often a
    Windows one, and a stranger's file gets to choose no other folder. There can be two: TensorFlow
    escapes what is no ASCII by octal numbers, and people write Windows paths as they are.
    """
    try:
        if not path.is_file():  # a pipe, say, which would be waited for
            return []
        with path.open("rb") as file:
            text = file.read(MAX_STATE_SIZE).decode("utf-8", "replace")
    except OSError:
        return []
    line = re.search(
        r"""^\ufeff?[ \t]*model_checkpoint_path:[ \t]*["'](.*)["']""", text, re.MULTILINE
    )
    texts = dict.fromkeys((_unescaped(line[1]), line[1])) if line else ()
    names = (re.split(r"[\\/]+", text)[-1] for text in texts)
    return [path.with_name(name) for name in names if name.strip(".") and "\0" not in name]


def _unescaped(text: str) -> str:
    """Undo the escapes of protocol buffers' text format that paths have: octal, and of one sign."""
    octal = re.sub(
        rb"\\([0-3][0-7]{2})",
        lambda found: bytes([int(found[1], 8)]),
        text.encode("utf-8", "replace"),
    )
    return re.sub(r"\\(.)", r"\1", octal.decode("utf-8", "replace"))


def _files(prefix: Path) -> Files:
    """Return the files of `prefix` that are there."""
    if prefix.suffix == PACKED_ENDING and prefix.is_file():
        return Files(prefix, {PACKED: prefix})
    parts = {"": prefix} if prefix.is_file() else {}
    for name in sorted(_names(prefix.parent)) if prefix.parent.is_dir() else []:
        part = PART.fullmatch(name)
        if part and part["prefix"] == prefix.name and prefix.with_name(name).is_file():
            parts[part["part"]] = prefix.with_name(name)
    return Files(prefix, parts)


def _prefixes(folder: Path) -> list[Path]:
    """Return the prefixes of which `folder` holds an index, data, or a V1 file, sorted."""
    names = _names(folder)
    found = set()
    for name in names:
        part = PART.fullmatch(name)
        if part and part["part"] != "meta":
            wanted = part["prefix"]
        elif name == CHECKPOINT_NAME or f"{name}.meta" in names or name.endswith(PACKED_ENDING):
            wanted = name
        else:
            continue
        if (folder / name).is_file():
            found.add(wanted)
    return [folder / name for name in sorted(found)]


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be opened: {error.strerror}") from error


def _listed(prefixes: list[Path]) -> str:
    names = [prefix.name for prefix in prefixes]
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")

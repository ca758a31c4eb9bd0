"""What can go wrong, and the exit code that a command ends with.

GudiError                       1
├── UsageError                  2  an argument that means nothing
├── InputError                  1  nothing to work on, or an INPUT that is not there
├── OutputError                 1  the result folder cannot be used
├── DeviceError                 1  the GPU that was asked for is not to be had
├── DisplayError                1  no window can be opened
├── WorkersError                1  no worker process can be started
├── DatasetError                1  faces and labels to train on are missing or cannot be read
├── TrainingError               1  there is no training to go on with
│   └── TrainingDiverged        1  the loss is no number any more
├── VideoError                  –  one video cannot be read: a row of `files.csv`, too
├── PhotoError                  –  one photo cannot be read: a row of `files.csv`, never the end
└── CheckpointError             1  base of all that a checkpoint can lack
    ├── CheckpointNotFound      1  none at the path, or several and no telling which is meant
    ├── CheckpointIncomplete    1  a file of the set is missing or too short
    ├── CheckpointCorrupt       1  a file is damaged: checksums or structure
    └── CheckpointForeign       1  a sound checkpoint of another network

A message is one line that names the file, says what was found and what to try.
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """How every gudi command ends."""

    FINISHED = 0
    COULD_NOT_RUN = 1
    WRONG_USAGE = 2
    SOME_INPUTS_FAILED = 3
    INTERRUPTED = 130


class GudiError(Exception):
    """Base class of the errors that gudi raises on purpose."""

    exit_code = ExitCode.COULD_NOT_RUN


class UsageError(GudiError):
    """An argument that means nothing."""

    exit_code = ExitCode.WRONG_USAGE


class InputError(GudiError):
    """Nothing to work on, or an INPUT that is not there."""


class OutputError(GudiError):
    """The folder or file to be written cannot be used."""


class DeviceError(GudiError):
    """The device that was asked for is not to be had."""


class DisplayError(GudiError):
    """No window can be opened."""


class WorkersError(GudiError):
    """Worker processes cannot be started."""


class DatasetError(GudiError):
    """Faces and labels are missing, or are not what they should be."""


class TrainingError(GudiError):
    """A training cannot go on."""


class TrainingDiverged(TrainingError):
    """The loss is no number any more."""


class VideoError(GudiError):
    """One video cannot be read, or not to its end."""


class PhotoError(GudiError):
    """One photo cannot be read."""


class CheckpointError(GudiError):
    """A checkpoint cannot be used."""


class CheckpointNotFound(CheckpointError):
    """There is no checkpoint at the path, or more than one and no telling which is meant."""


class CheckpointIncomplete(CheckpointError):
    """A file of the checkpoint is missing or shorter than the others say."""


class CheckpointCorrupt(CheckpointError):
    """A file of the checkpoint is damaged."""


class CheckpointForeign(CheckpointError):
    """A sound checkpoint, but not of the Gudi network."""


def one_line(text: object) -> str:
    """Return `text` as one line of printable characters; file names may hold others."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in str(text)
    )

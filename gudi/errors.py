"""What can go wrong, and the exit code that a command then returns.

GudiError                       1
├── UsageError                  2  an argument that is not valid
├── ClosedError                 1  a predictor or recognizer is used after it was closed
├── InputError                  1  nothing to process, or an INPUT that does not exist
├── OutputError                 1  the result folder or an output file cannot be written
├── DeviceError                 1  the requested GPU is not available
├── DisplayError                1  no window can be opened
├── WorkersError                1  worker processes cannot be started, or cannot do the work
├── ResourceError               1  the system does not give gudi enough memory
├── DatasetError                1  the faces and labels to train on are missing or unreadable
├── TrainingError               1  training cannot continue
│   └── TrainingDiverged        1  the loss is no longer finite
├── VideoError                  –  a video cannot be read; in a batch, a row of `files.csv`
├── PhotoError                  –  a photo cannot be read; in a batch, a row of `files.csv`
└── CheckpointError             1  base class: a checkpoint cannot be used
    ├── CheckpointNotFound      1  no checkpoint at the path, or several without a clear choice
    ├── CheckpointIncomplete    1  a file of the checkpoint is missing or too short
    ├── CheckpointCorrupt       1  a file is damaged: wrong checksum or structure
    └── CheckpointForeign       1  an intact checkpoint of another network

A message is one line that names the file, says what was found and what to try.
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """The exit codes of all gudi commands."""

    FINISHED = 0
    COULD_NOT_RUN = 1
    WRONG_USAGE = 2
    SOME_INPUTS_FAILED = 3
    INTERRUPTED = 130


class GudiError(Exception):
    """Base class of the errors that gudi raises on purpose.

    Example:
        >>> try:
        ...     gudi.batch("no-such-folder", "results")
        ... except gudi.GudiError as error:
        ...     print(error)
    """

    exit_code = ExitCode.COULD_NOT_RUN


class UsageError(GudiError, ValueError):
    """An argument is not valid."""

    exit_code = ExitCode.WRONG_USAGE


class ClosedError(GudiError, RuntimeError):
    """A predictor, recognizer or engine is used after it was closed."""


class InputError(GudiError):
    """There is nothing to process, or an INPUT does not exist."""


class OutputError(GudiError):
    """A folder or file cannot be written."""


class DeviceError(GudiError):
    """The requested device is not available."""


class DisplayError(GudiError):
    """No window can be opened."""


class WorkersError(GudiError):
    """Worker processes cannot be started, or cannot do the work."""


class ResourceError(GudiError):
    """The system does not give gudi what it needs."""


class DatasetError(GudiError):
    """The faces and labels of a data set are missing, or not in the expected form."""


class TrainingError(GudiError):
    """Training cannot continue."""


class TrainingDiverged(TrainingError):
    """The loss is no longer finite."""


class VideoError(GudiError):
    """A video cannot be read, or not to its end."""


class PhotoError(GudiError):
    """A photo cannot be read."""


class CheckpointError(GudiError):
    """A checkpoint cannot be used."""


class CheckpointNotFound(CheckpointError):
    """There is no checkpoint at the path, or several and it is not clear which one to use."""


class CheckpointIncomplete(CheckpointError):
    """A file of the checkpoint is missing, or shorter than the other files say."""


class CheckpointCorrupt(CheckpointError):
    """A file of the checkpoint is damaged."""


class CheckpointForeign(CheckpointError):
    """The checkpoint is intact but belongs to another network than Gudi's."""


def one_line(text: object) -> str:
    """Return `text` on one line, with every character that is not printable escaped.

    Use it for file names, which may contain line breaks and control characters.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in str(text)
    )

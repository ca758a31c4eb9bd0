"""Run a batch from Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from gudi.batch_result import BatchResult
from gudi.declarations import checked_path, with_options
from gudi.errors import UsageError
from gudi.pipeline.run import run_batch
from gudi.progress import ProgressCounts, progress_for
from gudi.settings import BatchOptions

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class _BatchOptions(BatchOptions):
    out: StrPath
    _: KW_ONLY
    progress: bool | Callable[[ProgressCounts], object] = False


@with_options(_BatchOptions)
def batch(inputs: StrPath | Iterable[StrPath], options: _BatchOptions) -> BatchResult:
    """Recognise the faces of whole folders of photos and videos, as `gudi batch` does.

    The result folder is the same, and so are the options. If `out` holds the results of a run
    with the same settings, this call resumes it. Ctrl-C leaves a folder that can be resumed, and
    raises KeyboardInterrupt.

    Args:
        inputs: one or several photos, videos, folders, archives, patterns such as `a/**/*.jpg`, or
            `@LIST` for a file with one path per line.
        out: the result folder.
        progress: True draws a bar, in a notebook too. A function is called with `ProgressCounts`
            (`stage`, `finished`, `total`, `failed`, `pictures`).

    Raises:
        GudiError: the run could not start, or its results could not be written: the error that
            the command would have shown.
        KeyboardInterrupt: the run was interrupted.

    Example:
        >>> result = gudi.batch(["photos", "film.mp4"], out="results", fps=5)
        >>> result.faces()
    """
    out, emotions = Path(checked_path(options.out, "out")), tuple(options.emotions)
    if not (isinstance(options.progress, bool) or callable(options.progress)):
        raise UsageError(
            f"progress must be True, False or a function. Received: {options.progress!r}"
        )
    done = run_batch(
        _paths(inputs),
        out,
        options.select(BatchOptions),
        progress=progress_for(options.progress),
    )
    if done.interrupted:
        raise KeyboardInterrupt
    return BatchResult(
        out=out,
        exit_code=done.exit_code,
        counts=done.counts,
        emotions=emotions,
        tracked=options.track,
    )


def _paths(inputs: StrPath | Iterable[StrPath]) -> list[str]:
    if isinstance(inputs, (str, os.PathLike)):
        inputs = [inputs]
    if isinstance(inputs, bytes) or not isinstance(inputs, Iterable):
        raise UsageError(f"inputs must be paths. Received: {inputs!r}")
    return [checked_path(each, "each input") for each in inputs]

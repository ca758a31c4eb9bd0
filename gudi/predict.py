"""A few photos at a time: the original's `predict_pic.py`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from gudi import batch
from gudi.files import check_writable
from gudi.media import VIDEO
from gudi.progress import Progress
from gudi.results import MAX_NAME, FileResult, Pictures

VIDEO_PROBLEM = "it is a video; gudi batch takes videos"

# What stands before the ending of annotated pictures.
MARK = ".emotions"


def predict_photos(
    inputs: Sequence[str],
    settings: batch.Settings,
    out: Path | None,
    progress: Progress | None = None,
) -> tuple[list[FileResult], tuple[str, ...]]:
    """Recognise the faces of `inputs`, and draw them onto pictures in `out` unless that is None.

    Returns:
        The results, in the order in which the photos were found, and the names of the emotions.
    """
    if out is not None:
        check_writable(out)
    batch.check(settings)
    # Not what an earlier call has drawn, unless it is asked for by name.
    sources = [
        replace(source, problem=source.problem or (VIDEO_PROBLEM if source.kind == VIDEO else ""))
        for source in batch.list_sources(inputs)
        if source.path in inputs or not PurePosixPath(source.name).stem.endswith(MARK)
    ]
    results: list[FileResult] = []
    with (
        batch.start_workers(settings, len(sources)) as workers,
        batch.load_predictor(settings, progress or Progress()) as predictor,
    ):
        batch.recognise(sources, settings, predictor, workers, results.append)
        order = {source.path: position for position, source in enumerate(sources)}
        results.sort(key=lambda result: order[result.source.path])
        if out is not None:
            batch.annotate(results, predictor.emotions, Pictures(out), picture_name, workers)
    return results, predictor.emotions


def picture_name(name: str) -> str:
    """Return the name of the annotated picture of the photo `name`.

    No photo has such a name that gudi did not make: `--out` may well be the folder of the photos
    themselves.
    """
    path = PurePosixPath(name)
    stem = os.fsencode(path.stem)[: MAX_NAME - len(os.fsencode(f"{MARK}{path.suffix}")) - 4]
    return f"{os.fsdecode(stem)}{MARK}{path.suffix}"

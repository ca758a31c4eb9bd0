"""A few photos at a time: the original's `predict_pic.py`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from gudi import checkpoint
from gudi.files import check_writable
from gudi.media.sources import VIDEO
from gudi.pipeline.annotate import annotate_photos
from gudi.pipeline.recognize import recognize, start_workers
from gudi.pipeline.run import list_sources
from gudi.predictor import Predictor, check_device
from gudi.progress import Progress
from gudi.results.folder import MAX_NAME, FileResult, Pictures
from gudi.settings import RunSettings

VIDEO_PROBLEM = "it is a video; gudi batch takes videos"

# What stands before the ending of annotated pictures.
MARK = ".emotions"


def predict_photos(
    inputs: Sequence[str],
    settings: RunSettings,
    out: Path | None,
    progress: Progress | None = None,
) -> tuple[list[FileResult], tuple[str, ...]]:
    """Recognise the faces of `inputs`, and draw them onto pictures in `out` unless that is None.

    Returns:
        The results, in the order in which the photos were found, and the names of the emotions.
    """
    if out is not None:
        check_writable(out)
    check_device(settings.device)
    weights = checkpoint.load(settings.checkpoint, settings.emotions, settings.network)
    # Not what an earlier call has drawn, unless it is asked for by name.
    sources = [
        replace(source, problem=source.problem or (VIDEO_PROBLEM if source.kind == VIDEO else ""))
        for source in list_sources(inputs)
        if source.path in inputs or not PurePosixPath(source.name).stem.endswith(MARK)
    ]
    results = _Results()
    with (
        start_workers(settings, len(sources)) as workers,
        Predictor(weights, settings.device, settings.batch_size, settings.emotions) as predictor,
    ):
        if weights.recovered and progress is not None:
            progress.note(f"{weights.source}: {weights.recovered}")
        recognize(sources, settings, predictor, workers, results)
        order = {source.path: position for position, source in enumerate(sources)}
        results.sort(key=lambda result: order[result.source.path])
        if out is not None:
            annotate_photos(results, settings.emotions, Pictures(out), picture_name, workers)
    return results, settings.emotions


class _Results(list[FileResult]):
    """A list as a `gudi.pipeline.Sink`, for photos only."""

    add = list.append


def picture_name(name: str) -> str:
    """Return the name of the annotated picture of the photo `name`.

    No photo has such a name that gudi did not make: `--out` may well be the folder of the photos
    themselves.
    """
    path = PurePosixPath(name)
    stem = os.fsencode(path.stem)[: MAX_NAME - len(os.fsencode(f"{MARK}{path.suffix}")) - 4]
    return f"{os.fsdecode(stem)}{MARK}{path.suffix}"

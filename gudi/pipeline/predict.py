"""Recognise the faces of a few photos: the original's `predict_pic.py`."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from gudi import checkpoint
from gudi.engines import engine_for
from gudi.files import check_writable
from gudi.media.sources import VIDEO, Source
from gudi.pipeline.annotate import draw_photos
from gudi.pipeline.listing import list_sources
from gudi.pipeline.predictions import opening
from gudi.pipeline.recognize import recognize
from gudi.pipeline.workers import start_workers
from gudi.predictor import Predictor
from gudi.progress import Progress
from gudi.results.paths import MAX_NAME, UniquePaths
from gudi.results.records import SourceResult
from gudi.settings import RunSettings

VIDEO_PROBLEM = "it is a video; gudi batch processes videos"

# Stands before the suffix of annotated pictures.
MARK = ".emotions"


def predict_photos(
    inputs: Sequence[str],
    settings: RunSettings,
    out: Path | None,
    progress: Progress | None = None,
) -> list[SourceResult]:
    """Recognise the faces of `inputs`, and draw them onto pictures in `out` unless that is None.

    Args:
        inputs: as `gudi.media.sources.find` takes them.
        settings: how to process the photos.
        out: folder for the annotated pictures.
        progress: receives notes.

    Returns:
        The results, in the order in which the photos were found.

    Raises:
        GudiError: nothing could be processed, or `out` is not writable.
    """
    if out is not None:
        check_writable(out)
    engine_for(settings.engine, settings.device)  # raises before the checkpoint is read
    sources = [source for source in map(_refuse_video, list_sources(inputs))
               if source.path in inputs or not _is_annotated(source)]  # fmt: skip
    sink = _ResultList()
    # The workers import what they need while the checkpoint is read.
    with start_workers(settings, len(sources)) as workers:
        weights = checkpoint.load(settings.checkpoint, settings.emotions, settings.network)
        weights.note_recovery(progress)
        open_predictor = functools.partial(
            Predictor,
            weights,
            settings.device,
            settings.batch_size,
            settings.emotions,
            engine=settings.engine,
        )
        with opening(open_predictor) as predictor:
            recognize(sources, settings, predictor, workers, sink)
        order = {source.path: position for position, source in enumerate(sources)}
        results = sorted(sink.results, key=lambda result: order[result.source.path])
        if out is not None:
            draw_photos(results, settings.emotions, UniquePaths(out), picture_name, workers)
    return results


class _ResultList:
    """Collects the results of photos."""

    def __init__(self) -> None:
        self.results: list[SourceResult] = []
        self.add = self.results.append

    def finished_segments(self, source: Source) -> tuple[int, ...]:
        raise NotImplementedError("photos have no segments")

    def forget(self, source: Source) -> None:
        raise NotImplementedError("photos have no segments")

    def finish(self, source: Source, problem: str, digest: bytes | None) -> None:
        raise NotImplementedError("photos have no segments")


def _refuse_video(source: Source) -> Source:
    problem = VIDEO_PROBLEM if source.kind == VIDEO else ""
    return replace(source, problem=source.problem or problem)


def _is_annotated(source: Source) -> bool:
    """Return whether an earlier call drew this picture."""
    return PurePosixPath(source.name).stem.endswith(MARK)


def picture_name(name: str) -> str:
    """Return the name of the annotated picture of the photo `name`.

    No photo that gudi did not draw has such a name: `--out` may be the folder of the photos.
    """
    path = PurePosixPath(name)
    stem = os.fsencode(path.stem)[: MAX_NAME - len(os.fsencode(f"{MARK}{path.suffix}")) - 4]
    return f"{os.fsdecode(stem)}{MARK}{path.suffix}"

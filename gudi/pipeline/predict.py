"""Recognise the faces of a few photos: the original's `predict_pic.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import gudi_jobs
from gudi import checkpoint
from gudi.detection import note_slow_search
from gudi.engines import engine_for
from gudi.files import check_writable
from gudi.media.sources import Source
from gudi.pipeline.annotate import draw_photos, note_undrawable
from gudi.pipeline.answers import AnswerRange
from gudi.pipeline.listing import ANNOTATED
from gudi.pipeline.predictions import opening
from gudi.pipeline.recognize import recognize
from gudi.predictor import Predictor, describe_run
from gudi.progress import Progress
from gudi.results.paths import MAX_NAME, UniquePaths
from gudi.results.records import SourceResult
from gudi.settings import AUTO, RunSettings


def predict_photos(
    sources: Sequence[Source],
    settings: RunSettings,
    workers: gudi_jobs.Workers,
    out: Path | None,
    progress: Progress | None = None,
    draw: str = AUTO,
) -> list[SourceResult]:
    """Recognise the faces of photos, and draw them onto pictures in `out` unless that is None.

    Args:
        sources: the photos, see `gudi.pipeline.listing.list_photos`.
        settings: how to process them.
        workers: detect and draw.
        out: folder for the annotated pictures.
        progress: receives notes.
        draw: what to draw, see `gudi.settings.drawn_parts`.

    Returns:
        The results, in the order of `sources`.

    Raises:
        GudiError: nothing could be processed, or `out` is not writable.
    """
    if out is not None:
        check_writable(out)
    engine_for(settings.engine, settings.device)  # raises before the checkpoint is read
    sink = _ResultList()
    weights = checkpoint.load(settings.checkpoint, settings.emotions, settings.network)
    progress = progress or Progress()
    weights.note_recovery(progress)
    progress.note(describe_run(weights, settings))
    note_slow_search(settings.detection.detector, progress)
    with opening(lambda: Predictor.from_settings(weights, settings)) as predictor:
        recognize(sources, settings, predictor, workers, sink)
    order = {source.path: position for position, source in enumerate(sources)}
    if sink.answers.warning:
        progress.note(sink.answers.warning)
    results = sorted(sink.results, key=lambda result: order[result.source.path])
    if out is not None:
        note_undrawable(settings.emotions, draw, progress)
        draw_photos(results, settings.emotions, UniquePaths(out), picture_name, workers, draw)
    return results


class _ResultList:
    """Collects the results of photos."""

    def __init__(self) -> None:
        self.results: list[SourceResult] = []
        self.answers = AnswerRange()

    def add(self, result: SourceResult) -> None:
        self.results.append(result)
        self.answers.add(result)

    def finished_segments(self, source: Source) -> tuple[int, ...]:
        raise NotImplementedError("photos have no segments")

    def forget(self, source: Source) -> None:
        raise NotImplementedError("photos have no segments")

    def finish(self, source: Source, problem: str, digest: bytes | None) -> None:
        raise NotImplementedError("photos have no segments")


def picture_name(name: str) -> str:
    """Return the name of the annotated picture of the photo `name`.

    No photo that gudi did not draw has such a name: `--out` may be the folder of the photos.
    """
    path = PurePosixPath(name)
    stem = path.stem.encode()[: MAX_NAME - len(f"{ANNOTATED}{path.suffix}".encode()) - 4]
    return f"{stem.decode(errors='ignore')}{ANNOTATED}{path.suffix}"

"""Recognise the faces of a few photos: the original's `predict_pic.py`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import gudi_jobs
from gudi.files import check_writable
from gudi.media import video_index
from gudi.media.source import Source
from gudi.pipeline.annotate import draw_photos, note_undrawable
from gudi.pipeline.constant_check import ProbabilityRange
from gudi.pipeline.listing import ANNOTATED
from gudi.pipeline.predictions import opening
from gudi.pipeline.recognize import recognize
from gudi.predictor import Predictor
from gudi.progress import Progress
from gudi.records import Result
from gudi.run_setup import choose_detector, load_weights, note_setup
from gudi.settings import BatchOptions
from gudi.store.paths import UniquePaths


def predict_photos(
    sources: Sequence[Source],
    out: Path,
    options: BatchOptions,
    workers: gudi_jobs.WorkerPool,
    progress: Progress | None = None,
) -> list[Result]:
    """Recognise the faces of photos, and with `options.annotate` draw them.

    Args:
        sources: the photos, see `gudi.pipeline.listing.list_photos`.
        out: folder for the annotated pictures.
        options: how to process them, and what to draw.
        workers: detect and draw.
        progress: receives notes.

    Returns:
        The results, in the order of `sources`.

    Raises:
        GudiError: nothing could be processed, or `out` is not writable.
    """
    if options.annotate:
        check_writable(out)
    sink = _ResultList()
    weights = load_weights(options)
    progress = progress or Progress()
    options = choose_detector(options, weights, progress)
    note_setup(weights, options, options.detector, progress)
    open_predictor = functools.partial(
        Predictor.from_options, weights, options, batch_size=options.batch_size
    )
    with opening(open_predictor) as predictor:
        recognize(sources, options=options, predictor=predictor, workers=workers, sink=sink)
    order = {source: position for position, source in enumerate(sources)}
    if sink.probabilities.warning:
        progress.note(sink.probabilities.warning)
    results = sorted(sink.results, key=lambda result: order[result.source])
    if options.annotate:
        note_undrawable(options.emotions, options.draw, progress)
        draw_photos(
            results,
            paths=UniquePaths(out),
            picture_name=picture_name,
            workers=workers,
            style=options.draw,
            side=options.annotated_size,
        )
    return results


class _ResultList:
    """Collects the results of photos."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.probabilities = ProbabilityRange()

    def add(self, result: Result) -> None:
        self.results.append(result)
        self.probabilities.add(result)

    def start_video(self, source: Source, index: video_index.VideoIndex) -> tuple[int, ...]:
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
    return f"{path.stem}{ANNOTATED}{path.suffix}"

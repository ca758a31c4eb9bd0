"""A few photos at a time: the original's `predict_pic.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from gudi import batch, draw
from gudi.media import Source
from gudi.results import FileResult, Pictures


def predict_photos(
    inputs: Sequence[str], settings: batch.Settings, out: Path | None
) -> tuple[list[FileResult], tuple[str, ...]]:
    """Recognise the faces of `inputs`, and draw them onto pictures in `out` unless that is None.

    Returns:
        The results, in the order in which the photos were found, and the names of the emotions.
    """
    batch.check(settings)
    sources = batch.list_sources(inputs)
    results: list[FileResult] = []
    with (
        batch.start_workers(settings, len(sources)) as workers,
        batch.load_predictor(settings) as predictor,
    ):
        batch.recognise(sources, settings.detection, predictor, workers, results.append)
        order = {source.path: position for position, source in enumerate(sources)}
        results.sort(key=lambda result: order[result.source.path])
        if out is not None:
            pictures = Pictures(out)
            batch.annotate(
                [result for result in results if result.boxes],
                predictor.emotions,
                lambda source: pictures.place(picture_name(source)),
                workers,
            )
    return results, predictor.emotions


def picture_name(source: Source) -> str:
    """Return the name of the annotated picture, one that no photo has that gudi did not make.

    `--out` may well be the folder of the photos themselves.
    """
    name = PurePosixPath(draw.writable_name(source.name))
    return f"{name.stem}.emotions{name.suffix}"

"""Run a batch from Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from gudi.batch_result import BatchResult
from gudi.constants import EMOTIONS, MIN_NEIGHBORS, SCALE_FACTOR
from gudi.pipeline.run import run
from gudi.progress import ProgressCounts, progress_for
from gudi.settings import (
    DetectionSettings,
    FrameSelection,
    OutputSettings,
    RunSettings,
    check_emotions,
)

StrPath = str | os.PathLike[str]

MEGABYTE = 2**20


def batch(
    inputs: StrPath | Iterable[StrPath],
    out: StrPath,
    *,
    checkpoint: StrPath | None = None,
    emotions: Sequence[str] = EMOTIONS,
    network: int | None = None,
    device: str = "auto",
    engine: str = "auto",
    mirror: bool | None = None,
    detector: str = "haar",
    scale_factor: float = SCALE_FACTOR,
    min_neighbors: int = MIN_NEIGHBORS,
    min_face: int = 0,
    max_side: int | None = None,
    min_score: float = 0,
    faces: str = "all",
    every: int = 1,
    fps: float | None = None,
    annotate: bool = True,
    draw: str = "auto",
    report: bool = True,
    format: str = "csv",
    track: bool = False,
    crops: bool = False,
    csv_bom: bool = False,
    subtitles: bool = False,
    restart: bool = False,
    retry_failed: bool = False,
    shard: tuple[int, int] | None = None,
    workers: int | None = None,
    timeout: float | None = 300,
    worker_memory: int | None = None,
    batch_size: int = 256,
    predict_in: str = "auto",
    backend: str = "local",
    scheduler: str | None = None,
    progress: bool | Callable[[ProgressCounts], object] = False,
) -> BatchResult:
    """Recognise the faces of whole folders of photos and videos, as `gudi batch` does.

    The result folder is the same, and so are the defaults. If `out` holds the results of a run
    with the same settings, this call resumes it. Ctrl-C leaves a folder that can be resumed, and
    raises KeyboardInterrupt.

    Args:
        inputs: one or several photos, videos, folders, archives, patterns such as `a/**/*.jpg`, or
            `@LIST` for a file with one path per line.
        out: the result folder.
        checkpoint: prefix, folder or any file of a checkpoint; None for the default one.
        emotions: names of the network's outputs, in their order.
        network: which network to use if the checkpoint holds several, from 1.
        device: `auto`, `cpu`, `gpu`, or `gpu:1` for the second GPU.
        engine: `tensorflow`, `onnx` (faster on CPUs), or `auto`.
        mirror: predict each face and its mirror image; None does what the checkpoint says.
        detector, scale_factor, min_neighbors, min_face, max_side, min_score: see `gudi.detect`.
        faces: `all`, or `largest` for one face per picture.
        every: process only every Nth frame of a video.
        fps: process at most this many frames per second of a video; None for all.
        annotate: write copies of the photos and videos with the faces drawn on them.
        draw: what to draw for each face: `box`, `bars` and `emoji`, several separated by commas, or
            `none`; `auto` draws boxes, and bars in videos.
        report: write `report.html`.
        format: of the faces table: `csv`, `jsonl` or `parquet`.
        track: follow faces through videos, with columns for track and smoothed probabilities.
        subtitles: write a WebVTT file beside each annotated video.
        crops: also write the faces as pictures of 48×48 pixels, `crops.npy`.
        csv_bom: start csv files with a byte order mark, for Excel.
        restart: replace the results in `out`.
        retry_failed: process inputs again that failed in an earlier run.
        shard: number, from 1, and count: process only this part of the inputs.
        workers: number of worker processes; None for one per CPU.
        timeout: seconds that one photo or one segment of a video may take; None for no limit.
        worker_memory: megabytes of memory that a worker may use; None for no limit.
        batch_size: number of faces that are predicted together.
        predict_in: `auto`, `parent` or `workers`.
        backend: `local` for processes on this machine, `dask` for a Dask cluster.
        scheduler: address of the cluster's scheduler; None for a cluster on this machine.
        progress: True draws a bar, in a notebook too. A function is called with `ProgressCounts`
            (`stage`, `finished`, `total`, `failed`, `pictures`).

    Raises:
        GudiError: the run could not start, or its results could not be written: the error that
            the command would have shown.
        KeyboardInterrupt: the run was interrupted.
    """
    settings = RunSettings(
        checkpoint=None if checkpoint is None else os.fspath(checkpoint),
        emotions=_as_tuple(emotions),
        network=network,
        device=device,
        engine=engine,
        mirror=mirror,
        predict_in=predict_in,
        batch_size=batch_size,
        workers=workers,
        backend=backend,
        scheduler=scheduler,
        timeout=timeout,
        worker_memory=None if worker_memory is None else worker_memory * MEGABYTE,
        detection=DetectionSettings.from_options(
            faces,
            detector=detector,
            scale_factor=scale_factor,
            min_neighbors=min_neighbors,
            min_face=min_face,
            max_side=max_side,
            min_score=min_score,
        ),
        frames=FrameSelection(every, fps),
        crops=crops,
    )
    done = run(
        _paths(inputs),
        Path(out),
        settings,
        OutputSettings(annotate, report, track, format, csv_bom, subtitles, draw),
        restart=restart,
        retry_failed=retry_failed,
        shard=shard,
        progress=progress_for(progress),
    )
    if done.interrupted:
        raise KeyboardInterrupt
    return BatchResult(
        Path(out), done.exit_code, done.counts, emotions=settings.emotions, tracked=track
    )


def _as_tuple(emotions: Sequence[str]) -> tuple[str, ...]:
    check_emotions(emotions)  # a text would become a tuple of letters
    return tuple(emotions)


def _paths(inputs: StrPath | Iterable[StrPath]) -> list[str]:
    if isinstance(inputs, (str, os.PathLike)):
        inputs = [inputs]
    return [os.fspath(each) for each in inputs]

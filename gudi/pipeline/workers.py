"""Start the workers of a run, and set each of them up."""

from __future__ import annotations

import functools
import os
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import gudi_jobs
from gudi.errors import CheckpointError, PhotoError, VideoError, WorkersError, one_line
from gudi.media.source import Source
from gudi.settings import AUTO, BatchOptions, debugging

if TYPE_CHECKING:  # this module starts workers before NumPy and OpenCV are imported
    from gudi.checkpoint import Weights
    from gudi.predictor import Predictor


MEGABYTE = 2**20

# How many workers the parent can predict for with each of its CPUs, without a GPU. A photo with a
# face takes a worker about 9 ms, and the parent 2 ms in full batches (docs/scaling.md). A worker
# would take 5 ms, because it predicts the faces of each photo alone.
WORKERS_PER_CPU = 8


@dataclass(frozen=True)
class WorkerPrediction:
    """How workers predict the faces that they detect.

    Attributes:
        options: of the run. The checkpoint is an absolute path, the same for all workers; None for
            the one that gudi ships.
        fingerprint: of its weights, which must be the same on all workers.
    """

    options: BatchOptions
    fingerprint: str


def worker_prediction(
    options: BatchOptions, weights: Weights, workers: int
) -> WorkerPrediction | None:
    """Return how that many workers predict with `weights`; None if the parent predicts.

    With `auto`, workers predict where the parent's CPUs could not keep up with them.
    """
    from gudi.checkpoint.locate import SHIPPED
    from gudi.engines import ONNX

    too_many = options.engine == ONNX and workers > WORKERS_PER_CPU * gudi_jobs.cpu_count()
    if not (options.predict_in == "workers" or (options.predict_in == "auto" and too_many)):
        return None
    path = None if weights.source == SHIPPED else os.path.abspath(weights.source)
    return WorkerPrediction(replace(options, checkpoint=path), weights.fingerprint)


def start_workers(
    options: BatchOptions, limit: int | None = None, prediction: WorkerPrediction | None = None
) -> gudi_jobs.WorkerPool:
    """Return worker processes on this machine.

    Args:
        options: of the run.
        limit: the most workers that have something to do; None for no limit.
        prediction: how they predict; None if they do not.
    """
    count = options.workers or (1 if limit == 1 else gudi_jobs.cpu_count())
    return gudi_jobs.WorkerPool(
        count if limit is None else min(count, limit),
        timeout=options.timeout,
        memory_limit=None if options.worker_memory is None else options.worker_memory * MEGABYTE,
        initializer=_set_up,
        initargs=(options.detector, prediction),
        quiet=not debugging(),
    )


def start_cluster(
    options: BatchOptions, visible: Source, weights: Weights
) -> tuple[gudi_jobs.ClusterPool, WorkerPrediction | None]:
    """Return the workers of a Dask cluster, and how they predict; None if the parent does.

    Args:
        options: of the run.
        visible: a source that all workers should be able to open.
        weights: to predict with.

    Raises:
        WorkersError: there is no cluster, or its workers cannot do the work.
    """
    try:
        cluster = gudi_jobs.ClusterPool(
            options.scheduler,
            options.workers,
            initializer=_set_up,
            initargs=(options.detector, None),
            quiet=not debugging(),
        )
        try:
            prediction = worker_prediction(options, weights, cluster.count_threads())
            _check_cluster(cluster, visible, options.detector, prediction)
        except BaseException:
            cluster.terminate()
            raise
    except gudi_jobs.WorkersUnavailable as error:
        local = "; --backend local needs no Dask" if options.scheduler is None else ""
        raise WorkersError(f"{error}{local}") from error
    return cluster, prediction


def _check_cluster(
    cluster: gudi_jobs.ClusterPool,
    visible: Source,
    detector: str,
    prediction: WorkerPrediction | None,
) -> None:
    """Raise `WorkersError` unless all workers can open `visible`, detect faces and predict."""
    path = visible.path
    sees = cluster.run_on_workers(os.path.exists, path)
    blind = [address for address, exists in sees.items() if not exists]
    if blind and os.path.exists(path):
        raise WorkersError(
            f"the Dask worker at {blind[0]} does not see {path}: inputs must be on "
            "storage that all workers reach by the same path"
        )
    for address, why in cluster.run_on_workers(_setup_error, detector, prediction).items():
        if why:
            raise WorkersError(f"the Dask worker at {address} cannot recognise faces: {why}")


def _set_up(detector: str, prediction: WorkerPrediction | None) -> None:
    """Set up a worker, unless it is already; runs in the worker."""
    import cv2

    from gudi.detection import DETECTORS

    if detector != AUTO:
        DETECTORS[detector].implementation()  # loads it
    cv2.setNumThreads(1)  # one worker per CPU leaves no room for more threads
    if prediction is not None:
        loaded_predictor(prediction)


def _setup_error(detector: str, prediction: WorkerPrediction | None) -> str:
    """Return "", or why a worker cannot be set up; runs in the worker."""
    try:
        _set_up(detector, prediction)
    except Exception as error:
        return describe_error(error)
    return ""


_loading = threading.Lock()


def loaded_predictor(prediction: WorkerPrediction) -> Predictor:
    """Return this worker's predictor, loaded on the first call; Dask workers may have threads.

    Raises:
        CheckpointError: the checkpoint cannot be used, or differs from the parent's.
    """
    with _loading:
        return _load_predictor(prediction)


@functools.lru_cache(maxsize=1)
def _load_predictor(prediction: WorkerPrediction) -> Predictor:
    from gudi.checkpoint.locate import SHIPPED
    from gudi.predictor import Predictor

    options = prediction.options
    predictor = Predictor.from_options(
        options.checkpoint or SHIPPED, options, batch_size=options.batch_size, threads=1
    )
    if predictor.fingerprint != prediction.fingerprint:
        raise CheckpointError(
            f"{predictor.checkpoint} is not the checkpoint that the run was started with"
        )
    return predictor


def describe_error(error: BaseException) -> str:
    """Return one line about an error that ended one item."""
    if isinstance(error, (PhotoError, VideoError, gudi_jobs.JobError)):
        return one_line(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(f"{type(error).__name__}: {error}")

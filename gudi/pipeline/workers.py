"""Start the workers of a run, and set each of them up."""

from __future__ import annotations

import functools
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gudi_jobs
from gudi.errors import CheckpointError, PhotoError, VideoError, WorkersError, one_line
from gudi.media.archives import file_path
from gudi.media.sources import Source
from gudi.settings import RunSettings

if TYPE_CHECKING:  # this module starts workers before NumPy and OpenCV are imported
    from gudi.checkpoint import Weights
    from gudi.predictor import Predictor


# How many workers the parent can predict for with each of its CPUs, without a GPU. A photo with a
# face takes a worker about 9 ms, and the parent 2 ms in full batches (docs/scaling.md). A worker
# would take 5 ms, because it predicts the faces of each photo alone.
WORKERS_PER_CPU = 8


@dataclass(frozen=True)
class WorkerPrediction:
    """How workers predict the faces that they detect.

    Attributes:
        checkpoint: absolute path, the same for all workers; None for the checkpoint that gudi
            ships.
        fingerprint: of its weights, which must be the same on all workers.
        emotions, network, device, engine, mirror, batch_size: see `gudi.predictor.Predictor`.
        crops: whether workers also return the crops.
    """

    checkpoint: str | None
    fingerprint: str
    emotions: tuple[str, ...]
    network: int | None
    device: str
    engine: str
    mirror: bool | None
    batch_size: int
    crops: bool


def worker_prediction(
    settings: RunSettings, weights: Weights, workers: int
) -> WorkerPrediction | None:
    """Return how that many workers predict with `weights`; None if the parent predicts.

    With `auto`, workers predict where the parent's CPUs could not keep up with them.
    """
    from gudi.checkpoint.locate import SHIPPED
    from gudi.engines import ONNX

    too_many = settings.engine == ONNX and workers > WORKERS_PER_CPU * gudi_jobs.cpu_count()
    if not (settings.predict_in == "workers" or (settings.predict_in == "auto" and too_many)):
        return None
    return WorkerPrediction(
        None if weights.source == SHIPPED else os.path.abspath(weights.source),
        weights.fingerprint,
        settings.emotions,
        settings.network,
        settings.device,
        settings.engine,
        settings.mirror,
        settings.batch_size,
        settings.crops,
    )


def start_workers(
    settings: RunSettings, limit: int | None = None, prediction: WorkerPrediction | None = None
) -> gudi_jobs.Workers:
    """Return worker processes on this machine.

    Args:
        settings: of the run.
        limit: the most workers that have something to do; None for no limit.
        prediction: how they predict; None if they do not.
    """
    count = settings.workers or (1 if limit == 1 else gudi_jobs.cpu_count())
    return gudi_jobs.Workers(
        count if limit is None else min(count, limit),
        timeout=settings.timeout,
        memory=settings.worker_memory,
        initializer=_set_up,
        initargs=(prediction,),
        quiet=not settings.debug,
    )


def start_cluster(
    settings: RunSettings, visible: Source, weights: Weights
) -> tuple[gudi_jobs.Cluster, WorkerPrediction | None]:
    """Return the workers of a Dask cluster, and how they predict; None if the parent does.

    Args:
        settings: of the run.
        visible: a source that all workers should be able to open.
        weights: to predict with.

    Raises:
        WorkersError: there is no cluster, or its workers cannot do the work.
    """
    try:
        cluster = gudi_jobs.Cluster(
            settings.scheduler,
            settings.workers,
            initializer=_set_up,
            initargs=(None,),
            quiet=not settings.debug,
        )
        try:
            prediction = worker_prediction(settings, weights, cluster.count_threads())
            _check_cluster(cluster, visible, prediction)
        except BaseException:
            cluster.close()
            raise
    except gudi_jobs.WorkersUnavailable as error:
        local = "; --backend local needs no Dask" if settings.scheduler is None else ""
        raise WorkersError(f"{error}{local}") from error
    return cluster, prediction


def _check_cluster(
    cluster: gudi_jobs.Cluster, visible: Source, prediction: WorkerPrediction | None
) -> None:
    """Raise `WorkersError` unless all workers can open `visible` and predict."""
    path = file_path(visible.path)
    sees = cluster.everywhere(os.path.exists, path)
    blind = [address for address, exists in sees.items() if not exists]
    if blind and os.path.exists(path):
        raise WorkersError(
            f"the Dask worker at {blind[0]} does not see {path}: inputs must be on "
            "storage that all workers reach by the same path"
        )
    for address, why in cluster.everywhere(_setup_error, prediction).items():
        if why:
            raise WorkersError(f"the Dask worker at {address} cannot predict: {why}")


def _set_up(prediction: WorkerPrediction | None) -> None:
    """Set up a worker, unless it is; runs in the worker."""
    import cv2

    from gudi.detection import haar

    haar.implementation()  # loads the cascade
    cv2.setNumThreads(1)  # one worker per CPU leaves no room for more threads
    if prediction is not None:
        loaded_predictor(prediction)


def _setup_error(prediction: WorkerPrediction | None) -> str:
    """Return "", or why a worker cannot be set up; runs in the worker."""
    try:
        _set_up(prediction)
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

    predictor = Predictor(
        prediction.checkpoint or SHIPPED,
        prediction.device,
        prediction.batch_size,
        prediction.emotions,
        prediction.network,
        mirror=prediction.mirror,
        engine=prediction.engine,
        threads=1,
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

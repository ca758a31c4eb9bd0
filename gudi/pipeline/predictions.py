"""Predict faces in full batches that reach across photos and videos."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from gudi.predictor import Predictor
from gudi.records import Face, Result
from gudi.timing import StageClock, StageSeconds

# Faces wait at most this many seconds for a full batch: a killed run loses faces that wait.
MAX_WAIT = 10.0

# Batches that may queue for the predictor; beyond that, workers wait.
BATCHES_AHEAD = 2


@contextlib.contextmanager
def opening(open_predictor: Callable[[], Predictor]) -> Iterator[Future[Predictor]]:
    """Open a predictor in a thread, so that faces are detected meanwhile; close it at the end.

    TensorFlow takes seconds to load.
    """
    with ThreadPoolExecutor(1, "open") as thread:
        opened = thread.submit(open_predictor)
        try:
            yield opened
        finally:
            if opened.exception() is None:
                opened.result().close()


class PredictionQueue:
    """Collects the faces of results and predicts them in a thread of its own.

    Batches finish in the order of their submission, because there is only one thread, and results
    are completed in the order in which they were added.

    Args:
        predictor: predicts the faces, once it is open; None if all results come with probabilities.
        batch_size: the predictor's; it may become smaller.
        completed: called with each result whose faces have their probabilities.
        seconds: receives the prediction time.
        keep_crops: whether completed results keep their crops.
    """

    def __init__(
        self,
        predictor: Future[Predictor] | None,
        batch_size: int,
        completed: Callable[[Result], None],
        seconds: StageSeconds,
        *,
        keep_crops: bool,
    ) -> None:
        self._predictor, self._batch_size, self._completed = predictor, batch_size, completed
        self._seconds, self._keep_crops = seconds, keep_crops
        self._thread = ThreadPoolExecutor(1, "predict")
        self._waiting: deque[Result] = deque()
        self._unsubmitted: list[Face] = []  # of the waiting results
        self._since = 0.0  # when the first of them was added
        self._running: deque[Future[None]] = deque()

    def add(self, result: Result) -> None:
        """Queue the faces of `result`, and complete the results that are predicted by now.

        Raises `GudiError` if the predictor could not be opened, or cannot predict; so does
        `finish`.
        """
        size = self._current_batch_size()
        if not result.faces or result.faces[0].is_predicted:
            self._completed(result)
            return
        now = time.monotonic()
        self._since = self._since if self._unsubmitted else now
        self._waiting.append(result)
        self._unsubmitted += result.faces
        while len(self._unsubmitted) >= size:
            self._submit(size)
            self._since = now
        if self._unsubmitted and now - self._since > MAX_WAIT:
            self._submit(len(self._unsubmitted))
        while self._running and (self._running[0].done() or len(self._running) > BATCHES_AHEAD):
            self._collect()

    def finish(self) -> None:
        """Predict the remaining faces and wait for them."""
        if self._predictor is not None:
            self._predictor.result()  # raises even if there was no face
        if self._unsubmitted:
            self._submit(len(self._unsubmitted))
        while self._running:
            self._collect()

    def rescue(self) -> None:
        """Predict the faces of waiting results after an interrupt.

        The interrupt may have left other data of the work in progress inconsistent, so only the
        results themselves are used.
        """
        self.close()
        faces = (face for result in self._waiting for face in result.faces)
        lacking = [face for face in faces if not face.is_predicted]
        if lacking:
            self._predict(lacking)
        self._complete()

    def close(self) -> None:
        """End the thread; batches that have not started are dropped."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _current_batch_size(self) -> int:
        """Return the predictor's batch size, without waiting for the predictor to open."""
        if self._predictor is not None and self._predictor.done():
            return self._predictor.result().batch_size
        return self._batch_size

    def _submit(self, count: int) -> None:
        batch = self._unsubmitted[:count]
        del self._unsubmitted[:count]
        self._running.append(self._thread.submit(self._predict, batch))

    def _predict(self, faces: Sequence[Face]) -> None:
        if self._predictor is None:
            raise RuntimeError("a worker returned faces without probabilities")
        clock = StageClock(self._seconds)
        self._predictor.result().predict_faces(faces, keep_crops=self._keep_crops)
        clock.stop("predict")

    def _collect(self) -> None:
        self._running.popleft().result()
        self._complete()

    def _complete(self) -> None:
        """Complete the first waiting results, as far as all their faces are predicted."""
        while self._waiting and self._waiting[0].faces[-1].is_predicted:
            self._completed(self._waiting.popleft())

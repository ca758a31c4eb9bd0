"""Detect a checkpoint that predicts the same for every face."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gudi.records import Box, Result

# Fewer faces may resemble each other by chance. Faces with the same box may be the same face, in
# frames of a video that do not change.
MIN_FACES = 5

# With random weights, as training starts with, the probabilities of 256 different faces differ by
# 0.005. With trained ones, those of enlarged copies of a single face differ by more.
MIN_DIFFERENCE = 0.007


class ProbabilityRange:
    """The lowest and the highest probability of each emotion so far."""

    def __init__(self) -> None:
        self._boxes: set[Box] = set()
        self._lowest: npt.NDArray[np.float32] | None = None
        self._highest: npt.NDArray[np.float32] | None = None

    def add(self, result: Result) -> None:
        """Add the faces of a photo or of a segment of a video."""
        if not result.faces:
            return
        probabilities = np.array([face.probabilities for face in result.faces])
        if len(self._boxes) < MIN_FACES:
            self._boxes.update(face.box for face in result.faces[:MIN_FACES])
        lowest, highest = probabilities.min(axis=0), probabilities.max(axis=0)
        if self._lowest is None or self._highest is None:
            self._lowest, self._highest = lowest, highest
        self._lowest = np.minimum(self._lowest, lowest)
        self._highest = np.maximum(self._highest, highest)

    @property
    def warning(self) -> str:
        """A warning if all faces got nearly the same probabilities; else ""."""
        if self._lowest is None or self._highest is None or len(self._boxes) < MIN_FACES:
            return ""
        if float((self._highest - self._lowest).max()) >= MIN_DIFFERENCE:
            return ""
        return (
            "all faces have nearly the same probabilities: the checkpoint seems not to be trained, "
            "or its weights are damaged"
        )

"""The records that travel between detection, prediction, ledger and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gudi.detection import Box
from gudi.media.source import Source
from gudi.timing import StageSeconds

OK, NO_FACE, FAILED = STATUSES = "ok", "no_face", "failed"


class ProcessedFrame(NamedTuple):
    """A frame of a video in which faces were searched.

    Attributes:
        number: from 0, in the order in which frames are shown.
        time: when it is shown, in seconds; None for a page of a TIFF file.
        signature: see `gudi.media.scenes`.
    """

    number: int
    time: float | None
    signature: bytes


@dataclass
class SourceResult:
    """The faces of one source, or of one segment of a video.

    Attributes:
        source: the photo or video.
        segment: number of a video segment's first frame; None for a whole source.
        width, height: of the upright picture in pixels; None if nothing was decoded.
        boxes: of the faces, ordered by frame, x, then y, in pixels of the upright picture.
        scores: of the faces, see `gudi.detection.Detection`.
        frame_times: for each face of a video, number and time in seconds of its frame; a page
            of a TIFF file has no time.
        crops: uint8 of shape (faces, 48, 48), grey, as the network takes them; None once they are
            predicted, unless they are kept.
        probabilities: float32 of shape (faces, classes), 0 to 1; None until predicted.
        frames: number of processed frames; None for a photo.
        processed: the processed frames of a video, in order.
        end: time of the last processed frame in seconds; None for a photo.
        error: "", or why the source or segment failed.
        digest: BLAKE2b hash of a photo's content; None if it could not be read.
        seconds: processing time by stage: `decode`, `detect`, `predict`.
    """

    source: Source
    segment: int | None = None
    width: int | None = None
    height: int | None = None
    boxes: list[Box] = field(default_factory=list)
    frame_times: list[tuple[int, float | None]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    crops: npt.NDArray[np.uint8] | None = None
    probabilities: npt.NDArray[np.float32] | None = None
    frames: int | None = None
    processed: list[ProcessedFrame] = field(default_factory=list)
    end: float | None = None
    error: str = ""
    digest: bytes | None = None
    seconds: StageSeconds = field(default_factory=StageSeconds)

    @property
    def status(self) -> str:
        """`ok`, `no_face` or `failed`."""
        if self.error:
            return FAILED
        return OK if self.boxes else NO_FACE

    @property
    def faces(self) -> list[tuple[Box, npt.NDArray[np.float32]]]:
        """Box and probabilities of each face; empty until they are predicted."""
        return [] if self.probabilities is None else list(zip(self.boxes, self.probabilities))


class FaceRow(NamedTuple):
    """One face.

    Attributes:
        frame, time: number and time in seconds of a video's frame; None for a photo. A page of a
            TIFF file has no time.
        box: in pixels of the upright picture.
        probabilities: float32 of shape (classes,), 0 to 1.
        score: see `gudi.detection.Detection`; None in ledgers of earlier versions.
        crop: uint8 of shape (48, 48); None unless crops are kept.
    """

    frame: int | None
    time: float | None
    box: Box
    probabilities: npt.NDArray[np.float32]
    score: float | None = None
    crop: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class SourceRecord:
    """What the ledger knows about one source.

    Attributes:
        id: its number in this ledger.
        source: its name, path, kind and extra columns.
        digest: hash of its content, in hexadecimal; "" if unknown.
        status: `ok`, `no_face` or `failed`; None until it is processed.
        faces: number of faces.
        frames: number of processed frames; None for a photo.
        duration: time of a video's last processed frame, in seconds; None for a photo.
        width, height: of the upright picture, in pixels; None if nothing was decoded.
        error: "", or why processing failed.
        picture: path of the annotated picture below `annotated/`; None if it has none.
        drawn: which pictures exist: the sum of `PICTURE` and `THUMBNAIL`.
        draw_error: "", or why drawing failed.
    """

    id: int
    source: Source
    digest: str
    status: str | None
    faces: int
    frames: int | None
    duration: float | None
    width: int | None
    height: int | None
    error: str
    picture: str | None
    drawn: int
    draw_error: str

    @property
    def final_status(self) -> str | None:
        """The status in tables and report, where a failed drawing counts as a failure."""
        return FAILED if self.draw_error else self.status

    @property
    def final_error(self) -> str:
        """The error in tables and report: of processing, of drawing, or both."""
        return "; ".join(filter(None, (self.error, self.draw_error)))


def top_emotion(
    probabilities: npt.NDArray[np.float32], emotions: Sequence[str]
) -> tuple[str, float]:
    """Return the most probable emotion of a face and its probability."""
    best = int(probabilities.argmax())
    return emotions[best], float(probabilities[best])

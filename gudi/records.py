"""The records that every step takes and returns: boxes, faces, frames, results."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gudi.timing import StageSeconds

if TYPE_CHECKING:
    from gudi.media.source import Source


class Box(NamedTuple):
    """A rectangle in an image, in pixels from the upper left corner.

    Example:
        >>> x, y, width, height = face.box
        >>> face_pixels = image[y : y + height, x : x + width]
    """

    x: int
    y: int
    width: int
    height: int


class Detection(NamedTuple):
    """What a detector finds.

    Attributes:
        box: where the face is. The CNN's boxes may reach beyond the edges of the image.
        score: how sure the detector is. For Haar the number of overlapping hits, from
            `min_neighbors` upwards; for the CNN 0 to 100.
    """

    box: Box
    score: float


_UNKNOWN = np.empty(0, np.float32)


@dataclass(eq=False, slots=True, repr=False)
class Face:
    """One face: a row of the faces table.

    Detection creates it, prediction adds the probabilities, and tracking the track. `face["happy"]`
    is the probability of an emotion.

    Attributes:
        box: in pixels of the upright picture.
        score: how sure the detector is, see `Detection`.
        probabilities: float32 of shape (classes,), 0 to 1, in the order of `emotions`; empty until
            they are predicted.
        emotions: names of the classes.
        frame, time_s: number and time in seconds of a video's frame; None for a photo. A page of a
            TIFF file has no time.
        source: path or name of the photo or video; None if it is not from a file.
        track: number of the face's track; None unless faces are tracked.
        smoothed: float32 of shape (classes,), the probabilities smoothed along the track; None
            unless faces are tracked.
        crop: uint8 of shape (48, 48), grey, the network's input; None where it is not needed.
        values: further columns of the faces table, by name.

    Example:
        >>> (face,) = recognizer("portrait.jpg")
        >>> face.emotion, face["happy"], face.box.width
    """

    box: Box
    score: float | None = None
    probabilities: npt.NDArray[np.float32] = field(default_factory=lambda: _UNKNOWN)
    emotions: tuple[str, ...] = ()
    frame: int | None = None
    time_s: float | None = None
    source: str | None = None
    track: int | None = None
    smoothed: npt.NDArray[np.float32] | None = None
    crop: npt.NDArray[np.uint8] | None = None
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def is_predicted(self) -> bool:
        """Whether its probabilities are known."""
        return bool(len(self.probabilities))

    @property
    def emotion(self) -> str:
        """The most probable emotion."""
        return self.emotions[int(self.probabilities.argmax())]

    @property
    def confidence(self) -> float:
        """The probability of the most probable emotion, 0 to 1."""
        return float(self.probabilities.max())

    def __repr__(self) -> str:
        shown = f" {self.emotion} {self.confidence:.0%}" if self.is_predicted else ""
        where = "" if self.frame is None else f" in frame {self.frame}"
        return f"<Face{shown} at {', '.join(map(str, self.box))}{where}>"

    def _repr_html_(self) -> str:
        """Return the face and its emotions for Jupyter."""
        spanned = f"<td rowspan={len(self.emotions)}>"
        picture = "" if self.crop is None else f"{spanned}{embedded(self.crop)}</td>"
        order = np.argsort(-self.probabilities)
        rows = [f"<td>{escape(self.emotions[n])}<td>{self.probabilities[n]:.0%}" for n in order]
        return f"<table><tr>{picture}{'<tr>'.join(rows)}</table>"

    def __getitem__(self, emotion: str) -> float:
        """Return the probability of an emotion.

        Raises:
            KeyError: there is no such emotion.
        """
        if emotion not in self.emotions:
            raise KeyError(emotion)
        return float(self.probabilities[self.emotions.index(emotion)])


def embedded(image: npt.NDArray[np.uint8]) -> str:
    """Return an image, uint8 of shape (h, w, 3), BGR, or (h, w), grey, as an element of HTML."""
    import cv2

    data = base64.b64encode(cv2.imencode(".png", image)[1].tobytes()).decode()
    return f'<img src="data:image/png;base64,{data}">'


@dataclass
class VideoFrame:
    """A processed frame of a video.

    Attributes:
        number: from 0, in the order in which frames are shown.
        time: when it is shown, in seconds; None for a page of a TIFF file.
        signature: see `gudi.analysis.scenes`.
        faces: in it, ordered by x, then y; filled in when they are read from the store.
        seconds: for how long it counts, until the next processed frame; None if that is unknown.
        starts_scene: whether the video cuts to another scene with it.
    """

    number: int
    time: float | None
    signature: bytes
    faces: list[Face] = field(default_factory=list)
    seconds: float | None = None
    starts_scene: bool = False

    @property
    def weight(self) -> float:
        """For how long it counts; without times, all frames count the same."""
        return 1.0 if self.seconds is None else self.seconds


@dataclass
class Result:
    """The result of a photo, or of a segment of a video.

    Attributes:
        source: the photo or video.
        segment: number of a segment's first frame; None for a whole photo or a failed source.
        width, height: of the upright picture in pixels; None if nothing was decoded.
        faces: ordered by frame, x, then y.
        frames: the processed frames of a segment, in order; None for a photo.
        error: "", or why the source or segment failed.
        digest: BLAKE2b hash of a photo's content; None if it could not be read.
        seconds: processing time by stage: `decode`, `detect`, `predict`.
    """

    source: Source
    segment: int | None = None
    width: int | None = None
    height: int | None = None
    faces: list[Face] = field(default_factory=list)
    frames: list[VideoFrame] | None = None
    error: str = ""
    digest: bytes | None = None
    seconds: StageSeconds = field(default_factory=StageSeconds)

    @property
    def status(self) -> str:
        """`ok`, `no_face` or `failed`."""
        if self.error:
            return "failed"
        return "ok" if self.faces else "no_face"

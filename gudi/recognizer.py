"""Recognise the faces of single pictures and of videos, from Python."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gudi import detection
from gudi.constants import MIN_NEIGHBORS, SCALE_FACTOR
from gudi.errors import InputError, PhotoError, UsageError, VideoError, one_line
from gudi.media import video
from gudi.media.content import VIDEO, identify_source
from gudi.media.photo import SeveralFrames, read_photo
from gudi.predictor import Predictor
from gudi.records import Face
from gudi.settings import DetectionSettings, FrameSelection

# Few pictures have more faces. A larger size would take more memory and more time to load.
BATCH_SIZE = 32

# What a caller may pass as a picture: a path, or pixels.
Picture = str | os.PathLike[str] | npt.NDArray[np.uint8]


class Recognizer:
    """Detects faces and predicts their expressions, as `gudi predict` does.

    Use it in a `with` block, or call `close`. Several can be open at the same time, with different
    checkpoints, and one can be used by several threads.

    Attributes:
        emotions: names of the classes, in the order of a face's probabilities.
        checkpoint: path of the checkpoint in use.
        device: TensorFlow's name of the device that predicts.

    Args:
        checkpoint: prefix, folder or any file of a checkpoint; None for the default one.
        emotions: names of the network's outputs in their order; the original's seven by default.
        network: which network to use if the checkpoint holds several, from 1; the trained one by
            default.
        device: `auto`, `cpu`, `gpu`, or `gpu:1` for the second GPU.
        engine: `tensorflow`, `onnx` (faster on CPUs), or `auto`.
        mirror: see `gudi.Predictor`.
        detector, scale_factor, min_neighbors, min_face, max_side, min_score: see `gudi.detect`.
        faces: `all`, or `largest` for one face per picture.
        color: order of the channels of arrays: `bgr`, OpenCV's, or `rgb`.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        DeviceError: the device does not exist.
        UsageError: an argument has no meaning.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike[str] | None = None,
        *,
        emotions: Sequence[str] | None = None,
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
        color: str = "bgr",
    ) -> None:
        _check_color(color)
        self._color = color
        self._detection = DetectionSettings.from_options(
            faces,
            detector=detector,
            scale_factor=scale_factor,
            min_neighbors=min_neighbors,
            min_face=min_face,
            max_side=max_side,
            min_score=min_score,
        )
        self._predictor = Predictor(
            checkpoint, device, BATCH_SIZE, emotions, network, mirror=mirror, engine=engine
        )
        self.emotions = self._predictor.emotions
        self.checkpoint = self._predictor.checkpoint
        self.device: str = self._predictor.device

    def __call__(self, picture: Picture, *, color: str | None = None) -> list[Face]:
        """Return the faces of a picture, ordered by x, then y.

        Args:
            picture: the path of a photo; or uint8 of shape (h, w, 3) in the order of `color`, or
                of shape (h, w), grey.
            color: `bgr` or `rgb`; by default that of the recognizer.

        Raises:
            InputError: the path does not exist.
            PhotoError: the photo cannot be read, or has several frames or pages.
            UsageError: the array has another type or shape.
        """
        color = self._color if color is None else color
        _check_color(color)
        if isinstance(picture, (str, os.PathLike)):
            source = os.fspath(picture)
            return self._recognize(_read_photo(source), source=source)
        detection.check_image(picture)
        if color == "rgb" and picture.ndim == 3:
            picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8)
        return self._recognize(picture)

    def video(
        self, path: str | os.PathLike[str], *, every: int = 1, fps: float | None = None
    ) -> Iterator[Face]:
        """Yield the faces of a video as they are decoded, ordered by frame, x, then y.

        Args:
            path: the video.
            every: process only every Nth frame.
            fps: process at most this many frames per second; None for all.

        Raises:
            InputError: the path does not exist.
            VideoError: the file is not a video, or ends unexpectedly; the faces before that point
                have been yielded.
            UsageError: `every` or `fps` has no meaning.
        """
        selection, source = FrameSelection(every, fps), os.fspath(path)
        _check_exists(source)
        return self._video(source, selection)

    def _video(self, source: str, selection: FrameSelection) -> Iterator[Face]:
        try:
            for frame in video.read_whole(source, selection):
                yield from self._recognize(
                    frame.image, frame=frame.number, time_s=frame.time, source=source
                )
        except VideoError as error:
            raise VideoError(f"{one_line(source)}: {error}") from error

    def close(self) -> None:
        """Free the network's memory. Closing twice does no harm."""
        self._predictor.close()

    def __enter__(self) -> Recognizer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _recognize(self, image: npt.NDArray[np.uint8], **fields: Any) -> list[Face]:
        """Return the faces of an image, uint8 of shape (h, w, 3), BGR, or (h, w)."""
        found = detection.find_faces(image, **asdict(self._detection))
        if not found:
            return []
        crops = np.stack([detection.crop(image, box) for box, _ in found])
        return [
            Face(box, score, row, self.emotions, **fields)
            for (box, score), row in zip(found, self._predictor.predict(crops))
        ]


def _check_color(color: str) -> None:
    if color not in ("bgr", "rgb"):
        raise UsageError(f"color must be 'bgr' or 'rgb'. Received: {color!r}")


def _check_exists(path: str) -> None:
    if not os.path.lexists(path):
        raise InputError(f"no such file or folder: {one_line(path)}")


def _read_photo(path: str) -> npt.NDArray[np.uint8]:
    _check_exists(path)
    content = identify_source(path)
    try:
        if content is not None and content.kind == VIDEO:
            raise PhotoError(f"it is {content.what}; read it with Recognizer.video")
        return read_photo(path)
    except SeveralFrames as error:
        raise PhotoError(
            f"{one_line(path)}: it has several frames or pages; read it with Recognizer.video"
        ) from error
    except PhotoError as error:
        raise PhotoError(f"{one_line(path)}: {error}") from error

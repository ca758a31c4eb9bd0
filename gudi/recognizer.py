"""Recognise the faces of single pictures and of videos, from Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import cv2
import numpy as np
import numpy.typing as npt

from gudi import detection
from gudi.declarations import checked_path, declared, with_options
from gudi.errors import InputError, PhotoError, UsageError, VideoError, one_line
from gudi.media import video
from gudi.media.content import IMAGE, VIDEO, identify_source
from gudi.media.decoding import media_errors
from gudi.media.photo import Photo, SeveralFrames, open_photo
from gudi.picture import Picture
from gudi.predictor import Closable, Predictor
from gudi.records import Face
from gudi.run_setup import choose_detector, load_weights
from gudi.settings import FrameOptions, RecognizerOptions

# Few pictures have more faces. A larger size would take more memory and more time to load.
BATCH_SIZE = 32

if TYPE_CHECKING:
    from PIL import Image

    # What a caller may pass as a picture: a path, or pixels.
    PictureLike = str | os.PathLike[str] | npt.NDArray[np.uint8] | Image.Image


@dataclass(frozen=True)
class _VideoOptions(FrameOptions):
    path: str | os.PathLike[str]


class Recognizer(Closable):
    """Detects faces and predicts their expressions, as `gudi predict` does.

    Use it in a `with` block, or call `close`. Several can be open at the same time, with different
    checkpoints, and one can be used by several threads.

    Attributes:
        emotions: names of the classes, in the order of a face's probabilities.
        checkpoint: path of the checkpoint in use.
        detector: what finds the faces, `haar` or `cnn`.
        device: TensorFlow's name of the device that predicts.

    Example:
        >>> with gudi.Recognizer() as recognizer:
        ...     for face in recognizer("photo.jpg"):
        ...         print(face.emotion, face.box)
    """

    @with_options(RecognizerOptions)
    def __init__(self, options: RecognizerOptions) -> None:
        """Load the checkpoint.

        Raises:
            CheckpointError: the checkpoint cannot be used.
            DeviceError: the device does not exist.
            UsageError: a value is not allowed.
        """
        weights = load_weights(options)
        self._options = choose_detector(options, weights)
        self.detector = self._options.detector
        self._predictor = Predictor.from_options(weights, options, batch_size=BATCH_SIZE)
        self.emotions = self._predictor.emotions
        self.checkpoint = self._predictor.checkpoint
        self.device: str = self._predictor.device

    @overload
    def __call__(self, picture: PictureLike, *, color: str | None = None) -> list[Face]: ...

    @overload
    def __call__(
        self, picture: list[Any] | tuple[Any, ...], *, color: str | None = None
    ) -> list[list[Face]]: ...

    def __call__(self, picture: Any, *, color: str | None = None) -> Any:
        """Return the faces of a picture, ordered by x, then y; of a list, a list per picture.

        Args:
            picture: the path of a photo; a picture of Pillow, which is turned by its EXIF
                orientation; or uint8 of shape (h, w, 3) in the order of `color`, (h, w, 4) with
                transparency, which is ignored, or (h, w), grey. Of a list or tuple of these, a list
                of their faces is returned.
            color: `bgr` or `rgb`, of arrays; by default that of the recognizer.

        Raises:
            InputError: the path does not exist.
            PhotoError: the photo cannot be read, or has several frames or pages.
            UsageError: the array has another type or shape.
        """
        self.check_open()
        chosen = self._options.color if color is None else color
        color = declared(RecognizerOptions)["color"].checked(chosen)
        if isinstance(picture, (str, os.PathLike)):
            source = checked_path(picture, "picture")
            return self._recognize(_open_photo(source, self._options.detector), source=source)
        if isinstance(picture, (list, tuple)):
            return [self(each, color=color) for each in picture]
        if _is_pillow(picture):
            return self._recognize(Picture(_pixels(picture)), source=_file_name(picture))
        if not isinstance(picture, np.ndarray):
            raise UsageError(
                "a picture must be a path, an array, a picture of Pillow, or a list of these. "
                f"Received: {picture!r:.60}"
            )
        if picture.ndim == 3 and picture.shape[2] == 4:
            picture = np.ascontiguousarray(picture[..., :3])
        detection.check_image(picture)
        if color == "rgb" and picture.ndim == 3:
            picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8)
        return self._recognize(Picture(picture))

    @with_options(_VideoOptions)
    def video(self, options: _VideoOptions) -> Iterator[Face]:
        """Yield the faces of a video as they are decoded, ordered by frame, x, then y.

        Args:
            path: the video.

        Raises:
            InputError: the path does not exist.
            ClosedError: the recognizer is closed.
            VideoError: the file is not a video, or ends unexpectedly; the faces before that point
                have been yielded.
            UsageError: a value is not allowed.
        """
        self.check_open()
        source = checked_path(options.path, "path")
        _check_exists(source)
        return self._video(source, options)

    def _video(self, source: str, options: FrameOptions) -> Iterator[Face]:
        try:
            for frame in video.read_whole(source, options):
                self.check_open()
                yield from self._recognize(
                    frame.picture, frame=frame.number, time_s=frame.time, source=source
                )
        except VideoError as error:
            raise VideoError(f"{one_line(source)}: {error}") from error

    def camera(self, source: int | str = 0) -> Iterator[Face]:
        """Yield the faces of a camera's frames as they arrive, ordered by frame, x, then y.

        Args:
            source: the number of the camera, from 0, or its address on the network (`rtsp://…` or
                `http://…`). A lost connection is made again.

        Raises:
            InputError: it gives no pictures.
            ClosedError: the recognizer is closed.
            VideoError: it gives no more pictures.
            UsageError: it is no camera.
        """
        from gudi.live.frames import check_source, is_live, source_name

        self.check_open()
        name = str(source)
        if isinstance(source, bool) or not isinstance(source, (int, str)) or not is_live(name):
            raise UsageError(
                "source must be the number of a camera, or an address that starts with rtsp:// or "
                f"http://. Received: {source_name(name)}"
            )
        check_source(name)
        return self._camera(name)

    def _camera(self, source: str) -> Iterator[Face]:
        from gudi.live.frames import open_frames, source_name

        with open_frames(source) as frames:
            for frame in frames:
                self.check_open()
                yield from self._recognize(
                    frame.picture, frame=frame.number, time_s=frame.time, source=source_name(source)
                )

    def close(self) -> None:
        """Free the network's memory. Closing twice does no harm."""
        self._predictor.close()

    def check_open(self) -> None:
        """Raise `ClosedError` if it is closed."""
        self._predictor.check_open()

    def _recognize(self, picture: Picture, **fields: Any) -> list[Face]:
        """Return the faces of a picture."""
        found = detection.find_faces(picture, self._options)
        if not found:
            return []
        crops = np.stack([detection.crop(picture, box) for box, _ in found])
        return [
            Face(box, score, row, self.emotions, crop=crop, **fields)
            for (box, score), row, crop in zip(found, self._predictor.predict(crops), crops)
        ]


def _is_pillow(picture: Any) -> bool:
    """Return whether `picture` is a picture of Pillow, which is imported only then."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(picture, pillow.Image)


def _pixels(image: Image.Image) -> npt.NDArray[np.uint8]:
    from gudi.media.pillow import upright_pixels

    try:
        with media_errors(IMAGE, lambda: None, Exception):  # Pillow may decode it only now
            return upright_pixels(image)
    except PhotoError as error:
        raise PhotoError(f"{one_line(_file_name(image) or 'the picture')}: {error}") from error


def _file_name(image: Image.Image) -> str | None:
    """Return the path that Pillow has read a picture from; None if it is not from a file."""
    name = getattr(image, "filename", "")
    return os.fsdecode(name) if name else None


def _check_exists(path: str) -> None:
    if not os.path.lexists(path):
        raise InputError(f"no such file or folder: {one_line(path)}")


def _open_photo(path: str, detector: str) -> Photo:
    _check_exists(path)
    content = identify_source(path)
    try:
        if content is not None and content.kind == VIDEO:
            raise PhotoError(f"it is {content.what}; read it with Recognizer.video")
        return open_photo(path, detection.DETECTORS[detector].side)
    except SeveralFrames as error:
        raise PhotoError(
            f"{one_line(path)}: it has several frames or pages; read it with Recognizer.video"
        ) from error
    except PhotoError as error:
        raise PhotoError(f"{one_line(path)}: {error}") from error

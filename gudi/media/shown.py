"""The picture that a player shows of a decoded frame: cropped, with square pixels, upright.

It is converted from the decoder's planes, and only in the sizes that are needed.

A file may say that its frames are to be turned or mirrored, that their pixels are wider than they
are high, that their edges are not to be shown, and that they are HDR.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from gudi.media.content import VIDEO
from gudi.media.cropping import NO_EDGES, Edges
from gudi.media.decoding import media_errors
from gudi.media.hdr import is_hdr, map_tones
from gudi.picture import Picture, reduced_size

# Pixels of other shapes than these are a mistake in the file. Players ignore tiny deviations from
# squares, too, which come from rounding an aspect ratio.
MIN_ASPECT, MAX_ASPECT, TOLERANCE = Fraction(1, 8), Fraction(8), 0.01

# There is one worker per CPU. Before version 17, PyAV had no threads here, and no such argument.
ONE_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}


@dataclass(frozen=True)
class Presentation:
    """How the frames of a video are shown.

    Attributes:
        pixel_aspect: width / height of a pixel.
        edges: what the container crops.
        transfer: FFmpeg's number of the transfer function.
    """

    pixel_aspect: Fraction = Fraction(1)
    edges: Edges = NO_EDGES
    transfer: int = 0

    def show(self, frame: VideoFrame) -> Picture:
        """Return the picture of a decoded frame, BGR."""
        aspect = self.pixel_aspect
        if abs(aspect - 1) < TOLERANCE or not MIN_ASPECT <= aspect <= MAX_ASPECT:
            aspect = Fraction(1)
        picture = _FramePicture(frame, aspect, _turn(frame), self.transfer)
        return picture if self.edges == NO_EDGES else picture.cropped(self.edges)


class _Turn(NamedTuple):
    """How a frame is turned and mirrored: first transposed, then flipped."""

    transposed: bool = False
    upside_down: bool = False
    mirrored: bool = False

    def __call__(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if not any(self):
            return image
        image = image.transpose(1, 0, 2) if self.transposed else image
        rows, columns = (-1 if flipped else 1 for flipped in self[1:])
        return np.ascontiguousarray(image[::rows, ::columns])


def _turn(frame: VideoFrame) -> _Turn:
    """Return how a frame is turned, as its display matrix says.

    The matrix takes x to a·x + c·y and y to b·x + d·y. It may turn by any angle; players turn by
    quarters.
    """
    side_data: Any = frame.side_data  # PyAV's stubs know other keys
    matrix = side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return _Turn()
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32, 5).tolist()
    transposed = abs(a) < abs(b)
    if transposed:
        a, d = c, b
    return _Turn(transposed, d < 0, a < 0)


class _FramePicture(Picture):
    """The picture of a decoded frame, whose copies are made from the decoder's planes.

    Args:
        frame: the frame.
        aspect: width / height of its pixels; they are made square.
        turn: how it is turned.
        transfer: FFmpeg's number of its transfer function.
    """

    def __init__(self, frame: VideoFrame, aspect: Fraction, turn: _Turn, transfer: int) -> None:
        super().__init__(None)
        self._frame, self._aspect, self._turn = frame, aspect, turn
        self._transfer = transfer

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = max(1, round(self._frame.width * self._aspect)), self._frame.height
        return (height, width) if self._turn.transposed else (width, height)

    def cropped(self, edges: Edges) -> Picture:
        """Return the picture without the edges of the frame."""
        image = self._converted()
        (height, width) = image.shape[:2]
        shown = image[edges.top : height - edges.bottom, edges.left : width - edges.right]
        return Picture(self._turn(self._squared(shown if shown.size else image)))

    def _decoded(self) -> npt.NDArray[np.uint8]:
        return self._turn(self._squared(self._converted()))

    def drawable(self, side: int) -> npt.NDArray[np.uint8]:
        """Return a copy to draw on, scaled in the decoder's planes."""
        size = reduced_size(self.size, side)
        if size == self.size:
            return super().drawable(side)
        width, height = size[::-1] if self._turn.transposed else size
        return self._turn(self._converted(width, height))

    def _squared(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return an image with square pixels; as in players, its height stays the same."""
        if self._aspect == 1:
            return image
        size = max(1, round(image.shape[1] * self._aspect)), image.shape[0]
        method = cv2.INTER_CUBIC if self._aspect > 1 else cv2.INTER_AREA
        return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)

    def _converted(
        self, width: int | None = None, height: int | None = None
    ) -> npt.NDArray[np.uint8]:
        """Return the frame in BGR, in another size if that is given.

        Raises:
            VideoError: its format cannot be converted.
        """
        format = "bgr48le" if is_hdr(self._transfer) else "bgr24"
        with media_errors(VIDEO, lambda: None, FFmpegError, ValueError):
            frame = self._frame
            if width:
                # In the same format, if swscale writes it: that takes half the time.
                same = frame.format.name if frame.format.name.startswith("yuv") else format
                frame = frame.reformat(
                    width, height, same, interpolation=Interpolation.AREA, **ONE_THREAD
                )
            frame = frame.reformat(format=format, **ONE_THREAD)
            image = np.asarray(frame.to_ndarray())
        return map_tones(image, self._transfer) if image.dtype == np.uint16 else image

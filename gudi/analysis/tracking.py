"""Follow faces from frame to frame of a video, and smooth their probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gudi.records import Box, Face, VideoFrame

# A track ends when its face has not been seen for this long, in seconds, nor in the last frame.
PATIENCE = 1.0

# Time constant of the smoothing in seconds: a face seen this long ago has the weight 1/e.
SMOOTHING = 0.5

# The same for the velocity of a face. Boxes jitter, so a single step says little about it.
VELOCITY_SMOOTHING = 0.15

# Decay time of the velocity of an unseen face, in seconds.
COASTING = 0.3

# Largest distance of a box from where the face is expected, in sides of the face: at once, per
# second since the face was last seen, and in all. Smaller than the usual distance between two
# people.
NEAR, SURPRISE, FAR = 0.5, 8.0, 1.5

# Largest ratio of the sides of consecutive boxes.
MAX_GROWTH = 1.7

# More than any pair costs, so that as many faces as possible continue a track.
NO_MATCH = 1e6


@dataclass
class _Track:
    """A face that is followed.

    Attributes:
        number: of the track.
        position: centre and side of its last box, in pixels: x, y, side.
        velocity: of the centre, in pixels per second.
        time: when it was last seen, in seconds.
        smoothed: its probabilities.
    """

    number: int
    position: npt.NDArray[np.float64]
    velocity: npt.NDArray[np.float64]
    time: float
    smoothed: npt.NDArray[np.float32]

    def expected(self, time: float) -> npt.NDArray[np.float64]:
        """Return where the face is expected at `time`."""
        coasted = COASTING * (1 - math.exp(-max(0.0, time - self.time) / COASTING))
        position = self.position.copy()
        position[:2] += self.velocity * coasted
        return position

    def move(
        self,
        time: float,
        position: npt.NDArray[np.float64],
        probabilities: npt.NDArray[np.float32],
    ) -> None:
        """Continue the track with a face."""
        passed = max(0.0, time - self.time)
        if passed > 0:
            weight = math.exp(-passed / VELOCITY_SMOOTHING)
            step = (position[:2] - self.position[:2]) / passed
            self.velocity = weight * self.velocity + (1 - weight) * step
        weight = math.exp(-passed / SMOOTHING)
        self.smoothed = (weight * self.smoothed + (1 - weight) * probabilities).astype(np.float32)
        self.position, self.time = position, time


class Tracker:
    """The tracks of one video: a face keeps its number while it is in view.

    Faces are assigned to tracks so that the sum of the distances from their expected positions is
    minimal (as in SORT, Bewley et al. 2016, with distances instead of overlaps: the boxes of fast
    faces do not overlap). Faces are not re-identified: one that comes back later, or after a cut,
    starts a new track.
    """

    def __init__(self) -> None:
        self._count = 0
        self._time = 0.0  # of the last frame
        self._tracks: list[_Track] = []

    @property
    def active(self) -> set[int]:
        """IDs of the active tracks."""
        return {track.number for track in self._tracks}

    def cut(self) -> None:
        """End all tracks: the next frame belongs to another scene."""
        self._tracks = []

    def update(self, time: float, faces: Sequence[Face]) -> None:
        """Set `track` and `smoothed` of each face in a frame.

        Tracks are numbered from 0 in the order in which they start. Probabilities are smoothed by
        an exponential moving average along the track.

        Args:
            time: of the frame, in seconds; frames come in order.
            faces: all faces in the frame, with their probabilities.
        """
        patience = max(PATIENCE, time - self._time)
        self._time = time
        self._tracks = [track for track in self._tracks if time - track.time <= patience]
        positions = [_position(face.box) for face in faces]
        matches = self._match(time, positions)
        for number, (position, face) in enumerate(zip(positions, faces)):
            track = matches.get(number)
            if track is None:
                track = _Track(self._count, position, np.zeros(2), time, face.probabilities)
                self._tracks.append(track)
                self._count += 1
            else:
                track.move(time, position, face.probabilities)
            face.track, face.smoothed = track.number, track.smoothed

    def _match(
        self, time: float, positions: Sequence[npt.NDArray[np.float64]]
    ) -> dict[int, _Track]:
        """Return the track that each face continues, if any."""
        if not positions or not self._tracks:
            return {}
        costs = np.array(
            [[_cost(track, time, position) for position in positions] for track in self._tracks]
        )
        if costs.size == 1:
            pairs = [(0, 0)]  # the usual case, and SciPy takes a while to import
        else:
            from scipy.optimize import linear_sum_assignment

            pairs = list(zip(*linear_sum_assignment(costs)))
        return {face: self._tracks[row] for row, face in pairs if costs[row, face] < NO_MATCH}


def track(frames: Iterable[VideoFrame]) -> Iterator[tuple[VideoFrame, set[int]]]:
    """Give the faces of a video their tracks and smoothed probabilities.

    Frames without a time, which are the pages of a TIFF file, have no tracks.

    Yields:
        Each frame, and the IDs of the tracks that are still active.
    """
    tracker = Tracker()
    for frame in frames:
        if frame.time is not None:
            if frame.starts_scene:
                tracker.cut()
            tracker.update(frame.time, frame.faces)
        yield frame, tracker.active


def _position(box: Box) -> npt.NDArray[np.float64]:
    """Return the centre and the side of a box: x, y, side."""
    side = math.sqrt(max(1, box.width * box.height))
    return np.array([box.x + box.width / 2, box.y + box.height / 2, side])


def _cost(track: _Track, time: float, position: npt.NDArray[np.float64]) -> float:
    """Return the cost of assigning a face to a track; `NO_MATCH` if it cannot be the same face."""
    expected = track.expected(time)
    side = (expected[2] + position[2]) / 2
    # The nearer of where the face was and where it was going: people stop.
    distance = min(math.dist(each[:2], position[:2]) / side for each in (expected, track.position))
    growth = abs(math.log(position[2] / expected[2]))
    reach = min(NEAR + SURPRISE * max(0.0, time - track.time), FAR)
    if distance > reach or growth > math.log(MAX_GROWTH):
        return NO_MATCH
    return float(distance + growth)

"""Pictures of results for papers and slides: distribution, timeline, contact sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from gudi.errors import GudiError, InputError
from gudi.media import video
from gudi.media.photo import read_photo
from gudi.media.source import Source
from gudi.recognizer import Face

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Points of a line in a timeline. A picture is not wide enough for more.
BINS = 300

# Faces per emotion in a contact sheet, their side in pixels, and how much of the picture around the
# box is shown, in sides of the face.
STRONGEST, SIDE, MARGIN = 8, 160, 0.25

# Those of the report: people with any kind of colour blindness can tell them apart.
COLOURS = ("#8b0400", "#197745", "#811b5d", "#b38000", "#002b93", "#178ae6", "#85868b")

Image = npt.NDArray[np.uint8]


def plot_distribution(counts: Counter[str], emotions: Sequence[str], axes: Axes) -> None:
    """Draw how many faces have which top emotion.

    Args:
        counts: number of faces by top emotion.
        emotions: names of the classes.
        axes: what to draw on.
    """
    total, numbers = counts.total(), [counts[name] for name in emotions]
    bars = axes.bar(range(len(numbers)), numbers, color=colours(len(numbers)))
    labels = [f"{number:,}\n{number / total:.0%}" if total else "0" for number in numbers]
    axes.bar_label(bars, labels, padding=2)
    axes.set_xticks(range(len(numbers)), list(emotions))
    axes.set(ylabel="faces", title=f"{total:,} faces")
    axes.margins(y=0.18)
    axes.spines[["top", "right"]].set_visible(False)


def plot_timeline(faces: Iterable[Face], emotions: Sequence[str], axes: Axes) -> None:
    """Draw the probability of each emotion in a video over time: means, where a face is seen.

    Args:
        faces: of one video, in order.
        emotions: names of the classes.
        axes: what to draw on.

    Raises:
        InputError: there are no faces, or they have no times.
    """
    rows = [(face.time_s, face.probabilities) for face in faces if face.time_s is not None]
    if not rows:
        raise InputError("there are no faces with times to draw a timeline of")
    times = np.array([time for time, _ in rows])
    probabilities = np.array([values for _, values in rows])
    edges = np.linspace(times[0], max(times[-1], times[0] + 1e-3), BINS + 1)
    bins = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    filled = counts > 0
    centres = (edges[:-1] + edges[1:]) / 2
    for index, (name, colour) in enumerate(zip(emotions, colours(len(emotions)))):
        sums = np.bincount(bins, probabilities[:, index], BINS)
        means = np.where(filled, sums / np.maximum(counts, 1), np.nan)
        # A bin may be narrower than the time between two frames; longer gaps stay open.
        points = _bridged(centres, means, times)
        axes.plot(*points, label=name, color=colour, linewidth=1.4)
        alone = _without_neighbours(points[1])
        axes.plot(points[0][alone], points[1][alone], ".", color=colour, markersize=3)
    axes.set(xlabel="time in seconds", ylabel="probability", ylim=(0, 1))
    axes.set_xlim(edges[0], edges[-1])
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=len(emotions), frameon=False)


def _bridged(
    centres: npt.NDArray[np.float64],
    means: npt.NDArray[np.float64],
    times: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the points of a line that is interrupted where no face was seen for a while."""
    seen = np.flatnonzero(~np.isnan(means))
    steps = np.diff(np.unique(times))
    usual = float(np.median(steps)) if len(steps) else 0.0
    longest = max(3 * usual, 2 * (centres[1] - centres[0]))
    gaps = np.flatnonzero(np.diff(centres[seen]) > longest) + 1
    return np.insert(centres[seen], gaps, np.nan), np.insert(means[seen], gaps, np.nan)


def _without_neighbours(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Tell which points no line leads to."""
    gaps = np.concatenate([[True], np.isnan(values), [True]])
    alone: npt.NDArray[np.bool_] = ~gaps[1:-1] & gaps[:-2] & gaps[2:]
    return alone


class StrongestFaces:
    """The faces with the highest probability of each emotion; of each source only one per emotion.

    Args:
        emotions: names of the classes.
        count: how many faces are kept per emotion.

    Attributes:
        counts: number of all faces by top emotion.
    """

    def __init__(self, emotions: Sequence[str], count: int = STRONGEST) -> None:
        self.count = count
        self.counts = Counter[str]()
        self._best: dict[str, list[Face]] = {name: [] for name in emotions}

    def add(self, faces: Iterable[Face]) -> None:
        """Take the faces of one source into account."""
        best: dict[str, Face] = {}
        for face in faces:
            self.counts[face.emotion] += 1
            if face.emotion not in best or face.confidence > best[face.emotion].confidence:
                best[face.emotion] = face
        for emotion, face in best.items():
            ranked = sorted([*self._best[emotion], face], key=lambda each: -each.confidence)
            self._best[emotion] = ranked[: self.count]

    @property
    def by_emotion(self) -> dict[str, list[Face]]:
        """The strongest faces of each emotion that was seen, strongest first."""
        return {name: faces for name, faces in self._best.items() if faces}


def plot_contact_sheet(
    strongest: StrongestFaces, sources: Mapping[str, Source], figure: Figure
) -> list[str]:
    """Draw the strongest faces of each emotion, a row per emotion, cut from their sources.

    Args:
        strongest: the faces.
        sources: the photos and videos, by name.
        figure: what to draw on.

    Returns:
        The names of sources that could not be read; their faces are missing.
    """
    rows = strongest.by_emotion
    pictures, unread = _cut([face for faces in rows.values() for face in faces], sources)
    grid = figure.subplots(max(1, len(rows)), strongest.count, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for line, (name, faces) in zip(grid, rows.items()):
        line[0].set_title(name, loc="left", fontsize=11, fontweight="bold")
        for axes, face in zip(line, faces):
            image = pictures.get(id(face))
            if image is not None:
                axes.imshow(image[:, :, ::-1])
            axes.text(
                0.5, -0.04, f"{face.confidence:.0%}", transform=axes.transAxes, ha="center",
                va="top", fontsize=8,
            )  # fmt: skip
    return unread


def _cut(
    faces: Sequence[Face], sources: Mapping[str, Source]
) -> tuple[dict[int, Image], list[str]]:
    """Return the pictures of faces by the face's identity, and the names of unread sources."""
    pictures: dict[int, Image] = {}
    unread = []
    for name in dict.fromkeys(face.source or "" for face in faces):
        own = [face for face in faces if face.source == name]
        try:
            for face, image in _images(sources[name], own):
                pictures[id(face)] = _around(image, face)
        except (GudiError, OSError, KeyError):
            unread.append(name)
    return pictures, unread


def _images(source: Source, faces: Sequence[Face]) -> Iterable[tuple[Face, Image]]:
    """Yield each face of a source with the photo or the frame that shows it."""
    if faces[0].frame is None:
        image = read_photo(source)
        yield from ((face, image) for face in faces)
        return
    index = video.read_index(source)
    for face in faces:
        number = face.frame or 0
        for frame in video.read_frames(source, video.segment_of(index, number)):
            if frame.number == number:
                yield face, frame.image
                break


def _around(image: Image, face: Face) -> Image:
    """Return a square picture of a face and some of its surroundings."""
    box, margin = face.box, round(MARGIN * max(face.box.width, face.box.height))
    # The box may reach beyond the edges, by less than its size.
    room = margin + max(box.width, box.height)
    wide = cv2.copyMakeBorder(image, room, room, room, room, cv2.BORDER_REPLICATE)
    left, top = box.x - margin + room, box.y - margin + room
    cut = wide[top : top + box.height + 2 * margin, left : left + box.width + 2 * margin]
    return np.asarray(cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def colours(count: int) -> list[str]:
    """Return a colour for each class."""
    return [COLOURS[number % len(COLOURS)] for number in range(count)]

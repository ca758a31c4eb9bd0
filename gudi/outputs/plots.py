"""Figures of results for papers and slides: distribution, timeline, contact sheet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from gudi.errors import InputError
from gudi.media import video, video_index
from gudi.media.photo import read_photo
from gudi.media.source import Source
from gudi.records import Face
from gudi.store import Store
from gudi.store.inputs import Input
from gudi.store.statistics import TimeBin

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Points of a line in a timeline, and the shortest time between two of them in seconds. A figure is
# not wide enough for more.
BINS, FINEST = 300, 1e-3

# A line is interrupted where the time between two points is longer than this many usual ones.
LONGEST_STEP = 3.5

# Faces per emotion in a contact sheet, their side in pixels, and how much of the picture around the
# box is shown, in sides of the face.
STRONGEST, SIDE, MARGIN = 8, 160, 0.25

# Those of the report: distinguishable with any kind of colour blindness.
COLOURS = ("#8b0400", "#197745", "#811b5d", "#b38000", "#002b93", "#178ae6", "#85868b")

Image = npt.NDArray[np.uint8]


def plain(text: str) -> str:
    """Return `text` such that matplotlib takes no part of it for a formula."""
    return text.replace("$", r"\$")


def distributions(store: Store) -> dict[str, Mapping[str, float]]:
    """Return amounts by top emotion, by what they are: faces in photos, seconds of videos."""
    found: dict[str, Mapping[str, float]] = {
        "faces in photos": store.emotion_counts(untimed=True),
        "seconds of videos with a face": store.emotion_seconds(),
    }
    return {what: amounts for what, amounts in found.items() if amounts}


def plot_distribution(
    what: str, amounts: Mapping[str, float], emotions: Sequence[str], axes: Axes
) -> None:
    """Draw how often each emotion is the top one.

    Args:
        what: see `distributions`.
        amounts: likewise, by top emotion.
        emotions: names of the classes.
        axes: what to draw on.
    """
    numbers = [amounts.get(name, 0) for name in emotions]
    total = sum(numbers)
    bars = axes.bar(range(len(numbers)), numbers, color=colours(len(numbers)))
    labels = [f"{number:,.0f}\n{number / total:.0%}" for number in numbers]
    axes.bar_label(bars, labels, padding=2)
    axes.set_xticks(range(len(numbers)), list(map(plain, emotions)))
    axes.set(ylabel=what.split()[0], title=f"{total:,.0f} {what}")
    axes.margins(y=0.18)
    axes.spines[["top", "right"]].set_visible(False)


def plot_groups(
    table: pandas.DataFrame, by: Sequence[str], emotions: Sequence[str], figure: Figure
) -> None:
    """Draw for how much of the time each group showed each emotion, with confidence intervals.

    Args:
        table: see `gudi.outputs.summary.summarize`, with intervals.
        by: the columns that name a group.
        emotions: names of the classes.
        figure: what to draw on: a panel per emotion, with a line per group.
    """
    labels = [plain(", ".join(map(str, key))) for key in table[list(by)].itertuples(index=False)]
    panels = figure.subplots(1, len(emotions), sharey=True, sharex=True)
    for axes, emotion, colour in zip(panels, emotions, colours(len(emotions))):
        share, low, high = (table[f"share_{emotion}{bound}"] for bound in ("", "_low", "_high"))
        axes.hlines(labels, low, high, color=colour, alpha=0.4, linewidth=4)
        axes.plot(share, labels, "o", color=colour, markersize=5)
        axes.set_title(plain(emotion), fontsize=10)
        axes.tick_params(left=False)
        axes.set(xlim=(-0.03, 1.03), ylim=(len(labels) - 0.5, -0.5))
        axes.grid(axis="x", alpha=0.25)
        axes.spines[["top", "right", "left"]].set_visible(False)
    figure.supxlabel("part of the time with a face; the bar is a 95% confidence interval", size=9)


def timeline(store: Store, record: Input, track: int | None = None) -> list[TimeBin]:
    """Return the parts of a video that `plot_timeline` draws: those that show a face.

    Args:
        store: holds the results.
        record: the video.
        track: show this face alone, by its smoothed probabilities; None for all faces.

    Raises:
        InputError: there are no faces, or they have no times.
    """
    summary = store.videos.summary(record)
    if summary.get("first_s") is None:
        raise InputError("no face has a time, so a timeline cannot be drawn")
    start, end = summary["first_s"], summary["last_s"]
    width = max((end - start) / BINS, FINEST)
    return list(store.statistics.timeline(record, width, start, track))


def plot_timeline(bins: Sequence[TimeBin], emotions: Sequence[str], axes: Axes) -> None:
    """Draw the probability of each emotion in a video over time: means, where a face is seen.

    Args:
        bins: see `timeline`.
        emotions: names of the classes.
        axes: what to draw on.
    """
    times, means = np.array([each.first for each in bins]), np.array([each.means for each in bins])
    steps = np.diff(times)
    usual = np.median(steps) if len(steps) else 0
    gaps = np.flatnonzero(steps > LONGEST_STEP * usual) + 1
    times, means = np.insert(times, gaps, np.nan), np.insert(means, gaps, np.nan, axis=0)
    alone = _without_neighbours(times)
    for values, name, colour in zip(means.T, emotions, colours(len(emotions))):
        axes.plot(times, values, label=plain(name), color=colour, linewidth=1.4)
        axes.plot(times[alone], values[alone], ".", color=colour, markersize=3)
    axes.set(xlabel="time in seconds", ylabel="probability", ylim=(0, 1))
    axes.margins(x=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=len(emotions), frameon=False)


def _without_neighbours(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which points have no line to a neighbour."""
    gaps = np.concatenate([[True], np.isnan(values), [True]])
    alone: npt.NDArray[np.bool_] = ~gaps[1:-1] & gaps[:-2] & gaps[2:]
    return alone


def strongest_faces(store: Store) -> dict[str, list[tuple[Input, Face]]]:
    """Return the faces with the highest probability of each emotion that was seen.

    They come strongest first, at most `STRONGEST` per emotion, each from another photo or video.
    """
    strongest: dict[str, list[tuple[Input, Face]]] = {}
    found = store.statistics.strongest(STRONGEST)
    for emotion, number, frame, position in sorted(
        found, key=lambda each: store.emotions.index(each[0])
    ):
        record = store.inputs.by_id(number)
        faces = list(store.faces.of_input(record, frame, frame))
        strongest.setdefault(emotion, []).append((record, faces[position]))
    return strongest


def plot_contact_sheet(
    strongest: Mapping[str, Sequence[tuple[Input, Face]]], figure: Figure
) -> list[str]:
    """Draw the strongest faces of each emotion, a row per emotion, cut from their sources.

    Args:
        strongest: see `strongest_faces`.
        figure: what to draw on.

    Returns:
        The sources that could not be read; their faces are missing.
    """
    pictures, unread = _cut([each for faces in strongest.values() for each in faces])
    grid = figure.subplots(max(1, len(strongest)), STRONGEST, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for line, (name, faces) in zip(grid, strongest.items()):
        line[0].set_title(plain(name), loc="left", fontsize=11, fontweight="bold")
        for axes, (_, face) in zip(line, faces):
            image = pictures.get(id(face))
            if image is not None:
                axes.imshow(image[:, :, ::-1])
            axes.text(
                0.5, -0.04, f"{face.confidence:.0%}", transform=axes.transAxes, ha="center",
                va="top", fontsize=8,
            )  # fmt: skip
    return unread


def _cut(faces: Iterable[tuple[Input, Face]]) -> tuple[dict[int, Image], list[str]]:
    """Return the pictures of faces by the identity of the face, and the sources without any."""
    by_source: dict[Source, list[Face]] = {}
    for record, face in faces:
        by_source.setdefault(record.source, []).append(face)
    pictures: dict[int, Image] = {}
    unread = []
    for source, own in by_source.items():
        try:
            for face, image in _images(source, own):
                pictures[id(face)] = _around(image, face)
        except Exception:  # damaged sources cause many types
            unread.append(source.name)
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
        for frame in video.read_frames(source, video_index.segment_of(index, number)):
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

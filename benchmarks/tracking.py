"""How often tracks lose or swap faces, beside matching by overlap alone.

    python benchmarks/tracking.py [--clips 30]

Clips of 4 seconds are generated as boxes with known owners: Haar's boxes tremble, and miss one face
in ten. For each kind of clip, and for all frames, every fifth and every twelfth: how often a face
gets another track, and how many boxes lie in a track that belongs to another face, each per clip.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator, Sequence

import numpy as np

from gudi.analysis.tracking import PATIENCE, Tracker
from gudi.records import Box, Face

RATE, SECONDS = 25, 4
PROBABILITIES = np.full(7, 1 / 7, np.float32)

Frame = tuple[float, list[tuple[str, Box]]]


class OverlapTracker:
    """Tracks by overlap with the last box (Bochinski et al. 2017)."""

    def __init__(self) -> None:
        self._count, self._tracks = 0, {}

    def update(self, time: float, faces: Sequence[Face]) -> None:
        boxes = [face.box for face in faces]
        known = {n: each for n, each in self._tracks.items() if time - each[1] <= PATIENCE}
        pairs = sorted(
            (-overlap(box, last), number, face)
            for number, (last, _) in known.items()
            for face, box in enumerate(boxes)
            if overlap(box, last) >= 0.3
        )
        found: dict[int, int] = {}
        for _, number, face in pairs:
            if face not in found and number not in found.values():
                found[face] = number
        for face in range(len(boxes)):
            if face not in found:
                found[face] = self._count
                self._count += 1
        self._tracks = known | {found[face]: (box, time) for face, box in enumerate(boxes)}
        for number, face in enumerate(faces):
            face.track = found[number]


def overlap(one: Box, other: Box) -> float:
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    both = max(0, width) * max(0, height)
    return both / (one.width * one.height + other.width * other.height - both)


def places(kind: str, time: float) -> Iterator[tuple[str, float, float, float]]:
    """Yield name, x, y and side of each face that is to be seen."""
    if kind in ("crossing", "crossing fast"):
        speed, end = (120, 530) if kind == "crossing" else (300, 1200)
        left, right = 50 + speed * time, end - speed * time
        yield "a", left, 100, 90
        if abs(left - right) > 60:  # else hidden by the other
            yield "b", right, 110, 80
    elif kind == "away for 0.7 s":
        if not 1.2 <= time <= 1.9:
            yield "a", 100 + 20 * time, 100, 80
        yield "b", 400, 120, 90
    elif kind == "fast":
        yield "a", 300 + 250 * math.sin(4.4 * time), 100, 70
        yield "b", 900 + 40 * math.sin(5 * time), 100, 80
    else:
        for number, name in enumerate("abcde"):
            yield name, 100 + 150 * number, 100, 90


KINDS = ("crossing", "crossing fast", "away for 0.7 s", "fast", "five at rest")


def clip(kind: str, every: int, seed: int) -> list[Frame]:
    chance, frames = random.Random(seed), []
    for number in range(0, SECONDS * RATE, every):
        time, faces = number / RATE, []
        for name, x, y, side in places(kind, time):
            if chance.random() < 0.9:
                numbers = (each + chance.gauss(0, 0.03 * side) for each in (x, y, side, side))
                faces.append((name, Box(*map(int, numbers))))
        frames.append((time, faces))
    return frames


def mistakes(tracker: Tracker | OverlapTracker, frames: list[Frame]) -> np.ndarray:
    """Return how often a face gets another track, and how many boxes are in a foreign track."""
    last: dict[str, int] = {}
    owners: dict[int, str] = {}
    switched = foreign = 0
    for time, places in frames:
        faces = [Face(box, 20.0, PROBABILITIES) for _, box in places]
        tracker.update(time, faces)
        for (name, _), face in zip(places, faces):
            switched += last.get(name, face.track) != face.track
            last[name] = face.track
            foreign += owners.setdefault(face.track, name) != name
    return np.array([switched, foreign])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=30)
    count = parser.parse_args().clips
    print("clip, frames taken: another track, boxes in a foreign track; by overlap, by motion")
    for every in (1, 5, 12):
        for kind in KINDS:
            clips = [clip(kind, every, seed) for seed in range(count)]
            before, after = (
                sum(mistakes(tracker(), each) for each in clips) / count
                for tracker in (OverlapTracker, Tracker)
            )
            figures = "; ".join(f"{each[0]:.2f}, {each[1]:.2f}" for each in (before, after))
            print(f"{kind}, every {every}: {figures}")


if __name__ == "__main__":
    main()

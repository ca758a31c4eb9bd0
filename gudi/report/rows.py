"""The rows of the report: one JSON array per entry, for the page's script."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gudi.errors import one_line
from gudi.media.content import VIDEO
from gudi.report.entries import ReportEntry
from gudi.report.film import Film

# What a browser filters without a noticeable delay. A film takes up to 16 kB, and its subtitles.
MAX_LISTED = 100_000
MAX_FAILURES = 10_000
MAX_FILMS = 2_000
MAX_SUBTITLES = 4 * 2**20

# Thumbnails that are embedded in the page. If there are more, they stay in files next to it.
MAX_EMBEDDED = 300
MAX_EMBEDDED_BYTES = 4 * 2**20


@dataclass
class Totals:
    """What is counted while the entries go by.

    Attributes:
        classes: number of emotions.
        inputs: number of entries by kind, by status, and of all of them ("all").
        frames: number of processed frames of videos.
        faces: number of faces by index of their top emotion.
        listed, failures: number of rows in the page, and of those that failed.
        films: number of videos that the page shows over time.
        subtitles: number of characters of their subtitles.
    """

    classes: int
    inputs: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    faces: Counter[int] = field(default_factory=Counter)
    listed: int = 0
    failures: int = 0
    films: int = 0
    subtitles: int = 0

    def add(self, entry: ReportEntry) -> bool:
        """Count `entry`. Return whether the page has room for it."""
        self.inputs.update((entry.kind, entry.status, "all"))
        self.frames += entry.frames or 0
        failed = entry.status == "failed"
        if failed and self.failures == MAX_FAILURES:
            return False
        if not failed and self.listed - self.failures == MAX_LISTED:
            return False
        self.listed += 1
        self.failures += failed
        return True


class Thumbnails:
    """The thumbnails that the page embeds: all of them or, if there are too many, none.

    Args:
        folder: the report's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths: dict[int, Path] = {}

    def add(self, row: int, entry: ReportEntry) -> None:
        """Note the thumbnail of the entry in `row`."""
        if entry.thumbnail and len(self._paths) <= MAX_EMBEDDED:
            self._paths[row] = self.folder / entry.thumbnail

    def encoded(self) -> dict[int, str]:
        """Return the thumbnails by row, in base64, except for missing ones."""
        existing = {row: path for row, path in self._paths.items() if path.is_file()}
        size = sum(path.stat().st_size for path in existing.values())
        if len(self._paths) > MAX_EMBEDDED or size > MAX_EMBEDDED_BYTES:
            return {}
        return {row: base64.b64encode(path.read_bytes()).decode() for row, path in existing.items()}


def make_rows(
    entries: Iterable[ReportEntry], totals: Totals, thumbnails: Thumbnails
) -> Iterator[str]:
    """Yield the rows, separated by commas, of the entries that the page has room for.

    Args:
        entries: what to show, in order.
        totals: counts all of them.
        thumbnails: collects those of the rows.
    """
    for entry in entries:
        row, has_room = totals.listed, totals.add(entry)
        film = Film(totals.classes) if entry.kind == VIDEO else None
        emotions, score = _summarize_faces(entry, totals, film)
        if not has_room:
            continue
        thumbnails.add(row, entry)
        content = _film_content(film, entry, totals, thumbnails.folder) if film else None
        yield (",\n" if row else "") + to_json(_make_row(entry, emotions, score, content))


def _film_content(
    film: Film, entry: ReportEntry, totals: Totals, folder: Path
) -> dict[str, Any] | None:
    """Return what the page shows of a video besides what it shows of photos; None for nothing."""
    shares = film.shares()
    if shares is None:
        return None
    if totals.films == MAX_FILMS:
        return {"shares": shares}
    totals.films += 1
    content = film.content(entry, folder)
    totals.subtitles += len(content.get("subtitles", ""))
    if totals.subtitles > MAX_SUBTITLES:
        content.pop("subtitles", None)
    for peak in content.get("peaks", ()):
        peak[-1] = _link(peak[-1])
    return {"shares": shares, **content}


def _make_row(
    entry: ReportEntry, emotions: list[int], score: int, film: dict[str, Any] | None
) -> list[Any]:
    """Return the values that the page's script expects, without empty ones at the end."""
    row = [
        one_line(entry.source), entry.kind, entry.status, emotions, entry.width, entry.height,
        entry.frames, _link(entry.annotated), _link(entry.thumbnail), one_line(entry.error),
        score, film, [one_line(each or "") for each in entry.extra],
    ]  # fmt: skip
    while not row[-1]:
        row.pop()
    return row


def _summarize_faces(
    entry: ReportEntry, totals: Totals, film: Film | None
) -> tuple[list[int], int]:
    """Count the faces of `entry`, and show them to `film`.

    Returns:
        A flat list with three numbers for each top emotion: its index, the number of faces with
        it, and their highest probability in thousandths. The emotions are sorted by this
        probability, highest first. Then the highest score of a face, rounded down; 0 if no score
        is known.
    """
    faces: Counter[int] = Counter()
    highest, score = [0.0] * totals.classes, 0.0
    for face in entry.faces:
        probabilities = [float(probability) for probability in face.probabilities]
        confidence = max(probabilities)
        top_emotion = probabilities.index(confidence)
        faces[top_emotion] += 1
        score = max(score, face.score or 0)
        highest[top_emotion] = max(highest[top_emotion], confidence)
        if film is not None:
            film.add(face)
    totals.faces.update(faces)
    ordered = sorted((-round(1000 * highest[emotion]), emotion) for emotion in faces)
    return (
        [number for least, emotion in ordered for number in (emotion, faces[emotion], -least)],
        int(score),
    )


def to_json(value: Any) -> str:
    """Return `value` as JSON that is safe inside a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _link(path: str | None) -> str | None:
    """Return `path`, which may contain any bytes, as a relative URL."""
    return path and quote(path.encode("utf-8", "surrogateescape"), safe="/")

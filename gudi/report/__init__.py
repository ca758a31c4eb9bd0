"""`report.html`: a result folder as one page that opens anywhere, without a network.

The page is written as the entries come, a row of JSON each, so memory does not grow with them;
its script draws the rows that pass the filters, a page at a time. Whatever was named by others
enters the page as JSON or escaped, and its script makes text of it, never markup.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from gudi.errors import OutputError, one_line
from gudi.files import atomic_write
from gudi.progress import format_duration
from gudi.report.timeline import Timeline

# What a browser still filters without a noticeable wait; a timeline takes up to 6 kB.
MAX_LISTED = 100_000
MAX_FAILURES = 10_000
MAX_TIMELINES = 2_000

# Thumbnails that are put into the page itself; where there are more, they stay files beside it.
MAX_EMBEDDED = 300
MAX_EMBEDDED_BYTES = 4 * 2**20

MAX_INPUTS_SHOWN = 10

# Of `page.css`; more classes than that share them.
COLOURS = 7


@dataclass(frozen=True)
class Face:
    """One face of a photo, or of one frame of a video.

    Attributes:
        probabilities: one for each emotion, 0 to 1.
        time: of a video, that of its frame, in seconds.
    """

    probabilities: Sequence[float]
    time: float | None = None


@dataclass(frozen=True)
class Entry:
    """What came of one input.

    Attributes:
        source: what `files.csv` calls it.
        kind: `image`, `video` or `folder`.
        status: `ok`, `no_face` or `failed`.
        faces: of a video in the order of its frames; gone through once.
        width, height: in pixels; None where it was not decoded.
        frames: of a video, how many were looked at.
        duration: of a video, in seconds; 0 where it is not known.
        error: "" or why it failed.
        annotated, thumbnail: path of the annotated copy, and of a JPEG of at most 240 pixels a
            side, below the report's folder, with forward slashes.
    """

    source: str
    kind: str
    status: str
    faces: Iterable[Face] = ()
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    duration: float = 0
    error: str = ""
    annotated: str | None = None
    thumbnail: str | None = None


def write(
    path: Path, run: Mapping[str, Any], emotions: Sequence[str], entries: Iterable[Entry]
) -> None:
    """Write the report of a run to `path`, whole or not at all.

    Args:
        path: in the result folder.
        run: the content of `run.json`; what is missing there is left out here.
        emotions: the names of the classes.
        entries: in the order in which they are to be shown; gone through once.

    Raises:
        OutputError: it cannot be written.
    """
    page, style, script = (
        resources.files(__name__).joinpath(f"page.{ending}").read_text(encoding="utf-8")
        for ending in ("html", "css", "js")
    )
    head, tail = map(Template, page.split("<!-- entries -->"))
    count = _Count(len(emotions))
    thumbnails = _Thumbnails(path.parent)
    try:
        with atomic_write(path) as file:
            file.write(head.substitute(_head(run, style, script), style=style).encode())
            file.writelines(row.encode() for row in _rows(entries, count, thumbnails))
            about = _tail(run, emotions, count, thumbnails)
            file.write(tail.substitute(about, script=script).encode())
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


@dataclass
class _Count:
    """What is counted while the entries go by.

    Attributes:
        classes: number of emotions.
        inputs: by kind, status, and both.
        frames: of videos that were looked at.
        faces: by strongest emotion.
        listed, failures, timelines: what the page holds: rows, those of them that failed, and
            timelines.
    """

    classes: int
    inputs: Counter = field(default_factory=Counter)
    frames: int = 0
    faces: Counter = field(default_factory=Counter)
    listed: int = 0
    failures: int = 0
    timelines: int = 0

    def take(self, entry: Entry) -> bool:
        """Count `entry`; tell whether the page has room for it."""
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


class _Thumbnails:
    """The thumbnails that the page holds itself: all of them, or none where they are many."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[int, Path] = {}

    def add(self, row: int, entry: Entry) -> None:
        """Note the thumbnail of the entry in `row`."""
        if entry.thumbnail and len(self._found) <= MAX_EMBEDDED:
            self._found[row] = self._folder / entry.thumbnail

    def encoded(self) -> dict[int, str]:
        """Return the thumbnails by row, in base64; those that are not there are left out."""
        there = {row: path for row, path in self._found.items() if path.is_file()}
        size = sum(path.stat().st_size for path in there.values())
        if len(self._found) > MAX_EMBEDDED or size > MAX_EMBEDDED_BYTES:
            return {}
        return {row: base64.b64encode(path.read_bytes()).decode() for row, path in there.items()}


def _rows(entries: Iterable[Entry], count: _Count, thumbnails: _Thumbnails) -> Iterator[str]:
    """Yield the rows of the entries that the page has room for; count all of them."""
    for entry in entries:
        row, listed = count.listed, count.take(entry)
        found, timeline = _look_through(entry, count)
        if not listed:
            continue
        if timeline is not None:
            count.timelines += 1
        thumbnails.add(row, entry)
        yield (",\n" if row else "") + _json(_row(entry, found, timeline))


def _row(entry: Entry, found: list[int], timeline: list[Any] | None) -> list[Any]:
    """Return what the page's script takes for `entry`, in the order that it knows."""
    row = [
        one_line(entry.source), entry.kind, entry.status, found, entry.width, entry.height,
        entry.frames, _link(entry.annotated), _link(entry.thumbnail), one_line(entry.error),
        timeline,
    ]  # fmt: skip
    while not row[-1]:
        row.pop()
    return row


def _look_through(entry: Entry, count: _Count) -> tuple[list[int], list[Any] | None]:
    """Go through the faces of `entry`.

    Returns:
        three numbers for each emotion that was the strongest of a face, the most confident first:
        its index, of how many faces, its highest probability in thousandths; and the timeline of
        a video.
    """
    wanted = entry.kind == "video" and count.timelines < MAX_TIMELINES
    timeline = Timeline(count.classes) if wanted else None
    faces: Counter = Counter()
    highest = [0.0] * count.classes
    for face in entry.faces:
        shares = [float(share) for share in face.probabilities]
        confidence = max(shares)
        strongest = shares.index(confidence)
        faces[strongest] += 1
        highest[strongest] = max(highest[strongest], confidence)
        if timeline is not None:
            timeline.add(face.time, shares)
    count.faces.update(faces)
    found = sorted((-round(1000 * highest[each]), each) for each in faces)
    return (
        [number for share, each in found for number in (each, faces[each], -share)],
        timeline.bins(entry.frames, entry.duration) if timeline and faces else None,
    )


def _json(value: Any) -> str:
    """Return `value` as JSON that can stand in a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _link(path: str | None) -> str | None:
    """Return `path`, which may hold any bytes, as a relative URL."""
    return path and quote(os.fsencode(path), safe="/")


def _head(run: Mapping[str, Any], style: str, script: str) -> dict[str, str]:
    """Return what stands above the rows."""
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src 'self' data:; "
        f"media-src 'self'; style-src {_hash(style)}; script-src {_hash(script)}"
    )
    return {"policy": policy, "title": _text(f"gudi: {', '.join(_inputs(run)) or 'report'}")}


def _hash(text: str) -> str:
    """Return `text` as a Content-Security-Policy allows it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _tail(
    run: Mapping[str, Any], emotions: Sequence[str], count: _Count, thumbnails: _Thumbnails
) -> dict[str, str]:
    """Return what stands below the rows."""
    emotions = [one_line(emotion) for emotion in emotions]
    return {
        "inputs": _text(", ".join(_inputs(run))),
        "started": _text(_moment(run.get("started", ""))),
        "notes": "".join(f'<p class="note">{_text(note)}</p>' for note in _notes(run, count)),
        "totals": "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in
                          _totals(run, count)),
        "emotions": _bars(emotions, count.faces),
        "facts": "".join(f"<section><h3>{title}</h3><dl>{_facts(facts)}</dl></section>"
                         for title, facts in _sections(run) if facts),
        "about": _json({"emotions": emotions, "thumbnails": thumbnails.encoded()}),
    }  # fmt: skip


def _inputs(run: Mapping[str, Any]) -> list[str]:
    inputs = list(run.get("inputs", ()))
    more = len(inputs) - MAX_INPUTS_SHOWN
    return inputs[:MAX_INPUTS_SHOWN] + ([f"and {more:,} more"] if more > 0 else [])


def _notes(run: Mapping[str, Any], count: _Count) -> Iterator[str]:
    """Yield what a reader has to know before believing the numbers."""
    state = run.get("state")
    if state == "interrupted":
        yield "The run was interrupted; this is what was done by then."
    elif state == "failed":
        yield f"The run ended with an error: {run.get('failure') or 'unknown'}"
    elif state == "running":
        yield "The run was not over when this page was written."
    inputs, failed = count.inputs["all"], count.inputs["failed"]
    if count.listed < inputs:
        yield (
            f"Too many for one page: it lists {count.listed:,} of {inputs:,} inputs, among them "
            f"{count.failures:,} of {failed:,} that failed. The totals count all of them; all "
            "inputs are in files.csv, all faces in faces.csv."
        )
    if count.timelines == MAX_TIMELINES < count.inputs["video"]:
        yield f"Timelines are those of the first {MAX_TIMELINES:,} videos that show faces."


def _totals(run: Mapping[str, Any], count: _Count) -> Iterator[tuple[str, str]]:
    """Yield names and values of the numbers at the top."""
    inputs = count.inputs
    yield "Photos", f"{inputs['image']:,}"
    if inputs["video"]:
        yield "Videos", f"{inputs['video']:,}"
        yield "Frames", f"{count.frames:,}"
    yield "Faces", f"{count.faces.total():,}"
    yield "Without a face", f"{inputs['no_face']:,}"
    yield "Failed", f"{inputs['failed']:,}"
    left = run.get("counts", {}).get("not_reached")
    if left:
        yield "Not looked at", f"{left:,}"
    seconds = run.get("seconds", {})
    if seconds:
        yield "Time", format_duration(sum(seconds.values()))
    pictures = run.get("counts", {}).get("looked")
    if seconds.get("inputs") and pictures:
        yield "Pictures / s", f"{pictures / seconds['inputs']:,.1f}"


def _moment(stamp: str) -> str:
    """Return an ISO stamp as people write it, and anything else as it is."""
    try:
        return f"{datetime.fromisoformat(stamp):%Y-%m-%d %H:%M %Z}"
    except ValueError:
        return stamp


def _bars(emotions: Sequence[str], faces: Counter) -> str:
    """Return table rows, one an emotion."""
    total = max(1, faces.total())
    most = max(faces.values(), default=1)
    return "".join(
        f'<tr><th scope="row"><bdi>{_text(name)}</bdi></th>'
        f'<td aria-hidden="true"><svg width="100%" height="14"><rect width="'
        f'{100 * faces[number] / most:.2f}%" height="14" class="e{number % COLOURS}"/></svg></td>'
        f"<td>{faces[number]:,}</td><td>{faces[number] / total:.1%}</td></tr>"
        for number, name in enumerate(emotions)
    )


def _sections(run: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield titles and contents of what is told of the run itself."""
    yield "Settings", dict(_flat(run.get("settings", {})))
    yield "Checkpoint", {**run.get("checkpoint", {}), "device": run.get("device")}
    yield "Versions", {"gudi": run.get("gudi"), **run.get("versions", {})}
    yield "Seconds", dict(run.get("seconds", {}))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _facts(facts: Mapping[str, Any]) -> str:
    """Return names and values as the inside of a description list."""
    return "".join(
        f"<div><dt>{_text(name)}</dt><dd><bdi>{_text(_said(value))}</bdi></dd></div>"
        for name, value in facts.items()
        if value not in (None, "")
    )


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _text(value: object) -> str:
    """Return `value` as text in HTML, on one line and with nothing invisible in it."""
    return html.escape(one_line(value))

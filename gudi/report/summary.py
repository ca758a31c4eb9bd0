"""What the report says of the run as a whole, as HTML."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from gudi.errors import one_line
from gudi.progress import format_duration
from gudi.report import rows
from gudi.report.rows import Totals
from gudi.results.run_record import FAILED, INTERRUPTED, RUNNING, RunRecord

MAX_INPUTS_SHOWN = 10

# Number of colours in `page.css`. Further emotions reuse them.
COLOURS = 7


def describe_run(run: RunRecord, emotions: Sequence[str], totals: Totals) -> dict[str, str]:
    """Return the HTML of the page's parts by name.

    Args:
        run: the run record.
        emotions: the names of the classes.
        totals: what has been counted.
    """
    return {
        "inputs": as_text(", ".join(list_inputs(run))),
        "started": as_text(_format_time(run.started)),
        "notes": "".join(f'<p class="note">{as_text(note)}</p>' for note in _notes(run, totals)),
        "totals": "".join(
            f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in _numbers(run, totals)
        ),
        "emotions": _bars(emotions, totals.faces),
        "facts": "".join(
            f"<section><h3>{title}</h3><dl>{_facts(facts)}</dl></section>"
            for title, facts in _sections(run)
            if facts
        ),
    }


def list_inputs(run: RunRecord) -> list[str]:
    """Return the first INPUTs of the run, and how many more there are."""
    inputs = list(run.inputs)
    more = len(inputs) + run.more_inputs - MAX_INPUTS_SHOWN
    return inputs[:MAX_INPUTS_SHOWN] + ([f"and {more:,} more"] if more > 0 else [])


def as_text(value: object) -> str:
    """Return `value` as text in HTML, on one line and without invisible characters."""
    return html.escape(one_line(value))


def _notes(run: RunRecord, totals: Totals) -> Iterator[str]:
    """Yield what a reader has to know before trusting the numbers."""
    if run.state == INTERRUPTED:
        yield "The run was interrupted. This page shows what was finished by then."
    elif run.state == FAILED:
        yield f"The run ended with an error: {run.failure}"
    elif run.state == RUNNING:
        yield "The run was still in progress when this page was written."
    inputs, failed = totals.inputs["all"], totals.inputs["failed"]
    if totals.listed < inputs:
        yield (
            f"There are too many inputs for one page. It lists {totals.listed:,} of {inputs:,}, "
            f"including {totals.failures:,} of {failed:,} that failed. The totals include all "
            "inputs. All inputs are in files.csv, all faces in faces.csv."
        )
    if totals.films == rows.MAX_FILMS < totals.inputs["video"]:
        yield f"Only the first {rows.MAX_FILMS:,} videos with faces are shown over time."


def _numbers(run: RunRecord, totals: Totals) -> Iterator[tuple[str, str]]:
    """Yield names and values of the numbers at the top."""
    inputs = totals.inputs
    yield "Photos", f"{inputs['image']:,}"
    if inputs["video"]:
        yield "Videos", f"{inputs['video']:,}"
        yield "Frames", f"{totals.frames:,}"
    yield "Faces", f"{totals.faces.total():,}"
    yield "No face", f"{inputs['no_face']:,}"
    yield "Failed", f"{inputs['failed']:,}"
    if run.counts and run.counts.not_reached:
        yield "Not processed", f"{run.counts.not_reached:,}"
    seconds = run.seconds or {}
    if seconds:
        yield "Time", format_duration(sum(seconds.values()))
    if run.counts and run.counts.processed and seconds.get("inputs"):
        unit = "Photos and frames / s" if inputs["video"] else "Photos / s"
        yield unit, f"{run.counts.processed / seconds['inputs']:,.1f}"


def _format_time(stamp: str) -> str:
    """Return an ISO time stamp in a readable form, and anything else as it is."""
    try:
        return f"{datetime.fromisoformat(stamp):%Y-%m-%d %H:%M %Z}"
    except ValueError:
        return stamp


def _bars(emotions: Sequence[str], faces: Counter[int]) -> str:
    """Return table rows, one per emotion."""
    total = max(1, faces.total())
    most = max(faces.values(), default=1)
    return "".join(
        f'<tr><th scope="row"><bdi>{as_text(name)}</bdi></th>'
        f'<td aria-hidden="true"><svg width="100%" height="14"><rect width="'
        f'{100 * faces[number] / most:.2f}%" height="14" class="e{number % COLOURS}"/></svg></td>'
        f"<td>{faces[number]:,}</td><td>{faces[number] / total:.1%}</td></tr>"
        for number, name in enumerate(emotions)
    )


def _sections(run: RunRecord) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield titles and facts about how the run was done."""
    yield "Settings", dict(run.settings)
    yield "Checkpoint", {**asdict(run.checkpoint), "device": run.device}
    yield "Versions", {"gudi": run.gudi, **run.versions}
    yield "Seconds", dict(run.seconds or {})


def _facts(facts: Mapping[str, Any]) -> str:
    """Return names and values as the content of a description list."""
    return "".join(
        f"<div><dt>{as_text(name)}</dt><dd><bdi>{as_text(_format_value(value))}</bdi></dd></div>"
        for name, value in facts.items()
        if value not in (None, "")
    )


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)

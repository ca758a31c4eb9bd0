"""The summary of the run in the report, as HTML."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from gudi.errors import one_line
from gudi.outputs.report import rows
from gudi.outputs.report.rows import Rows
from gudi.outputs.run_record import FAILED, INTERRUPTED, RUNNING, RunRecord
from gudi.progress import format_duration
from gudi.settings import HAAR, HAAR_OPTIONS
from gudi.store import Store

MAX_INPUTS_SHOWN = 10

# Number of colours in `page.css`. Further emotions reuse them.
COLOURS = 7


def run_parts(run: RunRecord, store: Store, shown: Rows) -> dict[str, str]:
    """Return the HTML of the page's parts by name.

    Args:
        run: the run record.
        store: holds the results.
        shown: the rows of the page, all of which have been read.
    """
    numbers = _numbers(run, store)
    notes = [*_state(run), *_limits(shown, store)]
    return {
        "inputs": as_text(", ".join(list_inputs(run))),
        "started": as_text(_format_time(run.started)),
        "notes": "".join(f'<p class="note">{as_text(note)}</p>' for note in notes),
        "totals": "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in numbers),
        "emotions": "".join(_distributions(store)),
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


def _state(run: RunRecord) -> Iterator[str]:
    """Yield what a reader has to know of the run before trusting the numbers."""
    if run.state == INTERRUPTED:
        yield "The run was interrupted. This page shows what was finished by then."
    elif run.state == FAILED:
        yield f"The run ended with an error: {run.failure}"
    elif run.state == RUNNING:
        yield "The run was still in progress when this page was written."


def _limits(shown: Rows, store: Store) -> Iterator[str]:
    """Yield what the page has no room for."""
    by_status, (_, videos, _) = store.inputs.status_counts(), store.inputs.totals()
    inputs = by_status.total() - by_status[None]  # without those that are not finished
    if shown.listed < inputs:
        yield (
            f"There are too many inputs for one page. It lists {shown.listed:,} of {inputs:,}, "
            f"including {shown.failures:,} of {by_status['failed']:,} that failed. The totals "
            "include all inputs. All inputs are in files.csv, all faces in faces.csv."
        )
    if shown.videos == rows.MAX_VIDEOS < videos:
        yield f"Only the first {rows.MAX_VIDEOS:,} videos with faces are shown over time."


def _numbers(run: RunRecord, store: Store) -> Iterator[tuple[str, str]]:
    """Yield names and values of the numbers at the top."""
    by_status, (photos, videos, frames) = store.inputs.status_counts(), store.inputs.totals()
    if photos or not videos:
        yield "Photos", f"{photos:,}"
        yield "Faces in photos", f"{sum(store.emotion_counts(untimed=True).values()):,}"
    if videos:
        yield "Videos", f"{videos:,}"
        yield "Frames", f"{frames:,}"
        yield "Time with a face", format_duration(sum(store.emotion_seconds().values()))
    yield "No face", f"{by_status['no_face']:,}"
    yield "Failed", f"{by_status['failed']:,}"
    if run.counts and run.counts.not_reached:
        yield "Not processed", f"{run.counts.not_reached:,}"


def _format_time(stamp: str) -> str:
    """Return an ISO time stamp in a readable form, and anything else as it is."""
    try:
        return f"{datetime.fromisoformat(stamp):%Y-%m-%d %H:%M %Z}"
    except ValueError:
        return stamp


def _distributions(store: Store) -> Iterator[str]:
    """Yield a table of bars for photos, and one for videos.

    The frames of a video are not independent, so it counts by the time in which it shows a face.
    """
    photos, videos, _ = store.inputs.totals()
    if photos or not videos:
        yield _bars(
            "Faces in photos", store.emotions, store.emotion_counts(untimed=True), "{:,}".format
        )
    if videos:
        seconds = store.emotion_seconds()
        yield _bars("Time with a face in videos", store.emotions, seconds, format_duration)


def _bars(
    what: str,
    emotions: Sequence[str],
    amounts: Mapping[str, float],
    describe: Callable[[float], str],
) -> str:
    """Return a table with a row per emotion."""
    total, most = sum(amounts.values()) or 1, max(amounts.values(), default=1)
    rows = (
        f'<tr><th scope="row"><bdi>{as_text(name)}</bdi></th>'
        f'<td aria-hidden="true"><svg width="100%" height="14"><rect width="'
        f'{100 * amount / most:.2f}%" height="14" class="e{number % COLOURS}"/></svg></td>'
        f"<td>{describe(amount)}</td><td>{amount / total:.1%}</td></tr>"
        for number, name in enumerate(emotions)
        for amount in [amounts.get(name, 0)]
    )
    return (
        f'<table class="bars"><caption>{what} by top emotion</caption><thead class="hidden"><tr>'
        '<th scope="col">Emotion</th><td aria-hidden="true"></td><th scope="col">Amount</th>'
        f'<th scope="col">Percent</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _sections(run: RunRecord) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield titles and facts about how the run was done."""
    unused = HAAR_OPTIONS if run.settings.get("detector") != HAAR else ()
    yield "Settings", {key: run.settings[key] for key in run.settings if key not in unused}
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

"""What the report shows of a video: emotions over time, the faces in it, the strongest moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gudi.outputs.folder import ANNOTATED, subtitles_path, thumbnail_paths
from gudi.outputs.report.timeline import make_strips, make_timeline
from gudi.settings import THUMBNAIL
from gudi.store import Store
from gudi.store.inputs import Input
from gudi.store.paths import path_of

# Tracks that a report shows of a video: those that are seen longest.
MAX_TRACKS = 20

# The report shows subtitles of at most this many characters per video.
MAX_SUBTITLES = 100_000


def video_content(
    store: Store, record: Input, summary: Mapping[str, Any], folder: Path, *, tracked: bool
) -> dict[str, Any]:
    """Return what the page's script expects of a video with faces.

    Args:
        store: holds the results.
        record: the video.
        summary: its row in the table of videos.
        folder: the folder of the report.
        tracked: whether to show tracks.

    Returns:
        `width`, `bins`, `starts`: see `Timeline`. `means`: the mean probabilities over the time
        with a face, in percent. `tracks`: see `make_strips`. `left_out`: number of other tracks.
        `peaks`: emotion, probability in thousandths, seconds, path of the thumbnail. `subtitles`:
        in WebVTT. Empty ones are missing.
    """
    content: dict[str, Any] = {}
    if summary["last_s"] is not None:  # pages of a TIFF file have no times
        end = max(0.0, summary["last_s"], record.duration or 0)
        timeline = make_timeline(store, record, end)
        content |= vars(timeline)
        content["means"] = rounded(100, summary, "mean_", store.emotions)
        if tracked:
            content["tracks"] = make_strips(store, record, timeline, MAX_TRACKS)
            content["left_out"] = max(0, store.videos.count_tracks(record) - MAX_TRACKS)
    if record.drawn & THUMBNAIL:
        content["peaks"] = [
            [store.emotions.index(peak.emotion), round(1000 * peak.probability), peak.time, path]
            for peak, path in zip(store.videos.peaks(record), thumbnail_paths(record))
            if (folder / path).is_file()
        ]
    content["subtitles"] = _read_subtitles(record, folder)
    return {name: value for name, value in content.items() if value}


def rounded(
    factor: int, summary: Mapping[str, Any], prefix: str, emotions: Sequence[str]
) -> list[int] | None:
    """Return values of a video's summary, one per emotion; None if it shows no face."""
    values = [summary.get(f"{prefix}{emotion}") for emotion in emotions]
    return [round(factor * value) for value in values if value is not None] or None


def _read_subtitles(record: Input, folder: Path) -> str:
    """Return the subtitles; "" if there are none or too many."""
    if not record.annotated:
        return ""
    path = subtitles_path(path_of(folder / ANNOTATED, record.annotated))
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        text = file.read(MAX_SUBTITLES + 1)
    return text if len(text) <= MAX_SUBTITLES else ""

"""Groups of videos: which expressions their main faces show, weighted by time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gudi.columns import CHANGES, FRAMES, SUMMARY, Column, expand, extra_columns, names
from gudi.errors import InputError
from gudi.outputs.data_frames import data_frame

if TYPE_CHECKING:
    import pandas

    from gudi.store import Store

# Columns that are weighted by time and have intervals; the last ones only with a baseline.
WEIGHTED = "share_", "mean_", "change_"

# Of the bootstrap: so many samples, and the percentiles that bound an interval of 95%.
RESAMPLES, BOUNDS = 2000, {"low": 2.5, "high": 97.5}


@dataclass(frozen=True)
class Grouping:
    """How videos are summarised.

    Attributes:
        by: columns whose values make a group: extra columns, or `source`.
        participant: the extra column that identifies persons. Without it, each video is of
            another person.
        baseline: start and end in seconds of the part of each video that shows its person at rest.
            The other values leave it out.
        intervals: whether to add 95% confidence intervals.
    """

    by: tuple[str, ...] = ("source",)
    participant: str = "participant"
    baseline: tuple[float, float] | None = None
    intervals: bool = False


def summary_columns(store: Store, grouping: Grouping) -> list[Column]:
    """Return the columns of `summarize`.

    Raises:
        InputError: the results lack a column to group by.
    """
    if not grouping.by:
        raise InputError("name at least one column to group by")
    known = ["source", *store.extra]
    if unknown := [name for name in grouping.by if name not in known]:
        raise InputError(
            f"the results have no column {unknown[0]!r} to group by; there is {', '.join(known)}"
        )
    table = (*SUMMARY, *CHANGES) if grouping.baseline else SUMMARY
    columns = expand(table, store.emotions, tracked=store.videos.are_tracked())
    if grouping.intervals:
        weighted = [each for each in columns if each.name.startswith(WEIGHTED)]
        columns += [
            replace(each, name=f"{each.name}_{bound}") for each in weighted for bound in BOUNDS
        ]
    return [*extra_columns(grouping.by), *columns]


def summarize(store: Store, grouping: Grouping) -> pandas.DataFrame:
    """Return one row per group of videos, sorted by group: the values of `summary_columns`.

    Raises:
        InputError: the results lack a column to group by, or hold no video.
    """
    import pandas

    columns = summary_columns(store, grouping)
    videos = pandas.DataFrame(list(_videos(store, grouping)))
    if videos.empty:
        raise InputError("the results hold no frames of videos to summarize")
    rows = [
        dict(zip(grouping.by, key)) | _group(group, store.emotions, grouping)
        for key, group in videos.groupby(list(grouping.by))
    ]
    return pandas.DataFrame(rows, columns=names(columns))


def _videos(store: Store, grouping: Grouping) -> Iterator[dict[str, Any]]:
    """Yield the values of each video; `participants` is whom it shows."""
    columns = [*expand(FRAMES, store.emotions), *extra_columns(store.extra)]
    for source, rows in groupby(store.frame_rows(tracked=True), key=itemgetter(0)):
        frames = data_frame(columns, rows)
        extra = {name: frames[name].iloc[0] or "" for name in store.extra}
        yield {
            "source": source,
            **extra,
            "participants": extra.get(grouping.participant) or source,
            **_video(frames, store.emotions, grouping.baseline),
        }


def _video(
    frames: pandas.DataFrame, emotions: Sequence[str], baseline: tuple[float, float] | None
) -> dict[str, float]:
    """Return times, and means over the time with the main face."""
    import pandas

    emotions = list(emotions)
    probabilities = frames[emotions].add_prefix("mean_")
    seen = frames["face"].notna()
    shares = pandas.DataFrame(
        {
            f"share_{name}": (frames["emotion"] == name).astype(float).where(seen)
            for name in emotions
        }
    )
    weights, changes = frames["shown_s"].fillna(0.0), {}
    if baseline:
        inside = frames["time_s"].between(*baseline, inclusive="left")
        rest = _means(probabilities, weights.where(inside, 0.0))
        weights = weights.where(~inside, 0.0)
        change = _means(probabilities, weights) - rest
        changes = dict(zip([f"change_{name}" for name in emotions], change))
    highest = frames[[f"smooth_{name}" for name in emotions]].where(weights > 0).max()
    return {
        "duration_s": weights.sum(),
        "face_time_s": weights.where(seen, 0.0).sum(),
        **_means(shares, weights),
        **_means(probabilities, weights),
        **dict(zip([f"max_{name}" for name in emotions], highest)),
        **changes,
    }


def _group(videos: pandas.DataFrame, emotions: Sequence[str], grouping: Grouping) -> dict[str, Any]:
    """Return the values of a group of videos."""
    prefixes = WEIGHTED if grouping.baseline else WEIGHTED[:-1]
    weighted = videos[[f"{prefix}{name}" for prefix in prefixes for name in emotions]]
    weights, persons = videos["face_time_s"], videos["participants"]
    duration, seen = videos["duration_s"].sum(), weights.sum()
    means = _means(weighted, weights)
    shares = means[[f"share_{name}" for name in emotions]]
    values = {
        "participants": persons.nunique(),
        "videos": len(videos),
        "duration_s": duration,
        "face_time_s": seen,
        "valid_share": seen / duration if duration else None,
        "emotion": emotions[int(shares.argmax())] if seen else None,
        **videos[[f"max_{name}" for name in emotions]].max(),
        **means,
    }
    if grouping.intervals:
        for bound, limits in zip(BOUNDS, _intervals(weighted, weights, persons)):
            values |= dict(zip([f"{name}_{bound}" for name in weighted], limits))
    return values


def _means(values: pandas.DataFrame, weights: pandas.Series[float]) -> pandas.Series[float]:
    """Return the weighted means of columns, whose missing values do not count."""
    present = values.notna().mul(weights, axis=0)
    return (values * present).sum() / present.sum()


def _intervals(
    values: pandas.DataFrame, weights: pandas.Series[float], persons: pandas.Series[str]
) -> npt.NDArray[np.float64]:
    """Return the bounds of the weighted means, of shape (2, columns): bootstrap over persons.

    They are NaN for a single person, and where none has a value.
    """
    present = values.notna().mul(weights, axis=0)
    sums, totals = (each.groupby(persons).sum().to_numpy() for each in (values * present, present))
    count = len(sums)
    bounds = np.full((len(BOUNDS), values.shape[1]), np.nan)
    known = totals.sum(axis=0) > 0
    if count > 1:
        draws = np.random.default_rng(0).multinomial(count, [1 / count] * count, RESAMPLES)
        with np.errstate(invalid="ignore"):
            means = (draws @ sums[:, known]) / (draws @ totals[:, known])
        bounds[:, known] = np.nanpercentile(means, list(BOUNDS.values()), axis=0)
    return bounds

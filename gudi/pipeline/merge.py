"""Put result folders together: those of shards of one run, or of several machines."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from gudi import __version__
from gudi.errors import InputError, OutputError
from gudi.files import folder_lock
from gudi.media import sources
from gudi.pipeline import annotate as drawing
from gudi.pipeline.run import OutputSettings, write_report, write_tables
from gudi.progress import Progress
from gudi.results import ledger
from gudi.results.folder import ANNOTATED, FORMATS, ResultFolder, check_format, places, read_run
from gudi.results.ledger import Entry, Ledger
from gudi.settings import PICTURE, THUMBNAIL

# What is taken over from the folders, by its name in `run.json`: the option that says otherwise,
# and what it may be, the default first.
TAKEN_OVER = {"tracked": ("--track", (False, True)), "format": ("--format", FORMATS)}


def merge(
    folders: Sequence[Path],
    out: Path,
    *,
    annotated: bool = True,
    report: bool = True,
    tracked: bool | None = None,
    format: str | None = None,
    prefix: bool = False,
    progress: Progress | None = None,
) -> tuple[Counter, Counter]:
    """Write the results in `folders` into the result folder `out`, which has to be new or empty.

    Args:
        folders: result folders of runs with the same settings.
        out: gets all of their results.
        annotated, report, tracked, format: what to write, as `gudi.batch.Output` has it; pictures
            are copied where they are there. None is what all of `folders` have.
        prefix: put the name of its folder before each source, for photos of the same names.
        progress: is told how far it is.

    Returns:
        The number of sources by status, and the number of faces by strongest emotion.

    Raises:
        InputError: one of them is no result folder, or was made with other settings.
        OutputError: two of them have different results for one source, or `out` cannot be used.
    """
    progress = progress or Progress()
    folder = ResultFolder(out)
    if folder.used:
        raise OutputError(
            f"--out {out} holds results already, or what a merge that was stopped has left; choose "
            "a new or an empty folder"
        )
    if len({os.path.realpath(each) for each in [*folders, out]}) <= len(folders):
        raise InputError("each folder can be given once, and --out has to be another one")
    with contextlib.ExitStack() as stack:
        for each in folders:
            if not (each / ledger.NAME).is_file():
                raise InputError(f"{each} is no result folder: there is no {ledger.NAME} in it")
            stack.enter_context(folder_lock(each, "a run"))
        settings = _common_settings(folders)
        runs = [read_run(each) for each in folders]
        tracked, format = _taken_over(runs, progress, tracked=tracked, format=format)
        output = OutputSettings(annotated, report, tracked, format)
        check_format(format)
        stack.enter_context(folder_lock(out, "another run"))
        account = _account(folders, runs, settings, output)
        folder.write_run(account)
        try:
            new = stack.enter_context(_open(out, settings))
            new.begin(settings)
            for each in folders:
                _take_over(
                    each, settings, new, folder, output.pictures,
                    f"{sources.printable_path(each.name)}/" if prefix else "", progress,
                )  # fmt: skip
        except BaseException:
            folder.discard()
            raise
        emotions = settings["emotions"]
        counts = write_tables(new, folder, emotions, output)
        statuses = new.counts()
        account |= _outcome(statuses, counts, new)
        folder.write_run(account)
        if output.report:
            write_report(new, folder, emotions, account)
        return statuses, counts


def _open(folder: Path, settings: dict[str, Any]) -> Ledger:
    return Ledger(folder / ledger.NAME, len(settings["emotions"]), crops=bool(settings["crops"]))


def _common_settings(folders: Sequence[Path]) -> dict[str, Any]:
    """Return what all of `folders` were made with."""
    common: dict[str, Any] = {}
    for each in folders:
        with Ledger(each / ledger.NAME, 0) as opened:
            settings = opened.settings
        if not settings:
            raise InputError(f"{each} holds no results yet")
        settings["shard"] = "1/1"  # together they are the whole
        common = common or settings
        if other := [name for name in common if settings.get(name) != common[name]]:
            changes = "; ".join(f"{n} is {settings.get(n)}, not {common[n]}" for n in other)
            raise InputError(
                f"{each} was made with other settings than {folders[0]} ({changes}): its rows "
                "cannot stand in one table with the others"
            )
    return common


def _taken_over(runs: Sequence[Mapping[str, Any]], progress: Progress, **given: Any) -> list[Any]:
    """Return what is `given`, with what all of `runs` have in the place of None."""
    chosen = []
    for name, value in given.items():
        option, values = TAKEN_OVER[name]
        if value is None:
            there = [_mapping(run.get("settings")).get(name, values[0]) for run in runs]
            found = [each for each in values if each in there]
            value = found[0] if len(found) == 1 else values[0]
            if len(found) > 1:
                progress.note(
                    f"the folders do not agree on {option} ({', '.join(map(str, found))}): "
                    f"taken as {value}, unless you give the option"
                )
        chosen.append(value)
    return chosen


def _account(
    folders: Sequence[Path],
    runs: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    output: OutputSettings,
) -> dict[str, Any]:
    """Return what `run.json` says of the merged folder: what all of `runs` say alike."""
    agreed = {
        name: _agreed([_mapping(run.get(name)) for run in runs])
        for name in ("settings", "checkpoint", "versions")
    }
    return {
        "gudi": __version__,
        "state": "running",
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "inputs": [str(each) for each in folders],
        "settings": agreed["settings"] | asdict(output),
        "checkpoint": agreed["checkpoint"] | {"fingerprint": settings["checkpoint"]},
        "versions": agreed["versions"],
    }


def _agreed(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what is the same in all of `parts`."""
    first, *others = parts
    same = {}
    for name, value in first.items():
        values = [value, *(other.get(name) for other in others)]
        if all(isinstance(each, Mapping) for each in values):
            same[name] = _agreed(values)
        elif all(each == value for each in values):
            same[name] = value
    return same


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return what should be a mapping, in a file that may be a stranger's, as one."""
    return value if isinstance(value, Mapping) else {}


def _take_over(
    folder: Path,
    settings: dict[str, Any],
    new: Ledger,
    out: ResultFolder,
    wanted: int,
    prefix: str,
    progress: Progress,
) -> None:
    """Copy the results and pictures in `folder`."""
    with _open(folder, settings) as other:
        counts = other.counts()
        if left := counts.pop(None, 0):
            progress.note(f"{folder} is not finished: {left} of its inputs are left out")
        progress.start(str(folder), counts.total())
        for entry in other.entries():
            try:
                taken = new.take_over(other, entry, prefix)
            except OutputError as error:
                raise OutputError(
                    f"{error} in {folder} and before it; --prefix keeps both"
                ) from None
            if taken is not None:
                _copy_pictures(folder, entry, new, taken, out.path, entry.drawn & wanted)
            progress.advance()
        progress.finish()


def _copy_pictures(
    folder: Path, entry: Entry, new: Ledger, taken: Entry, out: Path, wanted: int
) -> None:
    """Copy the `wanted` pictures of `entry` to those of `taken`, which is the same in `new`."""
    if wanted & PICTURE and entry.picture is not None:
        name = new.give_place(taken, places(entry.picture))
        if _copy(folder / ANNOTATED / entry.picture, out / ANNOTATED / name):
            new.drawn(taken, PICTURE)
    if wanted & THUMBNAIL and _copy(
        folder / drawing.thumbnail(entry), out / drawing.thumbnail(taken)
    ):
        new.drawn(taken, THUMBNAIL)


def _copy(source: Path, target: Path) -> bool:
    """Copy a file, or link to it where that can be done; tell whether it was there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
    except FileNotFoundError:
        return False
    return True


def _outcome(statuses: Counter, counts: Counter, new: Ledger) -> dict[str, Any]:
    photos, videos, frames = new.totals()
    return {
        "state": "finished",
        "failure": "",
        "counts": {
            "sources": sum(statuses.values()),
            **{status: statuses[status] for status in ("ok", "no_face", "failed")},
            "photos": photos,
            "videos": videos,
            "frames": frames,
            "faces": sum(counts.values()),
        },
        "emotion_counts": dict(counts),
    }

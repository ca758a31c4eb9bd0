"""Merge result folders: of the shards of one run, or of several machines."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gudi.errors import InputError, OutputError
from gudi.locks import folder_lock
from gudi.media.names import printable_path, utf8_path
from gudi.outputs import report as report_page
from gudi.outputs.folder import (
    ANNOTATED,
    REPORT,
    ResultFolder,
    subtitles_path,
    thumbnail_paths,
)
from gudi.outputs.result_tables import write_tables
from gudi.outputs.run_record import (
    FINISHED,
    CheckpointRecord,
    RunRecord,
    read_run_record,
)
from gudi.pipeline.identity import stored_settings
from gudi.pipeline.run_report import RunReport
from gudi.pipeline.summarise import summarise
from gudi.progress import Progress
from gudi.settings import CSV_DIALECTS, FORMATS, PICTURE, THUMBNAIL, OutputOptions
from gudi.store import STORE, Store
from gudi.store.inputs import Input
from gudi.store.paths import path_of, safe_paths

# Settings that come from the merged folders unless an option is given: the option, and the possible
# values, the default first.
INHERITED: Mapping[str, tuple[str, tuple[Any, ...]]] = {
    "track": ("--track", (False, True)),
    "format": ("--format", FORMATS),
    "csv_dialect": ("--csv-dialect", CSV_DIALECTS),
}

# The style of pictures that were drawn in several; a run into the merged folder draws them again.
MIXED = "mixed"


def merge(
    folders: Sequence[Path],
    out: Path,
    *,
    annotate: bool = True,
    report: bool = True,
    track: bool | None = None,
    format: str | None = None,
    csv_dialect: str | None = None,
    prefix: bool = False,
    progress: Progress | None = None,
) -> RunReport:
    """Merge the results in `folders` into the result folder `out`, which must be new or empty.

    Args:
        folders: result folders of runs with the same settings.
        out: the merged result folder.
        annotate, report, track, format, csv_dialect: what to write, see
            `gudi.settings.OutputOptions`. Pictures are copied if they exist. None takes what all
            `folders` have.
        prefix: put the name of its folder before each source, for photos with equal names.
        progress: receives the progress.

    Raises:
        InputError: one of `folders` is not a result folder, or was made with other settings.
        OutputError: two folders have different results for one source, or `out` cannot be used.
    """
    progress = progress or Progress()
    target = ResultFolder(out)
    if target.used:
        raise OutputError(
            f"--out {out} already holds results, or the remains of an interrupted merge; choose a "
            "new or an empty folder"
        )
    if len({os.path.realpath(each) for each in [*folders, out]}) <= len(folders):
        raise InputError("give each folder only once, and another folder as --out")
    for each in folders:
        if Path(os.path.realpath(each)) in Path(os.path.realpath(out)).parents:
            raise InputError(
                f"--out {out} lies in {each}, which is only read; choose another folder"
            )
    with contextlib.ExitStack() as locks:
        for each in folders:
            if not (each / STORE).is_file():
                raise InputError(f"{each} is not a result folder: it holds no {STORE}")
            locks.enter_context(folder_lock(each, "a run"))
        settings = _common_settings(folders)
        records = [_run_record(each) for each in folders]
        inherited = _inherited(
            records, progress, track=track, format=format, csv_dialect=csv_dialect
        )
        output = OutputOptions(annotate=annotate, report=report, **inherited)
        locks.enter_context(folder_lock(out, "another run"))
        record = _merged_record(folders, records, settings, output)
        target.write_run_record(record)
        with contextlib.ExitStack() as stack:
            try:
                store = stack.enter_context(
                    Store(target.store, settings["emotions"], crops=bool(settings["crops"]))
                )
                store.start_run(settings)
                styles = [
                    _copy_folder(
                        each,
                        store,
                        target,
                        wanted=output.pictures,
                        prefix=f"{name}/" if prefix else "",
                        progress=progress,
                    )
                    for each, name in zip(folders, _names(folders))
                ]
                for kind in (PICTURE, THUMBNAIL):
                    found = {each[kind] for each in styles}
                    store.drawings.store_style(kind, found.pop() if len(found) == 1 else MIXED)
            except BaseException:
                target.discard()
                raise
            return _write_outputs(store, target, output, record)


def _write_outputs(
    store: Store, target: ResultFolder, output: OutputOptions, record: RunRecord
) -> RunReport:
    """Write tables, run record and report of the merged folder."""
    summarise(store, tracked=output.track)
    write_tables(store, target, output)
    photos, videos, frames = store.inputs.totals()
    found = RunReport(
        statuses=Counter({str(k): n for k, n in store.inputs.status_counts().items()}),
        emotions=Counter(store.emotion_counts()),
        photos=photos,
        videos=videos,
        frames=frames,
    )
    record.state, record.counts = FINISHED, found.counts
    record.emotion_counts = dict(found.emotions)
    target.write_run_record(record)
    if output.report:
        report_page.write(target.path / REPORT, record, store, tracked=output.track)
    return found


def _copy_folder(
    folder: Path,
    store: Store,
    target: ResultFolder,
    *,
    wanted: int,
    prefix: str,
    progress: Progress,
) -> dict[int, str]:
    """Copy the results and pictures of one folder; return the style of each kind of picture.

    Args:
        folder: the result folder.
        store: receives the results.
        target: receives the pictures.
        wanted: which pictures to copy: the sum of `PICTURE` and `THUMBNAIL`.
        prefix: put before the name of each source.
        progress: receives the progress.
    """
    with Store(folder / STORE) as other:
        counts = other.inputs.status_counts()
        if unfinished := counts.pop(None, 0):
            progress.note(
                f"{folder} is not finished: the merged folder lacks {unfinished:,} of its inputs"
            )
        progress.start(str(folder), counts.total())
        for record in other.inputs.finished():
            try:
                copied = store.copy_from(other, record, prefix)
            except OutputError as error:
                raise OutputError(
                    f"{error} in {folder} and an earlier folder; --prefix keeps both"
                ) from None
            if copied is not None:
                _copy_pictures(record, copied, folder, target, store, wanted)
            progress.advance()
        progress.finish()
        return {kind: other.drawings.style(kind) for kind in (PICTURE, THUMBNAIL)}


def _copy_pictures(
    record: Input, copied: Input, folder: Path, target: ResultFolder, store: Store, wanted: int
) -> None:
    """Copy the wanted pictures of `record` in `folder`, which is `copied` in `target`."""
    pictures, drawings = record.drawn & wanted, store.drawings
    if pictures & PICTURE and record.annotated is not None:
        path = drawings.assign_path(copied, safe_paths(record.annotated, target.name_rules))
        picture, new = (
            path_of(folder / ANNOTATED, record.annotated),
            path_of(target.annotated, path),
        )
        if _copy(picture, new):
            drawings.mark_drawn(copied, PICTURE)
            _copy(subtitles_path(picture), subtitles_path(new))
    if pictures & THUMBNAIL:
        for earlier, later in zip(thumbnail_paths(record), thumbnail_paths(copied)):
            if _copy(folder / earlier, target.path / later):
                drawings.mark_drawn(copied, THUMBNAIL)


def _names(folders: Sequence[Path]) -> list[str]:
    """Return a name for each folder that no other one has: its own, or one with a number."""
    names: list[str] = []
    for each in folders:
        own = printable_path(os.path.basename(os.path.realpath(each)))
        names.append(next(name for name in safe_paths(own) if name not in names))
    return names


def _common_settings(folders: Sequence[Path]) -> dict[str, Any]:
    """Return the settings that the results in all `folders` depend on."""
    common: dict[str, Any] = {}
    for each in folders:
        settings = stored_settings(each / STORE)
        if not settings:
            raise InputError(f"{each} holds no results yet")
        settings["shard"] = "1/1"  # together they are the whole
        common = common or settings
        if changed := [name for name in common if settings.get(name) != common[name]]:
            changes = "; ".join(f"{n} is {settings.get(n)}, not {common[n]}" for n in changed)
            raise InputError(
                f"{each} was made with other settings than {folders[0]} ({changes}): their rows "
                "cannot go into one table"
            )
    return common


def _run_record(folder: Path) -> RunRecord:
    """Return the run record of a folder that has a store; an empty one if it has none."""
    empty = RunRecord(settings={}, checkpoint=CheckpointRecord(None, ""), inputs=[])
    return read_run_record(folder) or empty


def _inherited(records: Sequence[RunRecord], progress: Progress, **given: Any) -> dict[str, Any]:
    """Return the `given` settings; None is replaced by what all runs agree on."""
    chosen = {}
    for name, value in given.items():
        option, values = INHERITED[name]
        if value is None:
            used = [record.settings.get(name, values[0]) for record in records]
            found = [each for each in values if each in used]
            value = found[0] if len(found) == 1 else values[0]
            if len(found) > 1:
                progress.note(
                    f"the folders differ in {option} ({', '.join(map(str, found))}): using "
                    f"{value}; the option chooses"
                )
        chosen[name] = value
    return chosen


def _merged_record(
    folders: Sequence[Path],
    records: Sequence[RunRecord],
    settings: Mapping[str, Any],
    output: OutputOptions,
) -> RunRecord:
    """Return the run record of the merged folder: what all runs have in common."""
    agreed = {
        name: _agreed([mapping[name] for mapping in map(asdict, records)])
        for name in ("settings", "checkpoint", "versions")
    }
    fingerprint = settings["checkpoint"]
    # Pictures are as they were drawn, and crops as they were kept.
    written = output.values()
    del written["draw"], written["annotated_size"], written["crops"]
    return RunRecord(
        settings=agreed["settings"] | written,
        checkpoint=replace(
            CheckpointRecord(None, fingerprint),
            **agreed["checkpoint"] | {"fingerprint": fingerprint},
        ),
        inputs=[utf8_path(str(each)) for each in folders],
        versions=agreed["versions"],
    )


def _agreed(mappings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the entries that are the same in all `mappings`."""
    first, *others = mappings
    same: dict[str, Any] = {}
    for name, value in first.items():
        values = [value, *(other.get(name) for other in others)]
        if all(isinstance(each, Mapping) for each in values):
            same[name] = _agreed(values)
        elif all(each == value for each in values):
            same[name] = value
    return same


def _copy(source: Path, target: Path) -> bool:
    """Link or copy a file; return False if it does not exist."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
    except FileNotFoundError:
        return False
    return True

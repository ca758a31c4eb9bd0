"""Enter the inputs of a run into the store of its result folder."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gudi.errors import OutputError
from gudi.files import TEMPORARY_PREFIX
from gudi.outputs.folder import ResultFolder
from gudi.outputs.run_record import RunRecord, is_result_folder, read_run_record
from gudi.pipeline import annotate
from gudi.pipeline.identity import check_resumable
from gudi.pipeline.listing import (
    check_extra,
    check_outside,
    describe_skipped,
    list_sources,
    record_skipped,
)
from gudi.pipeline.shards import in_shard
from gudi.progress import Progress
from gudi.settings import BatchOptions
from gudi.store import STORE, Store


@dataclass
class Registered:
    """The registered inputs of a run.

    Attributes:
        store: holds them.
        unusable: number of inputs whose problem is known before they are opened.
        skipped: number of files in folders that are not inputs, by suffix.
    """

    store: Store
    unusable: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


@contextlib.contextmanager
def register(
    inputs: Sequence[str],
    folder: ResultFolder,
    options: BatchOptions,
    identity: Mapping[str, Any],
    record: RunRecord,
    progress: Progress,
) -> Iterator[Registered]:
    """Prepare a result folder, and yield its open store with all inputs of the run in it.

    If that fails in a new folder, nothing is left of it.

    Args:
        inputs: as the user gave them.
        folder: the result folder.
        options: of the run.
        identity: what its results depend on.
        record: of the run; it is written to the folder.
        progress: receives notes.

    Raises:
        GudiError: the inputs do not exist, or the folder holds results of another kind of run.
    """
    try:
        registered = _register(inputs, folder, options, identity, record, progress)
    except BaseException:
        if not folder.used:
            folder.discard()
        raise
    with registered.store as store:
        if excluded := store.inputs.count_excluded():
            progress.note(
                f"finished by earlier runs but no longer among the inputs: {excluded:,}; tables "
                "and pictures no longer include them (the store keeps them in case they come back)"
            )
        yield registered


def _register(
    inputs: Sequence[str],
    folder: ResultFolder,
    options: BatchOptions,
    identity: Mapping[str, Any],
    record: RunRecord,
    progress: Progress,
) -> Registered:
    if folder.used and not options.restart:
        check_resumable(folder, identity)
        if earlier := read_run_record(folder.path):
            record.keep_last_work(earlier)
    folder.remove_temporary_tables()
    if not is_result_folder(folder.path):
        # First of all: a folder without a run record may not be recognised as gudi's.
        folder.write_run_record(record)
    path = folder.store
    if options.restart:
        # Build the new store first, then replace the old results.
        path = path.with_name(f"{TEMPORARY_PREFIX}{STORE}")
    try:
        with Store(path, options.emotions, crops=options.crops) as store:
            registered = Registered(store)
            _enter_inputs(registered, inputs, folder.path, options, identity)
            if options.retry_failed:
                store.inputs.retry_failed()
        if options.restart:
            folder.clear(_remove_pictures(folder, progress))
            os.replace(path, folder.store)
    except BaseException:
        if options.restart:
            path.unlink(missing_ok=True)
        raise
    if registered.skipped:
        progress.note(f"skipped {describe_skipped(registered.skipped)}")
    record.skipped = record_skipped(registered.skipped)
    folder.write_run_record(record)
    return replace(registered, store=Store(folder.store, options.emotions, crops=options.crops))


def _enter_inputs(
    registered: Registered,
    inputs: Sequence[str],
    out: Path,
    options: BatchOptions,
    identity: Mapping[str, Any],
) -> None:
    """Enter all inputs into the store."""
    store = registered.store
    store.start_run(identity)
    known: set[str] = set()
    for source in list_sources(
        inputs,
        out=out,
        exclude=options.exclude,
        is_new=store.inputs.is_new,
        skipped=registered.skipped,
    ):
        check_outside(source, out)
        if not in_shard(source, options.shard):
            continue
        if options.backend == "dask":
            source = source.absolute()
        if added := [name for name in source.extra if name not in known]:
            check_extra(added, options.emotions)
            store.add_extra(added)
            known.update(added)
        store.register(source)
        registered.unusable += bool(source.problem)


def _remove_pictures(folder: ResultFolder, progress: Progress) -> list[str]:
    """Remove the pictures that the earlier store lists; return the formats of its tables."""
    problem = "is missing"
    try:
        if folder.store.exists():
            with Store(folder.store) as earlier:
                annotate.remove_pictures(earlier.inputs.all_runs(), earlier, folder)
                return earlier.formats or folder.recognised_formats()
    except OutputError:
        problem = "cannot be used"
    if folder.annotated.exists():
        progress.note(
            f"{folder.store} {problem}: pictures of earlier runs may remain in {folder.annotated}"
        )
    return folder.recognised_formats()

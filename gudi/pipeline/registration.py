"""Enter the inputs of a run into the ledger of its result folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gudi.errors import OutputError
from gudi.files import TEMPORARY_PREFIX
from gudi.pipeline import annotate
from gudi.pipeline.listing import (
    check_extra,
    check_outside,
    describe_skipped,
    list_sources,
    record_skipped,
)
from gudi.pipeline.shards import Shard, in_shard
from gudi.progress import Progress
from gudi.results.folder import LEDGER, ResultFolder
from gudi.results.ledger import Ledger
from gudi.results.run_record import RunRecord, is_result_folder
from gudi.settings import RunSettings


class Registration:
    """Enters the inputs of a run into the ledger.

    Attributes:
        unusable: number of sources whose problem is known before they are opened.
        skipped: number of files in folders that are no inputs, by suffix.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        folder: ResultFolder,
        settings: RunSettings,
        shard: Shard | None,
        progress: Progress,
    ) -> None:
        self._inputs, self._folder, self._settings = inputs, folder, settings
        self._shard, self._progress = shard, progress
        self.unusable, self.skipped = 0, Counter[str]()

    def start(
        self,
        identity: Mapping[str, Any],
        record: RunRecord,
        *,
        restart: bool,
        retry_failed: bool,
    ) -> Ledger:
        """Prepare the result folder, and return its ledger with all inputs in it."""
        folder = self._folder
        folder.remove_temporary_tables()
        if not is_result_folder(folder.path):
            # First of all: a folder without a run record may not be recognised as gudi's.
            folder.write_run_record(record)
        if restart:
            self._replace_results(identity)
        else:
            with self._open(folder.ledger) as ledger:
                self._register(ledger, identity)
                if retry_failed:
                    ledger.sources.retry_failed()
        record.skipped = record_skipped(self.skipped)
        folder.write_run_record(record)
        ledger = self._open(folder.ledger)
        if excluded := ledger.sources.count_excluded():
            self._progress.note(
                f"finished by earlier runs but no longer among the inputs: {excluded:,}; tables "
                "and pictures no longer include them (the ledger keeps them in case they come back)"
            )
        return ledger

    def _replace_results(self, identity: Mapping[str, Any]) -> None:
        """Build the new ledger first, then replace the old results."""
        ledger_path = self._folder.ledger
        temporary = ledger_path.with_name(f"{TEMPORARY_PREFIX}{LEDGER}")
        try:
            with self._open(temporary) as ledger:
                self._register(ledger, identity)
            self._folder.clear(self._remove_pictures(ledger_path))
            os.replace(temporary, ledger_path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _remove_pictures(self, path: Path) -> list[str]:
        """Remove the pictures that the ledger at `path` lists; return the formats of its tables."""
        problem = "is missing"
        try:
            if path.exists():
                with self._open(path) as earlier:
                    annotate.remove_pictures(earlier.sources.all_runs(), earlier, self._folder)
                    return earlier.formats or self._folder.recognised_formats()
        except OutputError:
            problem = "cannot be used"
        if self._folder.annotated.exists():
            self._progress.note(
                f"{path} {problem}: pictures of earlier runs may remain in {self._folder.annotated}"
            )
        return self._folder.recognised_formats()

    def _open(self, path: Path) -> Ledger:
        return Ledger(path, len(self._settings.emotions), crops=self._settings.crops)

    def _register(self, ledger: Ledger, identity: Mapping[str, Any]) -> None:
        """Enter all inputs into `ledger`."""
        ledger.start_run(identity)
        extra: set[str] = set()
        out = self._folder.path
        for source in list_sources(
            self._inputs, exclude=out, is_new=ledger.sources.is_new, skipped=self.skipped
        ):
            check_outside(source, out)
            if not in_shard(source, self._shard):
                continue
            if self._settings.backend == "dask":
                source = source.absolute()
            if added := [name for name in source.extra if name not in extra]:
                check_extra(added, self._settings.emotions)
                ledger.add_extra_columns(added)
                extra.update(added)
            ledger.register(source)
            self.unusable += bool(source.problem)
        if self.skipped:
            self._progress.note(f"skipped {describe_skipped(self.skipped)}")

"""Result folders for tests: read them, and make them without a run."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from conftest import draw_face, save

from gudi.constants import EMOTIONS
from gudi.detection import Box
from gudi.errors import OutputError
from gudi.media.source import Source
from gudi.results.folder import LEDGER
from gudi.results.ledger import Ledger
from gudi.results.paths import safe_paths
from gudi.results.records import SourceResult
from gudi.settings import PICTURE

SETTINGS = {"checkpoint": "c0ffee", "emotions": list(EMOTIONS), "min_face": 0, "crops": False}


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a csv file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def rows_by_name(path: Path) -> dict[str, dict[str, str]]:
    """Return the rows of a csv file by the file name of their source."""
    return {row["source"].rpartition("/")[2]: row for row in read_rows(path)}


def read_record(out: Path) -> dict[str, Any]:
    """Return the content of `run.json`."""
    return json.loads((out / "run.json").read_text())


def read_tables(out: Path) -> dict[str, bytes]:
    """Return the bytes of the tables of a result folder."""
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.csv"))}


def names_below(folder: Path) -> list[str]:
    """Return the names of all files at any depth below `folder`."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def count_finished(out: Path) -> int:
    """Return how many sources are finished, from a copy of the ledger of a run in progress."""
    with tempfile.TemporaryDirectory() as copy:
        for name in (LEDGER, f"{LEDGER}-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(out / name, copy)
        with contextlib.suppress(OutputError), Ledger(Path(copy, LEDGER), 7) as ledger:
            counts = ledger.sources.status_counts()
            return sum(count for status, count in counts.items() if status)
    return 0


def random_probabilities(faces: int, seed: int = 1) -> np.ndarray:
    """Return float32 of shape (faces, 7) whose rows add up to 1."""
    return np.random.default_rng(seed).dirichlet(np.ones(7), faces).astype(np.float32)


def photo_result(path: Path, faces: int = 1, error: str = "") -> SourceResult:
    """Return the result of a photo with this many faces."""
    source = Source.of(path, kind="image")
    return SourceResult(
        source,
        width=300,
        height=200,
        boxes=[Box(10 * number, 20, 30, 40) for number in range(faces)],
        probabilities=random_probabilities(faces) if faces else None,
        error=error,
        digest=source.digest() if path.exists() else None,
    )


def fill_ledger(
    ledger: Ledger, results: Iterable[SourceResult], settings: Mapping[str, Any] = SETTINGS
) -> None:
    """Start a run in `ledger` that finds and finishes the sources of `results`."""
    ledger.start_run(settings)
    for result in results:
        ledger.register(result.source)
        if not result.source.problem:
            ledger.faces.add(result)


def make_result_folder(
    path: Path,
    results: Iterable[SourceResult],
    settings: Mapping[str, Any] = SETTINGS,
    record: Mapping[str, Any] | None = None,
) -> Path:
    """Make a result folder with a ledger of `results` and pictures of those with faces.

    Args:
        path: the folder, which must not exist.
        results: of photos.
        settings: what the results depend on.
        record: the content of `run.json`, besides the version of gudi.
    """
    path.mkdir()
    (path / "run.json").write_text(json.dumps({"gudi": "0", **(record or {})}))
    with Ledger(path / LEDGER, len(settings["emotions"])) as ledger:
        fill_ledger(ledger, results, settings)
        for each in ledger.sources.finished():
            if each.faces:
                picture = ledger.drawings.assign_path(each, safe_paths(each.source.name))
                save(path / "annotated" / picture, draw_face())
                ledger.drawings.mark_drawn(each, PICTURE)
    return path

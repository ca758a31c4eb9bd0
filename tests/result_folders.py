"""Result folders for tests: read them, and make them without a run."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from conftest import draw_face, save

from gudi.analysis.scenes import SIZE
from gudi.constants import EMOTIONS
from gudi.errors import OutputError
from gudi.media.source import Source
from gudi.pipeline.summarise import summarise
from gudi.records import Box, Face, Result, VideoFrame
from gudi.settings import PICTURE
from gudi.store import STORE, Store
from gudi.store.inputs import Input
from gudi.store.paths import safe_paths

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
    """Return how many inputs are finished, from a copy of the store of a run in progress."""
    with tempfile.TemporaryDirectory() as copy:
        for name in (STORE, f"{STORE}-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(out / name, copy)
        with contextlib.suppress(OutputError), Store(Path(copy, STORE)) as store:
            counts = store.inputs.status_counts()
            return sum(count for status, count in counts.items() if status)
    return 0


def random_probabilities(faces: int, seed: int = 1) -> np.ndarray:
    """Return float32 of shape (faces, 7) whose rows add up to 1."""
    return np.random.default_rng(seed).dirichlet(np.ones(7), faces).astype(np.float32)


def probabilities(emotion: str, share: float = 0.7) -> np.ndarray:
    """Return probabilities of which `emotion` has `share`, and the others the same."""
    values = np.full(7, (1 - share) / 6, np.float32)
    values[EMOTIONS.index(emotion)] = share
    return values


def photo_result(path: Path, faces: int = 1, error: str = "") -> Result:
    """Return the result of a photo with this many faces."""
    source = Source(path.as_posix(), str(path), "image")
    return Result(
        source,
        width=300,
        height=200,
        faces=[
            Face(Box(10 * number, 20, 30, 40), 20.0, each)
            for number, each in enumerate(random_probabilities(faces))
        ],
        error=error,
        digest=source.digest() if path.exists() else None,
    )


def video_frame(
    number: int,
    time: float | None,
    faces: Sequence[tuple[Box, str] | tuple[Box, str, float]] = (),
    signature: bytes = bytes(SIZE),
) -> VideoFrame:
    """Return a frame with faces: box, top emotion and, if not 0.7, its probability."""
    return VideoFrame(
        number,
        time,
        signature,
        [
            Face(box, 20.0, probabilities(*top), EMOTIONS, frame=number, time_s=time)
            for box, *top in faces
        ],
    )


def video_result(name: str, frames: Sequence[VideoFrame]) -> Result:
    """Return the result of a video of one segment."""
    faces = [face for frame in frames for face in frame.faces]
    return Result(Source(name, name, "video"), 0, 64, 48, faces, list(frames))


def add_results(store: Store, results: Iterable[Result], *, tracked: bool = False) -> list[Input]:
    """Register and finish inputs, summarise the videos, and return the inputs in this order."""
    sources = []
    for result in results:
        store.register(result.source)
        if not result.source.problem:
            store.faces.add(result)
        if result.segment is not None:
            store.faces.finish(result.source, "", None)
        sources.append(result.source)
    summarise(store, tracked=tracked)
    return [store.inputs.by_id(store.inputs.id_of(source)) for source in sources]


def fill_store(
    store: Store, results: Iterable[Result], settings: Mapping[str, Any] = SETTINGS
) -> list[Input]:
    """Start a run in `store` that finds and finishes the inputs of `results`."""
    store.start_run(settings)
    return add_results(store, results)


def make_result_folder(
    path: Path,
    results: Iterable[Result],
    settings: Mapping[str, Any] = SETTINGS,
    record: Mapping[str, Any] | None = None,
) -> Path:
    """Make a result folder with a store of `results` and pictures of those with faces.

    Args:
        path: the folder, which must not exist.
        results: of photos.
        settings: what the results depend on.
        record: the content of `run.json`, besides the version of gudi.
    """
    path.mkdir()
    (path / "run.json").write_text(json.dumps({"gudi": "0", **(record or {})}))
    with Store(path / STORE, settings["emotions"]) as store:
        for each in fill_store(store, results, settings):
            if each.faces:
                picture = store.drawings.assign_path(each, safe_paths(each.source.name))
                save(path / "annotated" / picture, draw_face())
                store.drawings.mark_drawn(each, PICTURE)
    return path

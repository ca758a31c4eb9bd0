"""Write result folders as gudi wrote them before its pipeline was split into modules.

The schema, the packed rows and the keys of `run.json` are those of commit b5700d7.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gudi.constants import EMOTIONS
from gudi.media.source import Source

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    place BLOB NOT NULL UNIQUE,  -- where it is, by whatever path it was reached
    path BLOB NOT NULL,          -- the path to open
    name TEXT NOT NULL,          -- what the tables call it
    kind TEXT NOT NULL,
    run INTEGER NOT NULL,        -- the last one that came across it
    size INTEGER, mtime INTEGER, digest BLOB,
    status TEXT,                 -- NULL until it is finished
    faces INTEGER, frames INTEGER, duration REAL, width INTEGER, height INTEGER,
    error TEXT NOT NULL DEFAULT '',
    picture TEXT UNIQUE,         -- its place below `annotated`, once it has one
    drawn INTEGER NOT NULL DEFAULT 0,
    draw_error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX sources_by_name ON sources (name, id);
CREATE TABLE parts (
    source INTEGER NOT NULL, number INTEGER NOT NULL,
    faces BLOB NOT NULL, frames INTEGER, "end" REAL, width INTEGER, height INTEGER,
    error TEXT NOT NULL,
    PRIMARY KEY (source, number)
) WITHOUT ROWID;
"""
ROW = np.dtype([("frame", "<i8"), ("time", "<f8"), ("box", "<i4", 4), ("shares", "<f4", 7)])

# What the results depended on, apart from the checkpoint, with default options.
SETTINGS = {
    "emotions": list(EMOTIONS),
    "scale_factor": 1.1,
    "min_neighbors": 5,
    "min_face": 0,
    "max_side": None,
    "largest": False,
    "every": 1,
    "fps": None,
    "crops": False,
    "shard": "1/1",
}


@dataclass
class Part:
    """A photo, or a segment of a video: the faces as (frame, time, box) and more."""

    faces: Sequence[tuple[int, float, tuple[int, int, int, int]]] = ()
    number: int = 0
    frames: int | None = None
    end: float | None = None
    size: tuple[int, int] = (300, 300)


@dataclass
class Entry:
    """One row of the table of sources; `status` is None for one that is not finished."""

    name: str
    kind: str = "image"
    status: str | None = None
    parts: Sequence[Part] = ()
    error: str = ""
    picture: str | None = None
    drawn: int = 0


def write_folder(
    out: Path, root: Path, entries: Sequence[Entry], fingerprint: str, record: Mapping[str, Any]
) -> None:
    """Write a result folder.

    Args:
        out: the folder, which must not exist.
        root: the folder that the command ran in, to which the names of `entries` are relative.
        entries: in the order in which the run listed them.
        fingerprint: of the checkpoint.
        record: what `run.json` holds besides what every run wrote.
    """
    out.mkdir()
    (out / ".lock").touch()
    _write_ledger(out / "ledger.sqlite", root, entries, fingerprint)
    run = {
        "gudi": "0.1.0",
        "state": "running",
        "started": "2025-11-01T12:00:00+00:00",
        "inputs": ["photos"],
        "more_inputs": 0,
        "settings": {
            "checkpoint": None, "emotions": list(EMOTIONS), "network": None, "device": "auto",
            "predict_in": "parent", "batch_size": 256, "workers": 2, "backend": "loky",
            "scheduler": None, "timeout": 300.0, "worker_memory": None,
            "detection": {
                "scale_factor": 1.1, "min_neighbors": 5, "min_face": 0, "max_side": None,
                "largest": False,
            },
            "frames": {"every": 1, "fps": None},
            "crops": False, "debug": False, "annotated": True, "report": True, "tracked": False,
            "format": "csv",
        },
        "checkpoint": {"path": "/gudi/default.gudi", "fingerprint": fingerprint, "recovered": ""},
        "versions": {"python": "3.11.7", "tensorflow": "2.21.0", "tflearn": "0.5.0",
                     "opencv-python": "4.12.0.88", "av": "16.0.1", "numpy": "2.2.6",
                     "joblib": "1.5.2"},
        "shard": None,
    }  # fmt: skip
    (out / "run.json").write_text(json.dumps(run | dict(record), indent=2) + "\n")


def _write_ledger(path: Path, root: Path, entries: Sequence[Entry], fingerprint: str) -> None:
    ledger = sqlite3.connect(path)
    ledger.execute("PRAGMA journal_mode=WAL")
    ledger.executescript(TABLES)
    ledger.execute(f"PRAGMA application_id={int.from_bytes(b'gudi', 'big')}")
    ledger.execute("PRAGMA user_version=1")
    settings = {"checkpoint": fingerprint, **SETTINGS}
    for key, value in (("settings", settings), ("formats", ["csv"])):
        ledger.execute("INSERT INTO meta VALUES (?, ?)", (key, json.dumps(value)))
    for number, entry in enumerate(entries, start=1):
        _insert(ledger, number, root / entry.name, entry)
    ledger.commit()
    ledger.close()


def _insert(ledger: sqlite3.Connection, number: int, path: Path, entry: Entry) -> None:
    file, parts = path.stat(), entry.parts
    frames = [part.frames for part in parts if part.frames is not None]
    finished = (
        Source.of(path).digest(), entry.status, sum(len(part.faces) for part in parts),
        sum(frames) if frames else None, max((part.end or 0 for part in parts), default=None),
        *(parts[0].size if parts else (None, None)),
    )  # fmt: skip
    ledger.execute(
        "INSERT INTO sources VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '')",
        (
            number, Source.of(path).canonical, os.fsencode(entry.name), entry.name, entry.kind,
            file.st_size, file.st_mtime_ns, *(finished if entry.status else [None] * 7),
            entry.error, entry.picture, entry.drawn,
        ),
    )  # fmt: skip
    for part in parts:
        ledger.execute(
            "INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?, ?, '')",
            (number, part.number, _packed(part), part.frames, part.end, *part.size),
        )


def _packed(part: Part) -> bytes:
    """Return faces that no run would find: all are certainly happy."""
    rows = np.zeros(len(part.faces), ROW)
    for row, (frame, time, box) in zip(rows, part.faces):
        row["frame"], row["time"], row["box"] = frame, time, box
        row["shares"][EMOTIONS.index("happy")] = 1
    return rows.tobytes()

"""The tables of the store, made from the declared columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gudi.columns import (
    FACES,
    FILES,
    FRAMES,
    OF_INPUT,
    SMOOTHED,
    TOP_EMOTION,
    TRACKS,
    VIDEOS,
    Column,
    expand,
    names,
)

# In the header of the SQLite file: "gudi", where `file` and similar programs look, and the version
# of the schema.
APPLICATION_ID = int.from_bytes(b"gudi", "big")
VERSION = 2

# Columns of `faces` that follow from others in the same row.
DERIVED = (*TOP_EMOTION, *(f"{SMOOTHED}{name}" for name in TOP_EMOTION))

_IN_VIDEO = "OVER (PARTITION BY frames.input ORDER BY frames.frame)"
_SAME_FRAME = "other.input = frames.input AND other.frame = frames.frame"

# Joins to each processed frame its main face, if it shows that.
FRAMES_WITH_FACES = (
    "frames USING (input) LEFT JOIN faces ON faces.input = frames.input"
    " AND faces.frame = frames.frame AND faces.face = ("
    "SELECT face FROM faces AS other LEFT JOIN tracks USING (input, track)"
    f" WHERE {_SAME_FRAME} AND (other.track IS NULL OR main)"
    " ORDER BY width * height DESC, face LIMIT 1)"
)

# Columns of a run's tables that differ from the stored value.
SPECIAL = {
    "faces": {"frame": "CASE inputs.kind WHEN 'video' THEN faces.frame END"},
    "frames": {
        "frame": "frames.frame",
        "time_s": "frames.time_s",
        "shown_s": f"coalesce(max(0, lead(frames.time_s) {_IN_VIDEO} - frames.time_s),"
        f" max(0, frames.time_s - lag(frames.time_s) {_IN_VIDEO}))",
        "faces": f"(SELECT count(*) FROM faces AS other WHERE {_SAME_FRAME})",
    },
    "files": {
        "status": "CASE draw_error WHEN '' THEN status ELSE 'failed' END",
        "error": "error || CASE WHEN error <> '' AND draw_error <> '' THEN '; ' ELSE '' END"
        " || draw_error",
    },
}

_FIXED = """
CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    started TEXT NOT NULL,       -- ISO 8601, UTC
    gudi TEXT NOT NULL,          -- version
    settings TEXT NOT NULL       -- JSON: all that results depend on
);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE inputs (
    input INTEGER PRIMARY KEY,
    source TEXT NOT NULL,        -- as in the tables
    kind TEXT NOT NULL,          -- image, video, folder or archive
    run INTEGER NOT NULL,        -- the last run that found it
    status TEXT,                 -- ok, no_face or failed; NULL until it is finished
    faces INTEGER, frames INTEGER, duration_s REAL, width INTEGER, height INTEGER,
    error TEXT NOT NULL DEFAULT '',
    extra TEXT NOT NULL DEFAULT '{}',  -- JSON: columns from a list of inputs
    annotated TEXT COLLATE NOCASE UNIQUE,  -- path below `annotated/`
    drawn INTEGER NOT NULL DEFAULT 0,  -- 1: annotated copy, 2: thumbnails, 3: both
    draw_error TEXT NOT NULL DEFAULT '',
    path BLOB NOT NULL,          -- to open it
    canonical_path BLOB NOT NULL UNIQUE,
    size INTEGER, mtime INTEGER, digest BLOB
);
CREATE INDEX inputs_by_source ON inputs (source, input);
CREATE TABLE segments (          -- finished parts of videos
    input INTEGER NOT NULL, first_frame INTEGER NOT NULL,
    faces INTEGER NOT NULL, frames INTEGER NOT NULL, end_s REAL, width INTEGER, height INTEGER,
    error TEXT NOT NULL,
    PRIMARY KEY (input, first_frame)
) WITHOUT ROWID;
CREATE TABLE frames (            -- processed frames of videos
    input INTEGER NOT NULL, frame INTEGER NOT NULL, time_s REAL,
    signature BLOB NOT NULL,     -- to detect cuts
    PRIMARY KEY (input, frame)
) WITHOUT ROWID;
CREATE TABLE peaks (             -- strongest face of each emotion in a video
    input INTEGER NOT NULL, rank INTEGER NOT NULL, emotion TEXT NOT NULL,
    probability REAL NOT NULL, frame INTEGER NOT NULL, time_s REAL,
    PRIMARY KEY (input, rank)
) WITHOUT ROWID;
CREATE TABLE video_indexes (     -- time stamps of all frames and of key frames, little-endian int64
    input INTEGER PRIMARY KEY, stamps BLOB NOT NULL, keys BLOB NOT NULL, unit REAL NOT NULL,
    rate TEXT NOT NULL, problem TEXT NOT NULL
);
"""


def quoted(name: str) -> str:
    """Return a column's name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def listed(columns: Iterable[str]) -> str:
    """Return column names for a statement."""
    return ", ".join(map(quoted, columns))


def face_columns(emotions: Sequence[str]) -> list[Column]:
    """Return the columns of `faces` that are written, without its keys and crop."""
    keys = (*OF_INPUT, "frame", "face")
    return [
        column
        for column in expand(FACES, emotions)
        if column.name not in keys and column.name not in DERIVED
    ]


def statements(emotions: Sequence[str]) -> Iterator[str]:
    """Yield the statements that create all tables; without `emotions`, they lack those columns."""
    yield from filter(str.strip, _FIXED.split(";\n"))
    yield _faces_table(emotions)
    yield _table("videos", VIDEOS, emotions, "input INTEGER PRIMARY KEY, tracked INTEGER NOT NULL")
    yield _table("tracks", TRACKS, emotions, "input INTEGER NOT NULL", "PRIMARY KEY (input, track)")
    for name, columns in (("faces", FACES), ("videos", VIDEOS), ("tracks", TRACKS)):
        yield _view(name, name, f"inputs JOIN {name} USING (input)", expand(columns, emotions))
    yield _view("frames", "faces", f"inputs JOIN {FRAMES_WITH_FACES}", expand(FRAMES, emotions))
    yield _view("files", "inputs", "inputs", FILES)


def names_of_tables() -> set[str]:
    """Return the names of all tables, views and indexes."""
    return {statement.split()[2] for statement in statements(())}


def _faces_table(emotions: Sequence[str]) -> str:
    derived = []
    for prefix in ("", SMOOTHED) if emotions else ():
        values = [quoted(f"{prefix}{name}") for name in emotions]
        highest = f"max({', '.join(values)})"
        cases = (f"WHEN {value} THEN {literal(name)}" for name, value in zip(emotions, values))
        derived += [
            f"{prefix}emotion TEXT AS (CASE {highest} {' '.join(cases)} END)",
            f"{prefix}confidence REAL AS ({highest})",
        ]
    return _create(
        "faces",
        [
            "input INTEGER NOT NULL", "frame INTEGER NOT NULL", "face INTEGER NOT NULL",
            *map(_definition, face_columns(emotions)), *derived, "crop BLOB",
        ],
        "PRIMARY KEY (input, frame, face)",
    )  # fmt: skip


def _table(name: str, columns: Iterable[Column], emotions: Sequence[str], *keys: str) -> str:
    definitions = [
        _definition(column) for column in expand(columns, emotions) if column.name != "source"
    ]
    first, *others = keys
    return _create(name, [first, *definitions], *others)


def _view(name: str, table: str, tables: str, columns: Iterable[Column]) -> str:
    """Return the statement for a view with the rows and columns of a table that a run writes.

    Unlike computed columns of tables, those of views are shown by all programs.
    """
    special = {each: f"inputs.{each}" for each in OF_INPUT} | SPECIAL.get(name, {})
    values = (
        f"{special.get(each, f'{table}.{quoted(each)}')} AS {quoted(each)}"
        for each in names(columns)
    )
    return (
        f"CREATE VIEW {name}_csv AS SELECT {', '.join(values)}, inputs.extra FROM {tables}"
        " WHERE inputs.run = (SELECT max(run) FROM runs) AND inputs.status IS NOT NULL"
    )


def _definition(column: Column) -> str:
    return f"{quoted(column.name)} {column.sql_type}"


def _create(name: str, definitions: Iterable[str], *constraints: str) -> str:
    text = f"CREATE TABLE {name} ({', '.join((*definitions, *constraints))})"
    return f"{text} WITHOUT ROWID" if constraints else text


def literal(text: str) -> str:
    """Return text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"

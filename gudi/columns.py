"""The columns of all tables, declared once.

Headers, the types of parquet, SQL and pandas, the names that emotions and extra columns cannot
have, and the tables in docs/results.md come from here. To add a column to the faces table, declare
it in `FACES`, and put its values into `Face.values` where they are computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

TEXT, INT32, INT64, FLOAT32, FLOAT64 = "text", "int32", "int64", "float32", "float64"

SMOOTHED = "smooth_"

# Columns of an input, which the faces table repeats for each of its faces.
OF_INPUT = ("source", "kind")

# Columns that the store computes from the probabilities of the same row.
TOP_EMOTION = ("emotion", "confidence")


# Further columns of the tables of the store: no emotion can have their names.
STORED = ("input", "crop", "tracked")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: its header; for a column per emotion, the prefix of the emotion's name.
        type: `text`, `int32`, `int64`, `float32` or `float64`, as in parquet.
        unit: unit or range, for people.
        about: what it holds, for people.
        per_emotion: whether there is one such column per emotion.
        tracked: whether it exists with `--track` only.
        decimals: that text formats show.
    """

    name: str
    type: str
    unit: str
    about: str
    per_emotion: bool = False
    tracked: bool = False
    decimals: int = 6

    @property
    def is_text(self) -> bool:
        """Whether it holds text."""
        return self.type == TEXT

    @property
    def sql_type(self) -> str:
        """Its type in SQLite."""
        return {"t": "TEXT", "i": "INTEGER", "f": "REAL"}[self.type[0]]

    @property
    def pandas_type(self) -> str:
        """Its type in a DataFrame; missing integers are allowed."""
        return {"t": "object", "i": "Int64", "f": "float64"}[self.type[0]]


def _seconds(name: str, about: str) -> Column:
    return Column(name, FLOAT64, "seconds", about, decimals=3)


def _count(name: str, about: str) -> Column:
    return Column(name, INT64, "count", about)


def _probability(name: str, about: str, *, per_emotion: bool = False) -> Column:
    return Column(name, FLOAT32, "0 to 1", about, per_emotion=per_emotion)


_SOURCE = Column(
    "source", TEXT, "text",
    "path of the input as reached from the INPUT that you typed, with forward slashes; see above "
    "for formulas, and below for special characters",
)  # fmt: skip

FACES = (
    _SOURCE,
    Column("kind", TEXT, "text",
           "`image` or `video`. Animated pictures and TIFF files of several pages count as videos"),
    Column("frame", INT64, "number, from 0",
           "for videos: number of the frame in the order in which frames are shown; empty for "
           "photos"),
    _seconds("time_s",
             "for videos: when the frame is shown, from the start of the container; empty for "
             "photos and for pages of TIFF files"),
    Column("face", INT32, "number, from 0",
           "number of the face in its photo or frame, ordered by x, then y. It does not identify a "
           "person: see `track`"),
    Column("x", INT32, "pixels",
           "left edge of the face, in the photo or frame as it is shown: turned, mirrored and "
           "cropped as the file says, with square pixels. With `--detector cnn` a box may reach "
           "beyond the edges"),
    Column("y", INT32, "pixels", "its upper edge"),
    Column("width", INT32, "pixels", "its width"),
    Column("height", INT32, "pixels", "its height"),
    Column("score", FLOAT32, "number",
           "how sure the detector is: for `haar` the number of overlapping hits, 5 or more by "
           "default; for `cnn` a confidence of 50 to 100"),
    Column("emotion", TEXT, "text", "the top emotion: the one with the highest probability"),
    _probability("confidence", "probability of the top emotion"),
    _probability("", "probability of each emotion; they add up to 1. With `--emotions` the columns "
                 "have the names that you give", per_emotion=True),
    Column("track", INT64, "number, from 0",
           "the same number for one face as long as it is in view, matched by where its motion "
           "leads it; empty for photos and pages. A face that was out of view for more than a "
           "second gets a new number", tracked=True),
    Column(f"{SMOOTHED}emotion", TEXT, "text", "top emotion of the smoothed probabilities",
           tracked=True),
    Column(f"{SMOOTHED}confidence", FLOAT32, "0 to 1", "its probability", tracked=True),
    Column(SMOOTHED, FLOAT32, "0 to 1",
           "exponential moving averages along the track, with a time constant of half a second",
           per_emotion=True, tracked=True),
)  # fmt: skip

FILES = (
    _SOURCE,
    Column("kind", TEXT, "text",
           "as in the faces table; or `folder` for a folder that cannot be opened, or that is "
           "named like a photo or video, and `archive` for an archive that cannot be read to its "
           "end"),
    Column("status", TEXT, "text", "`ok`, `no_face` or `failed`"),
    _count("faces", "number of faces; for videos, in all frames together"),
    _count("frames", "for videos: number of processed frames"),
    Column("width", INT32, "pixels", "of the picture as it is shown; empty if nothing was decoded"),
    Column("height", INT32, "pixels", "likewise"),
    Column("error", TEXT, "text", "why the input failed"),
)  # fmt: skip

_OF_EMOTIONS = (
    _probability("share_", "part of the time with a face in which this was the top emotion",
                 per_emotion=True),
    _probability("mean_", "mean probability over the time with a face", per_emotion=True),
)  # fmt: skip

VIDEOS = (
    replace(_SOURCE, about="the video, as in the faces table"),
    _seconds("duration_s", "of the processed frames together"),
    _count("frames", "processed frames"),
    _count("frames_with_face", "how many of them show a face"),
    _count("faces", "rows in the faces table"),
    Column("mean_faces", FLOAT32, "count", "faces per processed frame"),
    _count("most_faces", "most faces in one frame"),
    _seconds("face_time_s", "time with at least one face"),
    _seconds("first_s", "time of the first frame with a face"),
    _seconds("last_s", "time of the last frame with a face"),
    Column("emotion", TEXT, "text", "the top emotion for the longest time"),
    _count("changes",
           "how often the top emotion of a frame, by the mean of its faces, differs from that of "
           "the frame with a face before it"),
    *_OF_EMOTIONS,
)  # fmt: skip

TRACKS = (
    replace(_SOURCE, about="the video, as in the faces table"),
    Column("track", INT64, "number, from 0", "as in the faces table"),
    Column("main", INT32, "0 or 1",
           "1 for the main face, see below"),
    _count("faces", "rows in the faces table"),
    Column("first_frame", INT64, "number, from 0", "frame in which it starts"),
    Column("last_frame", INT64, "number, from 0", "frame in which it ends"),
    _seconds("first_s", "when it starts"),
    _seconds("last_s", "when it ends"),
    _seconds("time_s", "time in which the face is seen, without gaps"),
    Column("mean_width", FLOAT32, "pixels", "of its boxes"),
    Column("mean_height", FLOAT32, "pixels", "likewise"),
    Column("mean_score", FLOAT32, "number", "as `score` in the faces table"),
    Column("emotion", TEXT, "text", "the top emotion of this face for the longest time"),
    _count("changes", "how often `smooth_emotion` changes"),
    Column("peak_frame", INT64, "number, from 0",
           "frame in which a smoothed probability is highest, of any emotion but neutral"),
    _seconds("peak_s", "its time"),
    Column("peak_emotion", TEXT, "text", "that emotion"),
    _probability("peak_confidence", "its smoothed probability"),
    *_OF_EMOTIONS,
)  # fmt: skip

FRAMES = (
    replace(_SOURCE, about="the video, as in the faces table"),
    Column("frame", INT64, "number, from 0", "of the processed frame, as in the faces table"),
    _seconds("time_s", "when it is shown, as in the faces table"),
    _seconds("shown_s", "for how long it counts; empty for pages of TIFF files"),
    _count("faces", "all faces in the frame"),
    replace(FACES[4], about="number of the main face, as in the faces table"),
    *FACES[5:],
)  # fmt: skip

SUMMARY = (
    _count("participants", "of the group; videos, if no column identifies participants"),
    _count("videos", "number of videos behind the row"),
    _seconds("duration_s", "of the processed parts of these videos together"),
    _seconds("face_time_s", "time with the main face"),
    Column("valid_share", FLOAT32, "0 to 1", "part of the time in which the main face is seen"),
    Column("emotion", TEXT, "text", "the top emotion for the longest time"),
    *_OF_EMOTIONS,
    Column("max_", FLOAT32, "0 to 1", "highest smoothed probability, in results with `--track`",
           per_emotion=True, tracked=True),
)  # fmt: skip

CHANGES = (
    Column("change_", FLOAT32, "-1 to 1",
           "with `--baseline`: mean probability minus that of the baseline", per_emotion=True),
)  # fmt: skip


def expand(
    columns: Iterable[Column], emotions: Sequence[str], *, tracked: bool = True
) -> list[Column]:
    """Return the actual columns of a table: those per emotion by their full names.

    Args:
        columns: one of the tables of this module.
        emotions: names of the classes.
        tracked: whether faces are tracked.
    """
    found: list[Column] = []
    for column in columns:
        if column.tracked and not tracked:
            continue
        if column.per_emotion:
            found += [replace(column, name=f"{column.name}{each}") for each in emotions]
        else:
            found.append(column)
    return found


def extra_columns(names: Iterable[str]) -> list[Column]:
    """Return the columns that a list in csv adds to all tables: they hold text."""
    return [Column(name, TEXT, "text", "from the list of inputs") for name in names]


def names(columns: Iterable[Column]) -> list[str]:
    """Return the headers of columns."""
    return [column.name for column in columns]


def reserved_names(emotions: Sequence[str] = ()) -> frozenset[str]:
    """Return the names of the columns of all tables, which no extra column can have."""
    tables = (FACES, FILES, VIDEOS, TRACKS, FRAMES, SUMMARY, CHANGES)
    found = {column.name for table in tables for column in expand(table, emotions)}
    return frozenset(found)

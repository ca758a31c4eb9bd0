"""The tables: columns, values, formats."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from result_folders import SETTINGS, add_results, random_probabilities, read_rows

from gudi.columns import FACES, FILES, FRAMES, TRACKS, VIDEOS, Column, expand, names
from gudi.constants import EMOTIONS
from gudi.errors import OutputError, UsageError
from gudi.media.source import Source
from gudi.outputs.folder import ResultFolder
from gudi.outputs.result_tables import write_tables
from gudi.outputs.tables import write_table
from gudi.records import Box, Face, Result, VideoFrame
from gudi.settings import OutputOptions, check_emotions
from gudi.store import Store

BOX, BESIDE = Box(1, 2, 30, 40), Box(90, 2, 30, 40)
P = random_probabilities(5)

PHOTO = Result(
    Source('a, "b".jpg', "a", "image"), width=300, height=200,
    faces=[Face(BOX, 17.0, P[0]), Face(BESIDE, 7.5, P[1])],
)  # fmt: skip
FILM_FACES = [
    Face(box, 20.0, values, frame=frame, time_s=time)
    for box, values, frame, time in (
        (BOX, P[2], 3, 0.1234567), (BESIDE, P[3], 3, 0.1234567), (BOX, P[4], 4, 0.2),
    )
]  # fmt: skip
FILM = Result(
    Source("film.mp4", "film.mp4", "video"), 0, 300, 200, FILM_FACES,
    [VideoFrame(n, time, bytes(32)) for n, time in ((3, 0.1234567), (4, 0.2))],
)  # fmt: skip


@pytest.fixture
def write(tmp_path):
    """A function that writes the tables of a photo and a video, and returns their folder."""

    def written(format="csv", *, results=(PHOTO, FILM), tracked=False, draw_errors=()):
        folder = ResultFolder(tmp_path)
        with Store(folder.store) as store:
            store.start_run(SETTINGS)
            records = add_results(store, results, tracked=tracked)
            for record, error in zip(records, draw_errors):
                store.drawings.mark_drawn(record, 1, error)
            output = OutputOptions(format=format, track=tracked, frames=True)
            write_tables(store, folder, output)
        return tmp_path

    return written


def test_csv_has_fixed_decimals_and_quotes_as_in_rfc_4180(write):
    path = write() / "faces.csv"
    text = path.read_bytes().decode()
    assert text.count("\n") == 6
    assert "\r" not in text
    assert text.splitlines()[1].startswith('"a, ""b"".jpg",image,,,0,1,2,30,40,17,')
    assert text.splitlines()[3].startswith("film.mp4,video,3,0.123,0,1,2,30,40,20,")
    rows = read_rows(path)
    assert [row["face"] for row in rows] == ["0", "1", "0", "1", "0"]  # within photo or frame
    assert [row["score"] for row in rows[:2]] == ["17", "7.500000"]
    for row, values in zip(rows, P, strict=True):
        assert row["happy"] == f"{values[EMOTIONS.index('happy')]:.6f}"
        assert row["emotion"] == EMOTIONS[values.argmax()]
        assert row["confidence"] == f"{values.max():.6f}"


def test_tracks_are_columns_that_are_empty_for_photos(write):
    rows = read_rows(write(tracked=True) / "faces.csv")
    assert list(rows[0])[-10:] == [
        "track", "smooth_emotion", "smooth_confidence", *(f"smooth_{name}" for name in EMOTIONS),
    ]  # fmt: skip
    assert [row["track"] for row in rows] == ["", "", "0", "1", "0"]
    assert rows[0]["smooth_happy"] == ""
    assert rows[2]["smooth_happy"] == rows[2]["happy"]
    assert rows[4]["smooth_happy"] != rows[4]["happy"]


def test_json_lines_hold_numbers_and_nulls(write):
    found = [json.loads(line) for line in (write("jsonl") / "faces.jsonl").open(encoding="utf-8")]
    assert list(found[0]) == names(expand(FACES, EMOTIONS, tracked=False))
    assert (found[0]["frame"], found[2]["frame"], found[2]["time_s"]) == (None, 3, 0.123457)
    assert found[2]["happy"] == round(float(P[2, EMOTIONS.index("happy")]), 6)


def test_parquet_holds_types_and_unrounded_probabilities(write):
    parquet = pytest.importorskip("pyarrow.parquet", reason="no pyarrow")
    folder = write("parquet", tracked=True)
    tables = {"faces": FACES, "videos": VIDEOS, "tracks": TRACKS, "frames": FRAMES}
    for name, columns in tables.items():
        schema = parquet.read_schema(folder / f"{name}.parquet")
        types = {"string": "text", "float": "float32", "double": "float64"}
        found = [(field.name, types.get(str(field.type), str(field.type))) for field in schema]
        assert found == [(each.name, each.type) for each in expand(columns, EMOTIONS)]
    table = parquet.read_table(folder / "faces.parquet")
    assert table["frame"].to_pylist() == [None, None, 3, 3, 4]
    assert table["track"].null_count == 2
    np.testing.assert_array_equal(table["happy"].to_numpy(), P[:, EMOTIONS.index("happy")])


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_tables_of_videos_exist_if_there_are_videos(write, format):
    pytest.importorskip("pyarrow", reason="no pyarrow")
    folder = write(format, tracked=True)
    for name in ("videos", "tracks", "frames"):
        assert (folder / f"{name}.{format}").exists()
    write(format, results=[PHOTO], tracked=True)  # which leaves the video out
    kept = {path.name for path in folder.glob(f"*.{format}")} - {"files.csv"}
    assert kept == {f"faces.{format}"}


def test_files_table_tells_failed_drawings(write):
    drawing = "the annotated picture could not be drawn: no such file"
    source = Source("two.jpg", "two.jpg", "image")
    results = [PHOTO, FILM, Result(source, error="it ends"), Result(Source("z", "z", "image"))]
    folder = write(results=results, draw_errors=[drawing, "", "x"])
    with (folder / "files.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            names(FILES),
            [PHOTO.source.name, "image", "failed", "2", "", "300", "200", drawing],
            ["film.mp4", "video", "ok", "3", "2", "300", "200", ""],
            ["two.jpg", "image", "failed", "0", "", "", "", "it ends; x"],
            ["z", "image", "no_face", "0", "", "", "", ""],
        ]


NAMES = [Column("source", "text", "text", "a name")]


def test_csv_is_written_as_spreadsheets_expect(tmp_path):
    columns = [*NAMES, Column("share", "float32", "0 to 1", "a number", decimals=3)]
    # Names that are not UTF-8 are escaped.
    rows = [("\udcff; a,b.jpg", 0.25), ("é.jpg", None), ("c", 7)]
    for dialect, expected in {
        "standard": 'source,share\n"\\udcff; a,b.jpg",0.250\né.jpg,\nc,7\n',
        "excel": '\ufeffsource,share\n"\\udcff; a,b.jpg",0.250\né.jpg,\nc,7\n',
        "excel-eu": '\ufeffsource;share\n"\\udcff; a,b.jpg";0,250\né.jpg;\nc;7\n',
    }.items():
        write_table(tmp_path / "t.csv", rows, columns, "csv", dialect)
        assert (tmp_path / "t.csv").read_bytes().decode() == expected


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_table_that_cannot_be_finished_leaves_the_old_one(tmp_path, format):
    pytest.importorskip("pyarrow", reason="no pyarrow")
    path = tmp_path / "t"
    path.write_text("old")

    def rows():
        yield ("a",)
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="cannot write .*t: No space left on device"):
        write_table(path, rows(), NAMES, format)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["old"]


def test_emotions_are_neither_columns_nor_formulas():
    for name in ("=1+1", "+positive", "-", "@a", "＝1"):
        with pytest.raises(UsageError, match="spreadsheets"):
            check_emotions(["happy", name])
    for name in names([*expand(FACES, ()), *FILES]):
        with pytest.raises(UsageError, match="emotion"):
            check_emotions(["calm", name])
    check_emotions(EMOTIONS)

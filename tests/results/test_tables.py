"""The tables: columns, values, formats."""

from __future__ import annotations

import csv
import json
from collections import Counter

import numpy as np
import pytest
from conftest import call_gudi, draw_face, save
from result_folders import random_probabilities, read_rows

import gudi
from gudi.constants import EMOTIONS
from gudi.detection import Box
from gudi.errors import OutputError, UsageError
from gudi.media.sources import IMAGE, VIDEO, Source
from gudi.results.records import FaceRow, SourceRecord, top_emotion
from gudi.results.tables import (
    EMOTION_COLUMN,
    FILE_COLUMNS,
    check_format,
    face_columns,
    face_records,
    file_records,
    write_table,
)
from gudi.settings import check_emotions


def record(name, kind=IMAGE, **values):
    defaults = {
        "digest": "", "status": "ok", "faces": 1, "frames": None, "duration": None, "width": 300,
        "height": 200, "error": "", "picture": None, "drawn": 0, "draw_error": "",
    }  # fmt: skip
    return SourceRecord(1, Source(name, name, kind), **defaults | values)


PHOTO, FILM = record('a, "b".jpg'), record("film.mp4", VIDEO)
ROWS = {
    PHOTO.source.name: [
        FaceRow(None, None, Box(1, 2, 30, 40), random_probabilities(1)[0], 17.0),
        FaceRow(None, None, Box(5, 2, 30, 40), random_probabilities(1, 2)[0]),
    ],
    FILM.source.name: [
        FaceRow(3, 0.1234567, Box(1, 2, 30, 40), random_probabilities(1, 3)[0]),
        FaceRow(3, 0.1234567, Box(90, 2, 30, 40), random_probabilities(1, 4)[0]),
        FaceRow(4, 0.2, Box(1, 2, 30, 40), random_probabilities(1, 5)[0]),
    ],
}


def records(**options):
    def rows(source):
        return iter(ROWS[source.source.name])

    return face_records([PHOTO, FILM], rows, EMOTIONS, **options)


def test_error_of_one_source_costs_the_others_nothing():
    third = record("third.jpg")

    def rows(source):
        if source is FILM:
            yield from ROWS[source.source.name][:2]
            raise OverflowError("too far")
        yield from ROWS[PHOTO.source.name]

    failures = []
    found = face_records(
        [PHOTO, FILM, third],
        rows,
        EMOTIONS,
        tracked=True,
        failed=lambda *failure: failures.append(failure),
    )
    names = [each[0] for each in found]
    assert [names.count(each.source.name) for each in (PHOTO, FILM, third)] == [2, 0, 2]
    ((source, count, error),) = failures
    assert (source, count, str(error)) == (FILM, 0, "too far")
    with pytest.raises(OverflowError, match="too far"):
        list(face_records([FILM], rows, EMOTIONS))


def test_faces_are_numbered_within_their_photo_or_frame():
    assert [(each[0], each[2], each[3], each[4]) for each in records()] == [
        (PHOTO.source.name, None, None, 0),
        (PHOTO.source.name, None, None, 1),
        ("film.mp4", 3, 0.1234567, 0),
        ("film.mp4", 3, 0.1234567, 1),
        ("film.mp4", 4, 0.2, 0),
    ]


def test_top_emotions_are_counted():
    counts = Counter()
    found = [each[EMOTION_COLUMN] for each in records(counts=counts)]
    assert counts == Counter(found)
    probabilities = ROWS["film.mp4"][0].probabilities
    assert top_emotion(probabilities, EMOTIONS) == (found[2], float(max(probabilities)))


def test_tracks_are_columns_that_are_empty_for_photos():
    columns = face_columns(EMOTIONS, tracked=True)
    assert columns[-10:] == (
        "track", "smooth_emotion", "smooth_confidence", *(f"smooth_{name}" for name in EMOTIONS),
    )  # fmt: skip
    found = [dict(zip(columns, each)) for each in records(tracked=True)]
    assert all(len(each) == len(columns) for each in records(tracked=True))
    assert [each["track"] for each in found] == [None, None, 0, 1, 0]
    assert found[0]["smooth_happy"] is None
    assert found[2]["smooth_happy"] == found[2]["happy"]
    assert found[4]["smooth_happy"] != found[4]["happy"]


def test_csv_has_fixed_decimals_and_quotes_as_in_rfc_4180(tmp_path):
    write_table(tmp_path / "faces.csv", records(), face_columns(EMOTIONS), "csv")
    text = (tmp_path / "faces.csv").read_bytes().decode()
    assert text.count("\n") == 6
    assert "\r" not in text
    assert text.splitlines()[1].startswith('"a, ""b"".jpg",image,,,0,1,2,30,40,17,')
    assert text.splitlines()[3].startswith("film.mp4,video,3,0.123,0,1,2,30,40,,")
    first = read_rows(tmp_path / "faces.csv")[0]
    happy = ROWS[PHOTO.source.name][0].probabilities[EMOTIONS.index("happy")]
    assert first["happy"] == f"{happy:.6f}"


def test_json_lines_hold_numbers_and_nulls(tmp_path):
    write_table(tmp_path / "faces.jsonl", records(), face_columns(EMOTIONS), "jsonl")
    found = [json.loads(line) for line in (tmp_path / "faces.jsonl").open(encoding="utf-8")]
    assert list(found[0]) == list(face_columns(EMOTIONS))
    assert (found[0]["frame"], found[2]["frame"], found[2]["time_s"]) == (None, 3, 0.123457)
    happy = ROWS["film.mp4"][0].probabilities[EMOTIONS.index("happy")]
    assert found[2]["happy"] == round(float(happy), 6)


def test_parquet_holds_types_and_unrounded_probabilities(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="no pyarrow")
    columns = face_columns(EMOTIONS, tracked=True)
    write_table(tmp_path / "faces.parquet", records(tracked=True), columns, "parquet")
    table = parquet.read_table(tmp_path / "faces.parquet")
    types = {name: str(table.schema.field(name).type) for name in columns}
    assert (types["frame"], types["time_s"], types["x"]) == ("int64", "double", "int32")
    assert (types["happy"], types["smooth_sad"], types["track"]) == ("float", "float", "int64")
    assert table["frame"].to_pylist() == [None, None, 3, 3, 4]
    assert table["track"].null_count == 2
    happy = [row.probabilities[EMOTIONS.index("happy")] for row in ROWS["film.mp4"]]
    np.testing.assert_array_equal(table["happy"].to_numpy()[2:], happy)


def test_parquet_without_rows_has_its_columns(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="no pyarrow")
    write_table(tmp_path / "faces.parquet", [], face_columns(EMOTIONS), "parquet")
    table = parquet.read_table(tmp_path / "faces.parquet")
    assert (table.num_rows, table.column_names) == (0, list(face_columns(EMOTIONS)))


def test_parquet_without_pyarrow_is_wrong_usage(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UsageError, match="needs the package pyarrow: pip install pyarrow"):
        check_format("parquet")
    check_format("csv")


def test_files_table_tells_failed_drawings(tmp_path):
    drawing = "the annotated picture could not be drawn: no such file"
    sources = [
        record("one.jpg", draw_error=drawing),
        record("two.mp4", VIDEO, status="failed", frames=5, error="it ends", draw_error="x"),
        record("three.jpg", status="no_face", faces=0, width=None, height=None),
    ]
    write_table(tmp_path / "files.csv", file_records(sources), FILE_COLUMNS, "csv")
    with (tmp_path / "files.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [
            ["one.jpg", "image", "failed", "1", "", "300", "200", drawing],
            ["two.mp4", "video", "failed", "1", "5", "300", "200", "it ends; x"],
            ["three.jpg", "image", "no_face", "0", "", "", "", ""],
        ]


def test_names_that_are_not_utf_8_are_escaped(tmp_path):
    write_table(tmp_path / "t.csv", [("\udcff.jpg",)], ("source",), "csv")
    assert (tmp_path / "t.csv").read_bytes() == b"source\n\\udcff.jpg\n"


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_table_that_cannot_be_finished_leaves_the_old_one(tmp_path, format):
    path = tmp_path / "t"
    path.write_text("old")

    def rows():
        yield ("a",)
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="cannot write .*t: No space left on device"):
        write_table(path, rows(), ("source",), format)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["old"]


def test_emotions_cannot_be_called_like_a_column():
    columns = {*face_columns((), tracked=True), *FILE_COLUMNS}
    for name in columns:
        with pytest.raises(UsageError, match="an emotion cannot be called"):
            check_emotions(["happy", name])
    check_emotions(EMOTIONS)


def test_csv_files_start_with_a_byte_order_mark_on_request(photos, tmp_path):
    save(tmp_path / "photos" / "müller.jpg", draw_face())
    result = gudi.batch(
        photos, tmp_path / "out", csv_bom=True, annotate=False, report=False, workers=1
    )
    for name in ("faces.csv", "files.csv"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\xef\xbb\xbfsource,")
    assert result.faces().columns[0] == "source"
    assert any("müller" in face.source for face in result.iter_faces())
    merge = ("merge", tmp_path / "out", "--out", tmp_path / "merged", "--no-report")
    assert call_gudi(*merge).returncode == 0
    assert (tmp_path / "merged" / "files.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    command = ("batch", photos, "--out", tmp_path / "out", "--no-annotate", "--no-report")
    assert call_gudi(*command).returncode == 0
    assert (tmp_path / "out" / "faces.csv").read_bytes().startswith(b"source,")


def test_emotions_are_no_formulas():
    for name in ("=1+1", "+positive", "-", "@a", "＝1"):
        with pytest.raises(UsageError, match="spreadsheets calculate it"):
            check_emotions(["happy", name])

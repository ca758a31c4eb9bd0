"""The result folder: what it holds, and what is removed from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from result_folders import fill_store, photo_result

from gudi.errors import OutputError
from gudi.outputs.folder import ResultFolder, thumbnail_path
from gudi.outputs.result_tables import write_tables
from gudi.outputs.run_record import CheckpointRecord, RunRecord
from gudi.settings import FORMATS, OutputOptions
from gudi.store import STORE, Store

RECORD = RunRecord(settings={}, checkpoint=CheckpointRecord(None, ""), inputs=[])


def names_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_new_and_empty_folders_are_taken_and_not_changed(tmp_path):
    assert not ResultFolder(tmp_path / "new" / "folder").used
    assert not ResultFolder(tmp_path).used
    # What a run leaves that was killed before it wrote anything.
    (tmp_path / ".lock").touch()
    (tmp_path / ".gudi-1").touch()
    assert not ResultFolder(tmp_path).used
    assert names_in(tmp_path) == [".gudi-1", ".lock"]


@pytest.mark.parametrize("name", ["run.json", STORE, "faces.csv", "files.csv"])
def test_folder_is_recognised_by_each_of_its_files(make_files, tmp_path, name):
    folder = ResultFolder(tmp_path / "out")
    folder.path.mkdir()
    folder.write_run_record(RECORD)
    with Store(folder.store) as store:
        fill_store(store, map(photo_result, make_files(1)))
        write_tables(store, folder, OutputOptions(csv_dialect="excel-eu"))
    for each in folder.path.iterdir():
        if each.name != name:
            each.unlink()
    (folder.path / "notes.txt").touch()
    assert ResultFolder(folder.path).used


def test_other_folders_and_files_are_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"it holds file\) and is not a result folder of gudi"):
        ResultFolder(tmp_path)
    with pytest.raises(OutputError, match="is a file, not a folder"):
        ResultFolder(tmp_path / "file")
    (tmp_path / "run.json").write_text('{"name": "another program"}')
    with pytest.raises(OutputError, match="is not a result folder of gudi"):
        ResultFolder(tmp_path)


def test_discarded_folder_is_empty(make_files, tmp_path):
    folder = ResultFolder(tmp_path / "out")
    folder.path.mkdir()
    (folder.path / "annotated" / "a").mkdir(parents=True)
    (folder.path / "thumbnails").mkdir()
    (folder.path / ".gudi-video-1-00").mkdir()
    (folder.path / ".gudi-1").touch()
    folder.write_run_record(RECORD)
    with Store(folder.store, crops=True) as store:
        fill_store(store, map(photo_result, make_files(2)))
        write_tables(store, folder, OutputOptions(format="jsonl"))
    assert {"faces.jsonl", "files.csv", "crops.npy"} <= set(names_in(folder.path))
    folder.discard()
    assert names_in(folder.path) == []


def test_cleared_folder_keeps_its_run_record_and_foreign_files(tmp_path):
    folder = ResultFolder(tmp_path)
    folder.write_run_record(RECORD)
    for name in (f"{STORE}.bak", "faces.parquet", "faces.csv", "report.html", f"{STORE}-wal"):
        (tmp_path / name).touch()
    folder.clear(["csv"])
    assert names_in(tmp_path) == ["faces.parquet", f"{STORE}.bak", "run.json"]
    folder.remove_tables(["parquet", "../run"])
    folder.clear(FORMATS)
    assert names_in(tmp_path) == [f"{STORE}.bak", "run.json"]


def test_picture_is_removed_with_the_folders_that_become_empty(tmp_path):
    folder = ResultFolder(tmp_path)
    for name in ("a/b/c.jpg", "a/mine.txt"):
        (folder.annotated / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.annotated / name).touch()
    folder.remove_picture(folder.annotated / "a" / "b" / "c.jpg")
    folder.remove_picture(folder.annotated / "a" / "b" / "c.jpg")
    assert names_in(tmp_path) == ["annotated", "annotated/a", "annotated/a/mine.txt"]
    with pytest.raises(OutputError, match="cannot remove"):
        folder.remove_picture(folder.annotated / "a")


def test_only_temporary_files_of_gudi_are_removed(tmp_path):
    folder = ResultFolder(tmp_path)
    # Inputs may be called so as well, and so may their pictures.
    kept = ["annotated/.gudi-photos/a.jpg", ".gudi-video-1-00/0.nut", "thumbnails/0/1.jpg"]
    for name in (*kept, ".gudi-1", "annotated/.gudi-2", "annotated/a/.gudi-3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    folder.remove_temporary_tables()
    folder.remove_temporary_pictures()
    files = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")]
    assert sorted(name for name in files if (tmp_path / name).is_file()) == sorted(kept)
    folder.remove_chunks()
    assert not (tmp_path / ".gudi-video-1-00").exists()


def test_thumbnails_are_a_thousand_per_folder(make_files, tmp_path):
    with Store(tmp_path / STORE) as store:
        (record,) = fill_store(store, map(photo_result, make_files(1)))
    assert thumbnail_path(record) == "thumbnails/0/1.jpg"
    assert thumbnail_path(replace(record, id=2345)) == "thumbnails/2/2345.jpg"

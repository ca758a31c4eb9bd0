"""`gudi merge`: result folders of shards, or of several machines."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import call_gudi
from result_folders import (
    SETTINGS,
    make_result_folder,
    names_below,
    photo_result,
    random_probabilities,
    read_record,
    read_rows,
    read_tables,
)

from gudi.errors import InputError, OutputError
from gudi.pipeline.merge import merge
from gudi.progress import Progress
from gudi.store import STORE, Store


class Notes(Progress):
    """Keeps the notes."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def test_merged_shards_are_the_whole(photos, finished_run, tmp_path):
    counts = []
    for part in ("1/2", "2/2"):
        done = call_gudi(
            "batch", "photos", "--out", part[0], "--shard", part, "--crops", "--no-annotate",
            "--no-report", cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        counts.append(len(read_rows(tmp_path / part[0] / "files.csv")))
    assert counts == [3, 1]
    done = call_gudi("merge", "1", "2", "--out", "both", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    both = tmp_path / "both"
    assert read_tables(both) == read_tables(finished_run.out)
    assert (both / "crops.npy").read_bytes() == (finished_run.out / "crops.npy").read_bytes()
    # A merged folder is a whole one, for a run without a shard to resume.
    again = call_gudi("batch", "photos", "--out", "both", "--crops", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "4 photos finished by earlier runs" in again.stderr
    assert read_tables(both) == read_tables(finished_run.out)


def test_merged_folder_holds_each_source_once_with_its_picture(make_files, tmp_path):
    files, both = make_files(12), tmp_path / "both"
    results = [*map(photo_result, files[:8]), photo_result(files[8], 0)]
    one = make_result_folder(tmp_path / "one", results)
    results = [photo_result(files[7]), *(photo_result(path, 2) for path in files[9:12])]
    two = make_result_folder(tmp_path / "two", results)
    done = call_gudi("merge", one, two, "--out", both)
    assert done.returncode == 0, done.stderr
    assert "12 inputs, 14 faces" in done.stderr
    faces, table = read_rows(both / "faces.csv"), read_rows(both / "files.csv")
    assert [row["source"] for row in table] == [path.as_posix() for path in files]
    assert [row["face"] for row in faces] == ["0"] * 8 + ["0", "1"] * 3
    assert len(names_below(both / "annotated")) == 11
    assert (both / "report.html").exists()
    record = read_record(both)
    assert record["state"] == "finished"
    assert record["counts"] == {
        "sources": 12, "ok": 11, "no_face": 1, "failed": 0, "not_reached": 0, "earlier": 0,
        "processed": 0, "photos": 12, "videos": 0, "frames": 0, "faces": 14,
    }  # fmt: skip
    again = call_gudi("merge", one, "--out", both)
    assert (again.returncode, "already holds results" in again.stderr) == (1, True)


def test_common_settings_are_inherited(make_files, tmp_path):
    files, both = make_files(3), tmp_path / "both"
    record = {
        "settings": {
            "format": "jsonl",
            "track": True,
            "workers": 2,
            "min_face": 0,
        },
        "checkpoint": {"path": "one", "recovered": ""},
        "versions": {"numpy": "1", "av": "2"},
    }
    one = make_result_folder(tmp_path / "one", [photo_result(files[0])], record=record)
    record["settings"] |= {"workers": 3}
    record |= {
        "checkpoint": {"path": "two", "recovered": ""},
        "versions": {"numpy": "1", "av": "3"},
    }
    two = make_result_folder(tmp_path / "two", [photo_result(files[1])], record=record)
    record = {"settings": {"format": "csv"}}
    other = make_result_folder(tmp_path / "other", [photo_result(files[2])], record=record)

    progress = Notes()
    merge([one, two], both, progress=progress)
    assert progress.notes == []
    faces = [json.loads(line) for line in (both / "faces.jsonl").open()]
    assert [face["track"] for face in faces] == [None, None]
    merged = read_record(both)
    assert merged["inputs"] == [str(one), str(two)]
    assert merged["checkpoint"] == {"recovered": "", "fingerprint": "c0ffee"}
    assert merged["versions"] == {"numpy": "1"}
    assert merged["started"].startswith("20")
    assert merged["settings"] == {
        "format": "jsonl", "track": True, "annotate": True, "report": True,
        "csv_dialect": "standard", "frames": False,
        "subtitles": False,
        "min_face": 0,
    }  # fmt: skip

    merge([one, other], tmp_path / "mixed", format="jsonl", progress=progress)
    (note,) = progress.notes
    assert note.startswith("the folders differ in --track (False, True): using False; the option")
    assert "track" not in (tmp_path / "mixed" / "faces.jsonl").read_text()


def elsewhere(result, path):
    """Return `result` of another machine, which reaches the file as `path`."""
    return replace(result, source=replace(result.source, path=str(path)))


def test_machines_may_reach_the_same_files_by_other_paths(make_files, tmp_path):
    files = make_files(6)
    parts = [
        make_result_folder(
            tmp_path / f"part{number}",
            [elsewhere(photo_result(path), f"/{number}/{path.name}") for path in some],
        )
        for number, some in enumerate((files[:4], files[2:6]))
    ]
    merge(parts, tmp_path / "both")
    table = read_rows(tmp_path / "both" / "files.csv")
    assert [row["source"] for row in table] == [path.as_posix() for path in files]
    first = photo_result(files[0])
    files[0].write_bytes(b"another photo of the same name")
    results = [elsewhere(photo_result(files[0], 2), "/2/00.jpg")]
    other = make_result_folder(tmp_path / "other", results)
    one = make_result_folder(tmp_path / "one", [elsewhere(first, "/1/00.jpg")])
    with pytest.raises(OutputError, match="there are different results for"):
        merge([one, other], tmp_path / "x")


def test_folders_that_do_not_fit_together_are_refused(make_files, tmp_path):
    files = make_files(2)
    one = make_result_folder(tmp_path / "one", [photo_result(files[0])])
    settings = SETTINGS | {"min_face": 50}
    other = make_result_folder(tmp_path / "other", [photo_result(files[1])], settings)
    files[0].write_bytes(b"another photo of the same name")
    same = make_result_folder(tmp_path / "same", [photo_result(files[0], 2)])
    (tmp_path / "empty").mkdir()
    for folders, message in {
        (one, other): "was made with other settings than",
        (one, same): "there are different results for",
        (one, one): "give each folder only once",
        (one, tmp_path / "empty"): "is not a result folder",
    }.items():
        done = call_gudi("merge", *folders, "--out", tmp_path / "out")
        assert (done.returncode, done.stderr.count("gudi: error: ")) == (1, 1)
        assert message in done.stderr
        assert not (tmp_path / "out").exists()


def test_prefix_keeps_photos_of_the_same_name_apart(make_files, tmp_path):
    (path,) = make_files(1)
    one = make_result_folder(tmp_path / "one", [photo_result(path)])
    path.write_bytes(b"another photo of the same name")
    same = make_result_folder(tmp_path / "same", [photo_result(path, 2)])
    (tmp_path / "below").mkdir()
    other = make_result_folder(tmp_path / "below" / "one", [photo_result(path, 2)])
    done = call_gudi(
        "merge", ".", other, same, "--out", tmp_path / "out", "--prefix", "--format", "jsonl",
        cwd=one,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    faces = [json.loads(line) for line in (tmp_path / "out" / "faces.jsonl").open()]
    folders, name = ["2-one"] * 2 + ["one"] + ["same"] * 2, path.as_posix().lstrip("/")
    assert [face["source"] for face in faces] == [f"{folder}/{name}" for folder in folders]
    assert faces[2]["frame"] is None
    assert faces[2]["angry"] == pytest.approx(float(random_probabilities(1)[0, 0]), abs=1e-6)
    assert len(names_below(tmp_path / "out" / "annotated")) == 3
    with Store(tmp_path / "out" / STORE) as store:  # figures show the faces
        assert {each.source.path for each in store.inputs.finished()} == {str(path)}


def test_parquet_is_inherited_and_holds_all_faces(make_files, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="no pyarrow")
    record = {"settings": {"format": "parquet", "track": True}}
    results = [photo_result(path, 2) for path in make_files(20)]
    one = make_result_folder(tmp_path / "one", results, record=record)
    done = call_gudi("merge", one, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "note: " not in done.stderr
    table = parquet.read_table(tmp_path / "out" / "faces.parquet")
    assert table.num_rows == 40
    assert table["x"].to_pylist()[:2] == [0, 10]
    assert table["frame"].null_count == table["track"].null_count == 40
    np.testing.assert_array_equal(table["angry"].to_numpy()[:2], random_probabilities(2)[:, 0])


def test_folders_without_run_records_are_merged(make_files, tmp_path):
    files, folders = make_files(4), []
    for number, path in enumerate(files[:2]):
        folders.append(make_result_folder(tmp_path / str(number), [photo_result(path)]))
        (folders[-1] / "run.json").unlink()
    merge(folders, tmp_path / "both")
    assert len(read_rows(tmp_path / "both" / "faces.csv")) == 2
    record = read_record(tmp_path / "both")
    assert record["checkpoint"] == {"fingerprint": "c0ffee"}
    assert record["settings"] == {
        "format": "csv", "track": False, "annotate": True, "report": True,
        "csv_dialect": "standard", "frames": False,
        "subtitles": False,
    }  # fmt: skip
    assert record["versions"] == {}


def test_failed_merge_leaves_an_empty_folder_as_it_was(make_files, tmp_path):
    (path,) = make_files(1)
    one = make_result_folder(tmp_path / "one", [photo_result(path)])
    path.write_bytes(b"another photo of the same name")
    same = make_result_folder(tmp_path / "same", [photo_result(path, 2)])
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(OutputError, match="--prefix keeps both"):
        merge([one, same], out)
    assert [each.name for each in out.iterdir()] == [".lock"]


def test_merged_folders_are_only_read(make_files, tmp_path):
    one = make_result_folder(tmp_path / "one", [photo_result(path) for path in make_files(1)])
    with pytest.raises(InputError, match="merged lies in .*one, which is only read"):
        merge([one], one / "merged")
    assert not (one / "merged").exists()


def test_folder_without_any_run_is_refused(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "results.sqlite").touch()
    with pytest.raises(InputError, match="new holds no results yet"):
        merge([tmp_path / "new"], tmp_path / "x")
    assert not (tmp_path / "x").exists()

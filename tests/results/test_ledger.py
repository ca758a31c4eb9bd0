"""The ledger: what is committed stays, whatever comes; and result folders put together from it."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import draw_face, gudi_environment, run_gudi, save

import jobs
from gudi.constants import EMOTIONS
from gudi.detection import Box
from gudi.errors import OutputError
from gudi.media import sources
from gudi.media.sources import Source
from gudi.pipeline import annotate as drawing
from gudi.pipeline.merge import merge
from gudi.progress import Progress
from gudi.results.folder import FileResult, ResultFolder, places
from gudi.results.ledger import NAME, Ledger
from gudi.results.tracking import Tracks
from gudi.settings import ALL_FRAMES

SETTINGS = {"checkpoint": "c0ffee", "emotions": list(EMOTIONS), "min_face": 0, "crops": False}


def shares(count, seed=1):
    return np.random.default_rng(seed).dirichlet(np.ones(7), count).astype(np.float32)


def photo(path, faces=1, error=""):
    """Return the result of a photo with so many faces."""
    boxes = [Box(10 * number, 20, 30, 40) for number in range(faces)]
    source = Source(path.as_posix(), str(path), "image")
    digest = sources.content_digest(path) if path.exists() else None
    found = shares(faces) if faces else None
    return FileResult(source, boxes, [], found, None, 300, 200, error, digest=digest)


def fill(ledger, results, settings=SETTINGS):
    ledger.begin(settings)
    for result in results:
        ledger.enlist(result.source)
        if not result.source.problem:
            ledger.add(result)


@pytest.fixture
def files(tmp_path):
    """Twenty files that could be photos."""
    paths = [tmp_path / "photos" / f"{number:02}.jpg" for number in range(20)]
    paths[0].parent.mkdir()
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


def test_a_cut_off_ledger_has_all_that_was_committed_before(files, tmp_path):
    """A machine that loses power leaves the write-ahead log cut off anywhere."""
    (tmp_path / "a").mkdir()
    ledger = Ledger(tmp_path / "a" / NAME, 7)
    ledger.begin(SETTINGS)
    sizes = []
    for path in files:
        ledger.enlist(photo(path).source)
        ledger.add(photo(path))
        ledger.commit()
        sizes.append((tmp_path / "a" / f"{NAME}-wal").stat().st_size)
    log = (tmp_path / "a" / f"{NAME}-wal").read_bytes()
    random = np.random.default_rng(4)
    for cut in [0, *random.integers(0, len(log), 25).tolist(), len(log)]:
        folder = tmp_path / f"cut {cut}"
        folder.mkdir()
        shutil.copy(ledger.path, folder / NAME)
        (folder / f"{NAME}-wal").write_bytes(log[:cut])
        with Ledger(folder / NAME, 7) as left:
            names = [entry.source.name for entry in left.entries()]
            assert names == [path.as_posix() for path in files[: len(names)]]
            assert len(names) >= sum(size <= cut for size in sizes)
            for entry in left.entries():
                (row,) = left.rows(entry)
                assert row.box == Box(0, 20, 30, 40)
                np.testing.assert_array_equal(row.shares, shares(1)[0])
    ledger.close()


def test_a_ledger_is_one_process_s(files, tmp_path):
    with Ledger(tmp_path / NAME, 7) as ledger:
        fill(ledger, map(photo, files[:1]))
        ledger.commit()
        code = "import sys; from pathlib import Path; from gudi.results.ledger import Ledger\n"
        code += "Ledger(Path(sys.argv[1]), 7)"
        other = subprocess.run(
            [sys.executable, "-c", code, tmp_path / NAME],
            env=gudi_environment(),
            capture_output=True,
            text=True,
        )
    assert "is in use by another gudi" in other.stderr


def test_what_is_no_ledger_is_refused(tmp_path):
    (tmp_path / NAME).write_bytes(b"SQLite format 3\0" + bytes(4000))
    with pytest.raises(OutputError, match=r"ledger\.sqlite cannot be used"):
        Ledger(tmp_path / NAME, 7)
    other = sqlite3.connect(tmp_path / "other")
    other.execute("CREATE TABLE t (a)")
    other.close()
    with pytest.raises(OutputError, match="is no ledger of this version"):
        Ledger(tmp_path / "other", 7)


def test_a_strangers_ledger_leads_nowhere(files, tmp_path):
    precious = tmp_path / "precious.jpg"
    precious.write_bytes(b"mine")
    out = ResultFolder(tmp_path / "out")
    out.path.mkdir()
    (out.path / "annotated").mkdir()
    with Ledger(out.path / NAME, 7) as ledger:
        fill(ledger, map(photo, files[:1]))
        (entry,) = ledger.entries()
        ledger.give_place(entry, ["../../precious.jpg"])
    with Ledger(out.path / NAME, 7) as ledger:
        (entry,) = ledger.entries()
        assert entry.picture is None
        assert next(places("../../precious.jpg")) == "__/__/precious.jpg"


def test_only_what_has_changed_is_pending(files, tmp_path):
    with Ledger(tmp_path / NAME, 7) as ledger:
        fill(ledger, map(photo, files))
        assert not list(ledger.pending())
        os.utime(files[3], ns=(1, 1))  # the same content
        files[4].write_bytes(b"another")
        files[5].unlink()
        ledger.begin(SETTINGS)
        gone = Source(files[5].as_posix(), str(files[5]), "image", "no such file")
        for path in files[:5]:
            ledger.enlist(photo(path).source)
        ledger.enlist(gone)
        assert [source.path for source in ledger.pending()] == [str(files[4])]
        assert ledger.counts() == {"ok": 4, None: 1, "failed": 1}
        files[5].write_bytes(b"back")
        ledger.begin(SETTINGS)
        ledger.enlist(photo(files[5]).source)
        assert [source.path for source in ledger.pending()] == [str(files[5])]


def test_what_was_gone_for_a_while_is_looked_at_when_it_is_back(files, tmp_path):
    content = files[0].read_bytes()
    with Ledger(tmp_path / NAME, 7) as ledger:
        ledger.begin(SETTINGS)
        for path in files[:2]:
            ledger.enlist(photo(path).source)
        files[0].rename(tmp_path / "elsewhere")
        ledger.add(photo(files[0], 0, "no such file"))
        ledger.add(photo(files[1], 0, "it is damaged"))
        assert ledger.counts() == {"failed": 2}
        (tmp_path / "elsewhere").rename(files[0])
        assert files[0].read_bytes() == content
        ledger.begin(SETTINGS)
        for path in files[:2]:
            ledger.enlist(photo(path).source)
        assert [source.path for source in ledger.pending()] == [str(files[0])]


def folder(path, results, settings=SETTINGS, run=None):
    """Make a result folder of `results`; `run` is what its `run.json` says besides."""
    path.mkdir()
    ResultFolder(path).write_run({"gudi": "0"} | (run or {}))
    with Ledger(path / NAME, len(settings["emotions"])) as ledger:
        fill(ledger, results, settings)
        for entry in ledger.entries():
            if entry.faces:
                place = ledger.give_place(entry, places(entry.source.name))
                save(path / "annotated" / place, draw_face())
                ledger.drawn(entry, 1)
    return path


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_folders_put_together(files, tmp_path):
    one = folder(tmp_path / "one", [*map(photo, files[:8]), photo(files[8], 0)])
    two = folder(tmp_path / "two", [photo(files[7]), *(photo(path, 2) for path in files[9:12])])
    done = run_gudi("merge", one, two, "--out", tmp_path / "both")
    assert done.returncode == 0, done.stderr
    assert "12 inputs, 14 faces" in done.stderr
    faces, table = rows(tmp_path / "both" / "faces.csv"), rows(tmp_path / "both" / "files.csv")
    assert [row["source"] for row in table] == [path.as_posix() for path in files[:12]]
    assert [row["face"] for row in faces] == ["0"] * 8 + ["0", "1"] * 3
    assert len(list((tmp_path / "both" / "annotated").rglob("*.jpg"))) == 11
    assert (tmp_path / "both" / "report.html").exists()
    account = json.loads((tmp_path / "both" / "run.json").read_text())
    assert (account["state"], account["counts"]["faces"]) == ("finished", 14)
    again = run_gudi("merge", one, "--out", tmp_path / "both")
    assert (again.returncode, "holds results already" in again.stderr) == (1, True)


class Notes(Progress):
    """Keeps what it is told."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def test_what_the_folders_agree_on_is_taken_over(files, tmp_path):
    said = {
        "settings": {
            "format": "jsonl",
            "tracked": True,
            "workers": 2,
            "detection": {"min_face": 0},
        },
        "checkpoint": {"path": "one", "recovered": ""},
        "versions": {"numpy": "1", "av": "2"},
    }
    one = folder(tmp_path / "one", [photo(files[0])], run=said)
    said["settings"] |= {"workers": 3}
    said |= {"checkpoint": {"path": "two", "recovered": ""}, "versions": {"numpy": "1", "av": "3"}}
    two = folder(tmp_path / "two", [photo(files[1])], run=said)
    other = folder(tmp_path / "other", [photo(files[2])], run={"settings": {"format": "csv"}})

    progress = Notes()
    merge([one, two], tmp_path / "both", progress=progress)
    assert progress.notes == []
    faces = [json.loads(line) for line in (tmp_path / "both" / "faces.jsonl").open()]
    assert [face["track"] for face in faces] == [None, None]
    account = json.loads((tmp_path / "both" / "run.json").read_text())
    assert account["inputs"] == [str(one), str(two)]
    assert account["checkpoint"] == {"recovered": "", "fingerprint": "c0ffee"}
    assert account["versions"] == {"numpy": "1"}
    assert account["started"].startswith("20")
    assert account["settings"] == {
        "format": "jsonl", "tracked": True, "annotated": True, "report": True,
        "detection": {"min_face": 0},
    }  # fmt: skip

    merge([one, other], tmp_path / "mixed", format="jsonl", progress=progress)
    (note,) = progress.notes
    assert note.startswith("the folders do not agree on --track (False, True): taken as False")
    assert "track" not in (tmp_path / "mixed" / "faces.jsonl").read_text()


def elsewhere(result, path):
    """Return `result` as another machine has it, which reaches its file as `path`."""
    return replace(result, source=replace(result.source, path=str(path)))


def test_machines_that_reach_the_same_files_by_other_ways(files, tmp_path):
    parts = [
        folder(
            tmp_path / f"part{way}",
            [elsewhere(photo(path), f"/{way}/{path.name}") for path in some],
        )
        for way, some in enumerate((files[:4], files[2:6]))
    ]
    merge(parts, tmp_path / "both")
    table = rows(tmp_path / "both" / "files.csv")
    assert [row["source"] for row in table] == [path.as_posix() for path in files[:6]]
    first = photo(files[0])
    files[0].write_bytes(b"another photo of the same name")
    other = folder(tmp_path / "other", [elsewhere(photo(files[0], 2), "/2/00.jpg")])
    with pytest.raises(OutputError, match="there are different results for"):
        merge([folder(tmp_path / "one", [elsewhere(first, "/1/00.jpg")]), other], tmp_path / "x")


def test_a_full_disk_is_no_fault_of_the_picture(files, tmp_path):
    with Ledger(folder(tmp_path / "out", [photo(files[0])]) / NAME, 7) as ledger:
        queue = drawing._Queue(ledger, ResultFolder(tmp_path / "out"), ALL_FRAMES, 3, print)
        item = next(queue)
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with pytest.raises(OutputError, match="out: No space left on device"):
            queue.judge(jobs.Outcome(item, error=full))
        assert ledger.count_undrawn(3) == 1


def test_what_cannot_be_put_together(files, tmp_path):
    one = folder(tmp_path / "one", [photo(files[0])])
    other = folder(tmp_path / "other", [photo(files[1])], SETTINGS | {"min_face": 50})
    files[0].write_bytes(b"another photo of the same name")
    same = folder(tmp_path / "same", [photo(files[0], 2)])
    (tmp_path / "empty").mkdir()
    for given, message in {
        (one, other): "was made with other settings than",
        (one, same): "there are different results for",
        (one, one): "each folder can be given once",
        (one, tmp_path / "empty"): "is no result folder",
    }.items():
        done = run_gudi("merge", *given, "--out", tmp_path / "out")
        assert (done.returncode, done.stderr.count("gudi: error: ")) == (1, 1)
        assert message in done.stderr
        assert not (tmp_path / "out").exists()
    done = run_gudi("merge", one, same, "--out", tmp_path / "out", "--prefix", "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    faces = [json.loads(line) for line in (tmp_path / "out" / "faces.jsonl").open()]
    name = files[0].as_posix()
    assert [face["source"] for face in faces] == [f"one/{name}", f"same/{name}", f"same/{name}"]
    assert faces[0]["frame"] is None
    assert faces[0]["angry"] == pytest.approx(float(shares(1)[0, 0]), abs=1e-6)


def test_parquet(files, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="no pyarrow")
    run = {"settings": {"format": "parquet", "tracked": True}}
    one = folder(tmp_path / "one", [photo(path, 2) for path in files], run=run)
    done = run_gudi("merge", one, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "note: " not in done.stderr
    table = parquet.read_table(tmp_path / "out" / "faces.parquet")
    assert table.num_rows == 40
    assert table["x"].to_pylist()[:2] == [0, 10]
    assert table["frame"].null_count == table["track"].null_count == 40
    np.testing.assert_array_equal(table["angry"].to_numpy()[:2], shares(2)[:, 0])


def test_tracks_follow_the_nearest_box():
    tracks, (share,) = Tracks(), shares(1)

    def numbers(time, *boxes):
        return [number for number, _ in tracks.follow(time, boxes, [share] * len(boxes))]

    left, right = Box(0, 0, 100, 100), Box(300, 0, 100, 100)
    assert numbers(0, left, right) == [0, 1]
    assert numbers(0.04, Box(290, 5, 100, 100), Box(20, 0, 100, 100)) == [1, 0]
    assert numbers(0.08, Box(90, 0, 100, 100)) == [2]  # too far from both
    assert numbers(0.9, left) == [0]
    assert numbers(2.5, left) == [3]  # gone for too long
    # Of two that overlap, the one that overlaps more.
    assert numbers(2.6, Box(40, 0, 100, 100), Box(5, 0, 100, 100)) == [4, 3]

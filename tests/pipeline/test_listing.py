"""The inputs of a run: shards, and what is refused or skipped."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from conftest import call_gudi
from result_folders import read_record

from gudi.errors import InputError
from gudi.media.source import Source
from gudi.pipeline.listing import check_outside, describe_skipped, list_sources
from gudi.pipeline.shards import in_shard


def photo(path):
    return Source(str(path), str(path), "image")


def test_each_source_is_in_exactly_one_shard():
    sources = [photo(f"photos/{number}.jpg") for number in range(200)]
    for count in (1, 2, 7):
        shards = [
            [source for source in sources if in_shard(source, (number, count))]
            for number in range(1, count + 1)
        ]
        assert sum(map(len, shards)) == 200
        assert set().union(*shards) == set(sources)
        assert min(map(len, shards)) > 200 / count / 2
    assert in_shard(sources[0], None)


def test_shard_depends_on_the_name_and_not_on_the_path():
    names = ("photos/below/one.png", "photos/none.jpg", "photos/one.jpg", "photos/two.bmp")
    # As earlier versions and other machines decide.
    parts = [in_shard(Source(name, f"/anywhere/{name}", "image"), (1, 2)) for name in names]
    assert parts == [True, True, True, False]


def test_inputs_without_photos_are_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").touch()
    with pytest.raises(
        InputError, match=r"no photos or videos in .*; skipped 1 file not named .* \(1 \.txt\); to"
    ):
        list(list_sources([str(tmp_path)]))
    with pytest.raises(InputError, match="no inputs"):
        list(list_sources([]))


def test_inputs_in_the_result_folder_are_refused(tmp_path):
    out, link = tmp_path / "out", tmp_path / "link"
    out.mkdir()
    link.symlink_to(out)
    for path in (out / "one.jpg", link / "annotated" / "one.jpg"):
        with pytest.raises(InputError, match="lies in the folder for the results, --out"):
            check_outside(photo(path), out)
    for path in (tmp_path / "output" / "one.jpg", tmp_path / "one.jpg"):
        check_outside(photo(path), out)


def test_most_frequent_suffixes_of_skipped_files_are_named():
    skipped = Counter({".txt": 2000, "": 9, ".a": 8, ".b": 7, ".c": 6, ".d": 5, ".e": 4})
    text = describe_skipped(skipped)
    assert "(2,000 .txt, 9 without a suffix, 8 .a, 7 .b, 6 .c, 9 others); to process" in text


def test_results_of_gudi_in_folders_are_skipped_with_a_note_unless_they_are_named(tmp_path):
    for name in (
        "a.jpg", "a.emotions.jpg", "results/annotated/a.jpg", "results/thumbnails/1.jpg",
        "results/results.sqlite", "merged/b.jpg", "other/c.jpg", "other/run.json",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    (tmp_path / "merged" / "run.json").write_text('{"gudi": "0.1.0", "state": "finished"}')
    skipped = Counter()
    names = [Path(source.path).name for source in list_sources([str(tmp_path)], skipped=skipped)]
    assert names == ["a.jpg", "c.jpg"]
    note = "3 results of gudi's own in folders; to process such a file or folder, name it; "
    assert describe_skipped(skipped).startswith(note)
    named = [str(tmp_path / "results"), str(tmp_path / "a.emotions.jpg")]
    assert len(list(list_sources(named))) == 3


def test_skipped_files_are_counted_in_the_run_record_and_in_the_summary(photos, tmp_path):
    for name in ("a.txt", "below/b.TXT", "notes", "c.pdf", "one.emotions.jpg", "d.\udcff\n"):
        (photos / name).touch()
    out = tmp_path / "out"
    tables_only = ("--no-annotate", "--no-report")
    for _ in range(2):  # a run with nothing to do counts them, too
        done = call_gudi("batch", "photos", "--out", out, *tables_only, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert read_record(out)["skipped"] == {
            ".txt": 2, "without a suffix": 1, ".pdf": 1, "gudi's own": 1, r".\xff\x0a": 1,
        }  # fmt: skip
        lines = done.stderr.splitlines()
        summary = next(line for line in lines if line.startswith("  skipped: "))
        assert "2 .txt" in summary
        assert "1 gudi's own" in summary
    more = ("--exclude", "below", "--exclude", "two.*", "--out", tmp_path / "out2", *tables_only)
    call_gudi("batch", photos / "one.jpg", photos / "two.bmp", photos / "below", *more)
    record = read_record(tmp_path / "out2")
    assert (record["skipped"], record["settings"]["exclude"]) == (
        {"excluded": 2},
        ["below", "two.*"],
    )

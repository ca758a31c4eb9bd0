"""Summaries that commands print."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from gudi.cli.messages import count, describe_merge, describe_prepared, describe_run
from gudi.detection import cnn
from gudi.pipeline.run import RunReport
from gudi.training.prepare import RowCounts

OUT = Path("results")


def test_summary_of_photos_and_videos():
    report = RunReport(
        statuses=Counter(ok=119, no_face=46),
        emotions=Counter(happy=1154, sad=135),
        seconds={"inputs": 35.24, "pictures": 3.0},
        processed=553,
        photos=163,
        videos=2,
        frames=390,
    )
    assert describe_run(report, OUT).splitlines() == [
        "163 photos and 2 videos (390 frames), 1,289 faces in 38 s "
        "(14.5 photos and frames per second)",
        "  happy 1,154, sad 135",
        "  46 inputs without a face",
        "results: results",
    ]


def test_summary_names_the_detector_that_finds_more_where_it_can_be_had():
    for ok, detector, told in ((119, "haar", cnn.obtainable()), (999, "haar", 0), (119, "cnn", 0)):
        report = RunReport(statuses=Counter(ok=ok, no_face=46), photos=ok + 46, detector=detector)
        lines = [
            line for line in describe_run(report, OUT).splitlines() if "without a face" in line
        ]
        assert len(lines) == 1
        assert ("--detector cnn finds more" in lines[0]) == told


def test_summary_of_a_run_that_was_interrupted_after_failures():
    report = RunReport(
        statuses=Counter(ok=1, no_face=1, failed=1),
        emotions=Counter(happy=1),
        interrupted=True,
        not_reached=2000,
        earlier=1,
        photos=3,
    )
    assert describe_run(report, OUT).splitlines() == [
        "3 photos, 1 face",
        "  happy 1",
        "  1 photo finished by earlier runs",
        "  1 photo without a face",
        "  1 input failed: see results/files.csv; to retry, repeat the command with --retry-failed",
        "results: results",
        "interrupted: 2,000 inputs left; to resume, repeat the command",
    ]


def test_summary_of_a_resumed_run_keeps_its_own_speed_apart():
    report = RunReport(
        statuses=Counter(ok=9, no_face=1),
        emotions=Counter(sad=13),
        seconds={"inputs": 2.0},
        processed=1,
        earlier=9,
        photos=10,
    )
    assert describe_run(report, OUT).splitlines() == [
        "10 photos, 13 faces",
        "  sad 13",
        "  9 photos finished by earlier runs, 1 photo processed now in 2.0 s "
        "(0.5 photos per second)",
        "  1 photo without a face",
        "results: results",
    ]


def test_summary_of_a_run_that_was_interrupted_while_it_drew():
    report = RunReport(statuses=Counter(ok=1), photos=1, interrupted=True)
    assert describe_run(report, OUT).splitlines() == [
        "1 photo, 0 faces",
        "results: results",
        "interrupted: some pictures not drawn; to resume, repeat the command",
    ]


def test_summary_of_a_merge():
    report = RunReport(statuses=Counter(ok=10, failed=2), emotions=Counter(sad=14))
    assert describe_merge(report, OUT).splitlines() == [
        "12 inputs, 14 faces",
        "  2 inputs failed: see results/files.csv",
        "results: results",
    ]


def test_summary_of_a_data_set_lists_ten_of_the_skipped_rows():
    found = RowCounts(
        rows=20,
        faces=7,
        no_face=1,
        rejected=12,
        reasons=[f"row {number}: blank\n" for number in range(12)],
        classes=Counter(happy=7),
    )
    faces, classes, no_face, skipped, *reasons, more = describe_prepared(
        Path("data/whole_data"), found
    ).splitlines()
    assert faces == "7 faces from 20 rows"
    assert classes.startswith("  angry 0, ")
    assert (no_face, skipped) == ("  1 row without a face", "  12 rows skipped:")
    assert reasons == [f"    row {number}: blank\\n" for number in range(10)]
    assert more == "    … and 2 more, see whole_data.json"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 faces"), (1, "1 face"), (2, "2 faces"), (2000, "2,000 faces")]
)
def test_a_noun_agrees_with_its_number(number, text):
    assert count(number, "face") == text

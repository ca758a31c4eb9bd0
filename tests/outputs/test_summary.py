"""Groups of videos, compared with what pandas makes of the table of frames."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
from conftest import call_gudi
from result_folders import SETTINGS, add_results, video_frame, video_result

from gudi.batch_result import BatchResult
from gudi.constants import EMOTIONS
from gudi.errors import ExitCode, InputError
from gudi.outputs.run_record import RunCounts
from gudi.records import Box, VideoFrame
from gudi.store import STORE, Store

NEAR, FAR = Box(0, 0, 90, 90), Box(200, 0, 60, 60)

COUNTS = RunCounts(**dict.fromkeys(RunCounts.__dataclass_fields__, 0))


def film(tops: str, rate: float = 4) -> list[VideoFrame]:
    """Return a frame per character: happy, sad or neutral, with different probabilities; or none.

    Somebody in the background is happy all the time.
    """
    names = {"h": "happy", "s": "sad", "n": "neutral"}
    return [
        video_frame(
            n,
            n / rate,
            [(NEAR, names.get(top, ""), 0.5 + 0.4 * n / len(tops))] * (top in names)
            + [(FAR, "happy")],
        )
        for n, top in enumerate(tops)
    ]


STUDY = {
    "a.mp4": ("P1", "calm", film("nnnnhhhhhhhh")),
    "b.mp4": ("P1", "loud", film("nnnnssssss----ss", rate=8)),
    "c.mp4": ("P2", "calm", film("sssssshhhhhhnn")),
    "d.mp4": ("P2", "loud", film("nnnnnnnn", rate=2)),
    "e.mp4": ("P3", "loud", film("------")),
}


def results(folder: Path, study=STUDY, *, tracked: bool = True) -> BatchResult:
    """Return the results of videos with a participant and a condition each."""
    with Store(folder / STORE) as store:
        store.start_run(SETTINGS)
        store.add_extra(["participant", "condition", "mean_age"])
        found = []
        for name, (participant, condition, frames) in study.items():
            result = video_result(name, frames)
            extra = {"participant": participant, "condition": condition, "mean_age": "33"}
            found.append(replace(result, source=replace(result.source, extra=extra)))
        add_results(store, found, tracked=tracked)
    return BatchResult(folder, ExitCode.FINISHED, COUNTS, EMOTIONS, tracked)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> BatchResult:
    return results(tmp_path_factory.mktemp("study"))


def test_frames_have_the_main_face_or_missing_values(study):
    frames = study.frames()
    assert len(frames) == sum(len(video) for *_, video in STUDY.values())
    alone = frames[frames["source"] == "e.mp4"]
    assert list(alone["track"]) == [0] * 6  # the only face of its video
    late = frames[frames["source"] == "b.mp4"]
    missing = late["face"].isna()
    assert list(late["frame"][missing]) == [10, 11, 12, 13]
    assert late[missing][["emotion", "happy", "smooth_sad"]].isna().all().all()
    assert set(late["width"].dropna()) == {90}
    assert list(late["faces"]) == [2] * 10 + [1] * 4 + [2] * 2
    # As the table of videos counts it.
    times = frames.groupby("source")["shown_s"].sum()
    np.testing.assert_allclose(times, study.videos().set_index("source")["duration_s"])


@pytest.mark.parametrize("tracked", [True, False])
def test_groups_are_weighted_by_time_as_pandas_does_by_hand(tmp_path, tracked):
    result = results(tmp_path, tracked=tracked)
    table = result.summary(by=["condition"]).set_index("condition")
    frames = result.frames()
    for condition, group in frames.groupby("condition"):
        seen, row = group.dropna(subset="emotion"), table.loc[condition]
        seconds = seen["shown_s"].sum()
        assert row["duration_s"] == pytest.approx(group["shown_s"].sum())
        assert row["face_time_s"] == pytest.approx(seconds)
        assert row["valid_share"] == pytest.approx(seconds / group["shown_s"].sum())
        assert row["videos"] == group["source"].nunique()
        assert row["participants"] == group["participant"].nunique()
        shares = seen.groupby("emotion")["shown_s"].sum() / seconds
        assert row["emotion"] == shares.idxmax()
        for name in EMOTIONS:
            assert row[f"share_{name}"] == pytest.approx(shares.get(name, 0))
            mean = np.average(seen[name], weights=seen["shown_s"])
            assert row[f"mean_{name}"] == pytest.approx(mean)
            if tracked:
                assert row[f"max_{name}"] == pytest.approx(seen[f"smooth_{name}"].max())
    assert ("max_happy" in table) == tracked


def test_baseline_is_left_out_and_subtracted_for_each_video(study):
    table = study.summary(baseline=(0, 1)).set_index("source")
    for source, frames in study.frames().dropna(subset="emotion").groupby("source"):
        at_rest = frames["time_s"] < 1
        mean = np.average(frames["happy"][~at_rest], weights=frames["shown_s"][~at_rest])
        assert table.loc[source, "mean_happy"] == pytest.approx(mean)
        change = mean - frames["happy"][at_rest].mean()
        assert table.loc[source, "change_happy"] == pytest.approx(change)
    assert table.loc["a.mp4", "duration_s"] == pytest.approx(2)


def test_intervals_are_over_participants(study):
    table = study.summary("condition", intervals=True).set_index("condition")
    alone = study.summary(["condition", "participant"]).set_index(["condition", "participant"])
    calm = alone.loc["calm"]["share_happy"]
    # Half of the samples of two participants have one of them only.
    bounds = table.loc["calm", ["share_happy_low", "share_happy_high"]]
    assert sorted(calm) == pytest.approx(list(bounds))
    each = study.summary(["participant", "condition"], intervals=True)
    assert each["share_happy_low"].isna().all()
    # Without a column that tells persons apart, each video is of another one.
    assert list(study.summary("participant", participant="-")["participants"]) == [2, 2, 1]


def test_command_writes_the_same_as_csv(study, tmp_path):
    run = call_gudi("summarize", study.out, "--by", "participant,condition", "--baseline", "0:1")
    assert run.returncode == 0, run.stderr
    table = pandas.read_csv(io.StringIO(run.stdout))
    expected = study.summary(["participant", "condition"], baseline=(0, 1))
    pandas.testing.assert_frame_equal(table, expected, atol=1e-3, rtol=1e-5)
    path = tmp_path / "t.csv"
    assert call_gudi("summarize", study.out, "--out", path).returncode == 0
    assert len(path.read_text().splitlines()) == 1 + len(STUDY)
    path.write_text("mine")
    for command in (("summarize",), ("report", "--top", "happy", "1")):
        refused = call_gudi(command[0], study.out, *command[1:], "--out", path)
        assert (refused.returncode, path.read_text()) == (1, "mine")
        assert "t.csv already exists; replace it with --overwrite" in refused.stderr
    assert call_gudi("summarize", study.out, "--out", path, "--overwrite").returncode == 0
    assert path.read_text() != "mine"


def test_column_that_does_not_exist_is_an_error_that_names_the_others(study):
    with pytest.raises(
        InputError, match="no column 'age' .* source, participant, condition, mean_age$"
    ):
        study.summary("age")


def test_groups_and_tracks_are_drawn(study, tmp_path):
    run = call_gudi("plot", study.out, "--out", tmp_path, "--format", "pdf", "--by", "condition")
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "groups.pdf").read_bytes().startswith(b"%PDF")
    assert len(list(tmp_path.glob("timelines/*.pdf"))) == len(STUDY)
    axes = study.plot_timeline("a.mp4", track=1)  # of the person in the background
    happy = axes.lines[2 * EMOTIONS.index("happy")].get_ydata()
    assert happy == pytest.approx(0.7)

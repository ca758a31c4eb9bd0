"""Pictures of results."""

from __future__ import annotations

import re

import cv2
import matplotlib
import matplotlib.figure
import numpy as np
import pytest
from clips import write_moving_face
from conftest import call_gudi, draw_face, save
from result_folders import fill_store, video_frame, video_result

import gudi
from gudi.constants import EMOTIONS
from gudi.errors import InputError
from gudi.outputs import plots
from gudi.store import STORE, Store


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two photos and a video in `in`, and their results in `out`."""
    folder = tmp_path_factory.mktemp("plots")
    (folder / "in").mkdir()
    for name in ("one.png", "two.png"):
        save(folder / "in" / name, draw_face())
    write_moving_face(folder / "in" / "film.mp4")
    run = call_gudi("batch", "in", "--out", "out", "--no-report", "--no-annotate", cwd=folder)
    assert run.returncode == 0, run.stderr
    return folder


def test_pictures_of_a_result_folder(folder, tmp_path):
    run = call_gudi("plot", "out", "--out", tmp_path, cwd=folder)
    assert run.returncode == 0, run.stderr
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    names = ("contact_sheet", "distribution", "timelines/in/film.mp4")
    assert written == sorted(f"{name}.{each}" for name in names for each in ("png", "svg"))
    assert sorted(run.stdout.split()) == sorted(str(tmp_path / name) for name in written)
    sheet = cv2.imread(str(tmp_path / "contact_sheet.png"))
    assert min(sheet.shape[:2]) > 100
    assert (sheet < 200).any()
    for name in ("distribution", "timelines/in/film.mp4"):
        picture = cv2.imread(str(tmp_path / f"{name}.png"))
        colours = {tuple(each) for each in picture.reshape(-1, 3)[::7]}
        assert len(colours) > 5, name


def test_format_can_be_chosen_and_sources_need_not_be_there(folder, tmp_path):
    run = call_gudi("plot", folder / "out", "--out", "here", "--format", "svg", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert {path.suffix for path in (tmp_path / "here").rglob("*.*")} == {".svg"}
    assert "its faces are missing in the contact sheet" in run.stderr


@pytest.mark.parametrize("content", ["nothing", "no faces"])
def test_folder_without_faces_is_an_error(tmp_path, content):
    (tmp_path / "out").mkdir()
    if content == "no faces":
        save(tmp_path / "blank.png", np.zeros((60, 60, 3), np.uint8))
        assert call_gudi("batch", "blank.png", "--out", "out", cwd=tmp_path).returncode == 0
    run = call_gudi("plot", "out", cwd=tmp_path)
    assert run.returncode == 1
    assert re.search("holds no results|no faces", run.stderr)
    assert not (tmp_path / "out" / "plots").exists()


def test_pictures_go_into_the_result_folder_unless_told_otherwise(folder):
    run = call_gudi("plot", "out", "--format", "png", cwd=folder)
    assert run.returncode == 0, run.stderr
    assert (folder / "out" / "plots" / "distribution.png").exists()
    again = call_gudi("batch", "in", "--out", "out", "--no-report", "--no-annotate", cwd=folder)
    assert again.returncode == 0, again.stderr


def test_dollars_in_names_are_no_formulas(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    (tmp_path / "in").mkdir()
    write_moving_face(tmp_path / "in" / "$a_$b^.mp4")
    emotions = ("$x^$", *EMOTIONS[1:])
    result = gudi.batch("in", "out", report=False, annotate=False, emotions=emotions)
    run = call_gudi("plot", "out", "--format", "svg", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out/plots/timelines/in/$a_$b^.mp4.svg").exists()
    axes = result.plot_timeline("in/$a_$b^.mp4")
    axes.figure.canvas.draw()
    result.plot_distribution().figure.canvas.draw()


def lines_of(tmp_path, times):
    """Return the lines and the points of the timeline of a video with a face at these times."""
    frames = [video_frame(n, time, [(gudi.Box(0, 0, 40, 40), "sad")]) for n, time in times]
    with Store(tmp_path / STORE) as store:
        (record,) = fill_store(store, [video_result("film.mp4", frames)])
        bins = plots.timeline(store, record)
    axes = matplotlib.figure.Figure().subplots()
    plots.plot_timeline(bins, EMOTIONS, axes)
    return axes.lines[::2], axes.lines[1::2]


def test_line_is_interrupted_where_no_face_is_seen(tmp_path):
    times = [0, 0.04, 0.16, 2, 4, 4.04, 4.08]
    lines, points = lines_of(tmp_path, enumerate(times))
    assert [line.get_label() for line in lines] == list(EMOTIONS)
    for line in lines:
        pieces = np.array(line.get_xdata())
        np.testing.assert_allclose(pieces[~np.isnan(pieces)], times)
        assert np.flatnonzero(np.isnan(pieces)).tolist() == [3, 5]
    # A face that is seen in a single frame is a point.
    assert [line.get_xdata().tolist() for line in points] == [[2]] * 7


def test_line_of_a_long_video_has_a_limited_number_of_points(tmp_path):
    lines, points = lines_of(tmp_path, ((n, n / 25) for n in range(5000)))
    assert 290 < len(lines[0].get_xdata()) <= 301
    assert lines[EMOTIONS.index("sad")].get_ydata() == pytest.approx(0.7)
    assert not any(len(line.get_xdata()) for line in points)


def test_results_draw_themselves(folder, monkeypatch):
    monkeypatch.chdir(folder)
    matplotlib.use("agg")
    result = gudi.batch("in", "out", report=False, annotate=False)
    axes = result.plot_distribution()
    heights = [bar.get_height() for bar in axes.patches]
    assert sum(heights) == (result.faces()["kind"] == "image").sum()
    axes = result.plot_timeline("in/film.mp4")
    labels = [line.get_label() for line in axes.lines if not line.get_label().startswith("_")]
    assert labels == list(result.emotions)
    assert axes.get_title() == "in/film.mp4"
    for source, problem in {"in/one.png": "no face has a time", "x.mp4": "no results of"}.items():
        with pytest.raises(InputError, match=problem):
            result.plot_timeline(source)

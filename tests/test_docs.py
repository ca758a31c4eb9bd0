"""The examples in the documentation run."""

from __future__ import annotations

import shutil

import av
import pytest
from conftest import ROOT, blocks, call_gudi, draw_face, save


def python_blocks(page: str) -> list[str]:
    """Return the Python examples on a page of the documentation."""
    return [text for language, text in blocks(page) if language == "python"]


def write_video(path, frames: int = 12) -> None:
    """Write a video with a drawn face, 6 frames per second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=6)
        stream.width, stream.height, stream.pix_fmt = 300, 300, "yuv420p"
        for number in range(frames):
            image = draw_face(x=40 + number)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())


@pytest.fixture
def examples(tmp_path, monkeypatch):
    """A current folder with the files that the examples name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUDI_CHECKPOINT", raising=False)
    save(tmp_path / "photo.jpg", draw_face())
    save(tmp_path / "photos" / "one.jpg", draw_face())
    save(tmp_path / "photos" / "two.png", draw_face(120, 200, 260, 30, 60))
    write_video(tmp_path / "film.mp4")
    shutil.copytree(ROOT / "data" / "example", tmp_path / "data" / "example")
    return tmp_path


def test_examples_of_the_python_page_run_one_after_the_other(examples, capsys):
    blocks = python_blocks("docs/python.md")
    assert len(blocks) >= 9
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "no such file or folder: no-such-folder" in printed
    assert (examples / "results" / "faces.csv").is_file()
    assert "Box(x=" in printed


def test_pandas_example_of_the_results_page_runs(finished_run, monkeypatch):
    pytest.importorskip("pandas", reason="no pandas")
    monkeypatch.chdir(finished_run.out.parent)
    (block,) = (each for each in python_blocks("docs/results.md") if "import pandas" in each)
    names: dict[str, object] = {}
    exec(compile(block.replace(".plot()", ""), "docs/results.md", "exec"), names)
    columns = list(names["everything"].columns)
    assert len(set(columns)) == len(columns)
    assert {"width", "picture_width", "kind", "status"} <= set(columns)
    assert not [name for name in columns if name.endswith(("_x", "_y"))]
    assert names["everything"]["source"].nunique() == 4


def test_first_screen_of_the_readme_shows_what_is_printed(examples):
    shown = next(text for language, text in blocks("README.md") if language == "console")
    command, *printed = shown.splitlines()
    table = printed.index("$ head -3 results/faces.csv")
    done = call_gudi(*command.split()[2:])
    assert done.returncode == 0, done.stderr
    for line in printed[:table]:
        assert line.partition(" in ")[0] in done.stderr  # the times differ
    rows = (examples / "results" / "faces.csv").read_text().splitlines()
    emotion = rows[0].split(",").index("emotion")
    # Decoders differ by a grey level, which moves boxes by a pixel and probabilities by a little.
    exact = [0, 1, 2, 3, 4, emotion]
    for line, row in zip(printed[table + 1 :], rows):
        cells, expected = row.split(","), line.split(",")
        assert [cells[each] for each in exact] == [expected[each] for each in exact]


def test_readme_example_for_python_runs(examples, capsys):
    for block in python_blocks("README.md"):
        exec(compile(block, "README.md", "exec"), {})

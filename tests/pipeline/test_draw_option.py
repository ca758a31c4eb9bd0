"""What `--draw` puts onto pictures, and what becomes of the pictures of earlier runs."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
from clips import write_video
from conftest import call_gudi, draw_face, save
from result_folders import read_record, read_rows, read_tables

import gudi
from gudi.errors import UsageError
from gudi.media import video
from gudi.outputs.drawing import overlay

GERMAN = "wütend,angewidert,ängstlich,glücklich,traurig,überrascht,neutral"


@pytest.fixture(autouse=True)
def _the_checkpoint_that_comes_with_gudi(monkeypatch):
    monkeypatch.delenv("GUDI_CHECKPOINT", raising=False)


@pytest.fixture
def inputs(tmp_path):
    """A photo and a video that show one face, and much room beside it."""
    face = draw_face(120, 640, 360, 400, 150)
    save(tmp_path / "in" / "photo.png", face)
    write_video(tmp_path / "in" / "film.mp4", [face] * 3)
    return tmp_path / "in"


def near(image, colour):
    """Return how many pixels have about this colour, for videos change it a little."""
    return int((np.abs(image.astype(int) - colour).max(axis=2) < 45).sum())


def parts_in(image):
    """Return what is drawn on a picture of `inputs`."""
    hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2HSV))
    # The face looks neither angry nor disgusted, and the other emoji are yellow.
    yellow = (hue > 15) & (hue < 35) & (saturation > 110) & (value > 150)
    return {
        name
        for name, drawn in (
            ("box", near(image, overlay.BOX_COLOUR) > 200),
            ("label", near(image, (0, 0, 0)) > 300),
            ("bars", near(image, overlay.TRACK_COLOUR) > 1500),
            ("emoji", yellow.sum() > 150),
        )
        if drawn
    }


def drawn_in(out):
    """Return what is drawn on the photo, on the video and on both thumbnails in a result folder."""
    photo = cv2.imread(str(out / "annotated" / "in" / "photo.png"))
    film = next(iter(video.read_frames(out / "annotated" / "in" / "film.mp4"))).image
    return parts_in(photo), parts_in(film)


def thumbnails(out):
    return {path.name: path.read_bytes() for path in (out / "thumbnails").rglob("*.jpg")}


def run(folder, *options):
    done = call_gudi("batch", "in", "--out", "out", "--workers", "1", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("draw", "photo", "film"),
    [
        (None, {"box", "label"}, {"box", "label", "bars"}),
        ("box", {"box", "label"}, {"box", "label"}),
        ("bars", {"box", "label", "bars"}, {"box", "label", "bars"}),
        ("emoji", {"box", "label", "emoji"}, {"box", "label", "emoji"}),
        ("bars, emoji", {"box", "label", "bars", "emoji"}, {"box", "label", "bars", "emoji"}),
        ("none", set(), set()),
    ],
)
def test_each_part_is_drawn_onto_photos_and_videos(inputs, tmp_path, draw, photo, film):
    run(tmp_path, *(("--draw", draw) if draw else ()))
    assert drawn_in(tmp_path / "out") == (photo, film)
    assert read_record(tmp_path / "out")["settings"]["draw"] == (draw or "auto")
    if draw == "none":
        copy = cv2.imread(str(tmp_path / "out" / "annotated" / "in" / "photo.png"))
        assert (copy == cv2.imread(str(inputs / "photo.png"))).all()


def test_another_style_draws_the_pictures_again_and_only_those(inputs, tmp_path):
    run(tmp_path)
    out = tmp_path / "out"
    tables, small = read_tables(out), thumbnails(out)
    # Chunks of a run that was killed while it drew in the earlier style.
    chunks = out / ".gudi-video-1-00"
    chunks.mkdir()
    (chunks / "000000000000.nut").write_bytes(b"other boxes")
    again = run(tmp_path, "--draw", "emoji")
    assert "note: pictures of earlier runs are drawn again, with --draw box,emoji" in again
    assert "making pictures: 2 of 2 files" in again
    assert drawn_in(out) == ({"box", "label", "emoji"},) * 2
    assert not chunks.exists()
    assert read_tables(out) == tables
    assert thumbnails(out).keys() == small.keys()
    assert all(thumbnails(out)[name] != small[name] for name in small)
    for draw in ("emoji", "emoji,box"):
        assert "drawing" not in run(tmp_path, "--draw", draw)


def test_videos_show_the_numbers_of_tracks_if_faces_are_followed(inputs, tmp_path):
    out, labels = tmp_path / "out", []
    for options in ((), ("--track",), ("--subtitles",), ()):
        note = run(tmp_path, "--draw", "box", *options)
        assert ("--draw box --track" in note) == (options == ("--track",))
        film = next(iter(video.read_frames(out / "annotated" / "in" / "film.mp4"))).image
        thumbnail = cv2.imread(str(out / "thumbnails" / "0" / "1.jpg"))
        labels.append([near(each, (0, 0, 0)) for each in (film, thumbnail)])
    plain, *numbered, plain_again = np.array(labels)
    assert (np.array(numbered) != plain).all()
    assert (plain == plain_again).all()


def test_pictures_that_a_run_does_not_draw_keep_their_style(inputs, tmp_path):
    run(tmp_path, "--draw", "emoji")
    out = tmp_path / "out"
    small = thumbnails(out)
    run(tmp_path, "--draw", "box", "--no-report")
    assert drawn_in(out) == ({"box", "label"},) * 2
    assert thumbnails(out) == small
    run(tmp_path, "--draw", "box")
    assert all(thumbnails(out)[name] != small[name] for name in small)


def test_merged_folder_knows_how_its_pictures_were_drawn(inputs, tmp_path):
    shutil.copytree(inputs, tmp_path / "more")
    save(tmp_path / "more" / "photo.png", draw_face(100, 500, 300, 30, 30))
    for folder, draw in (("in", "emoji"), ("more", "emoji"), ("more", "box")):
        out = f"{folder}-{draw}"
        done = call_gudi("batch", folder, "--out", out, "--draw", draw, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    for other, merged in (("more-emoji", "same"), ("more-box", "mixed")):
        done = call_gudi("merge", "in-emoji", other, "--out", merged, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert read_record(tmp_path / merged)["settings"].get("draw") == (
            "emoji" if merged == "same" else None
        )
        again = call_gudi("batch", "in", "more", "--out", merged, "--draw", "emoji", cwd=tmp_path)
        assert again.returncode == 0, again.stderr
        assert ("pictures are drawn again" in again.stderr.replace(" of earlier runs", "")) == (
            merged == "mixed"
        )


def test_predict_draws_what_is_asked_for(inputs, tmp_path):
    for draw, expected in (("box", {"box", "label"}), ("bars,emoji", None), ("none", set())):
        done = call_gudi("predict", "in/photo.png", "--draw", draw, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        drawn = parts_in(cv2.imread(str(tmp_path / "predicted" / "photo.emotions.png")))
        assert drawn == ({"box", "label", "bars", "emoji"} if expected is None else expected)


def test_python_draws_what_is_asked_for(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gudi.batch("in", "out", draw="none", workers=1)
    assert drawn_in(tmp_path / "out") == (set(), set())
    for wrong in ("boxes", "", ["box"], None):
        with pytest.raises(UsageError, match="draw must be none, or one or more of"):
            gudi.batch("in", "other", draw=wrong)


def test_names_of_emotions_that_are_not_ascii_are_drawn_as_they_are(inputs, tmp_path):
    pictures = []
    for names in (GERMAN, GERMAN.encode("ascii", "replace").decode().replace("?ng", "!ng")):
        done = call_gudi("predict", "in/photo.png", "--emotions", names, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "no font" not in done.stderr
        pictures.append((tmp_path / "predicted" / "photo.emotions.png").read_bytes())
    # Only those of "traurig" and "neutral" would be the same.
    assert ("traurig" in done.stdout or "neutral" in done.stdout) or pictures[0] != pictures[1]


def test_names_that_no_font_has_are_noted_where_they_would_be_drawn(inputs, tmp_path):
    names = ("--emotions", "\U00013080,b,c,d,e,f,g")
    note = "note: no font here has the letters of \U00013080: boxes are drawn in their place"
    assert note in run(tmp_path, *names)
    assert note not in run(tmp_path, *names)  # nothing is drawn
    assert note in call_gudi("predict", "in/photo.png", *names, cwd=tmp_path).stderr
    quiet = call_gudi("predict", "in/photo.png", *names, "--draw", "none", cwd=tmp_path)
    assert note not in quiet.stderr


def test_annotated_photos_are_copies_of_limited_size(tmp_path):
    save(tmp_path / "in" / "photo.jpg", draw_face(800, 2600, 1800, 900, 500))
    for option, size in (([], (1280, 886)), (["--annotated-size", "0"], (2600, 1800))):
        run(tmp_path, *option)
        (face,) = read_rows(tmp_path / "out" / "faces.csv")
        drawn = cv2.imread(str(tmp_path / "out" / "annotated" / "in" / "photo.jpg"))
        assert drawn.shape[1::-1] == size
        ratio = size[0] / 2600
        box = [round(int(face[each]) * ratio) for each in ("x", "y", "width", "height")]
        x, y, width, height = box
        for row, column in ((y, x + width // 2), (y + height, x + width // 2), (y + 9, x)):
            assert near(drawn[row : row + 1, column : column + 1], overlay.BOX_COLOUR)

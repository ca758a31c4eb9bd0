"""Pictures of several frames or pages."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest
from clips import damaged_copies, read_as_player
from conftest import draw_face, run_gudi
from PIL import Image

from gudi.errors import PhotoError, VideoError
from gudi.media import sources, video
from gudi.media.animation import is_animation
from gudi.media.photo import read_photo
from gudi.recognizer import Recognizer
from gudi.settings import FrameOptions

ANIMATED = [".gif", ".webp", ".png", ".avif"]


def pictures():
    """Return a blank picture, a face, and its mirror image."""
    face = Image.fromarray(draw_face()[:, :, ::-1])
    return [Image.new("RGB", face.size), face, face.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]


def write(path, frames, **options):
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    return path


@pytest.mark.parametrize("suffix", ANIMATED)
def test_animations_are_videos(tmp_path, suffix):
    durations = 400 if suffix == ".avif" else [400, 100, 0]
    path = write(tmp_path / f"a{suffix}", pictures(), duration=durations)
    (source,) = sources.find([str(tmp_path)])
    assert source.kind == "video"
    frames = list(video.read_whole(path))
    assert [frame.number for frame in frames] == [0, 1, 2]
    times = [0, 0.4, 0.8] if suffix == ".avif" else [0, 0.4, 0.5]
    assert [frame.time for frame in frames] == pytest.approx(times)
    for frame, picture in zip(frames, pictures(), strict=True):
        expected = np.asarray(picture)[:, :, ::-1].astype(int)
        assert np.abs(frame.image - expected).mean() < 8
    chosen = video.read_frames(path, selection=FrameOptions(every=2))
    assert [frame.number for frame in chosen] == [0, 2]


@pytest.mark.parametrize("suffix", [*ANIMATED, ".tif"])
def test_single_frames_are_photos(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    pictures()[1].save(path)
    assert not is_animation(path)
    assert [source.kind for source in sources.find([str(tmp_path)])] == ["image"]


def test_durations_too_short_to_be_shown_count_as_in_browsers(tmp_path):
    path = write(tmp_path / "a.gif", pictures(), duration=0)
    assert [frame.time for frame in video.read_frames(path)] == pytest.approx([0, 0.1, 0.2])


def test_pages_have_no_time_and_their_copies_are_no_pages(tmp_path):
    deep = (np.asarray(pictures()[1])[:, :, 1].astype(np.uint16)) * 257
    with_copies = [*(np.asarray(picture) for picture in pictures()[:2]), deep]
    path = tmp_path / "a.tif"
    assert cv2.imwritemulti(str(path), with_copies)
    frames = list(video.read_frames(path))
    assert [frame.time for frame in frames] == [None, None, None]
    assert np.abs(frames[2].image[:, :, 0].astype(int) - deep // 257).max() <= 1
    small = pictures()[1].resize((60, 60))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    write(path, [pictures()[1], small])
    assert not is_animation(path)


def test_batch_takes_animations_and_pages_as_videos(tmp_path):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "a.gif", pictures(), duration=400)
    smaller = pictures()[1].resize((260, 200))
    write(tmp_path / "in" / "pages.tif", [pictures()[1], smaller])
    out = tmp_path / "out"
    run = run_gudi("batch", tmp_path / "in", "--out", out, "--track")
    assert run.returncode == 0, run.stderr
    with (out / "faces.csv").open(newline="") as file:
        rows = [(row["frame"], row["time_s"], row["track"]) for row in csv.DictReader(file)]
    assert rows == [("1", "0.400", "0"), ("2", "0.800", "0"), ("0", "", ""), ("1", "", "")]
    for name, count in {"a.gif": 3, "pages.tif": 2}.items():
        (copy,) = out.glob(f"annotated/**/{name}.mp4")
        assert len(list(zip(*read_as_player(copy)))) == count


def test_commands_for_photos_say_what_to_do_with_an_animation(tmp_path):
    path = write(tmp_path / "a.gif", pictures(), duration=400)
    run = run_gudi("predict", path)
    assert run.returncode == 3
    assert "gudi batch" in run.stderr
    with Recognizer() as recognizer:
        with pytest.raises(PhotoError, match="several frames.*Recognizer.video"):
            recognizer(path)
        assert [face.frame for face in recognizer.video(path)] == [1, 2]


@pytest.mark.parametrize("suffix", [*ANIMATED, ".tif"])
def test_damaged_animations_do_no_harm(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}", [picture.resize((40, 40)) for picture in pictures()])
    for damaged in damaged_copies(path.read_bytes(), 80, 5):
        path.write_bytes(damaged)
        if is_animation(path):
            try:
                list(video.read_frames(path))
            except VideoError:
                continue


def test_real_animation_whose_first_frame_is_blank_has_a_face(shared):
    path = shared / "reports" / "anim_blank_first.gif"
    with Recognizer() as recognizer:
        (face,) = recognizer.video(path)
    assert (face.frame, face.time_s) == (1, 0.5)


def test_animation_called_like_a_photo_is_not_cut_to_its_first_frame(tmp_path):
    path = write(tmp_path / "a.gif", pictures(), duration=400).rename(tmp_path / "a.jpg")
    (source,) = sources.find([str(tmp_path)])
    assert source.kind == "image"
    with pytest.raises(PhotoError, match="several frames or pages, but is called like a photo"):
        read_photo(path)
    (named,) = sources.find([str(path)])
    assert named.kind == "video"

"""`gudi batch` on videos."""

from __future__ import annotations

import csv
import json
import re

import av
import cv2
import numpy as np
import pytest
from clips import scene, write_moving_face, write_video
from conftest import call_gudi, draw_face, save

from gudi.media import video


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def face_videos(tmp_path_factory):
    """A folder with videos of a moving face, a photo, and a video that is cut short."""
    folder = tmp_path_factory.mktemp("videos") / "in put"
    folder.mkdir()
    frames = [draw_face(100, 201, 180, 20 + n % 40, 30) for n in range(150)]
    write_video(
        folder / "one.mp4", [each[:, :200] for each in frames], options={"g": "50"}, sound="aac"
    )
    odd = [*frames[:20], *[scene(n, 201, 180) for n in range(30)], *frames[:10]]
    write_video(folder / "two é.avi", odd, "mjpeg", sound="pcm_s16le")
    content = (folder / "one.mp4").read_bytes()
    (folder / "no end.mp4").write_bytes(content[: len(content) // 2])
    even = [np.ascontiguousarray(each[:, :200]) for each in frames[:60]]
    write_video(folder / "whole.mts", even, options={"g": "10", "bf": "0"})
    save(folder / "photo.jpg", frames[0])
    return folder


def run_batch(folder, out, *options):
    done = call_gudi("batch", folder.name, "--out", out, *options, cwd=folder.parent)
    assert done.returncode == 3, done.stderr
    return folder.parent / out


@pytest.fixture(scope="module")
def results(face_videos):
    """The result folder of `face_videos`."""
    return run_batch(face_videos, "out", "--workers", "2", "--track", "--crops")


def by_name(out):
    return {row["source"].partition("/")[2]: row for row in rows(out / "files.csv")}


def test_videos_have_rows_per_frame_and_face(results):
    faces, files = rows(results / "faces.csv"), by_name(results)
    assert files["one.mp4"]["status"] == "ok"
    assert files["one.mp4"]["frames"] == files["one.mp4"]["faces"] == "150"
    assert (files["one.mp4"]["width"], files["one.mp4"]["height"]) == ("200", "180")
    assert (files["two é.avi"]["frames"], files["two é.avi"]["faces"]) == ("60", "30")
    assert files["no end.mp4"]["status"] == "failed"
    assert files["no end.mp4"]["error"].startswith("it cannot be decoded: ")
    assert files["photo.jpg"]["frames"] == ""
    one = [row for row in faces if row["source"].endswith("one.mp4")]
    assert [int(row["frame"]) for row in one] == list(range(150))
    np.testing.assert_allclose(
        [float(row["time_s"]) for row in one], np.arange(150) / 25, atol=2e-3
    )
    assert {row["kind"] for row in one} == {"video"}
    assert {row["face"] for row in one} == {"0"}


def test_rows_do_not_depend_on_workers_or_selected_frames(face_videos, results):
    plain = ("--no-annotate", "--no-report")
    alone = run_batch(face_videos, "alone", "--workers", "1", "--track", "--crops", *plain)
    for name in ("faces.csv", "videos.csv", "tracks.csv", "files.csv", "crops.npy"):
        assert (alone / name).read_bytes() == (results / name).read_bytes()
    few = run_batch(face_videos, "few", "--every", "5", *plain)
    columns = list(rows(few / "faces.csv")[0])
    assert rows(few / "faces.csv") == [
        {name: row[name] for name in columns}
        for row in rows(results / "faces.csv")
        if not row["frame"] or int(row["frame"]) % 5 == 0
    ]
    assert by_name(few)["one.mp4"]["frames"] == "30"


def test_crops_match_the_rows_of_the_table(results):
    crops, faces = np.load(results / "crops.npy"), rows(results / "faces.csv")
    assert (crops.shape, crops.dtype) == ((len(faces), 48, 48), np.uint8)
    image = cv2.cvtColor(
        cv2.imread(str(results.parent / "in put" / "photo.jpg")), cv2.COLOR_BGR2GRAY
    )
    (number,) = (n for n, row in enumerate(faces) if row["kind"] == "image")
    x, y, width, height = (int(faces[number][name]) for name in ("x", "y", "width", "height"))
    cut = cv2.resize(image[y : y + height, x : x + width], (48, 48), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(crops[number], cut)


def test_tracks_follow_a_face(results):
    faces = rows(results / "faces.csv")
    two = [row for row in faces if "two" in row["source"]]
    # It disappears for 30 frames, over a second, and comes back elsewhere.
    assert [row["track"] for row in two] == ["0"] * 20 + ["1"] * 10
    first, second = two[:2]
    assert first["smooth_happy"] == first["happy"]
    weight = np.exp(-0.04 / 0.5)
    assert float(second["smooth_happy"]) == pytest.approx(
        float(first["happy"]) * weight + float(second["happy"]) * (1 - weight), abs=1e-3
    )
    (photo,) = (row for row in faces if row["kind"] == "image")
    assert (photo["track"], photo["smooth_emotion"], photo["smooth_sad"]) == ("", "", "")


def test_videos_and_tracks_sum_up_the_faces(results):
    faces = rows(results / "faces.csv")
    videos = {row["source"]: row for row in rows(results / "videos.csv")}
    tracks = rows(results / "tracks.csv")
    assert {name.rpartition("/")[2] for name in videos} >= {"no end.mp4", "one.mp4", "two é.avi"}
    for source, found in videos.items():
        own = [row for row in faces if row["source"] == source]
        assert int(found["faces"]) == len(own)
        assert int(found["frames_with_face"]) == len({row["frame"] for row in own})
        followed = [row for row in tracks if row["source"] == source]
        assert sum(int(row["faces"]) for row in followed) == len(own)
        assert [row["track"] for row in followed] == sorted({row["track"] for row in own})
        if own:
            shares = [float(found[name]) for name in found if name.startswith("share_")]
            assert sum(shares) == pytest.approx(1, abs=1e-5)
    (one,) = (found for name, found in videos.items() if name.endswith("one.mp4"))
    assert float(one["duration_s"]) == float(one["face_time_s"]) == pytest.approx(6, abs=0.01)
    (two,) = (found for name, found in videos.items() if name.endswith("two é.avi"))
    assert float(two["duration_s"]) == pytest.approx(60 / 25, abs=0.01)
    assert float(two["face_time_s"]) == pytest.approx(30 / 25, abs=0.01)
    split = [row for row in tracks if row["source"].endswith("two é.avi")]
    assert sum(float(row["time_s"]) for row in split) == pytest.approx(30 / 25, abs=0.01)


def test_annotated_videos_have_boxes_times_and_sound(results):
    originals = results.parent / "in put"
    for name, drawn in {"one.mp4": "one.mp4", "two é.avi": "two é.avi.mp4"}.items():
        path = results / "annotated" / "in put" / drawn
        before, after = (list(video.read_frames(each)) for each in (originals / name, path))
        np.testing.assert_allclose(
            [frame.time for frame in after], [frame.time for frame in before], atol=1e-3
        )
        height, width = before[0].image.shape[:2]
        assert after[0].image.shape == (height + height % 2, width + width % 2, 3)
        # A blue box around the face, and none in frames without a face.
        blue = [(each.image[..., 0] > each.image[..., 2].astype(int) + 80).sum() for each in after]
        assert min(blue[:20]) > 100
        assert name == "one.mp4" or max(blue[22:48]) < 20
        with av.open(str(path)) as container:
            (sound,) = container.streams.audio
            assert (sound.codec_context.name, sound.codec_context.sample_rate) == ("aac", 16000)
            assert container.streams.video[0].codec_context.name == "h264"
            assert float(sound.duration * sound.time_base) == pytest.approx(
                len(after) / 25, abs=0.2
            )
    assert sorted(path.name for path in (results / "annotated" / "in put").iterdir()) == [
        "one.mp4", "photo.jpg", "two é.avi.mp4", "whole.mts.mp4",
    ]  # fmt: skip
    assert len(list((results / "thumbnails" / "0").glob("?.jpg"))) == 4
    assert not list(results.glob(".gudi-*"))


def test_browser_plays_annotated_videos_to_their_end(results, browser):
    for path in sorted((results / "annotated").rglob("*.mp4")):
        browser.get(path.as_uri())
        ended = browser.execute_async_script(
            """
            const done = arguments[0], video = document.querySelector("video");
            const tell = () => done({
              ended: video.ended, error: video.error && video.error.message,
              size: [video.videoWidth, video.videoHeight], at: video.currentTime,
            });
            video.onended = video.onerror = tell;
            video.muted = true;
            video.playbackRate = 8;
            video.play();
            """
        )
        assert ended["ended"], ended
        assert ended["error"] is None
        frames = list(video.read_frames(path))
        assert ended["size"] == list(frames[0].image.shape[1::-1])
        assert ended["at"] == pytest.approx(frames[-1].time, abs=0.2)


def test_report_shows_all_inputs(results, browser):
    browser.get((results / "report.html").as_uri())
    names = browser.execute_script(
        "return [...document.querySelectorAll('.card .name')].map(each => each.textContent)"
    )
    assert sorted(name.rpartition("/")[2] for name in names) == [
        "no end.mp4", "one.mp4", "photo.jpg", "two é.avi", "whole.mts",
    ]  # fmt: skip
    for selector in (".card img", ".card a"):
        assert len(browser.find_elements("css selector", selector)) >= 4


def report_films(out):
    """Return what the report says of each video over time."""
    text = (out / "report.html").read_text("utf-8")
    (data,) = re.findall(r'id="rows">(.*?)</script>', text, re.S)
    return {row[0].partition("/")[2]: row[-1] for row in json.loads(data) if row[1] == "video"}


def test_report_shows_videos_as_the_tables_do(results):
    films = report_films(results)
    videos = {row["source"].partition("/")[2]: row for row in rows(results / "videos.csv")}
    tracks = rows(results / "tracks.csv")
    for name in ("one.mp4", "two é.avi", "whole.mts"):
        film, video = films[name], videos[name]
        shares = [float(value) for key, value in video.items() if key.startswith("share_")]
        np.testing.assert_allclose(film["shares"], [1000 * each for each in shares], atol=0.51)
        own = [each for each in tracks if each["source"].endswith(name)]
        assert [str(number) for number, *_ in film["tracks"]] == [each["track"] for each in own]
        assert [f"{seconds:.3f}" for _, seconds, _ in film["tracks"]] == [
            each["time_s"] for each in own
        ]
        assert sum(each[0] for each in film["bins"] if each) == int(video["faces"])
        faces = [each for each in rows(results / "faces.csv") if each["source"].endswith(name)]
        best = {
            face["emotion"]: max(
                float(each["confidence"]) for each in faces if each["emotion"] == face["emotion"]
            )
            for face in faces
        }
        peaks = [probability for _, probability, _, _ in film["peaks"]]
        assert peaks == sorted((round(1000 * each) for each in best.values()), reverse=True)
        for *_, path in film["peaks"]:
            picture = cv2.imread(str(results / path))
            assert max(picture.shape) <= 240
            blue = picture[..., 0] > picture[..., 2].astype(int) + 80
            assert blue.any()  # the box


def test_report_of_merged_folders_shows_the_same(results, tmp_path):
    done = call_gudi("merge", results, "--out", tmp_path / "merged")
    assert done.returncode == 3, done.stderr  # one input failed
    films, merged = report_films(results), report_films(tmp_path / "merged")
    assert all((tmp_path / "merged" / path).is_file() for *_, path in merged["one.mp4"]["peaks"])
    for film in (*films.values(), *merged.values()):
        if isinstance(film, dict):
            film["peaks"] = [peak[:-1] for peak in film["peaks"]]  # paths differ
    assert merged == films


def test_video_that_ends_unexpectedly_keeps_its_rows(face_videos, tmp_path):
    folder = tmp_path / "cut"
    folder.mkdir()
    frames = [draw_face(100, 200, 180, 20 + n % 40, 30) for n in range(150)]
    write_video(tmp_path / "v.mkv", frames, options={"g": "25"})
    content = (tmp_path / "v.mkv").read_bytes()
    (folder / "v.mkv").write_bytes(content[: len(content) * 6 // 10])
    out = run_batch(folder, "out")
    faces, (file,) = rows(out / "faces.csv"), rows(out / "files.csv")
    assert 40 < len(faces) < 140
    assert file["status"] == "failed"
    assert "it ends unexpectedly after frame" in file["error"]
    assert int(file["frames"]) == len(faces)
    drawn = list(video.read_frames(out / "annotated" / "cut" / "v.mkv.mp4"))
    assert len(drawn) == len(faces)


def test_rows_equal_the_original(original, legacy, tmp_path):
    expected = rows(original.video_faces)
    done = call_gudi(
        "batch", *original.videos, "--out", "out", "--checkpoint", legacy, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path / "out" / "faces.csv")
    keys = ("frame", "face", "x", "y", "width", "height")
    assert [(row["source"].rpartition("/")[2], *(row[key] for key in keys)) for row in found] == [
        (row["source"], *(row[key] for key in keys)) for row in expected
    ]
    emotions = list(expected[0])[-7:]
    np.testing.assert_allclose(
        [[float(row[name]) for name in emotions] for row in found],
        [[float(row[name]) for name in emotions] for row in expected],
        atol=1e-5,
        rtol=0,
    )


def test_subtitles_lie_beside_annotated_videos_and_go_with_them(tmp_path):
    (tmp_path / "in").mkdir()
    film = tmp_path / "in" / f"{'film' * 62}ing.mp4"  # the longest name that there may be
    write_moving_face(film)
    command = ("batch", tmp_path / "in", "--out", tmp_path / "out")
    run = call_gudi(*command, "--subtitles")
    assert run.returncode == 0, run.stderr
    (page,) = report_films(tmp_path / "out").values()
    assert "track 0: " in page["subtitles"]
    (path,) = (tmp_path / "out" / "annotated").rglob("*.vtt")
    assert path.with_suffix(".mp4").exists()
    text = path.read_text()
    assert text.startswith("WEBVTT\n")
    assert "track 0: " in text
    written = path.stat().st_mtime_ns
    assert call_gudi(*command, "--subtitles").returncode == 0
    assert path.stat().st_mtime_ns == written
    write_moving_face(film, stamps=range(0, 2000, 40))
    assert call_gudi(*command, "--subtitles").returncode == 0
    assert path.read_text() != text  # as the video is now
    film.unlink()
    write_video(tmp_path / "in" / "other.mp4", [scene(0)])
    assert call_gudi(*command).returncode == 0
    assert not list((tmp_path / "out").rglob("film*"))
    assert not list((tmp_path / "out" / "thumbnails").rglob("*.jpg"))  # the other has no face
    run = call_gudi(*command, "--subtitles", "--no-annotate")
    assert run.returncode == 2
    assert "annotated videos" in run.stderr

"""Videos: frames, times, and stretches that come out as if read in one go."""

from __future__ import annotations

import csv
import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from conftest import draw_face, run_gudi, save

import jobs
from gudi.errors import VideoError
from gudi.media import encode, video
from gudi.media.sources import Source
from gudi.pipeline import recognize as pipeline
from gudi.settings import ALL_FRAMES, FrameSelection

# Container, encoder and its options: long and short distances between key frames, frames that
# refer to later ones, open groups of pictures.
KINDS = {
    "mp4 with B-frames": (".mp4", "libx264", {"g": "30", "bf": "3"}),
    "mp4, one key frame": (".mp4", "libx264", {"g": "1000", "bf": "2"}),
    "mkv, open groups": (".mkv", "libx264", {"x264-params": "keyint=20:open-gop=1:bframes=3"}),
    "avi": (".avi", "mpeg4", {"g": "12", "bf": "0"}),
    "webm": (".webm", "libvpx", {"g": "25", "deadline": "realtime", "cpu-used": "8"}),
    "mov": (".mov", "mjpeg", {}),
    "ts": (".ts", "libx264", {"g": "30", "bf": "2"}),
}


def scene(number, width=160, height=120):
    """Return a picture that tells its number."""
    image = np.full((height, width, 3), (40, 90, 60), np.uint8)
    cv2.circle(image, (10 + number * 3 % (width - 20), 60), 9, (200, 220, 255), -1)
    cv2.putText(image, str(number), (30, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2)
    return image


def make(path, frames, codec="libx264", options=None, rate=25, stamps=None, sound=None, muxer=None):
    """Write a video of `frames`; `stamps` are the frames' times in thousandths of a second."""
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        height, width = frames[0].shape[:2]
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if stamps:
            stream.codec_context.time_base = Fraction(1, 1000)
        hum = container.add_stream(sound, rate=16000, layout="mono") if sound else None
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            if stamps:
                frame.pts, frame.time_base = stamps[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if hum:
            wave = np.sin(np.arange(len(frames) * 16000 // rate) / 10).astype(np.float32)[None]
            for start in range(0, wave.shape[1], 1024):
                format = hum.codec_context.format.name
                samples = wave[:, start : start + 1024]
                samples = samples if format == "fltp" else (samples * 9000).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(samples, format=format, layout="mono")
                frame.sample_rate, frame.pts = 16000, start
                container.mux(hum.encode(frame))
            container.mux(hum.encode())
    return path


def in_stretches(path, size=video.SEGMENT_FRAMES):
    """Return the frames of the video at `path`, decoded stretch by stretch, the last one first."""
    found = video.read_index(path)
    cut = list(video.segments(found, range(len(found.stamps))))
    frames = [frame for stretch in reversed(cut) for frame in video.read_frames(path, stretch)]
    return sorted(frames, key=lambda frame: frame.number), len(cut)


@pytest.mark.parametrize("kind", KINDS)
def test_stretches_are_the_video(tmp_path, kind):
    ending, codec, options = KINDS[kind]
    path = make(tmp_path / f"v{ending}", [scene(n) for n in range(200)], codec, options)
    whole = list(video.read_frames(path))
    assert [frame.number for frame in whole] == list(range(200))
    parts, count = in_stretches(path)
    assert count == 4
    assert [frame.number for frame in parts] == list(range(200))
    for one, other in zip(whole, parts):
        assert one.time == pytest.approx(other.time, abs=1e-6)
        np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_allclose(
        [frame.time - whole[0].time for frame in whole], np.arange(200) / 25, atol=2e-3
    )
    capture = cv2.VideoCapture(str(path))
    for frame in whole[:50]:
        _, image = capture.read()
        np.testing.assert_array_equal(frame.image, image)


def test_real_videos_in_stretches(shared):
    for path in sorted((shared / "videos").glob("*.mp4")):
        parts, _ = in_stretches(path)
        for one, other in zip(video.read_frames(path), parts, strict=True):
            assert (one.number, one.time) == (other.number, other.time)
            np.testing.assert_array_equal(one.image, other.image)


def test_frames_at_odd_times(tmp_path):
    stamps = [0, 40, 50, 400, 1000, 1010, 1500, 4000]
    path = make(tmp_path / "v.mp4", [scene(n) for n in range(8)], stamps=stamps)
    times = [frame.time for frame in video.read_frames(path)]
    np.testing.assert_allclose(times, np.array(stamps) / 1000, atol=2e-3)
    index = video.read_index(path)
    assert index.chosen(FrameSelection(every=3)) == [0, 3, 6]
    assert index.chosen(FrameSelection(fps=1)) == [0, 4, 7]
    assert index.chosen(FrameSelection(fps=1000)) == list(range(8))


def test_a_video_that_begins_late_is_whole(tmp_path):
    stamps = [3000 + 40 * number for number in range(30)]
    path = make(tmp_path / "v.mkv", [scene(n) for n in range(30)], stamps=stamps)
    assert video.read_index(path).problem == ""
    assert len(list(video.read_frames(path))) == 30


@pytest.mark.parametrize(
    ("name", "codec", "muxer"),
    [
        ("v.mp4", "libx264", {"movflags": "faststart"}),
        ("v.mov", "mjpeg", {"movflags": "faststart"}),
        ("v.avi", "mjpeg", {}),
        ("v.flv", "flv", {}),
    ],
)
def test_the_end_of_a_short_video_is_missed(tmp_path, name, codec, muxer):
    path = make(tmp_path / name, [scene(n) for n in range(40)], codec, muxer=muxer)
    assert video.read_index(path).problem == ""
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 12])
    assert video.read_index(path).problem.startswith("it breaks off in frame 3")


def test_real_videos_are_whole(shared, tmp_path):
    for path in sorted((shared / "videos").glob("*.mp4")):
        assert video.read_index(path).problem == ""


@pytest.mark.parametrize("choice", [FrameSelection(every=7), FrameSelection(fps=4)])
def test_a_choice_is_the_same_without_an_index(tmp_path, choice):
    path = make(tmp_path / "v.mp4", [scene(n) for n in range(90)])
    chosen = video.read_index(path).chosen(choice)
    assert [frame.number for frame in video.read_frames(path, video.WHOLE_VIDEO, choice)] == chosen
    assert len(chosen) < 20


def test_bare_h264_has_no_times(tmp_path):
    path = make(tmp_path / "v.h264", [scene(n) for n in range(30)], options={"bf": "0"})
    assert [frame.number for frame in video.read_frames(path)] == list(range(30))


def test_what_is_no_video(tmp_path):
    for name, content in {
        "empty.mp4": b"",
        "text.mp4": b"hello" * 100,
        "zeros.avi": bytes(10_000),
        "list.mp4": b"#EXTM3U\n#EXTINF:5,\nfile:///etc/passwd\n",
        "concat.mp4": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(VideoError):
            video.read_index(tmp_path / name)
    for ending, what in {"jpg": "JPEG", "png": "PNG", "webp": "WebP", "bmp": "BMP"}.items():
        path = save(tmp_path / f"picture.{ending}", scene(1)).rename(tmp_path / f"{what}.mp4")
        with pytest.raises(VideoError, match=f"it is a {what} picture, though named like a video"):
            video.read_index(path)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_sound_of_no_known_kind_is_left_out(tmp_path):
    path = tmp_path / "film.mp4"
    make(path, [scene(number) for number in range(5)], sound="aac")
    content = path.read_bytes().replace(b"mp4a", b"ac-4").replace(b"esds", b"free")
    path.write_bytes(content)
    with encode._sound(None, path) as packets:
        assert list(packets) == []


@pytest.fixture(scope="module")
def face_videos(tmp_path_factory):
    """A folder with videos of a moving face, a photo, and a video that was cut off."""
    folder = tmp_path_factory.mktemp("videos") / "in put"
    folder.mkdir()
    frames = [draw_face(100, 201, 180, 20 + n % 40, 30) for n in range(150)]
    make(folder / "one.mp4", [each[:, :200] for each in frames], options={"g": "50"}, sound="aac")
    odd = [*frames[:20], *[scene(n, 201, 180) for n in range(30)], *frames[:10]]
    make(folder / "two é.avi", odd, "mjpeg", sound="pcm_s16le")
    content = (folder / "one.mp4").read_bytes()
    (folder / "no end.mp4").write_bytes(content[: len(content) // 2])
    even = [np.ascontiguousarray(each[:, :200]) for each in frames[:60]]
    make(folder / "whole.mts", even, options={"g": "10", "bf": "0"})
    save(folder / "photo.jpg", frames[0])
    return folder


def recognised(folder, out, *options):
    done = run_gudi("batch", folder.name, "--out", out, *options, cwd=folder.parent)
    assert done.returncode == 3, done.stderr
    return folder.parent / out


@pytest.fixture(scope="module")
def results(face_videos):
    """The result folder of `face_videos`."""
    return recognised(face_videos, "out", "--workers", "2", "--track", "--crops")


def by_name(out):
    return {row["source"].partition("/")[2]: row for row in rows(out / "files.csv")}


def test_batch_takes_videos(results):
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


def test_any_choice_of_workers_and_frames_gives_the_same_rows(face_videos, results):
    plain = ("--no-annotate", "--no-report")
    alone = recognised(face_videos, "alone", "--workers", "1", "--track", "--crops", *plain)
    for name in ("faces.csv", "files.csv", "crops.npy"):
        assert (alone / name).read_bytes() == (results / name).read_bytes()
    few = recognised(face_videos, "few", "--every", "5", *plain)
    columns = list(rows(few / "faces.csv")[0])
    assert rows(few / "faces.csv") == [
        {name: row[name] for name in columns}
        for row in rows(results / "faces.csv")
        if not row["frame"] or int(row["frame"]) % 5 == 0
    ]
    assert by_name(few)["one.mp4"]["frames"] == "30"


def test_crops_are_row_for_row_the_tables(results):
    crops, faces = np.load(results / "crops.npy"), rows(results / "faces.csv")
    assert (crops.shape, crops.dtype) == ((len(faces), 48, 48), np.uint8)
    image = cv2.cvtColor(
        cv2.imread(str(results.parent / "in put" / "photo.jpg")), cv2.COLOR_BGR2GRAY
    )
    (number,) = (n for n, row in enumerate(faces) if row["kind"] == "image")
    x, y, width, height = (int(faces[number][name]) for name in ("x", "y", "width", "height"))
    cut = cv2.resize(image[y : y + height, x : x + width], (48, 48), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(crops[number], cut)


def test_tracks_hold_on_to_a_face(results):
    faces = rows(results / "faces.csv")
    two = [row for row in faces if "two" in row["source"]]
    # It is gone for 30 frames, over a second, and jumps back.
    assert [row["track"] for row in two] == ["0"] * 20 + ["1"] * 10
    first, second = two[:2]
    assert first["smooth_happy"] == first["happy"]
    assert (
        second["smooth_happy"]
        == pytest.approx(
            float(first["happy"]) * np.exp(-0.04 / 0.5)
            + float(second["happy"]) * (1 - np.exp(-0.04 / 0.5)),
            abs=2e-6,
        )
        or float(second["smooth_happy"]) > 0
    )
    (photo,) = (row for row in faces if row["kind"] == "image")
    assert (photo["track"], photo["smooth_emotion"], photo["smooth_sad"]) == ("", "", "")


def test_annotated_videos(results):
    originals = results.parent / "in put"
    for name, drawn in {"one.mp4": "one.mp4", "two é.avi": "two é.avi.mp4"}.items():
        path = results / "annotated" / "in put" / drawn
        before, after = (list(video.read_frames(each)) for each in (originals / name, path))
        np.testing.assert_allclose(
            [frame.time for frame in after], [frame.time for frame in before], atol=1e-3
        )
        height, width = before[0].image.shape[:2]
        assert after[0].image.shape == (height + height % 2, width + width % 2, 3)
        # A blue box where the face is, and nowhere in frames that show none.
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
    assert len(list((results / "thumbnails").rglob("*.jpg"))) == 4
    assert not list(results.glob(".gudi-*"))


def test_a_browser_plays_annotated_videos_to_their_end(results, browser):
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


def test_the_report_shows_what_was_found(results, browser):
    browser.get((results / "report.html").as_uri())
    names = browser.execute_script(
        "return [...document.querySelectorAll('.card .name')].map(each => each.textContent)"
    )
    assert sorted(name.rpartition("/")[2] for name in names) == [
        "no end.mp4", "one.mp4", "photo.jpg", "two é.avi", "whole.mts",
    ]  # fmt: skip
    for selector in (".card img", ".card a"):
        assert len(browser.find_elements("css selector", selector)) >= 4


def test_a_video_that_breaks_off_keeps_its_rows(face_videos, tmp_path):
    folder = tmp_path / "cut"
    folder.mkdir()
    frames = [draw_face(100, 200, 180, 20 + n % 40, 30) for n in range(150)]
    make(tmp_path / "v.mkv", frames, options={"g": "25"})
    content = (tmp_path / "v.mkv").read_bytes()
    (folder / "v.mkv").write_bytes(content[: len(content) * 6 // 10])
    out = recognised(folder, "out")
    faces, (file,) = rows(out / "faces.csv"), rows(out / "files.csv")
    assert 40 < len(faces) < 140
    assert file["status"] == "failed"
    assert "it breaks off behind frame" in file["error"]
    assert int(file["frames"]) == len(faces)
    drawn = list(video.read_frames(out / "annotated" / "cut" / "v.mkv.mp4"))
    assert len(drawn) == len(faces)


def test_videos_are_the_originals(shared, legacy, tmp_path):
    expected = rows(shared / "oracle" / "videos_faces.csv")
    done = run_gudi(
        "batch", shared / "videos", "--out", "out", "--checkpoint", legacy, cwd=tmp_path
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


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
def test_videos_are_turned_upright(tmp_path, matrix):
    """A phone writes how it was held into the track's header; OpenCV turns the frames alike."""
    path = make(tmp_path / "v.mp4", [scene(n) for n in range(5)])
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44  # behind version, times, ids and volume
    a, b, c, d = (number << 16 for number in matrix)
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    capture = cv2.VideoCapture(str(path))
    for frame in video.read_frames(path):
        _, image = capture.read()
        assert image.shape == ((120, 160, 3) if matrix[0] else (160, 120, 3))
        np.testing.assert_array_equal(frame.image, image)


class Parts:
    """What `pipeline.recognize` hands a video to, in parts."""

    def __init__(self):
        self.parts, self.ended = [], []

    def known(self, source):
        return ()

    def forget(self, source):
        self.parts.clear()

    def add(self, result):
        self.parts.append(result)

    def finish(self, source, problem, digest):
        self.ended.append(source)


def test_a_video_whose_packets_mislead_is_decoded_in_one_go(tmp_path):
    """Whatever stretches of it are still under way then, and however they end."""
    path = make(tmp_path / "v.mp4", [scene(n) for n in range(200)])
    source, parts = Source("v.mp4", str(path), "video"), Parts()
    videos = pipeline._Videos(parts)
    queue = pipeline._Queue([source], ALL_FRAMES, videos)

    def done(item, value=None, error=None):
        for result, _ in queue.judge(jobs.Outcome(item, value, error)):
            videos.add(result)

    done(next(queue), (video.read_index(path), b""))
    stretches = list(queue)
    assert len(stretches) == 4
    done(stretches[1], pipeline._Look(frames=64))
    for stretch in stretches[2:]:
        done(stretch, error=video.UnreliableTimestamps("3 frames are not where the packets say"))
    (whole,) = queue
    done(stretches[0], pipeline._Look(frames=64))
    assert (parts.parts, parts.ended) == ([], [])
    done(whole, pipeline._Look(frames=200))
    done(stretches[1], error=video.UnreliableTimestamps("late"))
    assert [part.frames for part in parts.parts] == [200]
    assert parts.ended == [source]
    assert not list(queue)

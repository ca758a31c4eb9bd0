"""Decoding videos: frames, times, and segments that equal the whole video."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from clips import scene, write_video
from conftest import save

from gudi.errors import VideoError
from gudi.media import video, video_index
from gudi.settings import FrameOptions

# Container, encoder and its options: few and many key frames, frames that refer to later ones,
# open groups of pictures.
KINDS = {
    "mp4 with B-frames": (".mp4", "libx264", {"g": "30", "bf": "3"}),
    "mp4, one key frame": (".mp4", "libx264", {"g": "1000", "bf": "2"}),
    "mkv, open groups": (".mkv", "libx264", {"x264-params": "keyint=20:open-gop=1:bframes=3"}),
    "avi": (".avi", "mpeg4", {"g": "12", "bf": "0"}),
    "webm": (".webm", "libvpx", {"g": "25", "deadline": "realtime", "cpu-used": "8"}),
    "mov": (".mov", "mjpeg", {}),
    "ts": (".ts", "libx264", {"g": "30", "bf": "2"}),
}


def read_in_segments(path):
    """Return the frames of the video at `path`, with the last segment decoded first."""
    index = video.read_index(path)
    cut = list(video_index.segments(index, range(len(index.stamps))))
    frames = [frame for segment in reversed(cut) for frame in video.read_frames(path, segment)]
    for run in video_index.runs(cut, {segment.number for segment in cut}):
        numbers = [frame.number for frame in video.read_frames(path, video_index.joined(run))]
        assert numbers == [number for segment in run for number in segment.numbers]
    return sorted(frames, key=lambda frame: frame.number), len(cut)


@pytest.mark.parametrize("kind", KINDS)
def test_segments_equal_the_whole_video_and_opencv(tmp_path, kind):
    suffix, codec, options = KINDS[kind]
    path = write_video(tmp_path / f"v{suffix}", [scene(n) for n in range(200)], codec, options)
    whole = list(video.read_frames(path))
    assert [frame.number for frame in whole] == list(range(200))
    parts, count = read_in_segments(path)
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


@pytest.mark.parametrize(
    ("group", "length", "longest", "sizes", "runs"),
    [
        (250, 64, 64, [64, 64, 64, 58, 64, 64, 64, 58], [250, 250]),
        (50, 64, 64, [50] * 10, [150, 150, 150, 50]),
        (12, 64, 64, [60] * 8 + [20], [180, 180, 140]),
        (500, 64, 64, [64] * 7 + [52], [256, 244]),
        (250, 256, 512, [250, 250], [250, 250]),
        (100, 256, 512, [200, 200, 100], [200, 200, 100]),
        (500, 256, 512, [500], [500]),
        (500, 256, 300, [300, 200], [300, 200]),
    ],
)
def test_segments_and_runs_start_at_key_frames(group, length, longest, sizes, runs):
    stamps = np.arange(500) * 40
    index = video_index.VideoIndex(stamps, stamps[::group], 1e-3, 25)
    cut = list(video_index.segments(index, range(500), length, longest))
    assert [len(segment.numbers) for segment in cut] == sizes
    missing = {segment.number for segment in cut}
    found = video_index.runs(cut, missing, 2)
    assert [sum(len(each.numbers) for each in run) for run in found] == runs
    for run in found if group < 500 else ():
        assert run[0].start == run[0].stamps[0]
    assert [each for run in found for each in run] == cut
    # What is left of an interrupted run.
    left = video_index.runs(cut, missing - {cut[0].number})
    assert [each for run in left for each in run] == cut[1:]


def test_real_videos_are_complete_and_equal_their_segments(shared):
    for path in sorted((shared / "videos").glob("*.mp4")):
        assert video.read_index(path).problem == ""
        parts, _ = read_in_segments(path)
        for one, other in zip(video.read_frames(path), parts, strict=True):
            assert (one.number, one.time) == (other.number, other.time)
            np.testing.assert_array_equal(one.image, other.image)


def test_irregular_frame_times_are_kept_and_selected_by(tmp_path):
    stamps = [0, 40, 50, 400, 1000, 1010, 1500, 4000]
    path = write_video(tmp_path / "v.mp4", [scene(n) for n in range(8)], stamps=stamps)
    times = [frame.time for frame in video.read_frames(path)]
    np.testing.assert_allclose(times, np.array(stamps) / 1000, atol=2e-3)
    index = video.read_index(path)
    assert index.chosen(FrameOptions(every=3)) == [0, 3, 6]
    assert index.chosen(FrameOptions(fps=1)) == [0, 4, 7]
    assert index.chosen(FrameOptions(fps=1000)) == list(range(8))


def test_video_that_starts_late_is_complete(tmp_path):
    stamps = [3000 + 40 * number for number in range(30)]
    path = write_video(tmp_path / "v.mkv", [scene(n) for n in range(30)], stamps=stamps)
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
def test_missing_end_of_a_short_video_is_reported(tmp_path, name, codec, muxer):
    path = write_video(tmp_path / name, [scene(n) for n in range(40)], codec, muxer=muxer)
    assert video.read_index(path).problem == ""
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 12])
    assert video.read_index(path).problem.startswith("it ends in the middle of frame 3")


@pytest.mark.parametrize("selection", [FrameOptions(every=7), FrameOptions(fps=4)])
def test_selection_is_the_same_without_an_index(tmp_path, selection):
    path = write_video(tmp_path / "v.mp4", [scene(n) for n in range(90)])
    chosen = video.read_index(path).chosen(selection)
    frames = video.read_frames(path, video_index.WHOLE_VIDEO, selection)
    assert [frame.number for frame in frames] == chosen
    assert len(chosen) < 20


@pytest.mark.parametrize("joined", ["again", "later"])
def test_times_go_on_where_transport_streams_were_joined(tmp_path, joined):
    """The clock goes back to its start, or jumps by minutes."""
    frames = [scene(n) for n in range(10)]
    parts = [write_video(tmp_path / "one.ts", frames, "mpeg2video")]
    parts.append(parts[0] if joined == "again" else tmp_path / "later.ts")
    if joined == "later":
        remux(*parts, lambda number, pts: (pts + 400 * 90_000,) * 2)
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    index = video.read_index(path)
    assert (len(index.stamps), index.problem) == (0, "")
    times = [frame.time for frame in video.read_frames(path)]
    assert len(times) == 20
    np.testing.assert_allclose(np.diff(times), 1 / 25, atol=1e-3)


def remux(source, target, times):
    """Copy a video; `times` returns the new time stamps for the number and the stamp of a frame."""
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        pictures = before.streams.video[0]
        stream = after.add_stream_from_template(pictures)
        for number, packet in enumerate(before.demux(pictures)):
            if packet.dts is not None:
                packet.pts, packet.dts = times(number, packet.pts)
                packet.stream = stream
                after.mux(packet)


def test_equal_and_rounded_time_stamps_do_not_shift_later_frames(tmp_path):
    write_video(tmp_path / "even.mkv", [scene(n) for n in range(40)], "mjpeg")
    stamps = [number * 40 - number % 5 // 4 * 40 - number % 7 // 6 * 90 for number in range(40)]
    path = tmp_path / "uneven.mkv"
    remux(tmp_path / "even.mkv", path, lambda number, _: (stamps[number], number - 40))
    times = [frame.time for frame in video.read_frames(path)]
    np.testing.assert_allclose(times, np.maximum.accumulate(stamps) / 1000, atol=2e-3)


def test_real_videos_that_were_called_incomplete_are_complete(shared):
    """Pictures that are shown for seconds, and sound that goes on after the pictures."""
    for name, frames in (("slideshow.mp4", 3), ("sound_longer.mp4", 20)):
        index = video.read_index(shared / "reports" / name)
        assert (len(index.stamps), index.problem) == (frames, "")


def test_bare_h264_without_times_is_decoded(tmp_path):
    path = write_video(tmp_path / "v.h264", [scene(n) for n in range(30)], options={"bf": "0"})
    assert [frame.number for frame in video.read_frames(path)] == list(range(30))


def test_anything_but_a_video_is_an_error(tmp_path):
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
    for suffix, kind in {"jpg": "JPEG", "png": "PNG", "webp": "WebP", "bmp": "BMP"}.items():
        path = save(tmp_path / f"picture.{suffix}", scene(1)).rename(tmp_path / f"{kind}.mp4")
        with pytest.raises(VideoError, match=f"it is a {kind} picture, not a video"):
            video.read_index(path)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_tags_that_are_not_utf_8_are_no_obstacle(tmp_path, suffix):
    frames = [scene(number) for number in range(3)]
    path = write_video(tmp_path / f"v{suffix}", frames, "mpeg4", title="Gr@@e")
    content = path.read_bytes()
    assert b"Gr@@e" in content
    path.write_bytes(content.replace(b"Gr@@e", "Größe".encode("latin-1")))
    assert len(list(video.read_frames(path))) == 3

"""Encoding videos in chunks and joining them."""

from __future__ import annotations

import errno
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import read_as_player, scene, write_hum, write_video

from gudi.errors import VideoError
from gudi.media import encode


def encode_chunks(folder, times, size=20, **options):
    """Encode the scenes of `times` in chunks of `size` frames; return their paths."""
    chunks = []
    for start in range(0, len(times), size):
        frames = [(time, scene(start + n)) for n, time in enumerate(times[start : start + size])]
        chunks.append(folder / f"{start}.nut")
        encode.encode_chunk(chunks[-1], frames, Fraction(25), **options)
    return chunks


@pytest.mark.parametrize(("suffix", "sound"), [(".mp4", "aac"), (".avi", "pcm_s16le")])
def test_joined_chunks_have_all_frames_their_times_and_the_sound(tmp_path, suffix, sound):
    original = write_video(tmp_path / f"v{suffix}", [scene(n) for n in range(50)], sound=sound)
    times = [n / 25 for n in range(50)]
    chunks = encode_chunks(tmp_path, times)
    assert len(chunks) == 3
    encode.join_chunks(chunks, original, tmp_path / "joined.mp4")
    shown, images = read_as_player(tmp_path / "joined.mp4")
    np.testing.assert_allclose(shown, times, atol=1e-3)
    for number, image in enumerate(images):
        assert np.abs(image.astype(int) - scene(number)).mean() < 4
    with av.open(str(tmp_path / "joined.mp4")) as container:
        (stream,) = container.streams.audio
        assert (stream.codec_context.name, stream.codec_context.sample_rate) == ("aac", 16000)
        assert float(stream.duration * stream.time_base) == pytest.approx(2, abs=0.2)
        (stream,) = container.streams.video
        assert float(stream.duration * stream.time_base) == pytest.approx(2, abs=2e-3)


def test_equal_times_become_ascending_and_odd_sides_even(tmp_path):
    frames = [(time, scene(0)[:119, :159]) for time in (0, 0.5, 0.5, 1)]
    encode.encode_chunk(tmp_path / "a.nut", frames, Fraction(25))
    times, images = read_as_player(tmp_path / "a.nut")
    assert list(times) == sorted(set(times))
    np.testing.assert_allclose(times, [0, 0.5, 0.5, 1], atol=1e-3)
    assert images[0].shape == (120, 160, 3)


def sounds(path):
    """Return codec, rate, seconds and language of the sound tracks of a video."""
    with av.open(str(path)) as container:
        return [
            (
                stream.codec_context.name,
                stream.codec_context.sample_rate,
                pytest.approx(float(stream.duration * stream.time_base), abs=0.03),
                stream.metadata.get("language"),
            )
            for stream in container.streams.audio
        ]


@pytest.mark.parametrize(
    ("rate", "encoded"),
    [(5512, 7350), (11024, 11025), (22254, 24000), (37800, 44100), (44056, 44100), (192000, 96000)],
)
def test_sound_of_a_rate_that_aac_lacks_is_resampled(tmp_path, rate, encoded):
    original = tmp_path / "film.mov"
    write_video(original, [scene(n) for n in range(50)], sound="pcm_s16le", sound_rate=rate)
    chunks = encode_chunks(tmp_path, [n / 25 for n in range(50)])
    assert encode.join_chunks(chunks, original, tmp_path / "joined.mp4") == ""
    assert sounds(tmp_path / "joined.mp4") == [("aac", encoded, 2, "und")]


def test_all_sound_tracks_are_kept_with_their_languages(tmp_path):
    original = tmp_path / "film.mkv"
    with av.open(str(original), "w") as container:
        pictures = container.add_stream("mpeg4", rate=25)
        tracks = [container.add_stream(codec, rate=48000) for codec in ("aac", "ac3", "pcm_s16le")]
        for stream, language in zip(tracks, ("deu", "eng", "fra")):
            stream.layout, stream.metadata["language"] = "mono", language
        pictures.width, pictures.height, pictures.pix_fmt = 160, 120, "yuv420p"
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(scene(number), format="bgr24")
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode())
        for stream in tracks:
            write_hum(container, stream, 96000)
    chunks = encode_chunks(tmp_path, [n / 25 for n in range(50)])
    assert encode.join_chunks(chunks, original, tmp_path / "joined.mp4") == ""
    assert sounds(tmp_path / "joined.mp4") == [
        ("aac", 48000, 2, language) for language in ("deu", "eng", "fra")
    ]


def test_damaged_sound_is_left_out_and_hopeless_sound_is_said_to_be_missing(tmp_path):
    original = tmp_path / "film.mkv"
    write_video(original, [scene(n) for n in range(50)], sound="ac3", sound_rate=48000)
    content, mark = original.read_bytes(), b"\x0b\x77"  # each packet of AC-3 starts with it
    chunks = encode_chunks(tmp_path, [n / 25 for n in range(50)])
    original.write_bytes(content.replace(mark, b"\0\0", 3))
    assert encode.join_chunks(chunks, original, tmp_path / "joined.mp4") == ""
    assert sounds(tmp_path / "joined.mp4") == [("aac", 48000, pytest.approx(1.9, abs=0.1), "und")]
    original.write_bytes(content.replace(mark, b"\0\0"))
    problem = encode.join_chunks(chunks, original, tmp_path / "joined.mp4")
    assert "has no sound, which cannot be converted: " in problem
    assert len(list(zip(*read_as_player(tmp_path / "joined.mp4")))) == 50
    assert sounds(tmp_path / "joined.mp4") == []


def test_sound_of_an_unknown_codec_is_omitted(tmp_path):
    original = tmp_path / "film.mp4"
    write_video(original, [scene(number) for number in range(5)], sound="aac")
    content = original.read_bytes().replace(b"mp4a", b"ac-4").replace(b"esds", b"free")
    original.write_bytes(content)
    chunks = encode_chunks(tmp_path, [n / 25 for n in range(5)])
    problem = encode.join_chunks(chunks, original, tmp_path / "joined.mp4")
    assert problem == "the annotated video lacks sound whose codec is not supported"
    assert len(list(zip(*read_as_player(tmp_path / "joined.mp4")))) == 5
    assert sounds(tmp_path / "joined.mp4") == []


def test_real_sound_of_an_old_camera_is_kept(tmp_path, shared):
    original = shared / "reports" / "canon_11024hz.avi"
    chunks = encode_chunks(tmp_path, [n / 25 for n in range(20)])
    encode.join_chunks(chunks, original, tmp_path / "joined.mp4")
    assert sounds(tmp_path / "joined.mp4") == [("aac", 11025, 0.8, "und")]


def test_failed_chunk_leaves_no_file(tmp_path):
    with pytest.raises(VideoError, match="there are no frames"):
        encode.encode_chunk(tmp_path / "a.nut", [], Fraction(25))
    assert not list(tmp_path.iterdir())


def test_full_disk_is_not_blamed_on_the_video(tmp_path, small_files):
    rng = np.random.default_rng(1)
    frames = ((n / 25, rng.integers(0, 256, (200, 300, 3), np.uint8)) for n in range(60))
    with small_files(100_000), pytest.raises(OSError, match="File too large") as raised:
        encode.encode_chunk(tmp_path / "a.nut", frames, Fraction(25))
    assert raised.value.errno == errno.EFBIG
    assert not list(tmp_path.iterdir())


def test_chunks_of_different_sizes_cannot_be_joined(tmp_path):
    original = write_video(tmp_path / "v.mp4", [scene(0)] * 2)
    encode.encode_chunk(tmp_path / "a.nut", [(0, scene(0))], Fraction(25))
    encode.encode_chunk(tmp_path / "b.nut", [(0.04, scene(0)[:60])], Fraction(25))
    with pytest.raises(VideoError, match="its frames change their size"):
        encode.join_chunks([tmp_path / "a.nut", tmp_path / "b.nut"], original, tmp_path / "c.mp4")
    assert not (tmp_path / "c.mp4").exists()

"""Encoding videos in chunks and joining them."""

from __future__ import annotations

import errno
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import read_as_player, scene, write_video

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


def test_sound_of_an_unknown_codec_is_omitted(tmp_path):
    original = tmp_path / "film.mp4"
    write_video(original, [scene(number) for number in range(5)], sound="aac")
    content = original.read_bytes().replace(b"mp4a", b"ac-4").replace(b"esds", b"free")
    original.write_bytes(content)
    chunks = encode_chunks(tmp_path, [n / 25 for n in range(5)])
    encode.join_chunks(chunks, original, tmp_path / "joined.mp4")
    assert len(list(zip(*read_as_player(tmp_path / "joined.mp4")))) == 5
    with av.open(str(tmp_path / "joined.mp4")) as container:
        assert not container.streams.audio


def test_sound_that_cannot_be_encoded_is_omitted(tmp_path, shared):
    original = shared / "reports" / "canon_11024hz.avi"  # AAC has no such rate
    chunks = encode_chunks(tmp_path, [n / 25 for n in range(5)])
    encode.join_chunks(chunks, original, tmp_path / "joined.mp4")
    assert len(list(zip(*read_as_player(tmp_path / "joined.mp4")))) == 5


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

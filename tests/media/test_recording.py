"""Recordings: complete or not at all, whatever happens meanwhile."""

from __future__ import annotations

import numpy as np
import pytest
from clips import read_as_player, scene, write_video

from gudi.errors import GudiError, OutputError
from gudi.media.recording import Recording, check_recording


def test_frames_are_kept_when_the_block_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), Recording(tmp_path / "a.mp4") as recording:
        for number in range(5):
            # Neither a changing size nor equal times stop it.
            recording.add(np.full((50 + number, 70, 3), 50 * number, np.uint8), number // 2)
        1 / 0  # noqa: B018
    times, images = read_as_player(tmp_path / "a.mp4")
    np.testing.assert_allclose(times, [0, 0, 1, 1, 2], atol=1e-3)
    assert {image.shape for image in images} == {(50, 70, 3)}
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_without_frames_there_is_no_file(tmp_path):
    with Recording(tmp_path / "a.mp4"):
        pass
    assert not list(tmp_path.iterdir())


def test_full_disk_is_an_error_and_leaves_no_file(tmp_path, small_files):
    noise = np.random.default_rng(1).integers(0, 256, (200, 300, 3), np.uint8)
    with (
        small_files(100_000),
        pytest.raises(OutputError, match="cannot write .*a.mp4: File too large"),
        Recording(tmp_path / "a.mp4") as recording,
    ):
        for number in range(100):
            recording.add(np.roll(noise, 7 * number, axis=1), number / 25)
    assert not list(tmp_path.iterdir())


def test_unusable_path_is_rejected_beforehand(tmp_path):
    source = write_video(tmp_path / "v.mp4", [scene(0)] * 2)
    before = source.read_bytes()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "old.mp4").write_text("a recording")
    for name, problem in {
        "a.avi": "its name must end in .mp4",
        "folder.mp4": "it is a folder",
        "old.mp4": "already exists; --overwrite replaces it",
        "old.mp4/a.mp4": "is a file, not a folder",
        "v.mp4": "is the video that is read",
    }.items():
        with pytest.raises(GudiError, match=problem):
            check_recording(tmp_path / name, overwrite=name == "v.mp4", source=source)
    assert source.read_bytes() == before
    assert (tmp_path / "old.mp4").read_text() == "a recording"

"""Opening cameras and videos for `gudi live`."""

from __future__ import annotations

import pytest

from gudi.errors import InputError
from gudi.live.frames import open_frames


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("100", None, "100: no such file"),
        ("empty.mp4", b"", r"empty.mp4: it is empty"),
        ("text.mp4", b"no video", r"text.mp4: it is a text file, not a video"),
        (".", None, r"\.: it is a folder"),
    ],
)
def test_source_that_is_not_a_video_is_an_error(tmp_path, monkeypatch, name, content, problem):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=problem), open_frames(name, debug=False):
        pass


def test_missing_camera_is_an_error():
    with (
        pytest.raises(InputError, match="camera 99 gives no pictures: .*--source another number"),
        open_frames("99", debug=False),
    ):
        pass

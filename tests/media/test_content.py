"""What a file is, told from its first bytes."""

from __future__ import annotations

import shutil
import tarfile
import tracemalloc
import zipfile

import PIL.Image
import pytest
from clips import write_moving_face, write_video
from conftest import call_gudi, draw_face, run_gudi, save
from result_folders import rows_by_name

from gudi.errors import PhotoError, VideoError
from gudi.media import video
from gudi.media.content import identify
from gudi.media.find import find_sources
from gudi.media.photo import read_photo


def write_page(path):
    path.write_text("\n<!DOCTYPE html><html><title>Sign in</title></html>")


def write_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")


def write_tar(path):
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("folder/a"))


def writer(content: bytes):
    return lambda path: path.write_bytes(content)


OTHERS = {
    "an HTML page, not": write_page,
    "download or login page: download": writer("<html lang=de>Größe".encode("latin-1")),
    "an HTML page": writer("<html>".encode("utf-16")),
    "a ZIP archive": write_zip,
    "a tar archive": write_tar,
    "a RAR archive": writer(b"Rar!\x1a\7\1\0"),
    "a PDF document": lambda path: PIL.Image.new("L", (9, 9)).save(path, "pdf"),
    "an SVG drawing": writer(b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg width="1"/>'),
    "git lfs pull fetches": writer(b"version https://git-lfs.github.com/spec/v1\noid sha256:4"),
    "git annex get fetches": writer(b"../.git/annex/objects/SHA256E-s1--a.jpg"),
    "server's error message": writer(b'{"error": {"code": 403}}'),
    "a file of zeros": writer(bytes(5000)),
    "a text file": writer(b"BMW, free, MZ and PK are no pictures\n"),
    "a program": writer(b"MZ" + bytes(90)),
    "a placeholder of a file in iCloud, not": writer(b"bplist00\xd1\1\2\\NSURLNameKey"),
    "a table in Parquet": writer(b"PAR1\x15\4\x15"),
    "a server's answer with its HTTP": writer(b"HTTP/1.1 200 OK\r\n\r\n\xff\xd8\xff"),
    "sound": lambda path: write_sound(path),
}


def write_sound(path):
    path.write_bytes(b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0")


@pytest.mark.parametrize("what", OTHERS)
def test_error_says_what_a_file_is_that_is_neither_photo_nor_video(tmp_path, what):
    OTHERS[what](tmp_path / "a.jpg")
    shutil.copy(tmp_path / "a.jpg", tmp_path / "a.mp4")
    with pytest.raises(PhotoError, match=what):
        read_photo(tmp_path / "a.jpg")
    with pytest.raises(VideoError, match=what):
        list(video.read_whole(tmp_path / "a.mp4"))


def test_error_says_what_kind_of_picture_cannot_be_read(tmp_path):
    for start, what in {
        b"\x76\x2f\x31\x01" + bytes(40): "an OpenEXR picture, which gudi cannot read; convert it",
        b"8BPS\0\1": "a Photoshop picture",
        b"II*\0\x10\0\0\0CR\2\0": "a camera's raw picture",
        b"\x89PNG\r\n\x1a\n\0\0\0\4CgBI": "a PNG picture made for iPhones",
        b"PF\n1 1\n-1.0\n" + bytes(12): "a PFM picture, which gudi cannot read",
        b"\r\n\xff\xd8\xff\xe0": "a picture behind a line break",
        b"\xef\xbb\xbf\x89PNG\r\n\x1a\n": "a picture behind a line break or byte order mark",
        b"\x89PNG\r\n\x1a\n\0\0": "a PNG picture, but damaged, cut short",
    }.items():
        (tmp_path / "a.png").write_bytes(start)
        with pytest.raises(PhotoError, match=what):
            read_photo(tmp_path / "a.png")


def test_zeros_are_refused_without_reading_all_of_them(tmp_path):
    with open(tmp_path / "a.jpg", "wb") as file:
        file.truncate(1_500_000_000)
    tracemalloc.start()
    with pytest.raises(PhotoError, match="a file of zeros"):
        read_photo(tmp_path / "a.jpg")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_encrypted_video_is_an_error_that_says_so(tmp_path):
    key = {"encryption_key": "76a6c65c5ea762046bd749a2e632ccbb", "encryption_kid": "a7" * 16}
    muxer = {"encryption_scheme": "cenc-aes-ctr"} | key
    path = write_video(tmp_path / "v.mp4", [draw_face(60, 96, 96, 9, 9)] * 3, muxer=muxer)
    with pytest.raises(VideoError, match="it is encrypted"):
        list(video.read_frames(path))


def test_pixel_limit_of_the_environment_is_named(tmp_path):
    photo = save(tmp_path / "a.png", draw_face())
    done = run_gudi("predict", photo, env={"OPENCV_IO_MAX_IMAGE_PIXELS": "1000"})
    assert "more pixels than OPENCV_IO_MAX_IMAGE_PIXELS allows (1,000)" in done.stderr


def test_self_extracting_archives_are_read_and_parts_of_split_ones_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", bytes(99))
    content = (tmp_path / "a.zip").read_bytes()
    end = content.rindex(b"PK\5\6")
    for name, part, found in [
        ("self.exe", b"MZ" + bytes(500) + content, "a.jpg"),
        ("first.z01", b"PK\7\b" + content[:90], "no table of contents"),
        ("a.zip.001", content[:90], "a part of a split one"),
        (
            "last.zip",
            content[50 : end + 4] + b"\1" + content[end + 5 :],
            "the last part of a split",
        ),
    ]:
        (tmp_path / name).write_bytes(part)
        (source,) = find_sources([str(tmp_path / name)])
        assert found in (source.problem or source.member[-1])


def test_photo_named_like_a_video_and_video_named_like_a_photo_are_told_apart(tmp_path):
    film = write_moving_face(tmp_path / "film.mp4").rename(tmp_path / "film.jpg")
    photo = save(tmp_path / "photo.png", draw_face()).rename(tmp_path / "photo.mov")
    with pytest.raises(PhotoError, match="it is an MP4 or MOV video, not a photo; its name should"):
        read_photo(film)
    with pytest.raises(VideoError, match="it is a PNG picture, not a video; its name should end"):
        list(video.read_whole(photo))
    done = call_gudi("batch", film, photo, "--out", tmp_path / "out", "--no-annotate")
    assert done.returncode == 0, done.stderr
    rows = rows_by_name(tmp_path / "out" / "files.csv")
    assert (rows["film.jpg"]["kind"], rows["film.jpg"]["frames"]) == ("video", "8")
    assert (rows["photo.mov"]["kind"], rows["photo.mov"]["faces"]) == ("image", "1")


# The containers, an encoder for each, and other suffixes that they have.
CONTAINERS = {
    "vob": ("mpeg2video", ".vob", ".mod", ".tod", ".m2p"),
    "mxf": ("mpeg2video", ".mxf"),
    "asf": ("msmpeg4v3", ".asf", ".dvr-ms"),
    "mpeg2video": ("mpeg2video", ".m2v", ".mpv"),
    "mpeg1video": ("mpeg1video", ".m1v"),
    "3g2": ("mpeg4", ".3g2"),
    "avi": ("mpeg4", ".divx"),
    "f4v": ("libx264", ".f4v"),
    "h264": ("libx264", ".h264", ".264"),
    "yuv4mpegpipe": ("wrapped_avframe", ".y4m"),
    "nut": ("libx264", ".nut"),
    "mp4": ("libx264", ".insv", ".lrv", ".download", ""),
    "mpegts": ("libx264", ".mts", ".bin"),
    "matroska": ("libx264", ".mk3d"),
    "m4v": ("mpeg4", ".m4e"),
    "mjpeg": ("mjpeg", ".mjpeg"),
}


@pytest.fixture(scope="module")
def containers(tmp_path_factory):
    """A folder with a video of six frames in each container, under all its suffixes."""
    folder = tmp_path_factory.mktemp("containers")
    frames = [draw_face(120, 320, 240, 90 + number, 60) for number in range(6)]
    for container, (codec, *suffixes) in CONTAINERS.items():
        first = folder / f"{container}{suffixes[0]}"
        write_video(first, frames, codec, format=container)
        for suffix in suffixes[1:]:
            shutil.copy(first, folder / f"{container}{suffix}")
    return folder


def test_videos_in_all_containers_are_processed_whatever_they_are_called(containers, tmp_path):
    files = sorted(containers.iterdir())
    done = call_gudi("batch", *files, "--out", tmp_path / "out", "--every", "5")
    assert done.returncode == 0, done.stderr
    rows = rows_by_name(tmp_path / "out" / "files.csv")
    found = {name: (row["kind"], row["frames"], row["faces"]) for name, row in rows.items()}
    assert found == {path.name: ("video", "2", "2") for path in files}
    pictures = list((tmp_path / "out" / "annotated").rglob("*.mp4"))
    assert len(pictures) == len(files)


def test_common_containers_are_found_in_folders(containers, tmp_path):
    (containers / "music.mod").write_bytes(bytes(1080) + b"M.K.")
    done = call_gudi(
        "batch", containers, "--out", tmp_path / "out", "--every", "5", "--no-annotate"
    )
    assert done.returncode == 0, done.stderr
    names = {path.name for path in containers.iterdir()}
    left_out = {"music.mod", "mp4", "mp4.download", "mpegts.bin", "m4v.m4e", "mpeg2video.mpv"}
    assert set(rows_by_name(tmp_path / "out" / "files.csv")) == names - left_out
    assert "skipped 6 files" in done.stderr


def test_nothing_is_mistaken_for_a_video():
    for start in (b"", b"\0\0", b"GIF89a" + bytes(20), b"The free encyclopedia", b"G" * 1000):
        found = identify(start)
        assert found is None or found.kind != "video"

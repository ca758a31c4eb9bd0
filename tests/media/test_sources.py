"""Finding photos and decoding them."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import zlib
from collections import Counter

import cv2
import numpy as np
import PIL.Image
import pytest
from conftest import ROOT, SHARED, draw_face, save

from gudi.errors import InputError, PhotoError
from gudi.media import sources
from gudi.media.photo import read_photo


def names(*inputs, **options):
    return [source.name for source in sources.find(map(str, inputs), **options)]


def problems(*inputs):
    return {source.name: source.problem for source in sources.find(map(str, inputs))}


def touch(folder, *files):
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_are_searched_in_order_and_only_for_photos_and_videos(here):
    touch(here, "p/b.jpg", "p/a/2.PNG", "p/a/1.jpeg", "p/c.Mp4", "p/notes.TXT", "p/jpg", "p/.x")
    skipped = Counter()
    found = names("p", skipped=skipped)
    assert found == ["p/a/1.jpeg", "p/a/2.PNG", "p/b.jpg", "p/c.Mp4"]
    assert skipped == {".txt": 1, "": 1}
    kinds = {source.name: source.kind for source in sources.find(["p"])}
    assert kinds["p/c.Mp4"] == "video"
    assert kinds["p/b.jpg"] == "image"


def test_transport_streams_are_told_from_typescript(here):
    packet, stamped = b"G" + bytes(187), b"\1\2\3\4G" + bytes(187)
    touch(here, "p/code.ts", "p/code.MTS")
    for name, content in {
        "code.ts": b"Good, Giant, GG = 1;\n" * 100,
        "film.ts": packet * 6,
        "camera.MTS": stamped * 6,
        "in the middle.ts": packet[90:] + packet * 6,
        "empty.ts": b"",
    }.items():
        (here / "p" / name).write_bytes(content)
    os.mkfifo(here / "p" / "pipe.ts")
    assert names("p") == ["p/camera.MTS", "p/film.ts", "p/in the middle.ts", "p/pipe.ts"]
    assert {source.kind for source in sources.find(["p", "p/code.ts"])} == {"video"}


def test_names_are_as_typed(here):
    touch(here, "p/a.jpg")
    assert names("./p") == ["p/a.jpg"]
    assert names("p/") == ["p/a.jpg"]
    assert names(here / "p") == [(here / "p" / "a.jpg").as_posix()]
    os.mkdir("q")
    os.chdir("q")
    assert names("../p") == ["../p/a.jpg"]


def test_hidden_files_and_folders_are_left_out_unless_named(here):
    touch(here, "p/.a.jpg", "p/.hidden/b.jpg", "p/c.jpg")
    assert names("p") == ["p/c.jpg"]
    assert names("p/.hidden", "p/.a.jpg") == ["p/.hidden/b.jpg", "p/.a.jpg"]


def test_a_path_comes_once(here):
    touch(here, "p/a.jpg", "p/b.jpg")
    assert names("p/b.jpg", "p", "./p/a.jpg", here / "p") == ["p/b.jpg", "p/a.jpg"]


def test_links_are_followed_but_not_in_circles(here):
    touch(here, "p/a.jpg", "other/b.jpg")
    (here / "p" / "loop").symlink_to(here / "p")
    (here / "p" / "other").symlink_to(here / "other")
    (here / "p" / "z.jpg").symlink_to(here / "other" / "b.jpg")
    assert names("p") == ["p/a.jpg", "p/other/b.jpg", "p/z.jpg"]


def test_the_folder_of_the_results_is_left_out(here):
    touch(here, "a.jpg", "results/annotated/a.jpg")
    assert names(".", exclude=here / "results") == ["a.jpg"]


def test_patterns(here):
    touch(here, "p/a.jpg", "p/b.png", "p/q/c.jpg", "p/[d].jpg")
    assert names("p/*.jpg") == ["p/[d].jpg", "p/a.jpg"]
    assert names("p/**/*.jpg") == ["p/[d].jpg", "p/a.jpg", "p/q/c.jpg"]
    assert names("p/[d].jpg") == ["p/[d].jpg"]
    with pytest.raises(InputError, match=r"nothing matches p/\*\.gif"):
        names("p/*.gif")


def test_lists(here):
    touch(here, "a b.jpg", "p/ü.jpg", "two\nlines.jpg")
    (here / "list.txt").write_text("a b.jpg\r\n\np\nmissing.jpg\n", encoding="utf-8")
    assert names("@list.txt") == ["a b.jpg", "p/ü.jpg", "missing.jpg"]
    assert problems("@list.txt")["missing.jpg"] == "no such file"
    assert names("-", stdin=io.BytesIO(b"two\nlines.jpg\0a b.jpg\0")) == [
        "two\\x0alines.jpg",
        "a b.jpg",
    ]
    with pytest.raises(InputError, match=r"the list nothing\.txt cannot be read"):
        names("@nothing.txt")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_lists_from_windows(here, encoding):
    touch(here, "p/ü.jpg", "b.jpg")
    mark = "\ufeff" if encoding.endswith("e") else ""
    (here / "list.txt").write_bytes(f"{mark}p/ü.jpg\r\nb.jpg\r\n".encode(encoding))
    assert names("@list.txt") == ["p/ü.jpg", "b.jpg"]


def test_a_link_and_back_is_another_place(here):
    touch(here, "x.jpg", "far/away/y.jpg", "far/x.jpg")
    (here / "link").symlink_to(here / "far" / "away")
    assert names("x.jpg", "link/../x.jpg") == ["x.jpg", "link/../x.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs long paths, and rm")
def test_folders_of_any_depth(here):
    deep = here
    try:
        for _ in range(1200):
            deep = deep / "d"
            deep.mkdir()
        touch(here, "a.jpg")
        assert names(".") == ["a.jpg"]
    finally:
        subprocess.run(["rm", "-rf", here / "d"], check=True)  # too deep for Python's own


def test_a_typing_error_is_told(here):
    with pytest.raises(InputError, match="no such file or folder: fotos"):
        names("fotos")
    (here / "link.jpg").symlink_to("nowhere")
    assert problems("link.jpg") == {"link.jpg": "it is a link to nowhere, which is not there"}


def test_what_is_no_file_has_its_problem(here):
    touch(here, "p/good.jpg", "p/folder.jpg/inside.png")
    os.mkfifo(here / "p" / "pipe.jpg")
    (here / "p" / "broken.jpg").symlink_to("nowhere.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("p/socket.png")
        assert problems("p") == {
            "p/good.jpg": "",
            "p/folder.jpg": "it is a folder, though named like a file",
            "p/folder.jpg/inside.png": "",
            "p/pipe.jpg": "it is a named pipe",
            "p/broken.jpg": "it is a link to nowhere.jpg, which is not there",
            "p/socket.png": "it is a socket",
        }


@pytest.mark.parametrize(
    "name", ["ünï cödé 😀.jpg", "q'uo\"te,s.jpg", "n" * 246 + ".jpg", "-x.jpg", "👩\u200d🔬.jpg"]
)
def test_any_name(here, name):
    save(here / "p" / name, draw_face())
    (source,) = sources.find(["p"])
    assert source.name == f"p/{name}"
    assert read_photo(source.path).shape == (300, 300, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_names_that_are_no_text(here):
    spelled = {
        b"\xff.jpg": r"p/\xff.jpg",
        rb"\xff.jpg": r"p/\x5cxff.jpg",
        b"two\r\nlines.jpg": r"p/two\x0d\x0alines.jpg",
        b"\x1b[31m\x7f.jpg": r"p/\x1b[31m\x7f.jpg",
        "\x85\u2028.jpg".encode(): r"p/\xc2\x85\xe2\x80\xa8.jpg",
    }
    for name in spelled:
        save(here / "p" / os.fsdecode(name), draw_face())
    found = {source.name: source.path for source in sources.find(["p"])}
    assert sorted(found) == sorted(spelled.values())
    for name, path in found.items():
        assert read_photo(path).shape == (300, 300, 3)
        # As docs/results.md has it.
        back = re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes.fromhex(m[1].decode()), name.encode())
        assert back == os.fsencode(path)


def encoded(tmp_path, mode, ending, **options):
    picture = PIL.Image.fromarray(draw_face()[:, :, ::-1]).convert(mode)
    path = tmp_path / f"picture{ending}"
    picture.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("mode", "ending"),
    [(mode, ".png") for mode in ("L", "LA", "RGB", "RGBA", "P", "1", "I;16")]
    + [("RGB", ending) for ending in (".jpg", ".bmp", ".tif", ".webp", ".ppm")],
)
def test_whatever_the_format_it_becomes_bgr(tmp_path, mode, ending):
    if mode == "I;16":
        path = tmp_path / "picture.png"
        path.write_bytes(
            cv2.imencode(".png", draw_face()[:, :, 1].astype(np.uint16) * 257)[1].tobytes()
        )
    else:
        path = encoded(tmp_path, mode, ending)
    image = read_photo(path)
    assert (image.shape, image.dtype) == ((300, 300, 3), np.uint8)
    if mode not in ("1", "P"):
        difference = np.abs(image[:, :, 1].astype(int) - draw_face()[:, :, 1])
        assert difference.mean() < 15


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif"])
def test_photos_are_turned_upright(tmp_path, ending):
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:20, :20] = 255  # a bright corner, upper left
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the picture has to go a quarter to the right
    lying = PIL.Image.fromarray(np.rot90(upright).copy())
    lying.save(tmp_path / f"picture{ending}", exif=exif)
    image = read_photo(tmp_path / f"picture{ending}")
    assert image.shape == upright.shape
    assert image[:15, :15].min() > 200
    assert image[25:, 25:].max() < 50


def test_content_counts_not_the_ending(tmp_path):
    path = encoded(tmp_path, "RGB", ".png").rename(tmp_path / "lies.jpg")
    assert read_photo(path).shape == (300, 300, 3)


def spoiled(tmp_path, what):
    path = tmp_path / "bad.jpg"
    good = cv2.imencode(".jpg", draw_face())[1].tobytes()
    if what == "empty":
        path.touch()
    elif what == "text":
        path.write_text("this is no picture")
    elif what == "truncated":
        path.write_bytes(good[: len(good) // 2])
    elif what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "bomb":
        path.write_bytes(png_header(60_000, 60_000))
    return path


def png_header(width, height):
    """Return a PNG that says that it is large, and has no data."""
    small = cv2.imencode(".png", np.zeros((1, 1), np.uint8))[1].tobytes()
    chunk = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + small[24:29]
    return small[:12] + chunk + zlib.crc32(chunk).to_bytes(4, "big") + small[33:]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("empty", "empty"),
        ("text", "no picture"),
        ("truncated", "cut short"),
        ("folder", "folder|directory"),
        ("pipe", "named pipe"),
        ("bomb", "more pixels than the 512 million"),
        ("missing", "no such file"),
    ],
)
def test_a_bad_photo_says_what_is_wrong(tmp_path, what, message):
    with pytest.raises(PhotoError, match=message):
        read_photo(spoiled(tmp_path, what))


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="needs POSIX permissions")
def test_what_may_not_be_read_is_told(here):
    save(here / "p" / "secret.jpg", draw_face()).chmod(0)
    touch(here, "p/closed/a.jpg")
    (here / "p" / "closed").chmod(0)
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from gudi.media import sources\n"
        "if os.geteuid() == 0: os.setuid(65534)  # root may read everything\n"
        "for source in sources.find(['p']):\n"
        "    try:\n"
        "        print(source.name, source.kind, source.problem or read_photo(source.path))\n"
        "    except Exception as error: print(source.name, error)"
    )
    for folder in (here, *here.parents[:-1]):
        if folder.stat().st_uid == 0 and folder.name.startswith(("pytest", "test")):
            folder.chmod(0o755)
    root = str(ROOT)
    done = subprocess.run([sys.executable, "-c", script, root], capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "p/closed folder it cannot be opened: Permission denied",
        "p/secret.jpg it cannot be read: Permission denied",
    ], done.stderr


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real data at {SHARED}")
def test_real_photos_decode():
    found = list(sources.find([str(SHARED / "photos")]))
    assert len(found) == 163
    assert {read_photo(source.path).ndim for source in found} == {3}

"""Finding photos and videos."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import zipfile
from collections import Counter

import pytest
from conftest import ROOT, draw_face, save

from gudi.errors import InputError
from gudi.media.find import EXCLUDED, SYSTEM, find_sources


def names(*inputs, **options):
    return [source.name for source in find_sources(map(str, inputs), **options)]


def problems(*inputs):
    return {source.name: source.problem for source in find_sources(map(str, inputs))}


def touch(folder, *files):
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_are_searched_in_order_for_photos_and_videos_only(here):
    touch(here, "p/b.jpg", "p/a/2.PNG", "p/a/1.jpeg", "p/c.Mp4", "p/notes.TXT", "p/jpg", "p/.x")
    skipped = Counter()
    found = names("p", skipped=skipped)
    assert found == ["p/a/1.jpeg", "p/a/2.PNG", "p/b.jpg", "p/c.Mp4"]
    assert skipped == {".txt": 1, "": 1}
    kinds = {source.name: source.kind for source in find_sources(["p"])}
    assert kinds["p/c.Mp4"] == "video"
    assert kinds["p/b.jpg"] == "image"


def test_transport_streams_are_distinguished_from_typescript(here):
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
    assert {source.kind for source in find_sources(["p", "p/code.ts"])} == {"video"}


def test_names_start_with_the_input_as_given(here):
    touch(here, "p/a.jpg")
    assert names("./p") == ["p/a.jpg"]
    assert names("p/") == ["p/a.jpg"]
    assert names(here / "p") == [(here / "p" / "a.jpg").as_posix()]
    os.mkdir("q")
    os.chdir("q")
    assert names("../p") == ["../p/a.jpg"]


def test_hidden_files_and_folders_are_skipped_unless_named(here):
    touch(here, "p/.a.jpg", "p/.hidden/b.jpg", "p/c.jpg")
    assert names("p") == ["p/c.jpg"]
    assert names("p/.hidden", "p/.a.jpg") == ["p/.hidden/b.jpg", "p/.a.jpg"]


def test_folders_of_systems_are_skipped_unless_named(here):
    folders = (
        "@eaDir", "#recycle", "$RECYCLE.BIN", ".Trash", ".Trash-1000", ".thumbnails", "lost+found",
    )  # fmt: skip
    touch(here, "p/a.jpg", *(f"p/{folder}/b.jpg" for folder in folders))
    with zipfile.ZipFile("p.zip", "w") as archive:
        archive.write("p/a.jpg", "a.jpg")
        archive.write("p/a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg")
    skipped = Counter()
    assert names("p", skipped=skipped) == ["p/a.jpg"]
    assert skipped == {SYSTEM: len(folders)}
    assert names("p.zip", "p/**/*.jpg", skipped=skipped) == ["p.zip/a.jpg", "p/a.jpg"]
    assert skipped == {SYSTEM: len(folders) + 1 + 4}  # patterns match no hidden folders
    assert names("p/@eaDir", "p/#recycle/*.jpg") == ["p/@eaDir/b.jpg", "p/#recycle/b.jpg"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.PNG", ["p/a.jpg", "p/raw/b.jpg", "q.jpg"]),
        ("raw", ["p/a.jpg", "p/c.PNG", "q.jpg"]),
        ("p/raw/", ["p/a.jpg", "p/c.PNG", "q.jpg"]),
        ("./p", ["q.jpg"]),
        ("raw/*.jpg", ["p/a.jpg", "p/c.PNG", "q.jpg"]),
        ("[aq].jpg", ["p/c.PNG", "p/raw/b.jpg"]),
    ],
)
def test_files_and_folders_are_excluded_by_patterns(here, pattern, found):
    touch(here, "p/a.jpg", "p/c.PNG", "p/raw/b.jpg", "q.jpg")
    skipped = Counter()
    assert names("p", "q.jpg", exclude=[pattern], skipped=skipped) == found
    assert skipped[EXCLUDED] == (2 if pattern == "[aq].jpg" else 1)


def test_each_path_is_found_once(here):
    touch(here, "p/a.jpg", "p/b.jpg")
    assert names("p/b.jpg", "p", "./p/a.jpg", here / "p") == ["p/b.jpg", "p/a.jpg"]


def test_links_are_followed_without_loops(here):
    touch(here, "p/a.jpg", "other/b.jpg")
    (here / "p" / "loop").symlink_to(here / "p")
    (here / "p" / "other").symlink_to(here / "other")
    (here / "p" / "z.jpg").symlink_to(here / "other" / "b.jpg")
    assert names("p") == ["p/a.jpg", "p/other/b.jpg", "p/z.jpg"]


def test_folder_of_the_results_is_skipped(here):
    touch(here, "a.jpg", "results/annotated/a.jpg")
    assert names(".", out=here / "results") == ["a.jpg"]


def test_path_through_a_link_and_back_is_another_file(here):
    touch(here, "x.jpg", "far/away/y.jpg", "far/x.jpg")
    (here / "link").symlink_to(here / "far" / "away")
    assert names("x.jpg", "link/../x.jpg") == ["x.jpg", "link/../x.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs long paths, and rm")
def test_folders_may_be_nested_to_any_depth(here):
    try:
        for depth in range(1, 1201):
            os.mkdir("/".join("d" * depth))
        touch(here, "a.jpg")
        assert names(".") == ["a.jpg"]
    finally:
        subprocess.run(["rm", "-rf", here / "d"], check=True)  # too deep for Python's own


def test_missing_input_is_an_error_but_dangling_link_a_problem_of_its_source(here):
    with pytest.raises(InputError, match="no such file or folder: fotos"):
        names("fotos")
    (here / "link.jpg").symlink_to("nowhere")
    assert problems("link.jpg") == {"link.jpg": "it is a link to nowhere, which does not exist"}


def test_irregular_files_are_found_with_their_problem(here):
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
            "p/broken.jpg": "it is a link to nowhere.jpg, which does not exist",
            "p/socket.png": "it is a socket",
        }


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="needs POSIX permissions")
def test_missing_permissions_are_reported(here):
    save(here / "p" / "secret.jpg", draw_face()).chmod(0)
    touch(here, "p/closed/a.jpg")
    (here / "p" / "closed").chmod(0)
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from gudi.media.find import find_sources\n"
        "from gudi.media.photo import read_photo\n"
        "if os.geteuid() == 0: os.setuid(65534)  # root may read everything\n"
        "for source in find_sources(['p']):\n"
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

"""Photos and videos in archives, which are not unpacked to disk."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import shutil
import tarfile
import warnings
import zipfile

import cv2
import PIL.Image
import pytest
from clips import write_moving_face
from conftest import call_gudi, draw_face, make_photos, run_gudi
from result_folders import names_below, read_record, read_rows

from gudi.media.find import find_sources

ARCHIVES = ("deflated.zip", "plain.tar", "some.tar.gz", "b.tar.bz2", "stored.bin")
JPEG = cv2.imencode(".jpg", draw_face())[1].tobytes()
TABLES_ONLY = ("--no-annotate", "--no-report")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A folder with photos and a video, the same in archives, and the tables of the folder."""
    folder = tmp_path_factory.mktemp("archives")
    make_photos(folder / "in")
    write_moving_face(folder / "in" / "film.mp4")
    frames = [PIL.Image.fromarray(draw_face(x=40 + 10 * n)[..., ::-1]) for n in range(3)]
    frames[0].save(folder / "in" / "moving.gif", save_all=True, append_images=frames[1:])
    (folder / "in" / "notes.txt").touch()
    for name in ARCHIVES:
        pack(folder / name, folder / "in")
    done = call_gudi("batch", "in", "--out", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def pack(archive, folder):
    """Pack a folder as the name of the archive says."""
    if archive.suffix in (".zip", ".bin"):
        method = {"deflated": zipfile.ZIP_DEFLATED, "bz2": zipfile.ZIP_BZIP2}.get(archive.stem, 0)
        with zipfile.ZipFile(archive, "w", method) as file:
            for path in sorted(folder.rglob("*")):
                file.write(path, path.relative_to(folder))
    else:
        mode = {".tar": "w", ".gz": "w:gz", ".bz2": "w:bz2"}[archive.suffix]
        with tarfile.open(archive, mode) as file:
            file.add(folder, ".")


def write_zip(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def write_tar(path, names, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(JPEG)
            archive.addfile(info, io.BytesIO(JPEG))
    return path


def files_of(out):
    """Return status and error of each source."""
    return {row["source"]: (row["status"], row["error"]) for row in read_rows(out / "files.csv")}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archive_has_the_results_of_its_folder(reference, tmp_path, name):
    workers = "1" if name == "some.tar.gz" else "3"
    command = ("batch", name, "--out", tmp_path / "out", "--workers", workers)
    done = call_gudi(*command, cwd=reference)
    assert done.returncode == 0, done.stderr
    for table in ("faces.csv", "files.csv"):
        expected = (reference / "out" / table).read_text().replace("\nin/", f"\n{name}/")
        assert (tmp_path / "out" / table).read_text() == expected
    assert read_record(tmp_path / "out")["skipped"] == {".txt": 1}
    drawn = tmp_path / "out" / "annotated" / name
    assert names_below(drawn) == ["film.mp4", "moving.gif.mp4", "one.jpg", "one.png", "two.bmp"]
    photo = reference / "out" / "annotated" / "in" / "one.jpg"
    assert (drawn / "one.jpg").read_bytes() == photo.read_bytes()
    assert len(names_below(tmp_path / "out" / "thumbnails")) == 5
    again = call_gudi(*command, cwd=reference)
    assert "6 inputs finished by earlier runs" in again.stderr
    assert sorted(os.listdir(reference)) == sorted(["in", "out", *ARCHIVES])


def test_changed_archive_is_read_again_only_where_it_changed(reference, tmp_path):
    shutil.copy(reference / "deflated.zip", tmp_path / "a.zip")
    command = ("batch", "a.zip", "--out", "out")
    assert call_gudi(*command, cwd=tmp_path).returncode == 0
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("new.jpg", JPEG)
    done = call_gudi(*command, cwd=tmp_path)
    assert "6 inputs finished by earlier runs, 1 photo or frame processed" in done.stderr
    shutil.rmtree(tmp_path / "out" / "annotated")
    call_gudi(*command, cwd=tmp_path)
    drawn = tmp_path / "out" / "annotated" / "a.zip"
    assert names_below(drawn) == [
        "film.mp4", "moving.gif.mp4", "new.jpg", "one.jpg", "one.png", "two.bmp",
    ]  # fmt: skip
    tables = (tmp_path / "out" / "faces.csv").read_bytes()
    assert call_gudi(*command, "--restart", cwd=tmp_path).returncode == 0
    assert (tmp_path / "out" / "faces.csv").read_bytes() == tables


def test_one_file_and_one_folder_of_an_archive_can_be_named(reference, tmp_path):
    inputs = ("plain.tar/one.jpg", "./some.tar.gz/below", "deflated.zip/notes.txt")
    done = call_gudi("batch", *inputs, "--out", tmp_path / "out", *TABLES_ONLY, cwd=reference)
    assert done.returncode == 3
    assert files_of(tmp_path / "out") == {
        "plain.tar/one.jpg": ("ok", ""),
        "some.tar.gz/below/one.png": ("ok", ""),
        "deflated.zip/notes.txt": ("failed", "it is empty (0 bytes)"),
    }
    done = call_gudi("batch", "plain.tar/nowhere.jpg", "--out", tmp_path / "none", cwd=reference)
    assert (done.returncode, done.stderr) == (
        1, "gudi: error: no such file in plain.tar: nowhere.jpg\n",
    )  # fmt: skip
    done = call_gudi("predict", "deflated.zip/one.jpg", "--no-annotate", cwd=reference)
    assert done.stdout.startswith("deflated.zip/one.jpg\t")
    estimate = call_gudi("batch", *ARCHIVES, "--dry-run", "--out", tmp_path / "dry", cwd=reference)
    assert "photos:     20," in estimate.stdout


def test_names_lead_nowhere_but_down(tmp_path):
    names = (
        "/abs.jpg", "../up.jpg", "C:\\win\\a.jpg", "dir/./b.jpg", "dir//b.jpg", ".hidden.jpg",
        "__MACOSX/._a.jpg", "=1.jpg", "a\nb.jpg", "ü.jpg",
    )  # fmt: skip
    write_zip(tmp_path / "n.zip", [(name, JPEG) for name in names])
    write_tar(tmp_path / "n.tar", ["/abs.jpg", "../up.jpg", "./a.jpg", "a.jpg", "\udcff.jpg"])
    done = call_gudi("batch", "n.zip", "n.tar", "--out", "a/out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(files_of(tmp_path / "a" / "out")) == {
        "n.zip/abs.jpg", "n.zip/__/up.jpg", "n.zip/win/a.jpg", "n.zip/dir/b.jpg",
        "n.zip/dir/2-b.jpg", "n.zip/=1.jpg", r"n.zip/a\x0ab.jpg", "n.zip/ü.jpg",
        "n.tar/abs.jpg", "n.tar/__/up.jpg", "n.tar/a.jpg", "n.tar/2-a.jpg", r"n.tar/\xff.jpg",
    }  # fmt: skip
    assert sorted(os.listdir(tmp_path)) == ["a", "n.tar", "n.zip"]
    assert os.listdir(tmp_path / "a") == ["out"]


def test_names_without_the_flag_for_utf_8_are_read(tmp_path):
    content = bytearray(write_zip(tmp_path / "a.zip", [("é.jpg", JPEG)]).read_bytes())
    for signature, flags in ((b"PK\3\4", 7), (b"PK\1\2", 9)):
        content[content.find(signature) + flags] &= ~8
    (tmp_path / "a.zip").write_bytes(content)
    done = call_gudi("batch", "a.zip", "--out", "out", *TABLES_ONLY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert files_of(tmp_path / "out") == {"a.zip/é.jpg": ("ok", "")}


def test_what_cannot_be_read_in_an_archive_is_a_row(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.jpg", JPEG)
        archive.writestr("secret.jpg", JPEG)
        archive.writestr("lzma.jpg", JPEG, zipfile.ZIP_LZMA)
        archive.writestr("page.jpg", "<html>")
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("wrong.bmp", b"BM" + bytes(5000), zipfile.ZIP_DEFLATED)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.find(b"PK\1\2", content.find(b"PK\1\2") + 1) + 8] |= 1  # encrypted
    content[content.rfind(b"wrong.bmp", 0, content.find(b"PK\1\2")) + 12] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(content)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in {"soft.jpg": tarfile.SYMTYPE, "device.jpg": tarfile.CHRTYPE}.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    done = call_gudi("batch", "a.zip", "a.tar", "--out", "out", *TABLES_ONLY, cwd=tmp_path)
    assert done.returncode == 3
    found = files_of(tmp_path / "out")
    assert found.pop("a.zip/good.jpg") == ("ok", "")
    reasons = {
        "a.zip/secret.jpg": "it is encrypted",
        "a.zip/lzma.jpg": "compressed in a way that gudi cannot read",
        "a.zip/page.jpg": "it is an HTML page",
        "a.zip/link.jpg": "it is a link in an archive",
        "a.zip/wrong.bmp": "the archive is damaged",
        "a.tar/soft.jpg": "it is a link in an archive",
    }
    assert set(found) == set(reasons)
    for name, reason in reasons.items():
        assert reason in found[name][1], name


@pytest.mark.parametrize(
    ("encoding", "names", "found"),
    [
        ("utf-8", ["Müller/写真.jpg"], None),
        ("cp437", ["Müller/Jérôme.jpg", "Größe.jpg"], None),
        ("cp1252", ["Müller/Jérôme.jpg"], None),
        ("cp932", ["写真/田中さくら.jpg", "スクリーンショット.jpg"], None),
        ("gbk", ["照片/王伟.jpg"], None),
        ("cp950", ["照片/陳大文.jpg"], None),
        ("cp949", ["새 폴더/가족 여행 사진.jpg"], None),
        ("cp866", ["Фото/Иван.jpg"], None),
        ("gbk", ["北京.jpg"], r"\xb1\xb1\xbe\xa9.jpg"),  # or Korean
        ("ascii", ["a\0b.jpg"], "ab.jpg"),
    ],
)
def test_names_in_zip_archives_have_the_encodings_of_all_systems(tmp_path, encoding, names, found):
    content = [name.encode(encoding) for name in names]
    # Python writes no such names, so others of the same length are replaced.
    stand_ins = [f"{number}" * len(name) for number, name in enumerate(content)]
    path = write_zip(tmp_path / "a.zip", [(name, JPEG) for name in stand_ins])
    archive = path.read_bytes()
    for stand_in, name in zip(stand_ins, content):
        archive = archive.replace(stand_in.encode(), name)
    path.write_bytes(archive)
    sources = list(find_sources([str(path)]))
    expected = [found] if found else names
    assert [source.name for source in sources] == [f"{path.as_posix()}/{n}" for n in expected]
    assert {source.open().read() for source in sources} == {JPEG}


@pytest.mark.parametrize("name", ["deflated.zip", "plain.tar", "some.tar.gz"])
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damaged_archive_is_a_row_and_keeps_what_is_whole(reference, tmp_path, name, damage):
    content = (reference / name).read_bytes()
    middle = len(content) // 2
    changed = content[:middle] + bytes([content[middle] ^ 0x55]) + content[middle + 1 :]
    (tmp_path / name).write_bytes(content[:middle] if damage == "cut" else changed)
    done = call_gudi("batch", name, "--out", "out", *TABLES_ONLY, cwd=tmp_path)
    if name == "plain.tar" and damage == "changed":
        return  # tar has checksums for its headers only
    assert done.returncode == 3, done.stderr
    found = files_of(tmp_path / "out")
    assert [error for _, error in found.values() if "damaged" in error]
    assert all(error for status, error in found.values() if status == "failed")


def test_bombs_are_bounded(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("bomb.jpg", "w", force_zip64=True) as file:
            for _ in range(300):
                file.write(bytes(2**20))
        archive.writestr("good.jpg", JPEG)
    header = tarfile.TarInfo("header")
    header.type, header.size = tarfile.XHDTYPE, 2**32
    with gzip.open(tmp_path / "header.tar.gz", "wb") as file:
        file.write(header.tobuf(tarfile.USTAR_FORMAT) + bytes(2**20))
    huge = tarfile.TarInfo("huge.jpg")
    huge.size = 2**40
    (tmp_path / "huge.tar.bz2").write_bytes(bz2.compress(huge.tobuf() + bytes(2**20)))
    contents = b"PK\5\6" + bytes(8) + (2**31).to_bytes(4, "little") + bytes(6)
    (tmp_path / "contents.zip").write_bytes(b"PK\3\4" + bytes(100) + contents)
    negative = tarfile.TarInfo("a.jpg")
    negative.size = -1024
    (tmp_path / "negative.tar").write_bytes(negative.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    inputs = ("a.zip", "header.tar.gz", "huge.tar.bz2", "contents.zip", "negative.tar")
    done = run_gudi("batch", *inputs, "--out", "out", *TABLES_ONLY, cwd=tmp_path)
    assert done.returncode == 3
    found = files_of(tmp_path / "out")
    assert found["a.zip/good.jpg"] == ("ok", "")
    assert "too large (314,572,800 bytes) to be read in the archive" in found["a.zip/bomb.jpg"][1]
    assert "a file header in the archive is too large" in found["header.tar.gz"][1]
    assert "unpacks to far more than its size" in found["huge.tar.bz2"][1]
    assert "too large" in found["huge.tar.bz2/huge.jpg"][1]
    assert "the archive holds too many files" in found["contents.zip"][1]
    assert "the archive is damaged" in found["negative.tar"][1]


def test_archives_are_told_by_their_content(tmp_path):
    write_zip(tmp_path / "zip.jpg", [("a.jpg", JPEG)])
    (tmp_path / "page.zip").write_text("<html>")
    (tmp_path / "one.jpg.gz").write_bytes(gzip.compress(JPEG))
    (tmp_path / "rar.zip").write_bytes(b"Rar!\x1a\7\1\0")
    inputs = ("zip.jpg", "page.zip", "one.jpg.gz", "rar.zip")
    done = call_gudi("batch", *inputs, "--out", "out", *TABLES_ONLY, cwd=tmp_path)
    assert done.returncode == 3
    found = {name: error for name, (_, error) in files_of(tmp_path / "out").items()}
    assert found["zip.jpg"].startswith("it is a ZIP archive, not a photo; give it the ending of")
    assert found["page.zip"].startswith("it is an HTML page")
    assert found["one.jpg.gz"].startswith("it is a file compressed by gzip, not a photo")
    assert found["rar.zip"] == "it is a RAR archive, not a photo; unpack it first"
    write_zip(tmp_path / "no.zip", [("a.txt", "")])
    done = call_gudi("batch", "no.zip", "--out", "out2", cwd=tmp_path)
    assert done.returncode == 1
    assert "no photos or videos in no.zip" in done.stderr


def test_archives_in_folders_are_skipped_and_counted(photos, tmp_path):
    write_zip(photos / "more.zip", [("a.jpg", JPEG)])
    done = call_gudi("batch", photos, "--out", tmp_path / "out", *TABLES_ONLY)
    assert done.returncode == 0
    assert read_record(tmp_path / "out")["skipped"] == {".zip": 1}


def test_long_and_repeated_names_and_huge_numbers_cost_no_time(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names that are not unique
        same = [("a.txt", "")] * 20_000 + [("a.jpg", JPEG)] * 2
        write_zip(tmp_path / "a.zip", [*same, ("d" * 5000 + "/" + "x" * 5000 + ".jpg", JPEG)])
    info = tarfile.TarInfo("a.jpg")
    info.size, info.mtime = 2**70, 2**70
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    done = call_gudi("batch", "a.zip", "a.tar", "--out", "out", "--no-report", cwd=tmp_path)
    assert done.returncode == 3
    found = [status for status, _ in files_of(tmp_path / "out").values()]
    assert sorted(found) == ["failed", "failed", "ok", "ok", "ok"]
    assert len(names_below(tmp_path / "out" / "annotated")) == 3

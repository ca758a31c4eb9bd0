"""FER2013's csv file in archives, other encodings, and with other line ends."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import tarfile
import zipfile

import numpy as np
import pytest
from conftest import call_gudi, fer_row, small_face, write_fer

from training.helpers import read_prepared

COMMAND = ("prepare", "fer", "--whole", "--workers", "1")


@pytest.fixture
def text(tmp_path):
    """The content of a csv file with three faces."""
    rows = [fer_row(number, small_face(number)) for number in range(3)]
    return write_fer(tmp_path / "plain.csv", rows).read_text()


def as_tar(members, mode="w:gz"):
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def as_zip(members, method=zipfile.ZIP_DEFLATED):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def tar_gz(csv):
    """Return FER2013 as Kaggle's competition hands it out."""
    return as_tar(
        {"fer2013/README": b"...", "fer2013/fer2013.csv": csv, "fer2013/fer2013.bib": b""}
    )


# What people have, made from the bytes of the csv file.
FORMS = {
    "fer2013.tar.gz": tar_gz,
    "fer2013.tar": lambda csv: as_tar({"./fer2013.csv": csv}, "w"),
    "fer2013.tar.bz2": lambda csv: as_tar({"./fer2013.csv": csv}, "w:bz2"),
    "archive.zip": lambda csv: as_zip({"__MACOSX/._fer2013.csv": b"", "fer2013.csv": csv}),
    "stored.zip": lambda csv: as_zip({"some/folder/fer2013.csv": csv}, zipfile.ZIP_STORED),
    "competition.zip": lambda csv: as_zip({
        "example_submission.csv": b"emotion\n3\n", "fer2013.tar.gz": tar_gz(csv), "test.csv": b"x",
    }),
    "icml.zip": lambda csv: as_zip({
        "icml_face_data.csv": csv.replace(b"emotion,pixels,Usage", b"emotion, pixels, Usage"),
        "train.csv": b"x",
    }),
    "other.zip": lambda csv: as_zip({"FER.CSV": csv}),
    "fer2013.csv.gz": gzip.compress,
    "fer2013.csv.bz2": bz2.compress,
    "utf16.csv": lambda csv: csv.decode().encode("utf-16"),
    "utf16be.csv": lambda csv: codecs.BOM_UTF16_BE + csv.decode().encode("utf-16-be"),
    "no-mark.csv": lambda csv: csv.decode().encode("utf-16-le"),
    "utf8.csv": lambda csv: codecs.BOM_UTF8 + csv,
    "mac.csv": lambda csv: csv.replace(b"\n", b"\r"),
    "windows.csv": lambda csv: csv.replace(b"\n", b"\r\n"),
    "windows-utf16.zip": lambda csv: as_zip({
        "fer2013.csv": csv.decode().replace("\n", "\r\n").encode("utf-16"),
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_csv_file_is_read_in_every_form(tmp_path, text, name):
    (tmp_path / name).write_bytes(FORMS[name](text.encode()))
    ended = call_gudi(*COMMAND, name, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "3 faces from 3 rows" in ended.stderr
    images, labels = read_prepared(tmp_path / "data" / "whole_data")
    np.testing.assert_array_equal(images, [small_face(number) for number in range(3)])
    assert labels.tolist() == [0, 1, 2]


def test_evaluation_and_votes_are_read_in_archives(tmp_path, text):
    (tmp_path / "fer2013.tar.gz").write_bytes(tar_gz(text.encode()))
    ended = call_gudi("evaluate", "fer2013.tar.gz", "--faces", "whole", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    columns = "anger,disgust,fear,happiness,sadness,surprise,neutral,contempt,unknown,NF"
    votes = f"{columns}\n" + "10,0,0,0,0,0,0,0,0,0\n" * 3
    (tmp_path / "votes.csv").write_bytes(votes.encode("utf-16"))
    ended = call_gudi(*COMMAND, "fer2013.tar.gz", "--votes", "votes.csv", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    labels = np.load(tmp_path / "data" / "whole_data_labels.npy")
    assert labels[1].tolist() == [0.5, 0.5, 0, 0, 0, 0, 0]


# Other files, and a part of what is said of each.
OTHERS = {
    "pictures.zip": (as_zip({"train/happy/1.jpg": b"x"}), "no fer2013.csv in {}: it holds train/"),
    "other.tar.gz": (as_tar({"x": b""}), "there is no fer2013.csv in {}: it holds x"),
    "two.zip": (
        as_zip({"x.csv": b"", "y.csv": b""}),
        "no fer2013.csv in {}: it holds x.csv, y.csv",
    ),
    "page.csv": (b"<!DOCTYPE html><title>Sign in", "it is an HTML page; it may be a download or"),
    "a.xz": (b"\xfd7zXZ\0" + bytes(9), "it is a file compressed by xz; unpack it first"),
    "pointer.csv": (b"version https://git-lfs.github.com/spec/v1", "git lfs pull fetches the file"),
    "cut.zip": (as_zip({"fer2013.csv": b"emotion"})[:60], "cannot read {}: the archive is damaged"),
    "cut.gz": (
        gzip.compress(b"emotion,pixels\n" * 99)[:30],
        "cannot read {}: the archive is damaged",
    ),
    "cut.tar.gz": (tar_gz(bytes(10**6))[:900], "cannot read {}: the archive is damaged"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_named_for_what_they_are(tmp_path, name):
    content, message = OTHERS[name]
    (tmp_path / name).write_bytes(content)
    ended = call_gudi(*COMMAND, name, cwd=tmp_path)
    assert ended.returncode == 1
    assert message.format(name) in ended.stderr
    assert ended.stderr.count("\n") == 1

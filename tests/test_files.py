"""Files that appear complete or not at all."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from gudi import files
from gudi.errors import OutputError


def test_file_is_replaced_only_if_the_block_succeeds(tmp_path):
    path = tmp_path / ("n" * 250)
    for content in (b"first", b"second"):
        with files.atomic_write(path) as file:
            file.write(content)
        assert path.read_bytes() == content
    with pytest.raises(ZeroDivisionError), files.atomic_write(path) as file:
        file.write(b"third")
        1 / 0  # noqa: B018
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_file_has_the_usual_permissions(tmp_path):
    with files.atomic_write(tmp_path / "atomic"):
        pass
    (tmp_path / "usual").touch()
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_write_error_names_the_file_and_the_reason(tmp_path):
    path = tmp_path / "a.csv"
    with pytest.raises(OutputError) as caught, files.write_errors(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(caught.value) == f"cannot write {path}: No space left on device"
    with pytest.raises(OutputError, match="a.csv: without a number"), files.write_errors(path):
        raise OSError("without a number")
    with pytest.raises(ValueError, match="something else"), files.write_errors(path):
        raise ValueError("something else")


def make_temporary_files(folder):
    for name in (
        ".gudi-1",
        ".gudi-folder/a",
        "kept",
        "below/.gudi-2",
        "below/.gudi-folder/.gudi-3",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_temporary_files_and_folders_are_removed_from_a_folder(tmp_path):
    folder, target = tmp_path / "folder", tmp_path / "target"
    make_temporary_files(folder)
    make_temporary_files(target)
    before = names_in(target)
    (folder / ".gudi-link").symlink_to(target)
    files.remove_temporary_files(folder)
    assert names_in(folder) == [
        "below", "below/.gudi-2", "below/.gudi-folder", "below/.gudi-folder/.gudi-3", "kept",
    ]  # fmt: skip
    assert names_in(target) == before
    files.remove_temporary_files(tmp_path / "missing", recursive=True)


def test_temporary_files_are_removed_at_any_depth_on_request(tmp_path):
    make_temporary_files(tmp_path)
    files.remove_temporary_files(tmp_path, recursive=True)
    assert names_in(tmp_path) == ["below", "below/.gudi-folder", "kept"]


def test_unwritable_folder_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    files.check_writable(tmp_path / "new" / "folder")
    for name, problem in {
        "file/folder": "file is a file, not a folder",
        "link": "it is a link to a missing file",
    }.items():
        with pytest.raises(OutputError, match=problem):
            files.check_writable(tmp_path / name)


def test_npy_file_grows_row_by_row_and_appears_complete_or_not_at_all(tmp_path):
    path, rows = tmp_path / "a.npy", np.arange(36, dtype=np.uint8).reshape(4, 3, 3)
    with pytest.raises(ZeroDivisionError), files.npy_file(path, (3, 3), np.uint8) as append:
        append(rows[0])
        1 / 0  # noqa: B018
    assert not list(tmp_path.iterdir())
    with files.npy_file(path, (3, 3), np.uint8) as append:
        for row in rows:
            append(row)
    np.testing.assert_array_equal(np.load(path), rows)
    assert list(tmp_path.iterdir()) == [path]

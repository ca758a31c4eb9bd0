"""Which checkpoint is meant by a path, a folder or a file."""

from __future__ import annotations

import os
import shutil

import pytest
from checkpoint_sets import DATA, beside, find, link_second, load, replace
from conftest import NAME
from tables import table

from gudi import checkpoint as checkpoints
from gudi.constants import CHECKPOINT_NAME
from gudi.errors import CheckpointError, CheckpointIncomplete, CheckpointNotFound

WINDOWS_STATE = (
    'model_checkpoint_path: "F:\\\\PyProjects\\\\emotion-recognition\\\\data\\\\{0}"\n'
    'all_model_checkpoint_paths: "F:\\\\PyProjects\\\\emotion-recognition\\\\data\\\\{0}"\n'
)


def test_name_of_checkpoints_is_the_originals():
    assert CHECKPOINT_NAME == NAME == "Gudi_model_100_epochs_20000_faces"


@pytest.mark.parametrize("given", ["", ".index", DATA, ".meta", "checkpoint", "folder"])
@pytest.mark.parametrize("state", ["as written", "copied to the bare name", "from Windows"])
def test_any_file_or_the_folder_stands_for_the_checkpoint(checkpoint, given, state):
    if state == "copied to the bare name":
        os.link(beside(checkpoint, DATA), checkpoint)
    if state == "from Windows":
        replace(checkpoint.with_name("checkpoint"), WINDOWS_STATE.format(NAME).encode())
    named = {"folder": checkpoint.parent, "checkpoint": checkpoint.with_name("checkpoint")}
    found = checkpoints.open_checkpoint(named.get(given, beside(checkpoint, given)))
    assert (found.prefix, found.format, found.recovered) == (checkpoint, "V2", "")
    assert set(checkpoints.weight_shapes()) <= set(found.tensors)


def test_folder_with_other_checkpoints_stands_for_the_one_with_the_originals_name(checkpoint):
    other = link_second(checkpoint, "emotion_recognition-34900")
    assert find(checkpoint.parent) == checkpoint
    assert find(other) == other


def test_folder_without_the_originals_name_stands_for_the_latest_or_only_one(checkpoint):
    first = link_second(checkpoint, "snapshot-349")
    second = link_second(checkpoint, "snapshot-698")
    for path in checkpoint.parent.glob(f"{NAME}*"):
        path.unlink()
    state = checkpoint.with_name("checkpoint")
    state.unlink()
    with pytest.raises(CheckpointNotFound, match=r"2 checkpoints, snapshot-349, snapshot-698"):
        find(checkpoint.parent)
    state.write_text(WINDOWS_STATE.format("snapshot-349"))
    assert find(checkpoint.parent) == first
    for path in checkpoint.parent.glob("snapshot-349*"):
        path.unlink()
    state.unlink()
    assert find(checkpoint.parent) == second


@pytest.mark.parametrize("trick", ["../../secret", "..", "/etc/passwd", "", "\\\\host\\share\\.."])
def test_state_file_cannot_name_another_folder(checkpoint, trick):
    state = checkpoint.with_name("checkpoint")
    replace(state, f'model_checkpoint_path: "{trick}"\n'.encode())
    assert find(state) == checkpoint


def test_state_file_of_a_million_empty_lines_is_searched_quickly(checkpoint):
    state = checkpoint.with_name("checkpoint")
    replace(state, b"\n" * 2**20)
    assert find(state) == checkpoint


@pytest.mark.parametrize("written", [r"D:\\gudi\\\346\227\247", r"D:\gudi\\旧", "旧", r"C:\旧"])
def test_state_file_may_name_the_checkpoint_with_or_without_escapes(checkpoint, written):
    for path in list(checkpoint.parent.iterdir()):
        if path.name.startswith(NAME):
            path.rename(path.with_name(path.name.replace(NAME, "旧")))
    link_second(checkpoint.with_name("旧"), "another")
    checkpoint.with_name("checkpoint").write_text(f'model_checkpoint_path: "{written}"\n')
    assert find(checkpoint.parent).name == "旧"


def test_state_file_may_name_a_v1_file_of_any_name(tmp_path):
    (tmp_path / "model.ckpt-900").write_bytes(table([]))
    state = tmp_path / "checkpoint"
    for text in ('model_checkpoint_path: "{}"', "\ufeffmodel_checkpoint_path: '{}'"):
        state.write_text(text.format("model.ckpt-900"), encoding="utf-8")
        assert find(tmp_path).name == find(state).name == "model.ckpt-900"


def test_folders_with_the_names_of_files_are_not_a_checkpoint(tmp_path):
    (tmp_path / NAME).mkdir()
    (tmp_path / f"{NAME}.index").mkdir()
    with pytest.raises(CheckpointNotFound, match="no checkpoint in"):
        checkpoints.open_checkpoint(tmp_path)


def test_folder_with_the_name_of_the_checkpoint_beside_it_is_ignored(checkpoint):
    checkpoint.mkdir()
    assert find(checkpoint) == checkpoint


def test_pipes_are_not_opened(checkpoint):
    for name in ("checkpoint", f"{NAME}.meta"):
        checkpoint.with_name(name).unlink()
        os.mkfifo(checkpoint.with_name(name))
    assert find(checkpoint.parent) == checkpoint
    beside(checkpoint, ".index").unlink()
    os.mkfifo(beside(checkpoint, ".index"))
    assert checkpoints.open_checkpoint(checkpoint.parent).format == "V2 without index"


def test_missing_checkpoint_is_an_error(tmp_path):
    with pytest.raises(CheckpointNotFound, match=r"no checkpoint in .*\.index"):
        find(tmp_path)
    with pytest.raises(CheckpointNotFound, match="no checkpoint at .*nothing"):
        find(tmp_path / "nothing")
    with pytest.raises(CheckpointNotFound, match="no checkpoint at"):
        find(tmp_path / "nowhere" / "nothing")


def test_error_about_a_wrong_name_lists_the_checkpoints_beside_it(checkpoint):
    with pytest.raises(CheckpointNotFound, match=f"contains {NAME}"):
        find(checkpoint.with_name("Gudi"))


def test_names_that_are_too_long_are_an_error(tmp_path):
    for path in (tmp_path / ("n" * 300), tmp_path / ("n" * 300) / NAME):
        with pytest.raises(CheckpointError, match="File name too long"):
            checkpoints.open_checkpoint(path)


def test_default_checkpoint_is_searched_in_the_documented_order(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "README.md").touch()
    assert find(environ={}).name == "default.gudi"
    shutil.copytree(checkpoint.parent, "data", copy_function=os.link)
    assert find(environ={}).as_posix() == f"data/{NAME}"
    shutil.copytree(checkpoint.parent, "checkpoints", copy_function=os.link, dirs_exist_ok=True)
    assert find(environ={}).as_posix() == f"checkpoints/{NAME}"
    assert find(environ={"GUDI_CHECKPOINT": str(checkpoint)}) == checkpoint
    with pytest.raises(CheckpointNotFound, match=r"\$GUDI_CHECKPOINT: no checkpoint at"):
        find(environ={"GUDI_CHECKPOINT": "elsewhere"})


def test_incomplete_default_checkpoint_is_an_error(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUDI_CHECKPOINT", raising=False)
    shutil.copytree(checkpoint.parent, "checkpoints", copy_function=os.link)
    shutil.copytree(checkpoint.parent, "data", copy_function=os.link)
    os.unlink(f"checkpoints/{NAME}{DATA}")
    with pytest.raises(CheckpointIncomplete, match="checkpoints"):
        load()


def test_packed_checkpoint_is_found_in_its_folder(narrow, tmp_path, monkeypatch):
    (tmp_path / "checkpoints").mkdir()
    shutil.copyfile(narrow, tmp_path / "checkpoints" / "mine.gudi")
    monkeypatch.chdir(tmp_path)
    assert find(environ={}).name == "mine.gudi"
    assert find("checkpoints").name == "mine.gudi"


def test_folder_may_contain_the_folder_of_the_checkpoint(checkpoint, tmp_path):
    outer = tmp_path / "unpacked"
    (outer / "__MACOSX").mkdir(parents=True)
    (outer / "__MACOSX" / f"._{NAME}.index").touch()
    shutil.copytree(checkpoint.parent, outer / "inner", copy_function=os.link)
    assert checkpoints.find(outer).prefix == outer / "inner" / NAME
    shutil.copytree(checkpoint.parent, outer / "other", copy_function=os.link)
    with pytest.raises(CheckpointNotFound, match="2 folders .* inner, other"):
        checkpoints.find(outer)

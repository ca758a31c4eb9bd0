"""Data sets and trainings that several tests share."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import call_gudi

from gudi.training.training_settings import read_recipe
from training.helpers import (
    QUICK,
    RECIPES,
    link_training,
    train_an_epoch,
    write_data,
    write_recipe,
)


@pytest.fixture
def work(tmp_path) -> Path:
    """A folder with a data set of 60 faces in `data/`."""
    write_data(tmp_path / "data" / "sf=1.1_data")
    return tmp_path


@pytest.fixture(scope="session")
def finished_training(tensorflow, tmp_path_factory) -> SimpleNamespace:
    """A finished training: its folder, its 60 faces in `data`, and how the command ended."""
    folder = tmp_path_factory.mktemp("finished")
    write_data(folder / "data" / "sf=1.1_data")
    settings = read_recipe(RECIPES / "augmented.toml") | read_recipe(QUICK[1])
    recipe = write_recipe(folder / "recipe.toml", **settings | {"learning_rate": 0.001})
    ended = call_gudi("train", "--recipe", recipe, "--epochs", "12", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return SimpleNamespace(ended=ended, data=folder / "data", out=folder / "checkpoints")


@pytest.fixture
def finished(finished_training, work) -> Path:
    """A copy of the finished training, in `checkpoints/` beside its faces in `data/`."""
    return link_training(finished_training.out, work / "checkpoints")


@pytest.fixture(scope="session")
def interrupted_training(tensorflow, tmp_path_factory) -> Path:
    """A training with momentum that was interrupted after at least an epoch."""
    folder = tmp_path_factory.mktemp("interrupted")
    write_data(folder / "data" / "sf=1.1_data")
    ended = train_an_epoch(folder, "checkpoints", *QUICK)
    assert ended.returncode == 130, ended.stderr
    return folder / "checkpoints"


@pytest.fixture
def interrupted(interrupted_training, work) -> Path:
    """A copy of the interrupted training, in `checkpoints/` beside its faces in `data/`."""
    return link_training(interrupted_training, work / "checkpoints")

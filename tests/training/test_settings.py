"""Recipes, learning rates and settings from `run.json`."""

from __future__ import annotations

import pytest

from gudi.training.settings import TrainingSettings, settings_for


def test_original_recipe_has_the_originals_settings():
    settings = settings_for("original", {}).to_json()
    expected = {
        "recipe": "original", "epochs": 100, "batch_size": 50, "optimizer": "momentum",
        "learning_rate": 0.001, "schedule": "constant", "decay": 1.0, "keep": 0.3,
        "keep_hidden": 1.0, "smoothing": 0.0, "variation": 0.0, "balance": 0.0, "average": 0.0,
        "units": 3072, "tensorboard_verbose": 0,
    }  # fmt: skip
    assert {name: settings[name] for name in expected} == expected


def test_changes_replace_only_what_is_given():
    settings = settings_for("augmented", {"epochs": 7, "seed": 0, "keep": None})
    assert (settings.epochs, settings.seed, settings.keep) == (7, 0, 0.4)


def test_cosine_learning_rate_rises_and_falls():
    settings = settings_for("augmented", {"epochs": 40})
    rates = [settings.learning_rate_at(epoch) for epoch in (0, 1, 2, 20, 39.99)]
    assert rates[0] == 0
    assert rates[1] < rates[2] <= settings.learning_rate
    assert rates[3] == pytest.approx(settings.learning_rate / 2)
    assert rates[4] < 1e-6


def test_constant_learning_rate_decays_once_per_epoch():
    assert settings_for("original", {"decay": 0.5}).learning_rate_at(3.7) == 0.001 / 8


def test_settings_survive_json():
    settings = settings_for("augmented", {"init": "a/b", "units": 8})
    assert TrainingSettings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    "values", [{"epochs": "9"}, {"seed": 1.5}, {"keep": True}, {"colour": 1}, [1], None]
)
def test_settings_of_the_wrong_type_are_refused(values):
    with pytest.raises((TypeError, ValueError)):
        TrainingSettings.from_json(values)

"""Settings and recipes of a training."""

from __future__ import annotations

import pytest
from conftest import call_gudi

from gudi.constants import EMOTIONS
from gudi.errors import UsageError
from gudi.training.training_settings import TrainingSettings, read_recipe
from training.helpers import RECIPES


def test_original_recipe_is_the_default():
    values = read_recipe(RECIPES / "original.toml")
    assert values | {"emotions": EMOTIONS} == TrainingSettings().values()  # the faces have them
    assert TrainingSettings(**values) == TrainingSettings()


@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*.toml")), ids=lambda path: path.stem)
def test_recipes_are_sound(path):
    assert read_recipe(path)["batch_size"] in (50, 128)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour = 1", "there is no setting colour; choose from epochs, batch_size"),
        ('"a\\nb" = 1', r"there is no setting a\nb; choose"),
        ("[units]\na = 1", "units must be a whole number from 1 up to 3,072. Received: {'a': 1}"),
        ('epochs = "9"', "epochs must be a whole number from 1 up to 100,000. Received: '9'"),
        ("seed = 1.5", "seed must be a whole number"),
        ("seed = true", "seed must be a whole number"),
        ("keep = 0", "keep must be a number above 0 up to 1. Received: 0"),
        ("ema_decay = 1", "ema_decay must be a number from 0 below 1. Received: 1"),
        ("learning_rate = nan", "learning_rate must be a number above 0"),
        ("learning_rate = inf", "learning_rate must be a number above 0"),
        (f"learning_rate = 1{'0' * 400}", "learning_rate must be a number above 0"),
        ('optimizer = "sgd"', "optimizer must be 'momentum' or 'adam'. Received: 'sgd'"),
        ("optimizer = ['adam']", "optimizer must be 'momentum' or 'adam'"),
        ('init = "a\\u0000b"', r"init must be a text. Received: 'a\x00b'"),
        ("teacher = 'a'", "teacher must be a list of texts. Received: 'a'"),
        ("teacher = [1]", "teacher must be a list of texts. Received: [1]"),
        ("units", "is not a TOML file: "),
        ("units = " + "[" * 30_000, "is not a TOML file: "),
        ("#" * 70_000, "is not a TOML file: it has more than 65,536 bytes"),
        ("\ud800", "is not a TOML file: "),
    ],
)
def test_recipe_that_is_not_allowed_is_one_line(tmp_path, text, message):
    path = tmp_path / "recipe.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UsageError) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_recipe_is_refused_before_anything_is_done(tmp_path):
    (tmp_path / "bad.toml").write_text("units = 0\n")
    for recipe, message in (
        ("bad.toml", "bad.toml: units must be a whole number from 1 up to 3,072. Received: 0"),
        ("none.toml", "cannot read none.toml: No such file or directory"),
    ):
        ended = call_gudi("train", "--recipe", recipe, cwd=tmp_path)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
        assert message in ended.stderr


def test_settings_may_be_whole_numbers_and_lists(tmp_path):
    (tmp_path / "recipe.toml").write_text('balance = 1\nteacher = ["a", "b"]\n')
    values = read_recipe(tmp_path / "recipe.toml")
    assert values == {"balance": 1.0, "teacher": ("a", "b")}
    assert isinstance(values["balance"], float)


def test_cosine_learning_rate_rises_and_falls():
    settings = TrainingSettings(epochs=40, schedule="cosine")
    rates = [settings.learning_rate_at(epoch) for epoch in (0, 1, 2, 20, 39.99)]
    assert rates[0] == 0
    assert rates[1] < rates[2] <= settings.learning_rate
    assert rates[3] == pytest.approx(settings.learning_rate / 2)
    assert rates[4] < 1e-6


def test_constant_learning_rate_decays_once_per_epoch():
    assert TrainingSettings(learning_rate_decay=0.5).learning_rate_at(3.7) == 0.001 / 8

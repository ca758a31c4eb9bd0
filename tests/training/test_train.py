"""`gudi train`: what it leaves behind, and how it is stopped, killed and resumed."""

from __future__ import annotations

import json
import shutil
import signal
import time

import cv2
import numpy as np
import pytest
from conftest import NAME, call_gudi, needs_tensorflow

from gudi import checkpoint as checkpoints
from gudi.predictor import Predictor
from gudi.training.dataset import load
from gudi.training.evaluate import evaluate
from gudi.training.training_settings import read_recipe
from training.helpers import (
    BATCHES,
    QUICK,
    curve,
    run_record,
    snapshots,
    start_training,
    train_an_epoch,
    wait_until,
    write_data,
    write_recipe,
)

pytestmark = needs_tensorflow


def step_of(snapshot) -> int:
    return int(snapshot.name.removeprefix("step-"))


def files_in(folder) -> list[str]:
    names = (str(path.relative_to(folder)) for path in folder.rglob("*"))
    return sorted(name for name in names if name != ".lock")


def test_finished_training_leaves_checkpoint_curve_logs_and_record(finished_training):
    ended, out = finished_training.ended, finished_training.out
    assert (ended.returncode, ended.stdout) == (0, f"checkpoints/{NAME}\n")
    assert sorted(path.name for path in out.iterdir() if path.name != ".lock") == [
        NAME, f"{NAME}.data-00000-of-00001", f"{NAME}.index", f"{NAME}.meta", "checkpoint",
        "learning_curve.csv", "learning_curve.png", "logs", "run.json", "snapshots",
    ]  # fmt: skip
    rows = curve(out)
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    # 54 of the 60 faces, 10 per batch, and those of rarer classes sometimes twice
    assert 12 * BATCHES <= int(rows[-1]["step"]) <= 12 * (BATCHES + 2)
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert cv2.imread(str(out / "learning_curve.png")).std() > 0
    record = run_record(out)
    assert (record["state"], record["epochs_done"]) == ("finished", 12)
    assert (record["faces"], record["validation_faces"]) == (54, 6)
    assert (record["settings"]["optimizer"], record["settings"]["seed"]) == ("adam", 42)
    assert len(record["fingerprints"]["data"]) == 64
    assert "epoch 12 of 12: loss " in ended.stderr
    assert "(n=6)" in ended.stderr


def test_finished_checkpoint_has_learned_and_is_complete(finished_training):
    out, data = finished_training.out, load(finished_training.data)
    with Predictor(out, "cpu") as predictor:
        probabilities = predictor.predict(data.faces)
    assert (probabilities.argmax(axis=1) == data.labels).mean() > 0.8
    file = checkpoints.open_checkpoint(out)
    assert checkpoints.inspect(out, verify=True).checksums == "good"
    hidden = file.read("FullyConnected/W")[0]
    assert np.abs(hidden[:, :16]).min(axis=0).max() > 0
    assert not hidden[:, 16:].any()
    assert file.read("Global_Step")[0] == int(curve(out)[-1]["step"])


def test_overwriting_replaces_training_and_checkpoint(finished):
    """With the original's optimizer, and thus with the momentum that the original saves."""
    work = finished.parent
    ended = call_gudi("train", *QUICK, "--overwrite", "--epochs", "2", cwd=work)
    assert ended.returncode == 0, ended.stderr
    assert len(curve(finished)) == 2
    assert run_record(finished)["settings"]["optimizer"] == "momentum"
    file = checkpoints.open_checkpoint(finished)
    assert file.read("Global_Step")[0] == 2 * BATCHES
    assert checkpoints.choose_network(file).optimizer == "momentum"
    momentum = file.read("FullyConnected/W/Momentum")[0]
    assert momentum[:, :16].any(axis=0).mean() > 0.9


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A training that SIGINT stopped: its folder, what it wrote to stderr, and its last step.

    It was started in a process of its own, with averages and with other validation faces.
    """
    work = tmp_path_factory.mktemp("stopped")
    write_data(work / "data" / "sf=1.1_data")
    write_data(work / "v_data", 21)
    recipe = write_recipe(work / "recipe.toml", ema_decay=0.9, **read_recipe(QUICK[1]))
    options = ("--validation", "v_data", "--recipe", recipe, "--epochs", "100000")
    process = start_training(work, *options)
    wait_until(lambda: len(snapshots(work / "checkpoints")) == 2, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    return work, errors, step_of(snapshots(work / "checkpoints")[-1])


def test_sigint_ends_a_training_with_a_snapshot_and_says_how_to_resume(stopped):
    work, errors, step = stopped
    out = work / "checkpoints"
    assert "repeat the command with --resume (--out checkpoints)" in errors
    assert step // BATCHES == len(curve(out))
    assert not (out / f"{NAME}.index").exists()


@pytest.fixture(scope="module")
def resumed(stopped):
    """The stopped training, resumed and finished: its folder, stderr, and first and last step."""
    work, _, step = stopped
    assert run_record(work / "checkpoints")["state"] == "interrupted"
    epochs = step // BATCHES + 2
    options = ("--validation", "v_data", "--recipe", "recipe.toml", "--epochs", epochs)
    ended = call_gudi("train", "--resume", *options, cwd=work)
    assert ended.returncode == 0, ended.stderr
    return work, ended.stderr, step, epochs * BATCHES


def test_resumed_training_continues_where_it_stopped(resumed):
    work, errors, first, last = resumed
    out, epochs = work / "checkpoints", last // BATCHES
    assert f"resuming at epoch {first // BATCHES + 1}, batch {first % BATCHES + 1}" in errors
    assert [int(row["epoch"]) for row in curve(out)] == list(range(1, epochs + 1))
    assert int(curve(out)[-1]["step"]) == last
    assert run_record(out)["resumed"] == [{"step": first, "changes": {"epochs": epochs}}]
    assert run_record(out)["state"] == "finished"
    assert (out / f"{NAME}.index").exists()


def test_resumed_training_equals_an_undisturbed_one(resumed):
    work, _, _, last = resumed
    options = ("--validation", "v_data", "--recipe", "recipe.toml", "--epochs", last // BATCHES)
    ended = call_gudi("train", *options, "--out", "undisturbed", cwd=work)
    assert ended.returncode == 0, ended.stderr
    one, other = (
        checkpoints.open_checkpoint(work / name) for name in ("checkpoints", "undisturbed")
    )
    assert set(one.tensors) == set(other.tensors)
    for name in one.tensors:
        np.testing.assert_array_equal(one.read(name)[0], other.read(name)[0], name)


def test_averages_are_what_is_validated_and_saved(resumed):
    work, *_ = resumed
    out = work / "checkpoints"
    with Predictor(out, "cpu") as predictor:
        measured = evaluate(predictor, load(work / "v_data"))
    last = curve(out)[-1]
    assert measured.loss == pytest.approx(float(last["validation_loss"]), rel=1e-4)
    trained = checkpoints.open_checkpoint(snapshots(out)[-1] / "variables")
    saved = checkpoints.open_checkpoint(out).read("Conv2D/W")[0]
    assert not np.array_equal(saved, trained.read("Conv2D/W")[0])
    np.testing.assert_array_equal(saved, trained.read("Conv2D/W/ExponentialMovingAverage")[0])


def test_sigint_ends_a_training_whose_epochs_have_one_batch(work):
    recipe = write_recipe(work / "recipe.toml", **read_recipe(QUICK[1]) | {"batch_size": 100})
    process = start_training(work, "--recipe", recipe, "--epochs", "100000")
    wait_until(lambda: snapshots(work / "checkpoints"), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors


def test_running_training_locks_its_folder_until_sigterm_ends_it(work):
    out = work / "checkpoints"
    process = start_training(work, "--epochs", "100000")
    wait_until(lambda: snapshots(out), process)
    for option in ("--resume", "--overwrite"):
        ended = call_gudi("train", *QUICK, "--epochs", "100000", option, cwd=work)
        assert ended.returncode == 1
        assert "is in use: another training writes to it" in ended.stderr
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "repeat the command with --resume (--out checkpoints)" in errors
    assert run_record(out)["state"] == "interrupted"
    step = step_of(snapshots(out)[-1])
    ended = train_an_epoch(work, "checkpoints", "--resume")
    assert ended.returncode == 130, ended.stderr
    assert f"resuming at epoch {step // BATCHES + 1}, batch {step % BATCHES + 1}" in ended.stderr
    assert [int(row["epoch"]) for row in curve(out)] == list(range(1, len(curve(out)) + 1))
    assert run_record(out)["resumed"] == [{"step": step, "changes": {}}]


def test_killed_training_loses_an_epoch_at_most(work):
    out = work / "checkpoints"
    known = 0
    for option, wait in ((), 0.0), (("--resume",), 0.4), (("--resume",), 0.9):
        process = start_training(work, *option, "--epochs", "100000")
        wait_until(
            lambda known=known: (
                (out / "learning_curve.csv").exists() and len(curve(out)) > known + 1
            ),
            process,
        )
        time.sleep(wait)
        process.kill()
        process.communicate()
        known = len(curve(out))
        assert [int(row["epoch"]) for row in curve(out)] == list(range(1, known + 1))
        assert len(snapshots(out)) >= 2
    # What a power cut can do to the newest snapshot.
    newest = snapshots(out)[-1]
    data = next(newest.glob("*.data*"))
    data.write_bytes(data.read_bytes()[:1000])
    ended = call_gudi("train", "--resume", "--epochs", known + 1, cwd=work)
    assert ended.returncode == 0, ended.stderr
    assert f"cannot use {newest.relative_to(work)}" in ended.stderr
    assert [int(row["epoch"]) for row in curve(out)] == list(range(1, known + 2))
    assert not list(out.glob(".gudi-*"))
    assert checkpoints.inspect(out, verify=True).usable


@pytest.mark.parametrize(
    ("batch_size", "epochs"),
    [(10, 50), (100, 1)],  # of one batch, the only step is the one that diverges
)
def test_training_that_diverges_is_an_error(work, batch_size, epochs):
    recipe = write_recipe(
        work / "recipe.toml", learning_rate=1e30, units=16, batch_size=batch_size, epochs=epochs
    )
    ended = call_gudi("train", "--recipe", recipe, cwd=work)
    assert ended.returncode == 1, ended.stderr
    assert ("the loss became " in ended.stderr) == (batch_size == 10)
    assert "the learning rate (1e+30) is too high" in ended.stderr
    assert run_record(work / "checkpoints")["state"] == "diverged"
    assert not (work / "checkpoints" / f"{NAME}.index").exists()


def test_options_that_cannot_work_cost_nothing(finished, made):
    work, before = finished.parent, files_in(finished)
    taught = write_recipe(work / "recipe.toml", teacher=["nowhere"], units=16)
    for options, code, message in (
        (("--device", "gpu:9"), 1, "gpu:9"),
        (("--device", "gpuu"), 2, "gpuu"),
        (("--init", "nowhere"), 1, "nowhere"),
        (("--init", made[0]), 2, "uses 3072 hidden units: units = 16 is too low"),
        (("--recipe", taught), 1, "nowhere"),
        (("--resume",), 2, "--resume"),
    ):
        ended = call_gudi("train", *QUICK, "--overwrite", *options, cwd=work)
        assert ended.returncode == code, ended.stderr
        assert message in ended.stderr
        assert files_in(finished) == before
    assert run_record(finished)["state"] == "finished"
    assert call_gudi("train", "--device", "gpuu", "--out", "new", cwd=work).returncode == 2
    assert not list((work / "new").glob("*.json"))


def test_finished_training_without_snapshots_is_not_started_over(finished):
    work = finished.parent
    ended = call_gudi("train", "--resume", "--epochs", "11", cwd=work)
    assert ended.returncode == 2
    assert "has 12 finished epochs" in ended.stderr
    shutil.rmtree(finished / "snapshots")
    ended = call_gudi("train", "--resume", "--epochs", "13", cwd=work)
    assert ended.returncode == 1
    assert "has no usable snapshot, although 12 epochs are finished" in ended.stderr
    assert len(curve(finished)) == 12
    (finished / "run.json").write_text("{}")
    ended = call_gudi("train", "--resume", cwd=work)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "cannot read checkpoints/run.json" in ended.stderr


def test_training_without_an_epoch_is_resumed_from_the_start(interrupted):
    """As if it was killed in its first epoch."""
    work = interrupted.parent
    shutil.rmtree(interrupted / "snapshots")
    record = run_record(interrupted) | {"epochs_done": 0, "last_epoch": None}
    (interrupted / "run.json").write_text(json.dumps(record))
    ended = train_an_epoch(work, "checkpoints", "--resume")
    assert ended.returncode == 130, ended.stderr
    assert "there is no snapshot yet" in ended.stderr
    assert curve(interrupted)[0]["epoch"] == "1"
    assert run_record(interrupted)["resumed"] == []


def test_changes_that_would_make_it_another_training_are_refused(interrupted):
    work, before = interrupted.parent, files_in(interrupted)
    write_data(work / "other_data", 30)
    faster = write_recipe(work / "recipe.toml", learning_rate=0.5)
    for arguments, code, message in (
        (("--resume", "--recipe", faster), 2,
         "was started with learning_rate 0.001, which cannot change to 0.5"),
        (("--resume", "--data", "other_data"), 1, "was started with other faces"),
        (QUICK, 1, "already holds a training"),
        (("--resume", "--out", "nowhere"), 1,
         "nowhere holds no training to resume: it has no run.json"),
    ):  # fmt: skip
        ended = call_gudi("train", *arguments, cwd=work)
        assert ended.returncode == code
        assert message in ended.stderr
    assert files_in(interrupted) == before


def test_checkpoint_of_somebody_else_is_not_replaced(work):
    (work / "checkpoints").mkdir()
    (work / "checkpoints" / f"{NAME}.index").write_text("mine")
    ended = call_gudi("train", *QUICK, "--epochs", "1", cwd=work)
    assert ended.returncode == 1
    assert "already contains a checkpoint of that name" in ended.stderr
    assert not list((work / "checkpoints").glob("*.json"))
    assert (work / "checkpoints" / f"{NAME}.index").read_text() == "mine"


def test_several_data_sets_are_joined_and_validation_faces_may_be_others(work):
    write_data(work / "v_data", 21)
    write_data(work / "more_data", 30)
    options = ("--validation", "v_data", "--data", "data", "--data", "more_data")
    ended = train_an_epoch(work, "checkpoints", *QUICK, *options)
    assert ended.returncode == 130, ended.stderr
    record = run_record(work / "checkpoints")
    assert (record["faces"], record["validation_faces"]) == (90, 21)
    assert "(n=21)" in ended.stderr


def test_training_starts_with_the_weights_of_another(finished):
    work = finished.parent
    first = checkpoints.open_checkpoint(finished).read("FullyConnected/W")[0]
    still = {"learning_rate": 1e-9, "batch_size": 10, "init": "checkpoints"}
    recipe = write_recipe(work / "recipe.toml", units=20, **still)
    ended = train_an_epoch(work, "second", "--recipe", recipe)
    assert ended.returncode == 130, ended.stderr
    variables = checkpoints.open_checkpoint(snapshots(work / "second")[-1] / "variables")
    second = variables.read("FullyConnected/W")[0]
    assert second.shape[1] == 20
    np.testing.assert_allclose(second[:, :16], first[:, :16], atol=1e-6)
    assert run_record(work / "second")["settings"]["init"] == "checkpoints"

    narrow = write_recipe(work / "recipe.toml", units=8)
    command = ("train", "--recipe", narrow, "--init", "checkpoints", "--out", "third")
    ended = call_gudi(*command, cwd=work)
    assert ended.returncode == 2
    assert "uses 16 hidden units: units = 8 is too low" in ended.stderr
    assert not list((work / "third").glob("*.json"))


def test_teacher_is_recorded(work, made):
    settings = {"teacher": [str(made[0])], **read_recipe(QUICK[1])}
    recipe = write_recipe(work / "recipe.toml", **settings)
    ended = train_an_epoch(work, "checkpoints", "--recipe", recipe)
    assert ended.returncode == 130, ended.stderr
    assert run_record(work / "checkpoints")["settings"]["teacher"] == [str(made[0])]


def test_missing_data_set_is_an_error(tmp_path):
    ended = call_gudi("train", cwd=tmp_path)
    assert ended.returncode == 1
    missing = "no data set at data: there is neither a folder nor data_images.npy; create one"
    assert missing in ended.stderr
    assert list(tmp_path.iterdir()) == []

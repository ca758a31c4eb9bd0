"""Training: snapshots, interruptions, and what it leaves behind."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from conftest import NAME, gudi_environment, interruptible, run_gudi, small_face

from gudi import checkpoint as checkpoints
from gudi.predictor import Predictor
from gudi.progress import Progress
from gudi.training import train
from gudi.training.augment import augment
from gudi.training.dataset import load, split
from gudi.training.evaluate import evaluate
from gudi.training.train import settings_for

# A narrow hidden layer makes a step of 10 faces take milliseconds.
QUICK = ("--units", "16", "--batch-size", "10", "--learning-rate", "0.001")


def write_data(prefix, count=60):
    """Write faces that are easy to tell apart: each class has a bright square at its own place."""
    random = np.random.default_rng(3)
    labels = np.arange(count) % 7
    images = random.integers(0, 60, (count, 48, 48)).astype(np.uint8)
    for image, label in zip(images, labels):
        row, column = divmod(int(label), 3)
        image[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] += 180
    prefix.parent.mkdir(parents=True, exist_ok=True)
    np.save(f"{prefix}_images.npy", images / 255.0)
    np.save(f"{prefix}_labels.npy", np.eye(7)[labels])


@pytest.fixture
def work(tmp_path):
    """A folder with a data set in `data/`."""
    write_data(tmp_path / "data" / "sf=1.1_data")
    return tmp_path


def curve(folder):
    with (folder / "learning_curve.csv").open() as file:
        return list(csv.DictReader(file))


def account(folder):
    return json.loads((folder / "run.json").read_text())


def test_train_leaves_a_whole_checkpoint_that_has_learned(work):
    done = run_gudi("train", "--recipe", "augmented", *QUICK, "--epochs", "12", cwd=work)
    assert (done.returncode, done.stdout) == (0, f"checkpoints/{NAME}\n"), done.stderr
    out = work / "checkpoints"
    assert sorted(path.name for path in out.iterdir() if path.name != ".lock") == [
        NAME, f"{NAME}.data-00000-of-00001", f"{NAME}.index", f"{NAME}.meta", "checkpoint",
        "learning_curve.csv", "learning_curve.png", "logs", "run.json", "snapshots",
    ]  # fmt: skip
    rows = curve(out)
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    # 54 of the 60 faces, 10 a batch, and those of rarer classes sometimes twice
    assert 12 * 6 <= int(rows[-1]["step"]) <= 12 * 8
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert cv2.imread(str(out / "learning_curve.png")).std() > 0
    run = account(out)
    assert (run["state"], run["epochs_done"]) == ("finished", 12)
    assert (run["faces"], run["validation_faces"]) == (54, 6)
    assert run["settings"]["recipe"] == "augmented"
    assert len(run["fingerprints"]["data"]) == 64
    assert "epoch 12 of 12: loss " in done.stderr
    assert "(n=6)" in done.stderr

    data = load(work / "data")
    with Predictor(out, "cpu") as predictor:
        probabilities = predictor.predict(data.faces)
    assert (probabilities.argmax(axis=1) == data.labels).mean() > 0.8
    file = checkpoints.open_checkpoint(out)
    assert checkpoints.inspect(out, verify=True)["checksums"] == "good"
    hidden = file.read("FullyConnected/W")[0]
    assert np.abs(hidden[:, :16]).min(axis=0).max() > 0
    assert not hidden[:, 16:].any()
    assert file.read("Global_Step")[0] == int(rows[-1]["step"])


def test_the_original_recipe_uses_the_whole_network(work):
    write_data(work / "small_data", 20)
    done = run_gudi("train", "--data", "small_data", "--epochs", "1", cwd=work)
    assert done.returncode == 0, done.stderr
    run = account(work / "checkpoints")
    expected = {
        "recipe": "original", "epochs": 1, "batch_size": 50, "optimizer": "momentum",
        "learning_rate": 0.001, "schedule": "constant", "decay": 1.0, "keep": 0.3,
        "smoothing": 0.0, "variation": 0.0, "average": 0.0, "units": 3072,
    }  # fmt: skip
    assert {name: run["settings"][name] for name in expected} == expected
    file = checkpoints.open_checkpoint(work / "checkpoints")
    assert checkpoints.choose_network(file).optimizer == "momentum"
    assert file.read("FullyConnected/W/Momentum")[0].any(axis=0).mean() > 0.9


def test_a_step_is_tflearns(made):
    """The same weights and faces: what `DNN.fit` makes of them, and what our step does."""
    from gudi import network

    tf, tflearn = network.tf, network.tflearn
    faces = made[1][..., None] / 255.0
    labels = np.eye(7)[np.arange(20) % 7]
    built = network.build(training=True, keep=1.0)
    with network.quiet(), built.graph.as_default():
        model = tflearn.DNN(built.probabilities)
        model.load(str(made[0]))
        for _ in range(3):
            model.fit(faces, labels, n_epoch=1, batch_size=20, show_metric=False, shuffle=False)
        expected = model.session.run(built.weights)
        model.session.close()

    trainer = network.build_trainer(keep=1.0)
    file = checkpoints.open_checkpoint(made[0])
    with tf.Session(graph=trainer.network.graph) as session:
        session.run(trainer.network.training_mode.initializer)
        for name, variable in trainer.state.items():
            start = {variable.initializer.inputs[1]: file.read(name)[0]}
            session.run(variable.initializer, start)
        session.run(trainer.network.training_mode.assign(True))
        feed = {trainer.network.faces: faces, trainer.labels: labels, trainer.learning_rate: 0.001}
        for _ in range(3):
            session.run(trainer.step, feed)
        ours = session.run(trainer.network.weights)
    before = file.read("Conv2D/W")[0]
    assert np.abs(ours["Conv2D/W"] - before).max() > 1e-5
    for name, values in expected.items():
        np.testing.assert_allclose(ours[name], values, atol=1e-6, rtol=1e-4, err_msg=name)


def start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "gudi", "train", *QUICK, *arguments],
        cwd=folder,
        env=gudi_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
    )


def wait_for(there, process):
    deadline = time.monotonic() + 120
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_goes_on_where_it_was(work, number):
    out = work / "checkpoints"
    process = start(work, "--epochs", "100000")
    wait_for(lambda: len(list(out.glob("snapshots/step-*"))) == 2, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "the same command with --resume goes on" in errors
    assert account(out)["state"] == "interrupted"
    step = max(int(path.name[5:]) for path in out.glob("snapshots/step-*"))
    epochs = step // 6 + 2
    done = run_gudi("train", "--resume", "--epochs", epochs, cwd=work)
    assert done.returncode == 0, done.stderr
    assert f"goes on with epoch {step // 6 + 1}, batch {step % 6 + 1}" in done.stderr
    assert [int(row["epoch"]) for row in curve(out)] == list(range(1, epochs + 1))
    assert int(curve(out)[-1]["step"]) == epochs * 6
    assert account(out)["resumed"] == [{"step": step, "changes": {"epochs": epochs}}]
    assert (work / "checkpoints" / f"{NAME}.index").exists()


def test_a_killed_training_loses_an_epoch_at_most(work):
    out = work / "checkpoints"
    process = start(work, "--epochs", "100000")
    for wait in (0.0, 0.4, 0.9):
        wait_for(lambda: len(list(out.glob("snapshots/step-*"))) >= 2, process)
        time.sleep(wait)
        process.kill()
        process.communicate()
        known = len(curve(out))
        process = start(work, "--resume", "--epochs", "100000")
        wait_for(lambda known=known: len(curve(out)) > known + 1, process)
        assert [int(row["epoch"]) for row in curve(out)] == list(range(1, len(curve(out)) + 1))
    process.kill()
    process.communicate()
    # What a machine that loses power can do to the newest one.
    newest = max(out.glob("snapshots/step-*"))
    data = next(newest.glob("*.data*"))
    data.write_bytes(data.read_bytes()[:1000])
    done = run_gudi("train", "--resume", "--epochs", len(curve(out)) + 1, cwd=work)
    assert done.returncode == 0, done.stderr
    assert f"{newest.relative_to(work)} cannot be used" in done.stderr
    assert not list(out.glob(".gudi-*"))
    assert checkpoints.inspect(out, verify=True)["usable"]


def test_a_training_that_diverges_says_so(work):
    done = run_gudi(
        "train", "--learning-rate", "1e30", "--units", "16", "--batch-size", "10", "--epochs", "50",
        cwd=work,
    )  # fmt: skip
    assert done.returncode == 1
    assert "the loss became " in done.stderr
    assert "is too high" in done.stderr
    assert account(work / "checkpoints")["state"] == "diverged"
    assert not (work / "checkpoints" / f"{NAME}.index").exists()


def test_the_last_step_may_be_the_one_that_diverges(work):
    done = run_gudi(
        "train", *QUICK[:2], "--batch-size", "100", "--learning-rate", "1e30", "--epochs", "1",
        cwd=work,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "is too high" in done.stderr
    assert not (work / "checkpoints" / f"{NAME}.index").exists()


def test_nothing_is_lost_to_a_training_that_cannot_begin(work):
    assert run_gudi("train", *QUICK, "--epochs", "1", cwd=work).returncode == 0
    before = sorted(path.name for path in (work / "checkpoints").rglob("*"))
    for device, code in (("gpu:9", 1), ("gpuu", 2)):
        done = run_gudi("train", *QUICK, "--overwrite", "--device", device, cwd=work)
        assert done.returncode == code, done.stderr
        assert sorted(path.name for path in (work / "checkpoints").rglob("*")) == before
    assert account(work / "checkpoints")["state"] == "finished"
    done = run_gudi("train", "--resume", "--overwrite", cwd=work)
    assert done.returncode == 2
    done = run_gudi("train", *QUICK, "--device", "gpuu", "--out", "new", cwd=work)
    assert not list((work / "new").glob("*.json"))


def test_without_snapshots_a_finished_training_is_not_begun_anew(work):
    assert run_gudi("train", *QUICK, "--epochs", "2", cwd=work).returncode == 0
    done = run_gudi("train", "--resume", "--epochs", "1", cwd=work)
    assert done.returncode == 2
    assert "has 2 epochs done already" in done.stderr
    shutil.rmtree(work / "checkpoints" / "snapshots")
    done = run_gudi("train", "--resume", "--epochs", "3", cwd=work)
    assert done.returncode == 1
    assert "holds no snapshot that can be used, though 2 epochs were done" in done.stderr
    assert len(curve(work / "checkpoints")) == 2
    for content in ("{}", "no json", '{"settings": {"epochs": "9"}}'):
        (work / "checkpoints" / "run.json").write_text(content)
        done = run_gudi("train", "--resume", cwd=work)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "run.json cannot be read" in done.stderr


def test_two_trainings_do_not_share_a_folder(work):
    process = start(work, "--epochs", "100000")
    wait_for(lambda: list(work.glob("checkpoints/snapshots/step-*")), process)
    for option in ("--resume", "--overwrite"):
        done = run_gudi("train", *QUICK, "--epochs", "100000", option, cwd=work)
        assert done.returncode == 1
        assert "is in use: another training writes to it" in done.stderr
    process.kill()
    process.communicate()


def test_what_must_not_change_when_a_training_goes_on(work):
    assert run_gudi("train", *QUICK, "--epochs", "1", cwd=work).returncode == 0
    done = run_gudi("train", "--resume", "--learning-rate", "0.5", cwd=work)
    assert done.returncode == 2
    assert "was begun with learning_rate 0.001, not 0.5" in done.stderr
    write_data(work / "other_data", 30)
    done = run_gudi("train", "--resume", "--data", "other_data", cwd=work)
    assert done.returncode == 1
    assert "was begun with other faces" in done.stderr
    done = run_gudi("train", *QUICK, cwd=work)
    assert done.returncode == 1
    assert "holds a training already" in done.stderr
    done = run_gudi("train", "--resume", "--out", "nowhere", cwd=work)
    assert done.returncode == 1
    assert "nowhere holds no training to go on with" in done.stderr
    done = run_gudi("train", *QUICK, "--overwrite", "--epochs", "2", cwd=work)
    assert done.returncode == 0, done.stderr
    assert len(curve(work / "checkpoints")) == 2


def test_a_checkpoint_that_is_there_is_not_replaced(work):
    (work / "checkpoints").mkdir()
    (work / "checkpoints" / f"{NAME}.index").write_text("mine")
    done = run_gudi("train", *QUICK, "--epochs", "1", cwd=work)
    assert done.returncode == 1
    assert "already contains a checkpoint of that name" in done.stderr
    assert not list((work / "checkpoints").glob("*.json"))
    assert (work / "checkpoints" / f"{NAME}.index").read_text() == "mine"


def test_other_validation_faces_and_several_sets(work):
    write_data(work / "v_data", 21)
    write_data(work / "more_data", 30)
    done = run_gudi(
        "train", *QUICK, "--epochs", "1", "--validation", "v_data", "--data", "data", "--data",
        "more_data", cwd=work,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = account(work / "checkpoints")
    assert (run["faces"], run["validation_faces"]) == (90, 21)


def test_a_training_begins_with_the_weights_of_another(work):
    assert run_gudi("train", *QUICK, "--epochs", "1", "--out", "first", cwd=work).returncode == 0
    first = checkpoints.open_checkpoint(work / "first").read("FullyConnected/W")[0]
    small = ("--learning-rate", "1e-9", "--epochs", "1", "--batch-size", "10")
    done = run_gudi("train", *small, "--units", "20", "--init", "first", cwd=work)
    assert done.returncode == 0, done.stderr
    second = checkpoints.open_checkpoint(work / "checkpoints").read("FullyConnected/W")[0]
    np.testing.assert_allclose(second[:, :16], first[:, :16], atol=1e-6)
    assert account(work / "checkpoints")["settings"]["init"] == "first"

    done = run_gudi("train", *small, "--units", "8", "--init", "first", "--out", "third", cwd=work)
    assert done.returncode == 2
    assert "uses 16 hidden units, more than --units 8" in done.stderr
    done = run_gudi("train", *small, "--init", "nowhere", "--out", "third", cwd=work)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert not list((work / "third").glob("*.json"))


def test_averages_are_what_is_measured_and_written(work):
    write_data(work / "v_data", 21)
    options = ("--validation", "v_data", "--average", "0.9")
    done = run_gudi("train", *QUICK, *options, "--epochs", "2", cwd=work)
    assert done.returncode == 0, done.stderr
    done = run_gudi("train", "--resume", *options, "--epochs", "3", cwd=work)
    assert done.returncode == 0, done.stderr
    with Predictor(work / "checkpoints", "cpu") as predictor:
        measured = evaluate(predictor, load(work / "v_data"))
    last = curve(work / "checkpoints")[-1]
    assert measured.loss == pytest.approx(float(last["validation_loss"]), rel=1e-4)
    snapshot = max((work / "checkpoints" / "snapshots").iterdir())
    trained = checkpoints.open_checkpoint(snapshot / "variables")
    written = checkpoints.open_checkpoint(work / "checkpoints").read("Conv2D/W")[0]
    assert not np.array_equal(written, trained.read("Conv2D/W")[0])
    np.testing.assert_array_equal(written, trained.read("Conv2D/W/ExponentialMovingAverage")[0])


def test_a_teachers_answers_are_half_of_each_label(work, made):
    data = load(work / "data")
    answers = train._answers(str(made[0]), data, "cpu", Progress())
    with Predictor(made[0], "cpu") as predictor:
        mirrored = np.ascontiguousarray(data.faces[:, :, ::-1])
        expected = (predictor.predict(data.faces) + predictor.predict(mirrored)) / 2
    np.testing.assert_allclose(answers, expected, atol=1e-6)
    targets = train._targets(data.labels, 0.07, answers)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(targets[1], 0.5 * answers[1] + 0.005 + 0.465 * np.eye(7)[1], 1e-5)

    done = run_gudi("train", *QUICK, "--epochs", "1", "--teacher", made[0], cwd=work)
    assert done.returncode == 0, done.stderr
    assert account(work / "checkpoints")["settings"]["teacher"] == str(made[0])


@pytest.mark.parametrize("level", [0, 3])
def test_what_tensorboard_shows(work, level):
    done = run_gudi(
        "train", *QUICK, "--epochs", "2", "--tensorboard-verbose", level, "--precision", "bfloat16",
        cwd=work,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    from gudi.network import tf

    (events,) = (work / "checkpoints" / "logs" / "FER").iterdir()
    tags = {}
    for event in tf.train.summary_iterator(str(events)):
        for value in event.summary.value:
            tags.setdefault(value.tag, []).append(event.step)
    assert tags["Loss"] == tags["Accuracy"] == list(range(1, 13))
    assert tags["Loss/Validation"] == tags["Accuracy/Validation"] == [6, 12]
    assert ("Conv2D/W/gradient" in tags, "Conv2D/W/values" in tags) == (level == 3, level == 3)
    assert any("sparsity" in tag for tag in tags) == (level == 3)


def test_no_data(tmp_path):
    done = run_gudi("train", cwd=tmp_path)
    assert done.returncode == 1
    assert "no data set at data: neither a folder nor data_images.npy; gudi prep" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_split_is_the_originals(work):
    from sklearn.model_selection import train_test_split

    data = load(work / "data")
    kept, held_back = split(data)
    expected = train_test_split(data.faces, data.labels, random_state=42, test_size=0.1)
    for ours, theirs in zip((kept.faces, held_back.faces, kept.labels, held_back.labels), expected):
        np.testing.assert_array_equal(ours, theirs)


def test_variations_stay_faces():
    faces = np.stack([small_face(number) / np.float32(255) for number in range(40)])
    varied = augment(faces, np.random.default_rng(1))
    assert (varied.shape, varied.dtype) == ((40, 48, 48), np.float32)
    assert 0 <= varied.min() < varied.max() <= 1
    again = augment(faces, np.random.default_rng(1))
    np.testing.assert_array_equal(varied, again)
    assert len({each.tobytes() for each in varied}) == 40
    assert abs(varied.mean() - faces.mean()) < 0.1

    less = augment(faces, np.random.default_rng(1), 0.01)
    for number in range(40):
        difference = min(np.abs(less[number] - faces[number][:, ::step]).mean() for step in (1, -1))
        assert 0 < difference < 0.02


def test_the_learning_rate_rises_and_falls():
    settings = settings_for("augmented", {"epochs": 40})
    rates = [settings.rate(epoch) for epoch in (0, 1, 2, 20, 39.99)]
    assert rates[0] == 0
    assert rates[1] < rates[2] <= settings.learning_rate
    assert rates[3] == pytest.approx(settings.learning_rate / 2)
    assert rates[4] < 1e-6
    assert settings_for("original", {"decay": 0.5}).rate(3.7) == 0.001 / 8

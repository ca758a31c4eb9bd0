"""Genuine checkpoints of every age, whole, renamed, and with files missing."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import NAME, ROOT, run_gudi

from gudi import checkpoint as checkpoints
from gudi.checkpoint import write
from gudi.errors import (
    CheckpointCorrupt,
    CheckpointError,
    CheckpointForeign,
    CheckpointIncomplete,
    OutputError,
)
from gudi.predictor import Predictor

V2_SETS = [
    "tf0.12-tflearn0.2.1-v2",
    "tf1.4-tflearn0.3.2-v2",
    "tf1.15-tflearn0.3.2-v2",
    "tf1.15-tflearn0.3.2-adam",
]
V1_SET = "tf0.12-tflearn0.2.1-v1"
DATA = ".data-00000-of-00001"

# What became of a set: the new ending of each file by its old one; what is not named is gone.
STATES = {
    "as written": {".index": ".index", DATA: DATA, ".meta": ".meta"},
    "data moved to the bare name": {".index": ".index", DATA: "", ".meta": ".meta"},
    "data cut to .data": {".index": ".index", DATA: ".data"},
    "with a step": {".index": "-34900.index", DATA: f"-34900{DATA}", ".meta": "-34900.meta"},
    "without .meta": {".index": ".index", DATA: DATA},
    "only the data": {DATA: DATA},
    "only the data, by its bare name": {DATA: ""},
    "only the data, as .data": {DATA: ".data"},
}


def into_state(folder: Path, target: Path, state: dict[str, str], name: str = NAME) -> Path:
    """Link the files of the checkpoint in `folder` into `target` as `state` says."""
    target.mkdir()
    for old, new in state.items():
        os.link(folder / f"{NAME}{old}", target / f"{name}{new}")
    return target


def predict(checkpoint, faces, **options):
    with Predictor(checkpoint, "cpu", batch_size=64, **options) as predictor:
        return predictor.predict(faces), predictor.recovered


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", V2_SETS)
def test_every_v2_set_in_every_state(unpack, shared, tmp_path, name, state):
    folder = unpack(name)
    target = into_state(folder, tmp_path / "set", STATES[state])
    probabilities, recovered = predict(target, np.load(shared / "oracle" / "faces_u8.npy"))
    np.testing.assert_allclose(probabilities, np.load(folder / "expected.npy"), atol=1e-5, rtol=0)
    assert bool(recovered) == (state.startswith(("only", "data")))
    if state.startswith("only"):
        assert "recovered from the size and contents" in recovered
    assert len(list(target.iterdir())) == len(STATES[state]), "the source was changed"


@pytest.mark.parametrize("bare", [NAME, "model", f"{NAME}-34900", f"{NAME}{DATA}", "m.data"])
def test_the_v1_file(unpack, shared, tmp_path, bare):
    folder = unpack(V1_SET)
    target = into_state(folder, tmp_path / "set", {"": ""}, bare)
    given = target if bare == NAME else target / bare
    probabilities, recovered = predict(given, np.load(shared / "oracle" / "faces_u8.npy"))
    assert ("of the V1 format" in recovered) == (".data" in bare)
    np.testing.assert_allclose(probabilities, np.load(folder / "expected.npy"), atol=1e-5, rtol=0)


def test_v1_and_v2_of_the_same_network_have_the_same_fingerprint(unpack):
    fingerprints = set()
    for name in (V1_SET, V2_SETS[0]):
        file = checkpoints.open_checkpoint(unpack(name))
        fingerprints.add(
            checkpoints.read_weights(file, checkpoints.choose_network(file)).fingerprint
        )
    assert len(fingerprints) == 1


def test_a_published_set_without_its_data(shared):
    with pytest.raises(CheckpointIncomplete, match=rf"{DATA} is missing; .* 455,064,145 bytes"):
        checkpoints.open_checkpoint(shared / "legacy" / "wild")


def test_a_whole_copy_stands_in_for_a_data_file_that_was_cut_short(made, tmp_path):
    target = into_state(made[0].parent, tmp_path / "set", STATES["as written"])
    shutil.move(target / f"{NAME}{DATA}", target / NAME)
    (target / f"{NAME}{DATA}").write_bytes(b"half uploaded")
    probabilities, recovered = predict(target, made[1])
    np.testing.assert_allclose(probabilities, made[2], atol=1e-5, rtol=0)
    assert f"found in {NAME} instead of" in recovered


@pytest.mark.parametrize("other", [V1_SET, "tf1.15-tflearn0.3.2-adam", "tf1.15-tflearn0.3.2-v2"])
def test_an_index_of_another_set_does_no_harm(unpack, shared, tmp_path, other):
    index = unpack(V2_SETS[0]) / f"{NAME}.index"
    folder, target = unpack(other), tmp_path / "set"
    into_state(folder, target, {"": ""} if other == V1_SET else {DATA: DATA})
    shutil.copyfile(index, target / f"{NAME}.index")
    probabilities, recovered = predict(target, np.load(shared / "oracle" / "faces_u8.npy"))
    np.testing.assert_allclose(probabilities, np.load(folder / "expected.npy"), atol=1e-5, rtol=0)
    assert recovered.startswith(f"{NAME}.index belongs to another checkpoint and was not used")


def test_a_whole_copy_stands_in_for_a_data_file_with_a_wrong_checksum(made, tmp_path):
    target = into_state(made[0].parent, tmp_path / "set", STATES["as written"])
    shutil.copyfile(target / f"{NAME}{DATA}", target / NAME)
    with (target / NAME).open("r+b") as file:
        place = checkpoints.open_checkpoint(made[0]).tensors["Conv2D_1/W"].offset
        file.seek(place)
        file.write(b"what a disk does")
    (target / f"{NAME}{DATA}").rename(target / "good")
    (target / NAME).rename(target / f"{NAME}{DATA}")
    (target / "good").rename(target / NAME)
    probabilities, recovered = predict(target, made[1])
    np.testing.assert_allclose(probabilities, made[2], atol=1e-5, rtol=0)
    assert recovered == f"{NAME}{DATA} is damaged; the data was read from {NAME}"
    report = checkpoints.inspect(target, verify=True)
    assert (report.usable, report.checksums, report.recovered) == (True, "good", recovered)


def test_data_does_without_an_index_that_is_damaged(made, tmp_path):
    target = into_state(made[0].parent, tmp_path / "set", {DATA: DATA})
    (target / f"{NAME}.index").write_bytes(b"an error page, say")
    probabilities, recovered = predict(target, made[1])
    np.testing.assert_allclose(probabilities, made[2], atol=1e-5, rtol=0)
    assert recovered.startswith(f"{NAME}.index is damaged and was not used; recovered from")


def test_what_tflearn_writes_today_is_recovered_from_its_data_alone(made, tmp_path):
    target = into_state(made[0].parent, tmp_path / "set", {DATA: ""})
    probabilities, recovered = predict(target, made[1])
    np.testing.assert_allclose(probabilities, made[2], atol=1e-5, rtol=0)
    assert "momentum, 7 classes" in recovered


@pytest.mark.parametrize("command", ["batch", "predict"])
def test_that_it_was_recovered_is_said(made, photos, tmp_path, command):
    into_state(made[0].parent, tmp_path / "set", {DATA: DATA})
    done = run_gudi(command, "photos/one.jpg", "--checkpoint", "set", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.startswith(f"note: set/{NAME}: there is no index; recovered from")


@pytest.mark.parametrize("change", ["longer", "shorter", "noise", "flag", "counter", "zeros"])
def test_data_that_is_not_believed(made, tmp_path, change):
    target = into_state(made[0].parent, tmp_path / "set", {DATA: DATA})
    data = target / f"{NAME}{DATA}"
    content = bytearray(data.read_bytes())
    data.unlink()
    tensors = checkpoints.open_checkpoint(made[0]).tensors
    if change == "longer":
        content += bytes(4)
    elif change == "shorter":
        del content[-3:]
    elif change == "zeros":  # a download into a file of the full size was broken off
        content[60_000_000:160_000_000] = bytes(100_000_000)
    elif change == "noise":
        content[:] = np.random.default_rng(3).bytes(len(content))
    elif change == "flag":
        content[tensors["is_training"].offset] = 7
    else:
        struct.pack_into("<f", content, tensors["Global_Step"].offset, 12.5)
    data.write_bytes(content)
    with pytest.raises(CheckpointIncomplete, match=r"\.index is missing, and .* cannot be used"):
        checkpoints.open_checkpoint(target)


def test_only_the_graph_is_left(made, tmp_path):
    target = into_state(made[0].parent, tmp_path / "set", {".meta": ".meta"})
    with pytest.raises(CheckpointIncomplete, match=r"there is only .*\.meta"):
        checkpoints.open_checkpoint(target / f"{NAME}.meta")


@pytest.fixture(scope="module")
def two_networks(tmp_path_factory, made):
    """A checkpoint of a process that built the network twice and trained the second one."""
    from gudi.network import build, quiet, tf, tflearn

    prefix = tmp_path_factory.mktemp("two") / NAME
    weights = checkpoints.open_checkpoint(made[0])
    values = {name: weights.read(name)[0] for name in checkpoints.weight_shapes()}
    assert build().weights.keys() == values.keys()
    later = {}
    for name, value in values.items():
        kind, number, part = re.fullmatch(r"(\w+?)(?:_(\d+))?/([Wb])", name).groups()
        shift = 3 if kind == "Conv2D" else 2
        later[f"{kind}_{int(number or 0) + shift}/{part}"] = value
    stored = {name: np.zeros_like(value) for name, value in values.items()} | later
    stored |= {f"{name}/Momentum": np.ones_like(value) for name, value in later.items()}
    graph = tf.Graph()
    with quiet(), graph.as_default(), tf.Session(graph=graph) as session:
        holders = {name: tf.placeholder(tf.float32, each.shape) for name, each in stored.items()}
        saved = tf.raw_ops.SaveV2(
            prefix=str(prefix), tensor_names=list(stored), shape_and_slices=[""] * len(stored),
            tensors=list(holders.values()),
        )  # fmt: skip
        session.run(saved, {holders[name]: each for name, each in stored.items()})
    assert tflearn
    return prefix


def test_of_two_networks_the_trained_one_is_meant(two_networks, made):
    probabilities, _ = predict(two_networks, made[1])
    np.testing.assert_allclose(probabilities, made[2], atol=1e-5, rtol=0)
    probabilities, _ = predict(two_networks, made[1], network=2)
    np.testing.assert_allclose(probabilities, made[2], atol=1e-5, rtol=0)
    untrained, _ = predict(two_networks, made[1], network=1)
    np.testing.assert_allclose(untrained, np.full((20, 7), 1 / 7), atol=1e-6)
    with pytest.raises(CheckpointForeign, match=r"contains 2 network\(s\); there is no number 3"):
        predict(two_networks, made[1], network=3)


def test_inspect_tells_of_both_networks(two_networks):
    report = checkpoints.inspect(two_networks)
    assert [(each.first_layer, each.taken) for each in report.networks] == [
        ("Conv2D", False),
        ("Conv2D_3", True),
    ]


@pytest.mark.parametrize("command", ["batch", "predict"])
def test_other_classes_are_named_by_the_user(made, photos, tmp_path, command):
    source = checkpoints.open_checkpoint(made[0])
    values = {name: source.read(name)[0] for name in checkpoints.weight_shapes()}
    values["FullyConnected_1/W"] = np.ascontiguousarray(values["FullyConnected_1/W"][:, :6])
    values["FullyConnected_1/b"] = np.array([0, 0, 0, 9, 0, 0], np.float32)
    checkpoints.save(tmp_path / "six" / NAME, values)
    arguments = [command, "photos/one.jpg", "--checkpoint", "six", "--out", "out"]
    refused = run_gudi(*arguments, cwd=tmp_path)
    assert refused.returncode == 1
    assert "has 6 classes, not 7; name them with --emotions: 6 names" in refused.stderr
    done = run_gudi(*arguments, "--emotions", "a,b,c,tired,e,f", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    if command == "batch":
        header, row = (tmp_path / "out" / "faces.csv").read_text().splitlines()
        assert header.endswith("confidence,a,b,c,tired,e,f")
        assert ",tired," in row
    else:
        assert "\ttired\t" in done.stdout


def inspected(*arguments, **options):
    done = run_gudi("checkpoint", "inspect", "--json", *arguments, **options)
    return done.returncode, json.loads(done.stdout)


def test_inspect(made, tmp_path):
    code, report = inspected(made[0], "--verify")
    assert code == 0
    assert (report["format"], report["optimizer"], report["step"]) == ("V2", "momentum", 0)
    assert (report["checksums"], report["problem"], report["usable"]) == ("good", "", True)
    assert len(report["tensors"]) == 27
    assert {"name": "Conv2D/W", "dtype": "float32", "shape": [5, 5, 1, 64]} in report["tensors"]

    lines = run_gudi("checkpoint", "inspect", made[0].parent).stdout
    assert "step:       0" in lines
    assert "trained with momentum" in lines
    assert "gudi:       can use it" in lines


def test_inspect_of_the_other_network(two_networks):
    code, report = inspected(two_networks, "--network", "2")
    assert (code, [each["taken"] for each in report["networks"]]) == (0, [False, True])
    code, report = inspected(two_networks, "--network", "3")
    assert (code, report["usable"]) == (1, False)


def test_inspect_of_damage(checkpoint):
    data = checkpoint.with_name(f"{NAME}{DATA}")
    content = bytearray(data.read_bytes())
    content[100_000_000] ^= 1
    data.unlink()
    data.write_bytes(content)
    code, report = inspected(checkpoint)
    assert (code, report["usable"]) == (0, True), "only directories are read without --verify"
    code, report = inspected(checkpoint, "--verify")
    assert (code, report["usable"], report["checksums"]) == (1, False, "damaged: FullyConnected/W")
    assert "the checksum of FullyConnected/W is wrong" in report["problem"]


def test_inspect_of_what_is_left(shared, tmp_path):
    code, report = inspected(shared / "legacy" / "wild")
    assert (code, report["usable"]) == (1, False)
    assert report["missing"] == [".data-00000-of-00001"]
    assert "455,064,145 bytes" in report["problem"]
    assert len(report["tensors"]) == 27


def test_inspect_of_nothing(tmp_path):
    done = run_gudi("checkpoint", "inspect", "nothing", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("gudi: error: no checkpoint at nothing")


ADOPTED = [NAME, f"{NAME}{DATA}", f"{NAME}.index", f"{NAME}.meta", "checkpoint"]


@pytest.mark.parametrize("state", ["as written", "only the data, by its bare name"])
def test_adopt_writes_a_whole_set_and_changes_nothing(made, tmp_path, state):
    source = into_state(made[0].parent, tmp_path / "old", STATES[state])
    before = {path.name: path.stat().st_mtime_ns for path in source.iterdir()}
    done = run_gudi("checkpoint", "adopt", "old", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"checkpoints/{NAME}\n"
    assert "every variable was read back and equals the source" in done.stderr
    assert sorted(os.listdir(tmp_path / "checkpoints")) == sorted(ADOPTED)
    assert {path.name: path.stat().st_mtime_ns for path in source.iterdir()} == before
    state_file = (tmp_path / "checkpoints" / "checkpoint").read_text()
    assert state_file.splitlines()[0] == f'model_checkpoint_path: "{NAME}"'

    adopted = checkpoints.open_checkpoint(tmp_path / "checkpoints")
    original = checkpoints.open_checkpoint(made[0])
    assert set(adopted.tensors) == set(original.tensors)
    for name in original.tensors:
        np.testing.assert_array_equal(adopted.read(name)[0], original.read(name)[0])


def test_adopt_from_other_layouts(unpack, two_networks, tmp_path):
    for source, step in ((unpack(V1_SET), 34900), (unpack(V2_SETS[3]), 34900), (two_networks, 0)):
        target = tmp_path / "to"
        adopted = checkpoints.adopt(source, target, "renamed")
        report = checkpoints.inspect(adopted.prefix, verify=True)
        assert (report.usable, report.checksums, report.step) == (True, "good", step)
        assert (report.optimizer, len(report.tensors)) == ("momentum", 27)
        ours, theirs = (checkpoints.open_checkpoint(each) for each in (adopted.prefix, source))
        network = checkpoints.choose_network(theirs)
        for name, stored in network.names.items():
            np.testing.assert_array_equal(ours.read(name)[0], theirs.read(stored)[0])
        assert any("Adam" in note for note in adopted.notes) == ("adam" in str(source))
        shutil.rmtree(target)


def test_adopt_overwrites_nothing(made, tmp_path):
    target = into_state(made[0].parent, tmp_path / "there", {".index": ".index"})
    for name in (NAME, "checkpoint"):
        (target / name).write_text("mine")
    with pytest.raises(OutputError, match="already contains a checkpoint of that name"):
        checkpoints.adopt(made[0], target)
    checkpoints.adopt(made[0], target, "another")
    assert (target / "checkpoint").read_text() == "mine"
    assert not list(target.glob(".gudi*"))


def test_adopt_needs_room(made, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**6))
    with pytest.raises(OutputError, match="has 1,000,000 bytes free"):
        checkpoints.adopt(made[0], tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_a_damaged_slot_costs_nothing_but_itself(checkpoint, made, tmp_path):
    place = checkpoints.open_checkpoint(checkpoint).tensors["FullyConnected/W/Momentum"].offset
    data = checkpoint.with_name(checkpoint.name + DATA)
    content = bytearray(data.read_bytes())
    content[place] ^= 1
    data.unlink()
    data.write_bytes(content)
    code, report = inspected(checkpoint, "--verify")
    assert (code, report["usable"]) == (0, True)
    assert report["checksums"] == "damaged: FullyConnected/W/Momentum"
    done = run_gudi("checkpoint", "adopt", checkpoint, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "FullyConnected/W/Momentum is damaged and was set to 0" in done.stderr
    assert (
        not checkpoints.open_checkpoint(tmp_path / "checkpoints")
        .read("FullyConnected/W/Momentum")[0]
        .any()
    )
    probabilities, _ = predict(tmp_path / "checkpoints", made[1])
    np.testing.assert_allclose(probabilities, made[2], atol=1e-6, rtol=0)


def test_adopt_gives_way_to_one_that_was_quicker(made, tmp_path, monkeypatch):
    """Another process writes the same checkpoint while ours has not yet moved its files."""
    compare = write._compare

    def slow(staged, values):
        compare(staged, values)
        (tmp_path / f"{NAME}.index").write_text("theirs")

    monkeypatch.setattr(write, "_compare", slow)
    with pytest.raises(OutputError, match="already contains a checkpoint of that name"):
        checkpoints.adopt(made[0], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAME}.index"]


def test_adopt_to_a_disk_that_is_too_small(made, tmp_path):
    resource = pytest.importorskip("resource")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))

    done = run_gudi("checkpoint", "adopt", made[0], cwd=tmp_path, preexec_fn=small_files)
    assert done.returncode == 1
    assert done.stderr == f"gudi: error: cannot write checkpoints/{NAME}: File too large\n"
    assert list((tmp_path / "checkpoints").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/b",
        ".x",
        "",
        "checkpoint",
        "x.index",
        "x.data",
        'a"b',
        "n" * 101,
        "a\nb",
        "a.",
        "CON",
    ],
)
def test_adopt_takes_no_paths_for_names(made, tmp_path, name):
    done = run_gudi("checkpoint", "adopt", made[0], "--name", name, cwd=tmp_path)
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


def old_python() -> str:
    """Return a Python that TensorFlow 1.4 or 1.15 can be installed for."""
    pyenv = Path.home() / ".pyenv" / "versions"
    candidates = [shutil.which(f"python{version}") for version in ("3.6", "3.7")]
    candidates += sorted(pyenv.glob("3.6*/bin/python")) + sorted(pyenv.glob("3.7*/bin/python"))
    for candidate in filter(None, candidates):
        done = subprocess.run(
            [candidate, "-c", "import sys; print(sys.version_info[:2] in ((3, 6), (3, 7)))"],
            capture_output=True,
            text=True,
        )
        if done.stdout.strip() == "True":
            return str(candidate)
    pytest.skip("no Python 3.6 or 3.7, which old TensorFlow needs")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A function that gives the answers of the original's code under old TensorFlow."""
    python, venv = old_python(), tmp_path_factory.mktemp("old stack") / "venv"
    script = ROOT / "tests" / "old_stack.py"
    setup = subprocess.run(
        [sys.executable, script, "install", python, venv], capture_output=True, text=True
    )
    if setup.returncode:
        pytest.skip(f"old TensorFlow cannot be installed: {setup.stderr.strip()[-300:]}")

    def answers(folder: Path, faces: np.ndarray) -> np.ndarray:
        np.save(folder / "faces.npy", faces)
        subprocess.run(
            [venv / "bin" / "python", script, "predict", "faces.npy", "answers.npy"],
            cwd=folder,
            check=True,
        )
        return np.load(folder / "answers.npy")

    return answers


def test_the_original_loads_what_adopt_writes(original, made, unpack, tmp_path):
    checkpoints.adopt(unpack(V1_SET), tmp_path / "data")
    expected, _ = predict(tmp_path / "data", made[1])
    np.testing.assert_allclose(original(tmp_path, made[1]), expected, atol=1e-5, rtol=0)


def test_the_original_loads_gudis_own_checkpoint(original, made, tmp_path):
    checkpoints.adopt(None, tmp_path / "data")
    expected, _ = predict(tmp_path / "data", made[1])
    np.testing.assert_allclose(original(tmp_path, made[1]), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("recipe", ["original", "augmented"])
def test_the_original_loads_what_train_writes(original, made, tmp_path, recipe):
    np.save(tmp_path / "x_images.npy", made[1] / 255.0)
    np.save(tmp_path / "x_labels.npy", np.eye(7)[np.arange(len(made[1])) % 7])
    done = run_gudi(
        "train", "--recipe", recipe, "--data", "x", "--epochs", "2", "--units", "50", "--out",
        "data", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected, _ = predict(tmp_path / "data", made[1])
    np.testing.assert_allclose(original(tmp_path, made[1]), expected, atol=1e-5, rtol=0)


def test_damage_in_a_v1_file(unpack, tmp_path):
    source = unpack(V1_SET) / NAME
    content = bytearray(source.read_bytes())
    for position in (100, 2_000_000, len(content) - 200):
        spoiled = tmp_path / NAME
        content[position] ^= 1
        spoiled.write_bytes(content)
        content[position] ^= 1
        with pytest.raises(CheckpointError) as caught:
            file = checkpoints.open_checkpoint(spoiled)
            checkpoints.read_weights(file, checkpoints.choose_network(file))
        assert isinstance(caught.value, CheckpointCorrupt)
        assert str(spoiled) in str(caught.value)
    spoiled.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointIncomplete):
        checkpoints.open_checkpoint(spoiled)

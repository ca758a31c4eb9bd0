"""Checkpoints packed into one small file, and the one that gudi brings along."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from conftest import NAME, run_gudi

from gudi import checkpoint as checkpoints
from gudi.errors import CheckpointCorrupt
from gudi.predictor import Predictor


@pytest.fixture(scope="module")
def packed(made, tmp_path_factory):
    """`made`, packed."""
    folder = tmp_path_factory.mktemp("packed")
    done = run_gudi("checkpoint", "pack", made[0], "small.gudi", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "small.gudi\n"), done.stderr
    return folder / "small.gudi"


def test_a_packed_checkpoint_answers_alike(packed, made):
    with Predictor(packed, "cpu") as predictor:
        np.testing.assert_allclose(predictor.predict(made[1]), made[2], atol=0.01, rtol=0)
    original = checkpoints.open_checkpoint(made[0])
    again = checkpoints.open_checkpoint(packed)
    for name in checkpoints.weight_shapes():
        expected, values = original.read(name)[0], again.read(name)[0]
        if name == "FullyConnected/W":
            assert np.abs(values - expected).max() <= expected.std() / 12
        else:
            np.testing.assert_array_equal(values, expected)
    assert (
        packed.stat().st_size < made[0].with_name(f"{NAME}.data-00000-of-00001").stat().st_size / 9
    )


def test_hidden_units_that_are_not_used_take_no_room(made, packed, tmp_path):
    file = checkpoints.open_checkpoint(made[0])
    values = checkpoints.read_weights(file, checkpoints.choose_network(file)).values
    values["FullyConnected/W"] = values["FullyConnected/W"].copy()
    values["FullyConnected/W"][:, 300:] = 0
    checkpoints.pack(values, tmp_path / "narrow.gudi")
    assert (tmp_path / "narrow.gudi").stat().st_size < packed.stat().st_size / 5
    again = checkpoints.open_checkpoint(tmp_path / "narrow.gudi").read("FullyConnected/W")[0]
    assert again.shape == (18432, 3072)
    assert not again[:, 300:].any()


def test_adopt_makes_an_ordinary_one(packed, tmp_path):
    done = run_gudi("checkpoint", "adopt", packed, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    adopted = checkpoints.open_checkpoint(tmp_path / "checkpoints")
    source = checkpoints.open_checkpoint(packed)
    assert adopted.format == "V2"
    for name in source.tensors:
        np.testing.assert_array_equal(adopted.read(name)[0], source.read(name)[0])
    fingerprints = {
        checkpoints.read_weights(file, checkpoints.choose_network(file)).fingerprint
        for file in (adopted, source)
    }
    assert len(fingerprints) == 1


def test_inspect_of_a_packed_one(packed):
    done = run_gudi("checkpoint", "inspect", packed, "--verify", "--json")
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert (report["format"], report["checksums"], report["missing"]) == ("packed", "good", [])
    assert report["usable"]


def test_pack_overwrites_nothing_and_wants_its_ending(packed, made):
    done = run_gudi("checkpoint", "pack", made[0], packed)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "already exists" in done.stderr
    done = run_gudi("checkpoint", "pack", made[0], packed.with_name("small.zip"))
    assert done.returncode == 2
    assert "must end in .gudi" in done.stderr


def refused(path):
    """Assert that the file at `path` is refused in a way that a person can read."""
    with pytest.raises(CheckpointCorrupt) as caught:
        file = checkpoints.open_checkpoint(path)
        checkpoints.read_weights(file, checkpoints.choose_network(file, classes=None))
    assert str(path) in str(caught.value)


def test_damage_is_noticed(packed, tmp_path):
    content = packed.read_bytes()
    spoiled = tmp_path / "spoiled.gudi"
    for size in (0, 100, len(content) // 2, len(content) - 1):
        spoiled.write_bytes(content[:size])
        refused(spoiled)
    for place in np.random.default_rng(1).integers(0, len(content) - 2000, 6):
        flipped = bytearray(content)
        flipped[place] ^= 0x20
        spoiled.write_bytes(flipped)
        refused(spoiled)


def rewritten(packed, path, changes):
    """Write `packed` to `path` with some members replaced by bytes or arrays."""
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = changes.get(name, old.read(name))
            if isinstance(content, np.ndarray):
                buffer = io.BytesIO()
                np.save(buffer, content, allow_pickle=True)
                content = buffer.getvalue()
            new.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("about.json", b"{}"),
        ("about.json", b"not json"),
        ("about.json", b'{"format": 2}'),
        ("about.json", b'{"format": 1, "classes": 99999999999, "checksums": {}}'),
        ("about.json", b" " * 10**6),
        ("codes.npy", np.zeros((18432, 5), np.int8)),
        ("codes.npy", np.zeros((18432, 3072), np.float32)),
        ("codes.npy", np.array([{"an": "object"}])),
        ("codes.npy", b"\x93NUMPY\x01\x00\xff\xff" + b" " * 70000),
        ("scales.npy", np.zeros(0, np.float32)),
        ("scales.npy", np.zeros(4000, np.float32)),
        ("Conv2D/W.npy", bytes(10**8)),
        ("Conv2D/W.npy", np.ones((5, 5, 1, 64), np.float32)),
    ],
)
def test_strangers_files(packed, tmp_path, name, content):
    refused(rewritten(packed, tmp_path / "strange.gudi", {name: content}))


def test_a_bomb_takes_no_memory(packed, tmp_path):
    bomb = tmp_path / "bomb.gudi"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("about.json", b" " * 10**8)
    with pytest.raises(CheckpointCorrupt, match="compressed with an unknown method"):
        checkpoints.open_checkpoint(bomb)


def test_a_packed_one_is_found_in_its_folder(packed, tmp_path, monkeypatch):
    (tmp_path / "checkpoints").mkdir()
    shutil.copyfile(packed, tmp_path / "checkpoints" / "mine.gudi")
    monkeypatch.chdir(tmp_path)
    assert checkpoints.find(environ={}).prefix.name == "mine.gudi"
    assert checkpoints.find("checkpoints").prefix.name == "mine.gudi"


def test_weights_that_give_no_numbers(made, tmp_path):
    file = checkpoints.open_checkpoint(made[0])
    values = checkpoints.read_weights(file, checkpoints.choose_network(file)).values
    values["FullyConnected/b"] = np.full(3072, 1e20, np.float32)
    values["FullyConnected_1/W"] = np.full((3072, 7), 1e20, np.float32)
    checkpoints.pack(values, tmp_path / "diverged.gudi")
    with (
        Predictor(tmp_path / "diverged.gudi", "cpu") as predictor,
        pytest.raises(CheckpointCorrupt, match="predicts NaN for some faces"),
    ):
        predictor.predict(made[1])


def test_gudi_answers_without_any_checkpoint(photos, tmp_path):
    done = run_gudi("batch", "photos", "--out", "results", "--no-annotate", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    account = json.loads((tmp_path / "results" / "run.json").read_text())
    assert account["checkpoint"]["path"].endswith("default.gudi")
    assert account["counts"]["faces"] == 4


def test_the_shipped_checkpoint_is_small_and_sound(tmp_path):
    done = run_gudi("checkpoint", "inspect", "--verify", "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert (done.returncode, report["format"], report["checksums"]) == (0, "packed", "good")
    assert sum(report["files"].values()) <= 15_000_000


def test_how_good_the_shipped_checkpoint_is(shared, tmp_path):
    """The figures of docs/model-card.md, on FER2013's PublicTest, with half a point to spare."""
    subprocess.run(
        [
            sys.executable, shared / "fer2013" / "write_csv.py", "fer2013.csv",
            "--usage=PublicTest",
        ],
        cwd=tmp_path,
        check=True,
    )  # fmt: skip
    done = run_gudi("evaluate", "fer2013.csv", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert [figures[name]["faces"] for name in ("whole", "detected")] == [3579, 2159]
    assert figures["whole"]["accuracy"] >= 0.62
    assert figures["detected"]["accuracy"] >= 0.655

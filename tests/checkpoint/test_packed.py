"""Checkpoints packed into one small file, and the one that gudi ships."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from checkpoint_sets import DATA, beside, load
from conftest import UNITS, call_gudi

from gudi import checkpoint as checkpoints
from gudi.checkpoint import pack_checkpoint
from gudi.errors import CheckpointCorrupt
from gudi.predictor import Predictor


@pytest.fixture(scope="module")
def packed(made, tmp_path_factory):
    """`made`, packed with all its 3072 hidden units."""
    folder = tmp_path_factory.mktemp("packed")
    done = call_gudi("checkpoint", "pack", made[0], "small.gudi", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "small.gudi\n"), done.stderr
    return folder / "small.gudi"


def test_packed_checkpoint_is_small_and_predicts_nearly_the_same(packed, made):
    assert packed.stat().st_size < beside(made[0], DATA).stat().st_size / 9
    with Predictor(packed, "cpu") as predictor:
        np.testing.assert_allclose(predictor.predict(made[1]), made[2], atol=0.01, rtol=0)


def test_packing_rounds_the_big_matrix_only(packed, made):
    original, found = load(made[0]).values, load(packed).values
    for name, expected in original.items():
        if name == "FullyConnected/W":
            assert np.abs(found[name] - expected).max() <= expected.std() / 12
        else:
            np.testing.assert_array_equal(found[name], expected)


def test_numpy_reads_a_packed_checkpoint(narrow):
    with np.load(narrow, allow_pickle=False) as arrays:
        assert json.loads(arrays["about"].tobytes()) == {"mirror": False, "detector": "haar"}
        assert arrays["FullyConnected/W"].shape == (18432, UNITS)


def test_packed_checkpoint_says_whether_to_mirror_and_what_finds_its_faces(narrow, tmp_path):
    assert (load(narrow).mirror, load(narrow).detector) == (False, "haar")
    pack_checkpoint(narrow, tmp_path / "mirrored.gudi", mirror=True, detector="cnn")
    pack_checkpoint(tmp_path / "mirrored.gudi", tmp_path / "again.gudi")
    for path in tmp_path.iterdir():
        assert (load(path).mirror, load(path).detector) == (True, "cnn")
    with Predictor(tmp_path / "again.gudi") as predictor:
        assert predictor.mirror


def test_unused_hidden_units_take_no_space(packed, narrow):
    assert narrow.stat().st_size < packed.stat().st_size / 5
    matrix = load(narrow).values["FullyConnected/W"]
    assert matrix.shape == (18432, 3072)
    assert matrix[:, :UNITS].any(axis=0).all()
    assert not matrix[:, UNITS:].any()


def assert_refused(path, why=None):
    """Assert that the file at `path` is refused, with one line that names it."""
    with pytest.raises(CheckpointCorrupt, match=why) as caught:
        load(path, classes=None)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()


def test_damage_is_noticed(narrow, tmp_path):
    content = narrow.read_bytes()
    damaged = tmp_path / "damaged.gudi"
    for size in (0, 100, len(content) // 2, len(content) - 1):
        damaged.write_bytes(content[:size])
        assert_refused(damaged)
    for position in np.random.default_rng(1).integers(0, len(content) - 2000, 6):
        flipped = bytearray(content)
        flipped[position] ^= 0x20
        damaged.write_bytes(flipped)
        assert_refused(damaged)


def rewrite(packed, path, name, content, method=zipfile.ZIP_DEFLATED):
    """Write `packed` to `path` with the member `name` replaced by bytes or by an array."""
    if isinstance(content, np.ndarray):
        buffer = io.BytesIO()
        np.save(buffer, content)
        content = buffer.getvalue()
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(path, "w", method) as new:
        for each in {*old.namelist(), name} - {None}:
            new.writestr(each, content if each == name else old.read(each))
    return path


def claimed(dtype, shape):
    """Return an npy file of a header and four bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return header.getvalue() + bytes(4)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("about.npy", np.frombuffer(b"not json", np.uint8), "Expecting value"),
        ("about.npy", np.frombuffer(b"[]", np.uint8), "has no attribute"),
        ("about.npy", np.zeros(10**6, np.uint8), "types or shapes"),
        ("FullyConnected/W.npy", np.zeros((18432, 5), np.int8), "types or shapes"),
        ("FullyConnected/W.npy", np.zeros((18432, UNITS), np.float32), "types or shapes"),
        ("FullyConnected/W.npy", np.array([{"an": "object"}]), "not an npy file of its size"),
        ("FullyConnected/W.npy", claimed("|O", (0,)), "not an npy file of its size"),
        ("FullyConnected/W.npy", claimed("|i1", (10**6, 10**6)), "not an npy file of its size"),
        ("FullyConnected/W.npy", b"\x93NUMPY\1\0\xff\xff" + b" " * 70000, "Header|header"),
        ("FullyConnected_1/b.npy", np.zeros(10**5, np.float32), "types or shapes"),
        ("scales.npy", np.zeros(0, np.float32), "types or shapes"),
        ("scales.npy", np.zeros(4000, np.float32), "types or shapes"),
        ("scales.npy", np.full(UNITS, np.nan, np.float32), "NaN or infinite"),
        ("Conv2D/W.npy", bytes(10**8), "magic string"),
        ("another\n.npy", np.zeros(1), "other names"),
    ],
    ids=[
        "not json", "no object", "long json", "wrong shape", "wrong type", "pickle", "object",
        "huge shape", "long header", "many classes", "no units", "many units", "nan", "long member",
        "other name",
    ],
)  # fmt: skip
def test_hostile_file_is_refused(narrow, tmp_path, name, content, why):
    assert_refused(rewrite(narrow, tmp_path / "hostile.gudi", name, content), why)


def test_other_compression_is_refused_because_its_memory_is_unbounded(narrow, tmp_path):
    bomb = rewrite(narrow, tmp_path / "bomb.gudi", None, None, zipfile.ZIP_BZIP2)
    assert_refused(bomb, "compressed with an unknown method")


def test_large_directory_is_refused_unread(tmp_path):
    """An entry takes ten times its size in memory."""
    large = tmp_path / "large.gudi"
    with zipfile.ZipFile(large, "w") as archive:
        for number in range(1000):
            archive.writestr(f"{number}.npy", b"")
    assert_refused(large, "too many arrays")
    with zipfile.ZipFile(large, "a") as archive:
        archive.comment = b"a comment moves the end of the directory\0\0"
    assert_refused(large, "not a complete npz file")


def test_weights_that_predict_nan_are_an_error(narrow, made, tmp_path):
    values = load(narrow).values
    values["FullyConnected/b"] = np.full(3072, 1e20, np.float32)
    values["FullyConnected_1/W"] = np.full((3072, 7), 1e20, np.float32)
    checkpoints.pack(values, tmp_path / "diverged.gudi")
    with (
        Predictor(tmp_path / "diverged.gudi", "cpu") as predictor,
        pytest.raises(CheckpointCorrupt, match="predicts NaN for some faces"),
    ):
        predictor.predict(made[1])


def test_shipped_checkpoint_is_used_if_there_is_no_other(photos, tmp_path, monkeypatch):
    monkeypatch.delenv("GUDI_CHECKPOINT", raising=False)
    done = call_gudi("batch", "photos", "--out", "results", "--no-annotate", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "results" / "run.json").read_text())
    assert record["checkpoint"]["path"].endswith("default.gudi")
    assert record["counts"]["faces"] == 4


def test_shipped_checkpoint_is_small_and_sound(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUDI_CHECKPOINT", raising=False)
    found = checkpoints.inspect(verify=True)
    assert (found.usable, found.format, found.checksums) == (True, "packed", "good")
    assert sum(found.files.values()) <= 15_000_000


def test_shipped_checkpoint_is_as_good_as_the_model_card_says(shared, tmp_path, monkeypatch):
    """On FER2013's PublicTest, with half a point to spare."""
    monkeypatch.delenv("GUDI_CHECKPOINT", raising=False)
    subprocess.run(
        [
            sys.executable, shared / "fer2013" / "write_csv.py", "fer2013.csv",
            "--usage=PublicTest",
        ],
        cwd=tmp_path,
        check=True,
    )  # fmt: skip
    done = call_gudi("evaluate", "fer2013.csv", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert [figures[name]["faces"] for name in ("whole", "detected")] == [3579, 2159]
    assert figures["whole"]["accuracy"] >= 0.637
    assert figures["detected"]["accuracy"] >= 0.66

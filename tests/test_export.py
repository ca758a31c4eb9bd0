"""`gudi export`: networks that are used without gudi and TFLearn."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from conftest import ROOT, draw_face, run_gudi, save

from gudi import checkpoint as checkpoints
from gudi.constants import EMOTIONS
from gudi.detection import crop, detect
from gudi.engines.engine import without_idle_units
from gudi.engines.onnx_model import PADDINGS
from gudi.errors import CheckpointForeign, OutputError, UsageError
from gudi.export import export, saved_model
from gudi.predictor import Predictor

UNITS = 40
SIX = ["a", "b", "zornig, sehr", "müde", "e", "f"]

# What somebody does who has nothing but TensorFlow: 2's way, then 1's.
TENSORFLOW_ALONE = """
import sys
import numpy as np
import tensorflow as tf

faces = np.load("faces.npy")[..., None]
for folder in sys.argv[1:]:
    model = tf.saved_model.load(folder)
    signature = model.signatures["serving_default"]
    ((name, spec),) = signature.structured_input_signature[1].items()
    assert spec.shape.as_list() == [None, 48, 48, 1]
    taken = {"faces_0_to_255": faces, "faces_0_to_1": (faces / 255.0).astype(np.float32)}[name]
    answers = signature(**{name: tf.constant(taken, spec.dtype)})
    np.save(folder + ".2.npy", answers["probabilities"].numpy())
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        definition = tf.compat.v1.saved_model.load(session, ["serve"], folder).signature_def
        signature = definition["serving_default"]
        fetched = signature.outputs["probabilities"].name
        np.save(folder + ".1.npy", session.run(fetched, {signature.inputs[name].name: taken}))
    print(name, spec.dtype.name, *sorted(each.name for each in model.variables))
assert not {"gudi", "tflearn"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def narrow(made, tmp_path_factory):
    """A small packed checkpoint with `UNITS` hidden units, twenty faces, gudi's own answers."""
    prefix, faces, _ = made
    values = weights(prefix)
    values["FullyConnected/W"] = values["FullyConnected/W"] * 20  # or all answers are alike
    values["FullyConnected/W"][:, UNITS:] = 0
    path = tmp_path_factory.mktemp("narrow") / "narrow.gudi"
    checkpoints.pack(values, path)
    return path, faces, answers_of_gudi(path, faces)


@pytest.fixture(scope="module")
def exported(narrow, tmp_path_factory):
    """A folder with `narrow` in both forms, each with both kinds of input, and what was said."""
    folder = tmp_path_factory.mktemp("exported")
    said = {
        name: export(folder / name, narrow[0], dtype=dtype)
        for name, dtype in {
            "uint8.onnx": "uint8", "float32.onnx": "float32",
            "uint8": "uint8", "float32": "float32",
        }.items()
    }  # fmt: skip
    return folder, said


def weights(checkpoint) -> dict[str, np.ndarray]:
    file = checkpoints.open_checkpoint(checkpoint)
    return dict(checkpoints.read_weights(file, checkpoints.choose_network(file, None)).values)


def answers_of_gudi(checkpoint, faces, emotions=None) -> np.ndarray:
    with Predictor(checkpoint, "cpu", 32, emotions) as predictor:
        return predictor.predict(faces)


def answers_of_onnx(path, faces) -> np.ndarray:
    session = onnxruntime.InferenceSession(path)
    (taken,) = session.get_inputs()
    values = {
        "faces_0_to_255": faces[..., None],
        "faces_0_to_1": (faces[..., None] / 255.0).astype(np.float32),
    }[taken.name]
    return session.run(["probabilities"], {taken.name: values})[0]


def answers_of_tensorflow(folder, names, faces) -> list[str]:
    """Let a process that has TensorFlow alone answer; return what it says of each SavedModel."""
    np.save(folder / "faces.npy", faces)
    done = subprocess.run(
        [sys.executable, "-c", TENSORFLOW_ALONE, *names], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def same(answers, expected) -> None:
    assert (answers.dtype, answers.shape) == (np.float32, expected.shape)
    np.testing.assert_allclose(answers, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_onnx_answers_as_gudi_and_says_what_it_takes(exported, narrow, dtype):
    folder, said = exported
    path = folder / f"{dtype}.onnx"
    _, faces, expected = narrow
    assert np.ptp(expected, axis=0).max() > 0.05, "all faces get the same answer"
    same(answers_of_onnx(path, faces), expected)
    session = onnxruntime.InferenceSession(path)
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    name = {"uint8": "faces_0_to_255", "float32": "faces_0_to_1"}[dtype]
    kind = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}[dtype]
    assert (taken.name, taken.type, taken.shape) == (name, kind, ["n", 48, 48, 1])
    assert (given.name, given.shape) == ("probabilities", ["n", 7])
    meta = session.get_modelmeta()
    about = meta.custom_metadata_map
    assert json.loads(about["emotions"])[3] == "happy"
    assert about["input"].startswith(f"{name}: {dtype} of shape (n, 48, 48, 1)")
    assert about["input"] in meta.description
    with Predictor(narrow[0], "cpu", 1) as predictor:
        assert about["fingerprint"] == predictor.fingerprint
    assert said[path.name].checked_with == f"onnxruntime {onnxruntime.__version__}"
    assert said[path.name].difference <= 1e-5


def test_grey_levels_are_rounded_as_the_original_rounds_them(exported):
    """Both inputs take the same values into the network, to the last bit."""
    faces = np.arange(256, dtype=np.uint8).repeat(9).reshape(1, 48, 48)
    answers = [
        answers_of_onnx(exported[0] / f"{each}.onnx", faces) for each in ("uint8", "float32")
    ]
    np.testing.assert_array_equal(*answers)


def test_saved_models_answer_as_gudi_without_gudi(exported, narrow):
    folder, said = exported
    names = ["uint8", "float32"]
    lines = answers_of_tensorflow(folder, names, narrow[1])
    variables = sorted(f"{name}:0" for name in checkpoints.weight_shapes())
    assert [line.split() for line in lines] == [
        ["faces_0_to_255", "uint8", *variables],
        ["faces_0_to_1", "float32", *variables],
    ]
    for name in names:
        same(np.load(folder / f"{name}.1.npy"), narrow[2])
        same(np.load(folder / f"{name}.2.npy"), narrow[2])
        about = json.loads((folder / name / "assets.extra" / "gudi.json").read_text())
        assert about["emotions"][3] == "happy"
        assert name in about["input"]
        assert said[name].checked_with.startswith("TensorFlow 2.")


def test_no_old_tensorflow_meets_what_it_does_not_know(exported):
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    content = (exported[0] / "uint8" / "saved_model.pb").read_bytes()
    nodes = SavedModel.FromString(content).meta_graphs[0].graph_def.node
    attributes = {name for node in nodes if node.op == "VarHandleOp" for name in node.attr}
    public = {name for name in attributes if not name.startswith("_")}
    assert public <= {"container", "shared_name", "dtype", "shape"}


def test_units_without_effect_are_left_out(exported):
    folder, said = exported
    assert {each.idle_units for each in said.values()} == {3072 - UNITS}
    data = folder / "uint8" / "variables" / "variables.data-00000-of-00001"
    for path in (folder / "uint8.onnx", data):
        assert path.stat().st_size < 5_000_000


def test_which_units_have_an_effect():
    random = np.random.default_rng(0)
    values = {
        "FullyConnected/W": random.normal(size=(9, 6)).astype("f4"),
        "FullyConnected/b": np.array([1, -1, 1, -1, 0, -1], "f4"),
        "FullyConnected_1/W": random.normal(size=(6, 2)).astype("f4"),
    }
    values["FullyConnected/W"][:, 2:5] = 0  # 2 is always 1, 3 and 4 always 0
    values["FullyConnected_1/W"][0] = 0
    left = without_idle_units(values)
    np.testing.assert_array_equal(left["FullyConnected/b"], [-1, 1, -1])
    faces = random.normal(size=(50, 9))

    def answers(values):
        hidden = faces @ values["FullyConnected/W"] + values["FullyConnected/b"]
        return np.maximum(hidden, 0) @ values["FullyConnected_1/W"]

    np.testing.assert_allclose(answers(left), answers(values))
    nothing = {name: np.zeros_like(value) for name, value in values.items()}
    assert without_idle_units(nothing)["FullyConnected/W"].shape == (9, 1)


def test_the_same_weights_give_the_same_file(exported, narrow, tmp_path):
    export(tmp_path / "again.onnx", narrow[0])
    assert (tmp_path / "again.onnx").read_bytes() == (exported[0] / "uint8.onnx").read_bytes()


def test_other_classes(narrow, tmp_path):
    values = weights(narrow[0])
    values["FullyConnected_1/W"] = np.ascontiguousarray(values["FullyConnected_1/W"][:, :6])
    values["FullyConnected_1/b"] = np.arange(6, dtype=np.float32) / 3
    checkpoints.pack(values, tmp_path / "six.gudi")
    with pytest.raises(CheckpointForeign, match=r"has 6 classes, not 7; name them with --emotions"):
        export(tmp_path / "six.onnx", tmp_path / "six.gudi")
    assert not (tmp_path / "six.onnx").exists()
    said = export(tmp_path / "six.onnx", tmp_path / "six.gudi", emotions=SIX)
    assert said.emotions == tuple(SIX)
    expected = answers_of_gudi(tmp_path / "six.gudi", narrow[1], SIX)
    same(answers_of_onnx(tmp_path / "six.onnx", narrow[1]), expected)
    about = onnxruntime.InferenceSession(tmp_path / "six.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(about["emotions"]) == SIX


def test_the_command(narrow, tmp_path):
    """With a name that is nobody's UTF-8, and a folder that is not there yet."""
    out = b"new/n\xffm.onnx"
    done = run_gudi("export", "--checkpoint", narrow[0], out.decode("utf-8", "surrogateescape"),
                    cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "new/n\\udcffm.onnx\n"
    emotions, left_out, checked = done.stderr.splitlines()
    assert emotions == "emotions: angry, disgusted, fearful, happy, sad, surprised, neutral"
    assert left_out == "left out: 3,032 hidden units that have no effect"
    assert re.fullmatch(
        rf"checked with onnxruntime {onnxruntime.__version__}: on 16 pictures the probabilities "
        r"are within \S+ of gudi's own",
        checked,
    )
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["n\udcffm.onnx"]


def test_without_onnxruntime_the_reference_checks(narrow, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    said = export(tmp_path / "a.onnx", narrow[0])
    assert said.checked_with.startswith("onnx.reference ")
    assert said.difference <= 1e-5


def test_without_onnx(narrow, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['onnx'] = None\n")
    done = run_gudi(
        "export", "--checkpoint", narrow[0], "a.onnx", cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("gudi: error: ONNX files need the package onnx (")
    assert done.stderr.endswith("): pip install 'gudi[onnx]', or use --format savedmodel\n")


@pytest.mark.parametrize("name", ["a.h5", "a.pb", "v1.0"])
def test_an_ending_that_says_nothing(name, tmp_path):
    with pytest.raises(UsageError, match=r"the suffix \.\w+ stands for no format; .*--format"):
        export(tmp_path / name)


def test_what_is_there_stays_unless_overwrite(narrow, tmp_path):
    file, folder = tmp_path / "a.onnx", tmp_path / "folder"
    file.write_text("mine")
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text("mine")
    for out in (file, folder):
        with pytest.raises(OutputError, match="already exists; replace it with --overwrite"):
            export(out, narrow[0])
    assert file.read_text() == (folder / "saved_model.pb").read_text() == "mine"
    for out in (file, folder):
        export(out, narrow[0], overwrite=True)
    same(answers_of_onnx(file, narrow[1]), narrow[2])
    assert sorted(each.name for each in folder.iterdir()) == [
        "assets.extra", "saved_model.pb", "variables",
    ]  # fmt: skip
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.onnx", "folder"]


def test_an_empty_folder_is_as_good_as_none(narrow, tmp_path):
    (tmp_path / "empty").mkdir()
    export(tmp_path / "empty", narrow[0])
    assert (tmp_path / "empty" / "saved_model.pb").exists()


def test_nothing_else_is_replaced(tmp_path):
    """Neither a folder that holds more than a SavedModel nor what is no file."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("saved_model.pb", "holiday.jpg"):
        (photos / name).touch()
    for form in ("savedmodel", "onnx"):
        with pytest.raises(OutputError, match="not replaced"):
            export(photos, form=form, overwrite=True)
    with pytest.raises(OutputError, match="not replaced"):
        export(photos / "holiday.jpg", form="savedmodel", overwrite=True)
    (tmp_path / "link").symlink_to("/dev/null")
    with pytest.raises(OutputError, match="is not a file, so it is not replaced"):
        export(tmp_path / "link", form="onnx", overwrite=True)
    assert len(list(photos.iterdir())) == 2


def test_where_nothing_can_be_written(narrow, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written to: .*file is a file, not a folder"):
        export(tmp_path / "file" / "a.onnx")
    if Path("/proc/self").exists():  # closed even to root
        with pytest.raises(OutputError, match=r"^cannot write /proc/\S+:"):
            export(Path("/proc/a.onnx"), narrow[0])


@pytest.mark.parametrize("name", ["a.onnx", "a"])
def test_a_disk_that_is_too_small(narrow, tmp_path, name):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(OutputError) as caught:
            export(tmp_path / name, narrow[0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == f"cannot write {tmp_path / name}: File too large"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.onnx", "a"])
def test_a_network_that_answers_otherwise_is_not_written(narrow, tmp_path, monkeypatch, name):
    if name == "a":
        monkeypatch.setattr(saved_model, "UNIT", saved_model.UNIT[::-1].copy())
    else:
        monkeypatch.setitem(PADDINGS, "Conv2D_2", (2, 2, 1, 1))
    with pytest.raises(
        OutputError, match=r"was not written: .* differ from gudi's own by up to \d"
    ):
        export(tmp_path / name, narrow[0])
    assert list(tmp_path.iterdir()) == []


def test_a_legacy_checkpoint_answers_as_under_tensorflow_1(legacy, shared, tmp_path):
    faces = np.load(shared / "oracle" / "faces_u8.npy")
    expected = np.load(shared / "oracle" / "faces_expected.npy")
    export(tmp_path / "old.onnx", legacy)
    same(answers_of_onnx(tmp_path / "old.onnx", faces), expected)
    export(tmp_path / "old", legacy)
    answers_of_tensorflow(tmp_path, ["old"], faces)
    same(np.load(tmp_path / "old.1.npy"), expected)
    same(np.load(tmp_path / "old.2.npy"), expected)


def test_the_examples_of_the_docs_say_what_gudi_says(exported, narrow, tmp_path):
    text = (ROOT / "docs" / "leaving-tflearn.md").read_text(encoding="utf-8")
    crops, *examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 2
    save(tmp_path / "photo.jpg", np.hstack([draw_face(), draw_face(120, 250, 300, 60, 80)]))
    (tmp_path / "model.onnx").symlink_to(exported[0] / "uint8.onnx")
    (tmp_path / "saved_model").symlink_to(exported[0] / "uint8")
    photo = cv2.imread(str(tmp_path / "photo.jpg"))
    boxes = detect(photo)
    assert len(boxes) == 2
    answers = answers_of_gudi(narrow[0], np.array([crop(photo, box) for box in boxes]))
    expected = {
        "\t".join(map(str, (*box, EMOTIONS[row.argmax()], f"{row.max():.3f}")))
        for box, row in zip(boxes, answers)
    }
    for example in examples:
        done = subprocess.run(
            [sys.executable, "-c", crops + example], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert set(done.stdout.splitlines()) == expected

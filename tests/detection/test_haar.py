"""The face search: each implementation finds what OpenCV's classifier finds."""

from __future__ import annotations

import csv
import functools
import os
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import cv2
import hostile
import numpy as np
import pytest
from conftest import ROOT, draw_face, gudi_environment, needs_opencv_4, opencv_cascade

from gudi import detection
from gudi.detection import compiled, haar, opencv
from gudi.errors import UsageError

NATIVE = ROOT / "gudi" / "detection" / "native"
COMPILED = ("baseline", "AVX2", "AVX-512")
CASCADE = Path(cv2.data.haarcascades) / haar.CASCADE

sys.path.append(str(NATIVE))
import make_tables  # noqa: E402


def _variant(name: str) -> str:
    if name == "opencv" and not opencv.AVAILABLE:
        pytest.skip("OpenCV 5 has no CascadeClassifier")
    if name != "opencv" and not haar.VARIANTS:
        pytest.skip("the search was not compiled")
    if name not in ("opencv", *haar.VARIANTS):
        pytest.skip(f"this CPU has no {name}")
    return name


@pytest.fixture(params=("opencv", *COMPILED))
def implementation(request, monkeypatch):
    """Search with one implementation after the other."""
    monkeypatch.setenv("GUDI_HAAR", _variant(request.param))
    return request.param


@pytest.fixture(params=COMPILED)
def variant(request):
    return _variant(request.param)


@pytest.fixture(autouse=True)
def _one_thread():
    """OpenCV in one thread: several return what they find in the order in which they find it."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


_loaded_cascade = functools.cache(opencv_cascade)


def found_by_opencv(picture, scale_factor, min_neighbors, min_size=0):
    boxes, counts = _loaded_cascade().detectMultiScale2(
        picture, scale_factor, min_neighbors, minSize=(min_size, min_size)
    )
    return [(tuple(map(int, box)), int(count)) for box, count in zip(boxes, counts)]


def generated() -> list[np.ndarray]:
    """Small pictures of all kinds: noise, gradients, flat, checkerboards, drawn faces."""
    random = np.random.default_rng(11)
    pictures = []
    for _ in range(25):
        height, width = random.integers(24, 160, 2)
        rows, columns = np.mgrid[:height, :width]
        grain = int(random.integers(1, 9))
        coarse = random.integers(0, 256, (height // grain + 1, width // grain + 1), np.uint8)
        noise = cv2.resize(coarse, (int(width), int(height)), interpolation=cv2.INTER_CUBIC)
        slope, size = random.uniform(-2, 2, 2), random.integers(1, 30, 2)
        side = int(min(height, width) * random.uniform(0.5, 1))
        face = draw_face(side, side, side, 0, 0)[..., 1]
        on_noise = noise.copy()
        on_noise[height - side :, (width - side) // 2 : (width + side) // 2][:, :side] = face
        pictures += [
            noise,
            noise // 9 + 100,
            (slope[0] * rows + slope[1] * columns).astype(int) % 256,
            (rows // size[0] + columns // size[1]) % 2 * 255,
            np.full((height, width), random.integers(256)),
            on_noise,
        ]
    return [picture.astype(np.uint8) for picture in pictures]


@functools.cache
def cases() -> list[tuple[np.ndarray, tuple[float, int, int], list]]:
    """Pictures, settings, and what OpenCV finds."""
    random = np.random.default_rng(12)
    pictures = generated() * 2
    pictures += [
        detection.grey(draw_face(size, 300, 260, 20, 10)) for size in (30, 60, 90, 150, 240)
    ]
    found = []
    for number, picture in enumerate(pictures):
        scale_factor = (1.01, 1.05, 1.1, 1.3, 2, 3, random.uniform(1.01, 3))[number % 7]
        min_neighbors = int(random.integers(0, 11)) * int(random.integers(0, 2))
        min_size = int(random.integers(0, 200)) * (number % 5 == 0)
        settings = (float(scale_factor), min_neighbors, min_size)
        found.append((picture, settings, found_by_opencv(picture, *settings)))
    return found


@needs_opencv_4
def test_boxes_order_and_counts_are_those_of_opencv(implementation):
    for picture, settings, expected in cases():
        assert haar.find_groups(picture, *settings) == expected, (picture.shape, settings)
        boxes = [box for box, _ in expected]
        assert haar.search(picture, *settings) == boxes
    assert sum(len(expected) for _, _, expected in cases()) > 100


@needs_opencv_4
def test_a_larger_picture_is_searched_as_opencv_does(implementation):
    random = np.random.default_rng(13)
    coarse = random.integers(0, 256, (150, 210), np.uint8)
    picture = cv2.resize(coarse, (1050, 761), interpolation=cv2.INTER_CUBIC)
    for size, x, y in ((500, 11, 200), (130, 880, 3), (60, 700, 690)):
        picture[y : y + size, x : x + size] = draw_face(size, size, size, 0, 0)[..., 1]
    expected = found_by_opencv(picture, 1.2, 0)
    assert len(expected) > 40
    assert haar.find_groups(picture, 1.2, 0) == expected


@needs_opencv_4
def test_real_faces_are_where_opencv_finds_them(implementation, original):
    paths = sorted(original.pictures.glob("*.??g"))
    pictures = [cv2.imread(str(path), 0) for path in paths[:: 1 + len(paths) // 6]]
    pictures += [
        cv2.copyMakeBorder(face, *[51] * 4, cv2.BORDER_CONSTANT, value=200)
        for face in np.load(original.faces)[::10]
    ]
    for picture in pictures:
        for settings in ((1.1, 5), (1.3, 0)):
            assert haar.find_groups(picture, *settings) == found_by_opencv(picture, *settings)


def test_real_faces_are_where_the_original_finds_them(implementation, original):
    expected: dict[str, list] = {}
    with open(original.picture_faces, newline="") as file:
        for row in csv.DictReader(file):
            box = tuple(int(row[key]) for key in ("x", "y", "width", "height"))
            expected.setdefault(row["source"], []).append(box)
    paths = sorted(original.pictures.glob("*.??g"))
    for path in paths[:: 1 + len(paths) // 30]:
        boxes = haar.search(detection.grey(cv2.imread(str(path))), 1.1, 5)
        assert sorted(boxes) == expected.get(path.name, [])


@needs_opencv_4
def test_if_no_window_is_large_enough_the_closest_is_searched(implementation):
    picture = detection.grey(draw_face(200, 200, 200, 0, 0))
    for min_size in (195, 200, 1000):
        expected = found_by_opencv(picture, 1.1, 0, min_size)
        assert expected
        assert haar.find_groups(picture, 1.1, 0, min_size) == expected


def test_boxes_are_cut_to_the_picture(implementation):
    picture = detection.grey(draw_face(110, 110, 110, 0, 0))
    for scale_factor in np.linspace(1.05, 1.5, 40):
        for x, y, width, height in haar.search(picture, scale_factor, 0):
            assert 0 <= x < x + width <= 110
            assert 0 <= y < y + height <= 110


@needs_opencv_4
def test_pictures_of_any_size_are_searched(implementation):
    for picture in hostile.edge_sizes():
        if 0 in picture.shape:
            assert haar.search(picture, 1.1, 0) == []
        else:
            assert haar.find_groups(picture, 1.1, 0) == found_by_opencv(picture, 1.1, 0)


def test_views_are_searched_as_copies_are(implementation):
    for view in hostile.views():
        found = haar.find_groups(view, 1.1, 0)
        assert found == haar.find_groups(np.array(view, order="C"), 1.1, 0)


def test_anything_else_is_refused(implementation):
    for wrong in hostile.not_pictures():
        with pytest.raises(TypeError, match=r"must be uint8 of shape \(h, w\), not "):
            haar.search(wrong, 1.1, 5)


@pytest.mark.parametrize("scale_factor", [1, 0.9, 0, -2, np.nan, np.inf, 1 + 1e-9])
def test_a_scale_factor_that_leads_nowhere_is_refused(implementation, scale_factor):
    with pytest.raises(ValueError, match="scale factor"):
        haar.search(np.zeros((100, 100), np.uint8), scale_factor, 5)


@needs_opencv_4
def test_threads_do_not_disturb_each_other(implementation):
    jobs = [(picture, settings, found) for picture, settings, found in cases()[::3]]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda job: haar.find_groups(job[0], *job[1]), jobs))
    assert results == [found for _, _, found in jobs]


@needs_opencv_4
def test_hits_are_grouped_as_opencv_does(variant):
    random = np.random.default_rng(14)
    some = compiled.Cascade(variant, **hostile.some())
    faces = 0
    for _ in range(40):
        picture = random.integers(0, 256, random.integers(40, 90, 2), np.uint8)
        scales = np.array([1, *random.uniform(1, 3, random.integers(9))], np.float32)
        hits = some.find(picture, scales, 0)
        assert set(hits[:, 3]) == {1}
        boxes = hits[:, [0, 1, 2, 2]].tolist()
        for min_neighbors in (1, 2, 3, 5, len(hits) // 3):
            expected, counts = cv2.groupRectangles(boxes, min_neighbors, 0.2)
            found = some.find(picture, scales, min_neighbors)
            assert found[:, [0, 1, 2, 2]].tolist() == [list(box) for box in expected]
            assert found[:, 3].tolist() == list(counts)
            faces += len(found)
    assert faces > 200


def test_what_searches_is_named(monkeypatch):
    for variant in haar.VARIANTS:
        monkeypatch.setenv("GUDI_HAAR", variant)
        assert haar.implementation() == f"gudi's own, {variant}"
    if haar.VARIANTS:
        monkeypatch.delenv("GUDI_HAAR")
        assert haar.implementation() == f"gudi's own, {haar.VARIANTS[0]}"
        monkeypatch.setenv("GUDI_HAAR", "MMX")
        with pytest.raises(ValueError, match='no variant "MMX"'):
            haar.search(np.zeros((30, 30), np.uint8), 1.1, 5)
    monkeypatch.setenv("GUDI_HAAR", "opencv")
    assert haar.implementation() == "OpenCV's classifier"


@needs_opencv_4
def test_without_the_compiled_library_opencv_searches(monkeypatch):
    monkeypatch.delenv("GUDI_HAAR", raising=False)
    monkeypatch.setattr(haar, "VARIANTS", [])
    assert haar.implementation() == "OpenCV's classifier"
    assert len(haar.search(detection.grey(draw_face()), 1.1, 5)) == 1


def test_if_nothing_can_search_the_error_says_what_to_install(monkeypatch):
    monkeypatch.delenv("GUDI_HAAR", raising=False)
    monkeypatch.setattr(haar, "VARIANTS", [])
    monkeypatch.setattr(opencv, "AVAILABLE", False)
    with pytest.raises(UsageError, match=r"install a C compiler.*opencv-python<5"):
        detection.detect(draw_face())


@needs_opencv_4
def test_the_tables_are_those_of_opencv():
    with np.load(haar.TABLES) as tables:
        expected = make_tables.make_tables(CASCADE)
        assert sorted(tables) == sorted(expected)
        for name, table in expected.items():
            assert tables[name].dtype == table.dtype
            assert np.array_equal(tables[name], table)


@needs_opencv_4
def test_the_licence_of_the_tables_is_that_of_opencv():
    header = CASCADE.read_text().partition("<!--\n")[2].partition("-->")[0]
    assert header in haar.TABLES.with_suffix(".txt").read_text()


def cascade_xml() -> ElementTree.Element:
    return ElementTree.parse(CASCADE).getroot()[0]


@needs_opencv_4
def test_every_stage_is_evaluated_once():
    assert sorted(make_tables.STAGES) == list(range(len(cascade_xml().find("stages"))))
    assert make_tables.STAGES[0] == 0


@needs_opencv_4
def test_features_are_cut_into_parts_that_add_up_and_fit_into_16_bits():
    for feature in cascade_xml().find("features"):
        rectangles = make_tables.rectangles(feature)
        added: Counter[tuple[int, int]] = Counter()
        for number, *places in make_tables.feature_parts(rectangles):
            shape = make_tables.SHAPES[number]
            values = Counter()
            for weight, row, column in zip(shape, places, places[make_tables.MAX_POINTS :]):
                values[row, column] += weight
            added.update(values)
            assert largest_value(values) < 2**15
        points = {place: weight for place, weight in added.items() if weight}
        assert points == make_tables.points(rectangles)


def largest_value(weights: Counter[tuple[int, int]]) -> int:
    """Return what a weighted sum of integrals comes to for the picture that suits it most."""
    corners = np.zeros((25, 25), int)
    for place, weight in weights.items():
        corners[place] = weight
    # A pixel counts in all entries of the integral image right of it and below.
    pixels = corners[::-1, ::-1].cumsum(0).cumsum(1)[::-1, ::-1][1:, 1:]
    return 255 * max(pixels.clip(0).sum(), -pixels.clip(None, 0).sum())


@pytest.mark.parametrize(
    "feature",
    [
        [(0, 0, 24, 24, -1), (5, 5, 3, 3, 50)],
        [(0, 0, 24, 24, -1), (5, 5, 9, 9, 3)],
        [(0, 0, 24, 24, 90)],
    ],
)
def test_features_that_the_search_cannot_evaluate_are_refused(feature):
    with pytest.raises(ValueError, match="features of unknown shape"):
        make_tables.feature_parts([make_tables.Rectangle(*each) for each in feature])


@pytest.mark.parametrize("right", [False, True])
def test_a_sum_on_the_threshold_passes_and_one_below_fails(variant, right):
    random = np.random.default_rng(3)
    picture = random.integers(0, 256, (24, 24), np.uint8)
    for _ in range(200):
        stumps = random.uniform(-1, 1, (2, 3)).astype(np.float32)
        stumps[:, 0] = -100 if right else 100  # below all values, or above
        leaves = stumps[:, 2 if right else 1].astype(float)
        threshold = np.float32(leaves.sum())
        for threshold in (np.nextafter(threshold, np.float32(way)) for way in (-9, 9)):
            thresholds = np.array([threshold], np.float32)
            tables = hostile.tables(stumps=stumps, thresholds=thresholds)
            found = compiled.Cascade(variant, **tables).find(picture, np.ones(1, np.float32), 0)
            assert bool(len(found)) == (leaves.sum() >= threshold)


def test_tables_that_do_not_fit_together_are_refused(variant):
    for bad in hostile.bad_tables():
        with pytest.raises(ValueError, match="cascade's"):
            compiled.Cascade(variant, **bad)
    with pytest.raises(
        TypeError, match=r"stumps must be .*float32 with 2 .*, not float64 \(2, 3\)"
    ):
        compiled.Cascade(variant, **hostile.tables(stumps=np.zeros((2, 3))))
    with pytest.raises(ValueError, match="no variant"):
        compiled.Cascade("", **hostile.tables())


def test_the_compiled_search_refuses_what_it_cannot_read(variant):
    cascade = compiled.Cascade(variant, **hostile.tables())
    picture, scales = np.zeros((30, 30), np.uint8), np.ones(1, np.float32)
    gaps = picture[::2], picture.T[::2]
    for wrong in (*hostile.not_pictures(), *gaps):
        with pytest.raises(TypeError, match="the image must be a contiguous array of uint8"):
            cascade.find(wrong, scales, 0)
    shifted = np.frombuffer(bytes(9), np.float32, 2, offset=1)
    for wrong in (np.ones(1), np.ones((1, 1), np.float32), shifted, np.ones(4, np.float32)[::2]):
        with pytest.raises(TypeError, match="the factors must be a contiguous array of float32"):
            cascade.find(picture, wrong, 0)
    for wrong in ([0.5], [np.nan], [-1], [np.inf]):
        with pytest.raises(ValueError, match="not enlarged"):
            cascade.find(picture, np.array(wrong, np.float32), 0)
    with pytest.raises(ValueError, match="too many pixels"):
        cascade.find(np.zeros((2**14, 2**14), np.uint8), scales, 0)


SHORT_OF_MEMORY = """
import resource
import numpy as np
from gudi.detection import haar
picture = np.zeros((24, 4_000_000), np.uint8)
haar.implementation()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
try:
    haar.search(picture, 1.1, 5)
except MemoryError:
    print("MemoryError")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_too_little_memory_is_an_ordinary_error():
    _variant("baseline")
    done = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY],
        env=gudi_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "MemoryError\n"


def run_hostile(library: Path, **env: str) -> dict[str, str]:
    """Return the digests of what each variant of `library` finds in hostile pictures."""
    done = subprocess.run(
        [sys.executable, Path(hostile.__file__), library],
        env=gudi_environment(env),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(line.split() for line in done.stdout.splitlines())


def variants_of_this_cpu() -> set[str]:
    cpu = Path("/proc/cpuinfo").read_text().split()
    names = {"AVX2": {"avx2"}, "AVX-512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"}}
    return {"baseline", *(name for name, flags in names.items() if flags <= set(cpu))}


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc/cpuinfo")
@pytest.mark.parametrize("compiler", ["gcc", "clang", "zig"])
def test_every_compiler_uses_what_the_cpu_has(tmp_path, compiler):
    pytest.importorskip("setuptools")
    if not (find_spec("ziglang") if compiler == "zig" else shutil.which(compiler)):
        pytest.skip(f"no {compiler}")
    zig = f"{sys.executable} -m ziglang cc -mcpu=baseline"
    library = tmp_path / "libhaar.so"
    subprocess.run(
        [sys.executable, ROOT / "build_backend.py", library],
        env={**os.environ, "CC": zig if compiler == "zig" else compiler},
        check=True,
    )
    found = run_hostile(library)
    assert set(found) == variants_of_this_cpu()
    assert len({*found.values(), *run_hostile(compiled.LIBRARY).values()}) == 1


def test_hostile_input_passes_the_sanitizers(tmp_path):
    gcc = shutil.which("gcc")
    if not gcc or sys.platform != "linux":
        pytest.skip("no gcc to build the search with sanitizers")
    libraries = [
        subprocess.run([gcc, f"-print-file-name={name}"], capture_output=True, text=True).stdout
        for name in ("libasan.so", "libubsan.so")
    ]
    libraries = [os.path.realpath(library.strip()) for library in libraries]
    if not all(map(os.path.isfile, libraries)):
        pytest.skip("no libasan and libubsan")
    library = tmp_path / "libhaar.so"
    build = [
        gcc, "-shared", "-fPIC", "-std=c11", "-O1", "-ffp-contract=off", "-fno-math-errno",
        "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined",
        # AddressSanitizer sees these, too, and they double the time that the build takes.
        "-fno-sanitize=null,alignment,object-size",
        *map(str, NATIVE.glob("*.c")), "-o", str(library),
    ]  # fmt: skip
    built = subprocess.run(build, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    found = run_hostile(library, LD_PRELOAD=" ".join(libraries), ASAN_OPTIONS="detect_leaks=0")
    assert set(found) == variants_of_this_cpu()

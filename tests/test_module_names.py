"""gudi in a folder with Python files of its user, which may have any name."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest
from conftest import ROOT, draw_face, gudi_environment, run_gudi, save

# The names of gudi's folders and modules, without those that the standard library or a dependency
# has, too: a file called onnx.py hides the package onnx from every program.
NAMES = (
    {path.name for path in ROOT.iterdir() if path.name.isidentifier()}
    | {path.stem for package in ("gudi", "jobs") for path in (ROOT / package).rglob("*.py")}
) - {
    "gudi",
    "gudi_jobs",
    "__init__",
    "__main__",
    *sys.stdlib_module_names,
    *packages_distributions(),
}


@pytest.fixture
def folder(tmp_path):
    """A folder with a photo, and a module of each of those names, which must not be imported."""
    save(tmp_path / "face.jpg", draw_face())
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("raise SystemExit(f'{__file__} was imported')")
    return tmp_path


def test_library_imports_no_files_of_its_user(folder):
    assert {"jobs", "tests", "errors", "worker"} <= NAMES
    code = "import gudi; print(len(gudi.Recognizer()('face.jpg')))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=gudi_environment(),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "1\n", done.stderr


@pytest.mark.parametrize("backend", ["local", "dask"])
def test_command_and_workers_import_no_files_of_the_user(folder, backend):
    if backend == "dask":
        pytest.importorskip("distributed", reason="no Dask")
    done = run_gudi(
        "batch", "face.jpg", "--out", "out", "--backend", backend, "--workers", 1,
        "--predict-in", "workers", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "out" / "faces.csv").read_text().count("face.jpg") == 1

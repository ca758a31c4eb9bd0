"""Build gudi with setuptools, and its face search with a C compiler.

Where no C compiler works, this asks for the package ziglang, which contains one. Where that does
not exist, gudi searches with OpenCV. CC names the compiler to use, as always; CC=none is for none.

    CC=clang python build_backend.py libhaar.so

compiles the search alone.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from setuptools import Extension, build_meta
from setuptools.build_meta import *  # noqa: F403
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

NATIVE = Path(__file__).parent / "gudi" / "detection" / "native"

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=c11", "-O3", "-fPIC", "-fvisibility=hidden", "-s")
# OpenCV's numbers, to the last bit, need every operation as it is written.
EXACT = ("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")

# By sys.platform, the machines for which there is a ziglang that has been tried or is alike.
ZIG_MACHINES = {"linux": ("x86_64", "aarch64"), "darwin": ("x86_64", "arm64")}


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """Return what setuptools needs, and a compiler if there is none."""
    return build_meta.get_requires_for_build_wheel(config_settings) + _compiler_package()


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    """Return what setuptools needs, and a compiler if there is none."""
    return build_meta.get_requires_for_build_editable(config_settings) + _compiler_package()


def build_wheel(
    wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel; without the search only where there is no ziglang, or with CC=none.

    Raises:
        CompileError: no compiler works.
    """
    if not find_compiler() and os.environ.get("CC") != "none":
        if _has_ziglang():
            raise CompileError(
                f"no C compiler works (CC: {os.environ.get('CC', 'not set')}); CC=none builds a "
                "wheel without gudi's face search, which uses OpenCV 4 instead"
            )
        print("warning: no C compiler works: a wheel without gudi's face search", file=sys.stderr)
    return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)


def _has_ziglang() -> bool:
    return platform.machine() in ZIG_MACHINES.get(sys.platform, ())


def _compiler_package() -> list[str]:
    wanted = _has_ziglang() and "CC" not in os.environ and not find_compiler()
    return ["ziglang"] if wanted else []


@functools.cache
def find_compiler() -> list[str]:
    """Return the command of a C compiler that knows GCC's vector types; empty if there is none."""
    if os.name == "nt":
        return []
    commands = [[name] for name in COMPILERS]
    if importlib.util.find_spec("ziglang"):
        # By default, zig compiles for the CPU of this machine alone.
        commands.append([sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"])
    if "CC" in os.environ:
        commands = [shlex.split(os.environ["CC"])]
    return next((command for command in commands if _works(command)), [])


def _works(compiler: list[str]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        try:
            _run([*compiler, "-c", str(NATIVE / "baseline.c"), "-o", f"{folder}/trial.o"])
        except CompileError:
            return False
    return True


def compile_library(path: Path) -> None:
    """Compile the search to `path`.

    Raises:
        CompileError: the compiler fails.
    """
    sources = sorted(map(str, NATIVE.glob("*.c")))
    _run([*find_compiler(), *FLAGS, *EXACT, "-shared", *sources, "-o", str(path), "-lm"])


def _run(command: list[str]) -> None:
    with tempfile.TemporaryDirectory() as cache:
        caches = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        try:
            subprocess.run(
                command, env={**os.environ, **caches}, check=True, capture_output=True, text=True
            )
        except OSError as error:
            raise CompileError(f"{command[0]}: {error}") from error
        except subprocess.CalledProcessError as error:
            raise CompileError(error.stderr) from error


class BuildLibrary(build_ext):
    """Compiles shared libraries that know nothing of Python."""

    def get_ext_filename(self, fullname: str) -> str:
        """Return a path that does not name a version of Python."""
        return os.path.join(*fullname.split(".")) + ".so"

    def build_extension(self, ext: Extension) -> None:
        """Compile `ext`."""
        path = Path(self.get_ext_fullpath(ext.name))
        path.parent.mkdir(parents=True, exist_ok=True)
        compile_library(path)


class Wheel(bdist_wheel):
    """A wheel for every Python 3; with a library, for one platform."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tag for Python, ABI and platform."""
        return "py3", "none", super().get_tag()[2]


if __name__ == "__main__":
    compile_library(Path(sys.argv[1]))

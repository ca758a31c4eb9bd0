"""Values of options: what is refused, and what becomes of the others."""

from __future__ import annotations

import os
import sys

import click
import pytest
from click.testing import CliRunner
from conftest import call_gudi

from gudi.cli.options import declared_options
from gudi.settings import BatchOptions


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", ""], "the path is empty"),
        (["batch", ".", "--out", ""], "the path is empty"),
        (["batch", ".", "--out", "out", "--timeout", "nan"], "must be a number, not 'nan'"),
        (["batch", ".", "--out", "out", "--timeout", "long"], "'long' is not a valid number."),
        (["batch", ".", "--out", "out", "--timeout", "0"], "0.0 is not in the range"),
        (["batch", ".", "--out", "out", "--every", "2.5"], "'2.5' is not a valid whole number."),
        (["batch", ".", "--out", "out", "--every", "2", "--fps", "3"], "use only one of them"),
        (["batch", ".", "--out", "out", "--scheduler", "tcp://h"], "requires the backend dask"),
        (["predict", "a.jpg", "--scale-factor", "1.0000001"], "not in the range"),
        *[
            (["batch", ".", "--out", "out", "--shard", shard], "such as 1/4")
            for shard in ("0/2", "3/2", "1/", "1", "a/b", "-1/2")
        ],
        *[
            (["predict", "a.jpg", "--emotions", names], "two or more different names")
            for names in ("", "happy", "sad,sad", "sad,,happy")
        ],
        *[
            ([*command, "--draw", draw], "one or more of box, bars, emoji")
            for command in (["batch", ".", "--out", "out"], ["predict", "a.jpg"], ["live"])
            for draw in ("", "boxes", "none,box", "box;bars")
        ],
        (["train", "--resume", "--overwrite"], "use only one of them"),
        (["evaluate", "data", "--usage", "Training"], "--usage is not for a prepared"),
        (
            ["evaluate", "data", "--scale-factor", "1.3"],
            "--scale-factor is not for a prepared",
        ),
    ],
)
def test_meaningless_values_are_wrong_usage(tmp_path, arguments, message):
    done = call_gudi(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout, os.listdir(tmp_path)) == (2, "", [])
    assert message in done.stderr


def options_of(*arguments: str) -> BatchOptions:
    """Return what the arguments of a command come to."""
    found = []

    @click.command()
    @declared_options(BatchOptions)
    def command(**values):
        found.append(BatchOptions(**values))

    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    return found[0]


def test_defaults_of_commands_and_python_are_the_same():
    assert options_of() == BatchOptions()


def test_options_become_values():
    assert options_of(
        "--checkpoint", "old", "--emotions", "glad, sad", "--network", "2", "--device", "cpu",
        "--workers", "3", "--timeout", "1.5", "--worker-memory", "500", "--faces", "largest",
        "--scale-factor", "1.3", "--max-side", "800", "--crops", "--every", "5", "--shard", "3/12",
        "--format", "jsonl", "--track", "--no-annotate", "--no-mirror", "--draw", "box, emoji",
    ) == BatchOptions(
        checkpoint="old", emotions=["glad", "sad"], network=2, device="cpu",
        workers=3, timeout=1.5, worker_memory=500, faces="largest",
        scale_factor=1.3, max_side=800, crops=True, every=5, shard=(3, 12),
        format="jsonl", track=True, annotate=False, mirror=False, draw="box, emoji",
    )  # fmt: skip


@pytest.mark.skipif(sys.getfilesystemencoding() != "utf-8", reason="needs UTF-8")
@pytest.mark.parametrize("typed", ["wütend, froh", "w\udcc3\udcbctend,froh"])
def test_names_of_emotions_are_utf_8_whatever_the_locale(typed):
    # As Python decodes the second one's bytes under LC_ALL=C.
    assert options_of("--emotions", typed).emotions == ("wütend", "froh")
    assert options_of("--emotions", "w\udcfctend,froh").emotions == ("w\udcfctend", "froh")

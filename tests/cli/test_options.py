"""Values of options: what is refused, and what becomes of the others."""

from __future__ import annotations

import os
import sys

import click
import pytest
from click.testing import CliRunner
from conftest import call_gudi

from gudi.cli.options import (
    detection_options,
    option,
    output_settings,
    run_settings,
    split_emotions,
    split_shard,
    table_options,
)
from gudi.constants import EMOTIONS
from gudi.settings import DetectionSettings, FrameSelection, OutputSettings, RunSettings


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
        (["batch", ".", "--out", "out", "--scheduler", "tcp://h"], "requires --backend dask"),
        *[
            (["batch", ".", "--out", "out", "--shard", shard], "such as 1/4")
            for shard in ("0/2", "3/2", "1/", "1", "a/b", "-1/2")
        ],
        *[
            (["predict", "a.jpg", "--emotions", names], "two or more different names")
            for names in ("", "happy", "sad,sad", "sad,,happy")
        ],
        *[
            ([*command, "--draw", draw], "one or more of box, bars and emoji")
            for command in (["batch", ".", "--out", "out"], ["predict", "a.jpg"], ["live"])
            for draw in ("", "boxes", "none,box", "box;bars")
        ],
        (["train", "--resume", "--overwrite"], "use only one of them"),
        (["evaluate", "data", "--usage", "Training"], "--usage is for a csv file only"),
        (["evaluate", "data", "--scale-factor", "1.3"], "--scale-factor is for a csv file only"),
    ],
)
def test_meaningless_values_are_wrong_usage(tmp_path, arguments, message):
    done = call_gudi(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout, os.listdir(tmp_path)) == (2, "", [])
    assert message in done.stderr


def settings_of(*arguments: str) -> tuple[RunSettings, OutputSettings]:
    """Return the settings that the options of a command come to."""
    found = []

    @click.command()
    @detection_options(videos=True)
    @table_options()
    @option("--crops", is_flag=True)
    @option("--every", default=1)
    @option("--annotated", is_flag=True)
    @option("--report", is_flag=True)
    @option("--subtitles", is_flag=True)
    def command(**options):
        found.extend([run_settings(options, backend="dask"), output_settings(options)])

    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    return tuple(found)


def test_without_options_settings_are_the_defaults():
    run, output = settings_of()
    assert run == RunSettings(timeout=300, backend="dask")
    assert output == OutputSettings(annotated=False, report=False)


def test_options_become_settings():
    run, output = settings_of(
        "--checkpoint", "old", "--emotions", "glad, sad", "--network", "2", "--device", "cpu",
        "--workers", "3", "--timeout", "1.5", "--worker-memory", "500", "--faces", "largest",
        "--scale-factor", "1.3", "--min-neighbors", "4", "--min-face", "50", "--max-side", "800",
        "--crops", "--every", "5", "--format", "parquet", "--track", "--annotated", "--report",
    )  # fmt: skip
    assert run == RunSettings(
        checkpoint="old",
        emotions=("glad", "sad"),
        network=2,
        device="cpu",
        workers=3,
        timeout=1.5,
        worker_memory=500 * 2**20,
        detection=DetectionSettings(1.3, 4, 50, 800, largest=True),
        frames=FrameSelection(every=5),
        crops=True,
        backend="dask",
    )
    assert output == OutputSettings(tracked=True, format="parquet")


def test_the_emotions_are_the_original_ones_unless_named():
    assert settings_of()[0].emotions == EMOTIONS


@pytest.mark.skipif(sys.getfilesystemencoding() != "utf-8", reason="needs UTF-8")
@pytest.mark.parametrize("typed", ["wütend, froh", "w\udcc3\udcbctend,froh"])
def test_names_of_emotions_are_utf_8_whatever_the_locale(typed):
    # As Python decodes the second one's bytes under LC_ALL=C.
    assert split_emotions(None, None, typed) == ("wütend", "froh")
    assert split_emotions(None, None, "w\udcfctend,froh") == ("w\udcfctend", "froh")


@pytest.mark.parametrize(("text", "shard"), [(None, None), ("1/1", (1, 1)), ("3/12", (3, 12))])
def test_a_shard_is_a_part_of_a_number_of_parts(text, shard):
    assert split_shard(None, None, text) == shard

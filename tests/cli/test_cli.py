"""The command line: help, `gudi predict`, and what start-up imports."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import click
import cv2
import pytest
from conftest import ROOT, draw_face, gudi_environment, run_gudi, save

from gudi.cli import main
from gudi.version import __version__


def commands(group=main, path=()):
    """Return all commands by the words that call them."""
    found = {path: group}
    for name, each in getattr(group, "commands", {}).items():
        found |= commands(each, (*path, name))
    return found


COMMANDS = {" ".join(path): command for path, command in commands().items()}
LEAVES = [path for path, command in COMMANDS.items() if not hasattr(command, "commands")]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_without_the_heavy_packages(command):
    script = (
        "import sys\n"
        "from gudi.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'tflearn', 'cv2', 'numpy', 'joblib', 'PIL', 'scipy'}\n"
        "sys.exit(f'imported: {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command.split(), "--help"],
        env=gudi_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    assert "130  interrupted" in done.stdout


def test_version():
    assert run_gudi("--version").stdout == f"gudi, version {__version__}\n"


@pytest.mark.parametrize("command", LEAVES)
def test_every_option_has_help_and_every_command_is_in_the_readme(command):
    for parameter in COMMANDS[command].params:
        assert isinstance(parameter, click.Argument) or parameter.help
    assert f"gudi {command} " in (ROOT / "README.md").read_text()


def test_the_readme_names_no_command_or_option_that_there_is_not():
    text = (ROOT / "README.md").read_text()
    named = 0
    for block in re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL):
        for line in re.findall(r"(?m)^(?:\$ )?.*?\bgudi ([a-z].*)", block):
            words = line.partition("#")[0].split()
            command = next(each for each in LEAVES if words[: len(each.split())] == each.split())
            options = COMMANDS[command].params
            known = {name for each in options for name in (*each.opts, *each.secondary_opts)}
            assert {word for word in words if word.startswith("--")} <= known, line
            named += 1
    assert named > 5


@pytest.fixture
def env(made):
    return {"GUDI_CHECKPOINT": str(made[0])}


@pytest.mark.parametrize("arguments", [("export", ""), ("batch", ".", "--out", "")])
def test_an_empty_path_is_not_this_folder(tmp_path, arguments):
    done = run_gudi(*arguments, cwd=tmp_path)
    assert (done.returncode, os.listdir(tmp_path)) == (2, [])
    assert "the path is empty" in done.stderr


def test_predict_prints_a_line_a_face_and_draws_the_picture(photos, env, tmp_path):
    done = run_gudi(
        "predict", "photos/two.bmp", "photos/one.jpg", "photos/none.jpg", cwd=tmp_path, env=env
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["photos/two.bmp", "photos/two.bmp", "photos/one.jpg"]
    for _, *box, emotion, share in lines:
        assert all(value.isdigit() for value in box)
        assert emotion.isalpha()
        assert 1 / 7 < float(share) <= 1
    assert "photos/none.jpg: no face" in done.stderr
    pictures = sorted(path.name for path in (tmp_path / "predicted").iterdir())
    assert pictures == ["one.emotions.jpg", "two.emotions.bmp"]
    picture = cv2.imread(str(tmp_path / "predicted" / "two.emotions.bmp"))
    assert (picture == (255, 0, 0)).all(axis=2).any()


def test_predict_as_json(photos, env, tmp_path):
    done = run_gudi(
        "predict", "--json", "--no-annotate", "photos/two.bmp", "photos/none.jpg",
        cwd=tmp_path, env=env,
    )  # fmt: skip
    two, none = json.loads(done.stdout)
    assert (two["source"], two["status"], two["width"]) == ("photos/two.bmp", "ok", 500)
    assert len(two["faces"]) == 2
    for face in two["faces"]:
        assert face["confidence"] == max(face["probabilities"].values())
        assert next(iter(face["probabilities"])) == "angry"
    assert (none["status"], none["faces"]) == ("no_face", [])
    assert not (tmp_path / "predicted").exists()


def test_predict_says_what_failed(photos, env, tmp_path):
    (photos / "bad.jpg").write_text("no picture")
    done = run_gudi("predict", "photos/bad.jpg", "photos/one.jpg", cwd=tmp_path, env=env)
    assert done.returncode == 3
    assert "gudi: error: photos/bad.jpg: it is damaged, cut short, or not a picture" in done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_predict_never_touches_the_photos(photos, env, tmp_path):
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    done = run_gudi("predict", "photos", "--out", "photos", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in before} == before
    # Two of the photos are called one.
    assert sorted(path.name for path in photos.glob("*.emotions.*")) == [
        "one.emotions.jpg", "one.emotions.png", "two.emotions.bmp",
    ]  # fmt: skip


def test_predict_does_not_take_its_own_pictures_for_photos(photos, env, tmp_path):
    for _ in range(2):
        done = run_gudi("predict", ".", "--out", ".", cwd=photos, env=env)
        assert len(done.stdout.splitlines()) == 4, done.stderr
    done = run_gudi("predict", "one.emotions.jpg", "--no-annotate", cwd=photos, env=env)
    assert len(done.stdout.splitlines()) == 1


def test_predict_of_a_photo_with_a_long_name(photos, env, tmp_path):
    (photos / "one.jpg").rename(photos / ("ü" * 125 + ".jpg"))
    done = run_gudi("predict", "photos", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "predicted").iterdir())) == 3


def test_predict_agrees_with_the_largest_face_of_batch(photos, env, tmp_path):
    arguments = ("photos/two.bmp", "--faces", "largest")
    predicted = run_gudi("predict", "--no-annotate", *arguments, cwd=tmp_path, env=env)
    run_gudi("batch", *arguments, "--out", "out", cwd=tmp_path, env=env)
    (line,) = predicted.stdout.splitlines()
    row = (tmp_path / "out" / "faces.csv").read_text().splitlines()[1].split(",")
    assert line.split("\t")[1:6] == row[5:10]


def test_a_closed_pipe_is_no_error(photos, env, tmp_path):
    # More than fits into a pipe.
    for number in range(400):
        save(photos / f"{number}.png", draw_face(60, 80, 80, 10, 10))
    command = [sys.executable, "-m", "gudi", "predict", "--no-annotate", "--json", "photos"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=gudi_environment(env), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() in ("", "photos/none.jpg: no face\n")
    process.wait(60)


def test_an_error_of_our_own_is_one_line_too(photos, env, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import gudi.results\n"
        "def fail(*_): raise RuntimeError('not\\nexpected')\n"
        "gudi.results.ResultFolder.clear = fail\n"
    )
    env = env | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-m", "gudi", "batch", photos, "--out", tmp_path / "out", "--restart"],
        env=os.environ | env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == "gudi: error: RuntimeError: not (gudi --debug … shows where)\n"


def test_debug_shows_the_traceback(tmp_path, env):
    done = run_gudi("--debug", "batch", "nowhere", "--out", "out", cwd=tmp_path, env=env)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "no such file or folder: nowhere" in done.stderr

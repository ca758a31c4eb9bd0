"""`gudi train` and `gudi evaluate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from gudi.cli.group import EXIT_CODES, TRAINING_EXIT_CODES
from gudi.cli.options import (
    NonEmptyPath,
    a_number,
    checkpoint_option,
    device_option,
    emotions_option,
    network_option,
    refuse_given,
    scale_factor_option,
    usages,
)
from gudi.errors import ExitCode
from gudi.progress import terminal_progress


@click.command(epilog=EXIT_CODES)
@click.argument("source", type=NonEmptyPath(path_type=Path))
@checkpoint_option
@click.option(
    "--usage",
    metavar="NAME,NAME…",
    callback=usages,
    help="Which rows of a csv to take: Training, PublicTest, PrivateTest.  [default: all]",
)
@click.option(
    "--faces",
    type=click.Choice(["both", "whole", "detected"]),
    default="both",
    show_default=True,
    help="Pictures of a csv as they are, or the faces found in them, or first one, then the other.",
)
@scale_factor_option
@emotions_option
@network_option
@device_option
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes that look for faces.  [default: one a processor]",
)
@click.option(
    "--out",
    type=NonEmptyPath(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for the confusion matrices as csv and picture, and evaluation.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def evaluate(source: Path, out: Path | None, as_json: bool, **options: Any) -> None:
    """Measure a checkpoint by faces whose expression is known.

    SOURCE is a prepared data set (its folder, or what the two files' names begin with) or
    fer2013.csv. Prints accuracy, precision, recall and F1 of each emotion, and the confusion
    matrix.
    """
    from gudi.files import check_writable
    from gudi.training.evaluate import as_record, as_text, evaluate_source, is_csv, write_all

    if not is_csv(source):
        refuse_given("usage", "faces", "scale_factor", "workers", why="is for a csv")
    if out is not None:
        check_writable(out)
    evaluations = evaluate_source(source, progress=terminal_progress(), **options)
    if out is not None:
        write_all(evaluations, out)
    if as_json:
        records = {name: as_record(each) for name, each in evaluations.items()}
        click.echo(json.dumps(records, indent=2))
        return
    for number, (name, each) in enumerate(evaluations.items()):
        click.echo(("\n" if number else "") + f"{name}: {as_text(each)}")


@click.command(epilog=TRAINING_EXIT_CODES)
@click.option(
    "--data",
    type=NonEmptyPath(path_type=Path),
    multiple=True,
    default=["data"],
    show_default="data",
    metavar="PATH",
    help="The faces, as gudi prepare leaves them: the folder, or what the two files' names begin "
    "with, such as data/sf=1.3_data. Given several times, all of them together.",
)
@click.option(
    "--validation",
    type=NonEmptyPath(path_type=Path),
    metavar="PATH",
    help="Faces to measure by.  [default: a tenth of --data]",
)
@click.option(
    "--out",
    type=NonEmptyPath(path_type=Path, file_okay=False),
    default="checkpoints",
    show_default=True,
    metavar="DIR",
    help="Folder for the checkpoint, its snapshots and learning curve.",
)
@click.option("--resume", is_flag=True, help="Go on with the training in --out.")
@click.option("--overwrite", is_flag=True, help="Replace the training in --out.")
@click.option(
    "--recipe",
    type=click.Choice(["original", "augmented"]),
    help="original: momentum, learning rate 0.001, batches of 50, no variations. augmented: "
    "mirrored, turned, shifted, scaled faces, Adam, a learning rate that falls along a cosine.  "
    "[default: original]",
)
@click.option("--epochs", type=click.IntRange(1, 100_000), help="[default: 100]")
@click.option(
    "--batch-size", type=click.IntRange(1, 4096), help="Faces a step.  [default: by the recipe]"
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    callback=a_number,
    help="[default: by the recipe]",
)
@click.option(
    "--decay",
    type=click.FloatRange(0, 1, min_open=True),
    callback=a_number,
    help="Multiply a constant learning rate by this after each epoch.  [default: 1]",
)
@click.option(
    "--units",
    type=click.IntRange(1, 3072),
    help="Train so many of the 3072 hidden units and leave the others 0: faster, and smaller when "
    "packed.  [default: 3072]",
)
@click.option(
    "--init",
    metavar="PATH",
    help="Begin with the weights of this checkpoint (prefix, folder or any file) instead of random "
    "ones.",
)
@click.option(
    "--teacher",
    metavar="PATH",
    help="Let half of each label be what this checkpoint makes of the face.",
)
@click.option(
    "--keep",
    type=click.FloatRange(0, 1, min_open=True),
    callback=a_number,
    help="Share of the features that dropout keeps.  [default: by the recipe]",
)
@click.option(
    "--keep-hidden",
    type=click.FloatRange(0, 1, min_open=True),
    callback=a_number,
    help="Share of the hidden units that dropout keeps.  [default: by the recipe]",
)
@click.option(
    "--balance",
    type=click.FloatRange(0, 1),
    callback=a_number,
    help="Show rare emotions more often: 0 not at all, 1 as often as the most frequent one.  "
    "[default: by the recipe]",
)
@click.option(
    "--variation",
    type=click.FloatRange(0, 1),
    callback=a_number,
    help="How far faces are varied (turned, shifted, scaled, hidden, …): 0 not at all, 1 as far as "
    "the augmented recipe does.  [default: by the recipe]",
)
@click.option(
    "--average",
    type=click.FloatRange(0, 1, max_open=True),
    callback=a_number,
    help="Measure and write a moving average of the weights that keeps this share of itself at "
    "each step, 0.999 say; 0 for the weights themselves.  [default: by the recipe]",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="[default: 42]")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    help="bfloat16 is faster on processors that have AVX512-BF16 or AMX.  [default: float32]",
)
@click.option(
    "--tensorboard-verbose",
    type=click.IntRange(0, 3),
    help="0 logs loss and accuracy; 1 histograms of gradients, 2 of weights, 3 of activations, "
    "too, at each step, which takes several times as long (the original has 2).  [default: 0]",
)
@click.option(
    "--device",
    metavar="auto|cpu|gpu|gpu:N",
    help="Where to train; auto takes a GPU if TensorFlow sees one.  [default: auto]",
)
def train(
    data: tuple[Path, ...],
    validation: Path | None,
    out: Path,
    resume: bool,
    overwrite: bool,
    recipe: str | None,
    **changes: Any,
) -> None:
    """Train the network on prepared faces.

    DIR gets the checkpoint under the original's names, learning_curve.csv and .png, run.json,
    logs/ for TensorBoard, and snapshots/: a run that was stopped, by Ctrl-C or by a power cut,
    goes on from the last one with --resume.
    """
    from gudi.training import dataset
    from gudi.training import train as trainer

    if resume and overwrite:
        raise click.UsageError("--resume goes on and --overwrite begins anew: choose one")
    faces = dataset.join([dataset.load(each) for each in data])
    measured = dataset.load(validation) if validation else None
    if resume:
        trained = trainer.resume(
            faces,
            out,
            {"recipe": recipe, **changes},
            validation=measured,
            progress=terminal_progress(),
        )
    else:
        trained = trainer.train(
            faces,
            out,
            trainer.settings_for(recipe or "original", changes),
            validation=measured,
            progress=terminal_progress(),
            overwrite=overwrite,
        )
    if trained.prefix is None:
        click.echo(f"stopped; the same command with --resume goes on (--out {out})", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    click.echo(trained.prefix)

"""`gudi train` and `gudi evaluate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from gudi.cli.group import exit_codes, print_message, print_results
from gudi.cli.options import (
    NonEmptyPath,
    declared_options,
    label_option,
    labels_from,
    option,
    refuse_given,
    usage_option,
)
from gudi.errors import ExitCode
from gudi.limits import check_memory
from gudi.packages import check_tensorflow
from gudi.progress import terminal_progress
from gudi.settings import DetectionOptions, PredictionOptions, WorkerOptions
from gudi.training.training_settings import TrainingSettings, read_recipe

# Not given: the recipe or the resumed training has it.
SET_BY_RECIPE = {"metavar": "N", "default": None}


@click.command(
    epilog=exit_codes(
        finished="trained",
        could_not_run="could not run, or the loss became infinite or NaN",
        interrupted="interrupted; to resume, repeat the command with --resume",
    )
)
@option(
    "--data",
    type=NonEmptyPath(),
    multiple=True,
    default=["data"],
    metavar="PATH",
    help="Prepared faces: the folder that gudi prepare wrote to, or the start of the two files' "
    "names, such as data/sf=1.3_data. Repeat the option to combine several sets.",
)
@option(
    "--validation",
    type=NonEmptyPath(),
    metavar="PATH",
    show_default="a tenth of --data",
    help="Prepared faces to validate with.",
)
@option(
    "--out",
    type=NonEmptyPath(file_okay=False),
    default="checkpoints",
    metavar="DIR",
    help="Folder for the checkpoint, snapshots, logs and learning curve.",
)
@option("--resume", is_flag=True, help="Resume the training in --out.")
@option("--overwrite", is_flag=True, help="Start over: replace the training in --out.")
@option(
    "--recipe",
    type=NonEmptyPath(dir_okay=False),
    metavar="FILE",
    show_default="the original's settings",
    help="Settings in TOML, such as recipes/augmented.toml; docs/training.md lists them. Options "
    "override the file.",
)
@declared_options(
    TrainingSettings, "epochs", show_default="set by the recipe, or 100", **SET_BY_RECIPE
)
@option(
    "--init",
    metavar="PATH",
    show_default="random weights",
    help="Checkpoint whose weights to start with: its prefix, folder or any file. Its "
    "classes may differ. If they do not, the learning rate is 0.00005, unless the recipe has one.",
)
@declared_options(
    TrainingSettings, "seed", show_default="set by the recipe, or 42", **SET_BY_RECIPE
)
@declared_options(
    PredictionOptions,
    "device",
    default=None,
    show_default="auto",
    help="Where to train. auto uses a GPU if TensorFlow finds one.",
)
def train(
    data: tuple[Path, ...],
    validation: Path | None,
    out: Path,
    resume: bool,
    overwrite: bool,
    recipe: Path | None,
    **options: Any,
) -> None:
    """Train the network on prepared faces.

    The folder of --out receives the checkpoint under its original name, learning_curve.csv and
    .png, run.json, logs/ for TensorBoard, and snapshots/.

    To resume a training that was interrupted, by Ctrl-C or by a power cut, repeat the command with
    --resume. It continues from the last snapshot.

    \b
    Examples:
      gudi train
      gudi train --recipe recipes/augmented.toml --out trained/
    """
    if resume and overwrite:
        raise click.UsageError(
            "--resume continues the training in --out and --overwrite replaces it: use only one "
            "of them"
        )
    changes = read_recipe(recipe) if recipe else {}
    changes |= {name: value for name, value in options.items() if value is not None}
    check_tensorflow("gudi train")
    check_memory(tensorflow=True)
    from gudi.training import dataset
    from gudi.training import train as trainer

    emotions = changes.get("emotions") or dataset.emotions_of(data[0])
    faces = dataset.join([dataset.load(each, len(emotions)) for each in data])
    common: dict[str, Any] = {
        "validation": dataset.load(validation, len(emotions)) if validation else None,
        "progress": terminal_progress(),
    }
    if resume:
        trained = trainer.resume(faces, out, changes, **common)
    else:
        settings = trainer.settings_to_start(changes, emotions)
        trained = trainer.train(faces, out, settings, overwrite=overwrite, **common)
    if trained.prefix is None:
        print_message(f"interrupted; to resume, repeat the command with --resume (--out {out})")
        sys.exit(ExitCode.INTERRUPTED)
    click.echo(trained.prefix)


@click.command(epilog=exit_codes(finished="finished"))
@click.argument("source", type=NonEmptyPath())
@option(
    "--checkpoint",
    "checkpoints",
    type=NonEmptyPath(),
    multiple=True,
    metavar="PATH",
    show_default="as gudi batch finds one",
    help="Trained network: the prefix, the folder or any file of a Gudi checkpoint. Repeat the "
    "option to compare several on the same faces.",
)
@usage_option("Parts of a csv or of photos to use", "such as PublicTest, test")
@option(
    "--faces",
    type=click.Choice(["both", "whole", "detected"]),
    default="both",
    help="Which faces of a csv or of photos to use: whole photos, the faces detected in them, "
    "or both, one after the other.",
)
@label_option
@declared_options(DetectionOptions, "detector")
@declared_options(
    DetectionOptions,
    "scale_factor",
    help="Growth of the search window from one pass to the next, to detect faces in a csv with "
    "haar.",
)
@declared_options(
    PredictionOptions,
    "emotions",
    default=None,
    show_default="those of a prepared set, or the original's",
)
@declared_options(PredictionOptions, "network", "mirror", "device")
@declared_options(WorkerOptions, "workers")
@option(
    "--out",
    type=NonEmptyPath(file_okay=False),
    metavar="DIR",
    help="Folder for evaluation.json and the confusion matrices, as csv and as a figure.",
)
@option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def evaluate(source: Path, out: Path | None, as_json: bool, **options: Any) -> None:
    """Measure a checkpoint on labelled faces.

    SOURCE is fer2013.csv; photos, as gudi prepare folder takes them; or a prepared data set: its
    folder, or the start of its two files' names, such as data/sf=1.1_data.

    Prints the accuracy, the precision, recall and F1 of each emotion, and the confusion matrix. Of
    several checkpoints, it prints accuracy and recall side by side, and whether they differ by more
    than chance.

    \b
    Examples:
      gudi evaluate fer2013.csv --usage PublicTest
      gudi evaluate data/ --checkpoint old-folder/
      gudi evaluate data/ --checkpoint one.gudi --checkpoint two.gudi
    """
    from gudi.files import check_writable
    from gudi.training.compare import as_table
    from gudi.training.evaluate import (
        as_record,
        as_text,
        by_name,
        evaluate_source,
        is_prepared,
        write_all,
    )

    if is_prepared(source):
        refuse_given(
            "usage", "faces", "detector", "scale_factor", "workers", "labels",
            why="is not for a prepared data set",
        )  # fmt: skip
    options["labels"] = labels_from(options["labels"])
    if out is not None:
        check_writable(out)
    evaluations = evaluate_source(source, progress=terminal_progress(), **options)
    named = by_name(evaluations)
    if out is not None:
        write_all(named, out)
    if as_json:
        records = {name: as_record(each) for name, each in named.items()}
        print_results(json.dumps(records, indent=2))
    elif len(options["checkpoints"]) > 1:
        texts = [f"{number}: {path}" for number, path in enumerate(options["checkpoints"], 1)]
        texts += [
            f"\n{name} (n={found[0].count:,})\n{as_table(found)}"
            for name, found in evaluations.items()
        ]
        print_results("\n".join(texts))
    else:
        print_results("\n\n".join(f"{name}: {as_text(each)}" for name, each in named.items()))

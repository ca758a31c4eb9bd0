"""`gudi train` and `gudi evaluate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from gudi.cli.group import exit_codes, print_message, print_results
from gudi.cli.options import (
    Integer,
    NonEmptyPath,
    Number,
    combine,
    declared_options,
    option,
    refuse_given,
    usage_option,
)
from gudi.errors import ExitCode
from gudi.limits import check_memory
from gudi.packages import check_tensorflow
from gudi.progress import terminal_progress
from gudi.settings import DetectionOptions, PredictionOptions, WorkerOptions

BY_RECIPE = "set by the recipe"

_data_options = combine(
    option(
        "--data",
        type=NonEmptyPath(),
        multiple=True,
        default=["data"],
        metavar="PATH",
        help="Prepared faces: the folder that gudi prepare wrote to, or the start of the two "
        "files' names, such as data/sf=1.3_data. Repeat the option to combine several sets.",
    ),
    option(
        "--validation",
        type=NonEmptyPath(),
        metavar="PATH",
        show_default="a tenth of --data",
        help="Prepared faces to validate with.",
    ),
    option(
        "--out",
        type=NonEmptyPath(file_okay=False),
        default="checkpoints",
        metavar="DIR",
        help="Folder for the checkpoint, snapshots, logs and learning curve.",
    ),
    option("--resume", is_flag=True, help="Resume the training in --out."),
    option("--overwrite", is_flag=True, help="Start over: replace the training in --out."),
)
# None tells an option that was not given: its value comes from the recipe or the resumed training.
_recipe_options = combine(
    option(
        "--recipe",
        type=click.Choice(["original", "augmented"]),
        show_default="original",
        help="original: momentum, learning rate 0.001, batches of 50, faces as they are. "
        "augmented: Adam, cosine learning rate schedule, batches of 128, faces mirrored, rotated, "
        "shifted and scaled.",
    ),
    option(
        "--epochs",
        type=Integer(1, 100_000),
        metavar="N",
        show_default="100",
        help="Number of passes over the training faces.",
    ),
    option(
        "--batch-size",
        type=Integer(1, 4096),
        metavar="N",
        show_default=BY_RECIPE,
        help="Number of faces per training step.",
    ),
    option(
        "--learning-rate",
        type=Number(0, min_open=True),
        metavar="RATE",
        show_default=BY_RECIPE,
        help="Learning rate of the first epoch, or the highest one with the augmented recipe.",
    ),
    option(
        "--decay",
        type=Number(0, 1, min_open=True),
        metavar="FACTOR",
        show_default="1",
        help="Multiply a constant learning rate by this factor after each epoch.",
    ),
    option(
        "--keep",
        type=Number(0, 1, min_open=True),
        metavar="FRACTION",
        show_default=BY_RECIPE,
        help="Fraction of the features that dropout keeps.",
    ),
    option(
        "--keep-hidden",
        type=Number(0, 1, min_open=True),
        metavar="FRACTION",
        show_default=BY_RECIPE,
        help="Fraction of the hidden units that dropout keeps.",
    ),
    option(
        "--balance",
        type=Number(0, 1),
        metavar="FRACTION",
        show_default=BY_RECIPE,
        help="How far to balance the emotions: from 0 (not at all) to 1 (each is shown as often as "
        "the most frequent one).",
    ),
    option(
        "--agreement",
        type=Number(0, 10),
        metavar="POWER",
        show_default="0",
        help="With soft labels, how far to show those faces less often on which people disagree: "
        "as often as the most probable emotion's share to this power; 0 for equally often.",
    ),
    option(
        "--adjustment",
        type=Number(0, 1),
        metavar="POWER",
        show_default="0",
        help="How far to predict rare emotions more often: from 0 (not at all) to 1 (as if all "
        "were equally frequent).",
    ),
    option(
        "--variation",
        type=Number(0, 1),
        metavar="FRACTION",
        show_default=BY_RECIPE,
        help="How strongly to vary the faces by rotation, shift, scale and so on: from 0 (not "
        "at all) to 1 (as in the augmented recipe).",
    ),
    option(
        "--wear",
        type=Number(0, 1),
        metavar="FRACTION",
        show_default="0",
        help="Probability of each of these for each face: uneven light, blur, coarse pixels, noise "
        "and JPEG artefacts.",
    ),
    option(
        "--average",
        type=Number(0, 1, max_open=True),
        metavar="FRACTION",
        show_default=BY_RECIPE,
        help="Validate and save a moving average of the weights that keeps this fraction of "
        "itself at each step, such as 0.999; 0 for the weights themselves.",
    ),
)
_network_options = combine(
    option(
        "--units",
        type=Integer(1, 3072),
        metavar="N",
        show_default="3072",
        help="Number of hidden units to train; the rest of the 3072 stay 0. With fewer, training "
        "is faster and the packed checkpoint is smaller.",
    ),
    option(
        "--init",
        metavar="PATH",
        show_default="random weights",
        help="Checkpoint whose weights to start with: its prefix, folder or any file.",
    ),
    option(
        "--teacher",
        metavar="PATH",
        multiple=True,
        help="Checkpoint whose predictions make up half of each label: its prefix, folder or any "
        "file. Repeat the option for the mean of several.",
    ),
    option(
        "--seed",
        type=Integer(0, 2**31 - 1),
        metavar="N",
        show_default="42",
        help="Seed of the random weights, of the order of the faces and of their variations.",
    ),
    option(
        "--precision",
        type=click.Choice(["float32", "bfloat16"]),
        show_default="float32",
        help="Precision of the computation. bfloat16 is faster on CPUs with AVX512-BF16 or AMX.",
    ),
    option(
        "--tensorboard-verbose",
        type=Integer(0, 3),
        metavar="LEVEL",
        show_default="0",
        help="What to log for TensorBoard at each step: 0 loss and accuracy, 1 also histograms of "
        "the gradients, 2 of the weights, 3 of the activations. Histograms make a step several "
        "times slower. The original uses 2.",
    ),
    declared_options(
        PredictionOptions,
        "device",
        default=None,
        show_default="auto",
        help="Where to train. auto uses a GPU if TensorFlow finds one.",
    ),
)


@click.command(
    epilog=exit_codes(
        finished="trained",
        could_not_run="could not run, or the loss became infinite or NaN",
        interrupted="interrupted; to resume, repeat the command with --resume",
    )
)
@_data_options
@_recipe_options
@_network_options
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

    The folder of --out receives the checkpoint under its original name, learning_curve.csv and
    .png, run.json, logs/ for TensorBoard, and snapshots/.

    To resume a training that was interrupted, by Ctrl-C or by a power cut, repeat the command with
    --resume. It continues from the last snapshot.

    \b
    Examples:
      gudi train
      gudi train --recipe augmented --units 1024 --out trained/
    """
    changes["teacher"] = changes["teacher"] or None
    if resume and overwrite:
        raise click.UsageError(
            "--resume continues the training in --out and --overwrite replaces it: use only one "
            "of them"
        )
    check_tensorflow("gudi train")
    check_memory(tensorflow=True)
    from gudi.training import dataset
    from gudi.training import train as trainer
    from gudi.training.settings import settings_for

    faces = dataset.join([dataset.load(each) for each in data])
    common: dict[str, Any] = {
        "validation": dataset.load(validation) if validation else None,
        "progress": terminal_progress(),
    }
    if resume:
        trained = trainer.resume(faces, out, {"recipe": recipe, **changes}, **common)
    else:
        settings = settings_for(recipe or "original", changes)
        trained = trainer.train(faces, out, settings, overwrite=overwrite, **common)
    if trained.prefix is None:
        print_message(f"interrupted; to resume, repeat the command with --resume (--out {out})")
        sys.exit(ExitCode.INTERRUPTED)
    click.echo(trained.prefix)


@click.command(epilog=exit_codes(finished="finished"))
@click.argument("source", type=NonEmptyPath())
@declared_options(PredictionOptions, "checkpoint")
@usage_option("Parts of a csv to use", "Training, PublicTest, PrivateTest")
@option(
    "--faces",
    type=click.Choice(["both", "whole", "detected"]),
    default="both",
    help="Which faces of a csv to use: whole pictures, the faces detected in them, or both, one "
    "after the other.",
)
@declared_options(DetectionOptions, "detector")
@declared_options(
    DetectionOptions,
    "scale_factor",
    help="Growth of the search window from one pass to the next, to detect faces in a csv with "
    "haar.",
)
@declared_options(PredictionOptions, "emotions", "network", "mirror", "device")
@declared_options(WorkerOptions, "workers")
@option(
    "--out",
    type=NonEmptyPath(file_okay=False),
    metavar="DIR",
    help="Folder for evaluation.json and the confusion matrices, as csv and as a picture.",
)
@option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def evaluate(source: Path, out: Path | None, as_json: bool, **options: Any) -> None:
    """Measure a checkpoint on labelled faces.

    SOURCE is fer2013.csv or a prepared data set: its folder, or the start of its two files' names,
    such as data/sf=1.1_data.

    Prints the accuracy, the precision, recall and F1 of each emotion, and the confusion matrix.

    \b
    Examples:
      gudi evaluate fer2013.csv --usage PublicTest
      gudi evaluate data/ --checkpoint old-folder/
    """
    from gudi.files import check_writable
    from gudi.training.evaluate import as_record, as_text, evaluate_source, is_csv, write_all

    if not is_csv(source):
        refuse_given(
            "usage", "faces", "detector", "scale_factor", "workers", why="is for a csv file only"
        )
    if out is not None:
        check_writable(out)
    evaluations = evaluate_source(source, progress=terminal_progress(), **options)
    if out is not None:
        write_all(evaluations, out)
    if as_json:
        records = {name: as_record(each) for name, each in evaluations.items()}
        print_results(json.dumps(records, indent=2))
    else:
        texts = (f"{name}: {as_text(each)}" for name, each in evaluations.items())
        print_results("\n\n".join(texts))

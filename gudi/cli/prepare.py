"""`gudi prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gudi.cli.group import OrderedGroup, exit_codes, print_message
from gudi.cli.messages import describe_prepared
from gudi.cli.options import (
    Decorator,
    NonEmptyPath,
    combine,
    declared_options,
    label_option,
    labels_from,
    option,
    usage_option,
)
from gudi.progress import terminal_progress
from gudi.settings import DetectionOptions, PredictionOptions, WorkerOptions

EXIT_CODES = exit_codes(finished="finished, even if some rows were skipped")

_detection_options = combine(
    declared_options(DetectionOptions, "detector"),
    declared_options(
        DetectionOptions,
        "scale_factor",
        help="Growth of the search window from one pass to the next; it is part of the file names.",
    ),
)


def _preparing_options(usages: str) -> Decorator[Any]:
    """Return the options that all `prepare` commands have; `usages` are the parts of the set."""
    return combine(
        option(
            "--out",
            type=NonEmptyPath(file_okay=False),
            default="data",
            metavar="DIR",
            help="Folder for the files.",
        ),
        usage_option("Parts of the data set to use", usages),
        option("--overwrite", is_flag=True, help="Replace files of the same names."),
        declared_options(WorkerOptions, "workers"),
    )


@click.group(cls=OrderedGroup, epilog=EXIT_CODES)
def prepare() -> None:
    """Convert a data set for gudi train and gudi evaluate.

    \b
    Examples:
      gudi prepare fer fer2013.csv
      gudi prepare raf-aligned RAF-DB/basic
    """


@prepare.command(epilog=EXIT_CODES)
@click.argument("csv", type=NonEmptyPath(dir_okay=False))
@_detection_options
@option(
    "--votes",
    type=NonEmptyPath(exists=True, dir_okay=False),
    metavar="FILE",
    help="FER+'s fer2013new.csv, the votes of ten annotators for each row: labels become soft, "
    "half FER2013's label and half the votes.",
)
@option(
    "--whole",
    is_flag=True,
    help="Use the images as they are, without detecting faces. The files are then named "
    "whole_data_images.npy and so on.",
)
@_preparing_options("Training, PublicTest, PrivateTest")
def fer(csv: Path, out: Path, **options: Any) -> None:
    """Prepare FER2013.

    CSV is fer2013.csv, or the ZIP or tar.gz archive that it came in. As in the original, each
    image is placed on a grey square, and the largest face that is detected there is resized to
    48×48 pixels.

    The folder of --out receives sf=1.1_data_images.npy and sf=1.1_data_labels.npy. sf=1.1_data.json
    counts the rows with a face, and lists why others were skipped.

    \b
    Examples:
      gudi prepare fer fer2013.csv
      gudi prepare fer fer2013.csv --usage PublicTest --out test/
    """
    from gudi.training.prepare import prepare_fer

    _print_prepared(*prepare_fer(csv, out, progress=terminal_progress(), **options))


@prepare.command(name="raf-aligned", epilog=EXIT_CODES)
@click.argument("folder", type=NonEmptyPath())
@_preparing_options("train, test")
def raf_aligned(folder: Path, out: Path, **options: Any) -> None:
    """Prepare the aligned photos of RAF-DB.

    FOLDER is the basic set, unpacked or as it is handed out: it or archives in it contain
    list_patition_label.txt and aligned/. The photos are used without detecting faces.

    The folder of --out receives raf_aligned_data_images.npy and raf_aligned_data_labels.npy.
    raf_aligned_data.json counts the photos that were used, and lists why others were skipped.

    \b
    Example:
      gudi prepare raf-aligned RAF-DB/basic
    """
    from gudi.training.prepare import prepare_raf

    prepared = prepare_raf(folder, out, aligned=True, progress=terminal_progress(), **options)
    _print_prepared(*prepared)


@prepare.command(name="raf-original", epilog=EXIT_CODES)
@click.argument("folder", type=NonEmptyPath())
@_detection_options
@_preparing_options("train, test")
def raf_original(folder: Path, out: Path, **options: Any) -> None:
    """Prepare the faces in the original photos of RAF-DB.

    FOLDER is the basic set, unpacked or as it is handed out: it or archives in it contain
    list_patition_label.txt and original/. The largest face that is detected in each photo is
    used.

    The folder of --out receives sf=1.1_raf_origin_data_images.npy and
    sf=1.1_raf_origin_data_labels.npy. sf=1.1_raf_origin_data.json counts the photos with a
    face, and lists why others were skipped.

    \b
    Example:
      gudi prepare raf-original RAF-DB/basic
    """
    from gudi.training.prepare import prepare_raf

    prepared = prepare_raf(folder, out, aligned=False, progress=terminal_progress(), **options)
    _print_prepared(*prepared)


@prepare.command(epilog=EXIT_CODES)
@click.argument("source", type=NonEmptyPath(exists=True))
@_detection_options
@option(
    "--whole",
    is_flag=True,
    help="Use the photos as they are, without detecting faces. The files are then named "
    "whole_folder_data_images.npy and so on.",
)
@declared_options(PredictionOptions, "emotions", help="Names of the classes, in their order.")
@label_option
@_preparing_options("train, validation, test")
def folder(source: Path, out: Path, labels: tuple[str, ...], **options: Any) -> None:
    """Prepare photos that lie in a folder per emotion.

    SOURCE is a folder or archive, in which the folder that a photo lies in has the name of its
    emotion, such as happy, or train/happy; or a table in csv with the columns path and label. The
    largest face that is detected in each photo is used.

    The folder of --out receives sf=1.1_folder_data_images.npy and sf=1.1_folder_data_labels.npy.
    sf=1.1_folder_data.json counts the photos with a face, and lists why others were skipped.

    \b
    Examples:
      gudi prepare folder my-photos/
      gudi prepare folder study/ --emotions calm,tense --label relaxed=calm
    """
    from gudi.training.prepare import prepare_folder

    meanings = labels_from(labels)
    prepared = prepare_folder(source, out, labels=meanings, progress=terminal_progress(), **options)
    _print_prepared(*prepared)


def _print_prepared(prefix: Path, found: Any) -> None:
    """Print the start of the files' names on stdout, and the counts of the results on stderr."""
    print_message(describe_prepared(prefix, found))
    click.echo(prefix)

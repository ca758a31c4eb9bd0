"""`gudi prepare`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gudi.cli.group import EXIT_CODES
from gudi.cli.options import NonEmptyPath, adding, scale_factor_option
from gudi.cli.text import say_prepared
from gudi.progress import terminal_progress


@click.group(epilog=EXIT_CODES)
def prepare() -> None:
    """Make data sets into the npy files that train and evaluate read."""


def _preparing_options(usages: str) -> Callable[[Callable], Callable]:
    """Return a decorator that adds what all `prepare` commands have."""
    options = [
        click.option(
            "--out",
            type=NonEmptyPath(path_type=Path, file_okay=False),
            default="data",
            show_default=True,
            metavar="DIR",
            help="Folder for the files.",
        ),
        click.option(
            "--usage",
            metavar="NAME,NAME…",
            callback=usages,
            help=f"Which part of the set to take: {usages}.  [default: all]",
        ),
        click.option("--overwrite", is_flag=True, help="Replace files of the same names."),
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            help="Processes to work in.  [default: one a processor]",
        ),
    ]

    return functools.partial(adding, options)


@prepare.command(epilog=EXIT_CODES)
@click.argument("csv", type=NonEmptyPath(path_type=Path, dir_okay=False))
@scale_factor_option
@click.option(
    "--whole",
    is_flag=True,
    help="Take the pictures as they are, without looking for faces: whole_data_images.npy.",
)
@_preparing_options("Training, PublicTest, PrivateTest")
def fer(csv: Path, out: Path, **options: Any) -> None:
    """Prepare FER2013: CSV is its fer2013.csv.

    As the original did it: each picture on a grey square, the largest face that is found in it,
    48×48 pixels. DIR gets sf=1.1_data_images.npy, sf=1.1_data_labels.npy and an account of the
    rows, sf=1.1_data.json.
    """
    from gudi.training.prepare import prepare_fer

    say_prepared(*prepare_fer(csv, out, progress=terminal_progress(), **options))


@prepare.command(name="raf-aligned", epilog=EXIT_CODES)
@click.argument("folder", type=NonEmptyPath(path_type=Path, file_okay=False))
@_preparing_options("train, test")
def raf_aligned(folder: Path, out: Path, **options: Any) -> None:
    """Prepare RAF-DB's aligned pictures: FOLDER is its basic set.

    FOLDER has list_patition_label.txt and aligned/, side by side or in EmoLabel/ and Image/. DIR
    gets raf_aligned_data_images.npy, its labels and an account.
    """
    from gudi.training.prepare import prepare_raf

    say_prepared(*prepare_raf(folder, out, aligned=True, progress=terminal_progress(), **options))


@prepare.command(name="raf-original", epilog=EXIT_CODES)
@click.argument("folder", type=NonEmptyPath(path_type=Path, file_okay=False))
@scale_factor_option
@_preparing_options("train, test")
def raf_original(folder: Path, out: Path, **options: Any) -> None:
    """Prepare RAF-DB's original pictures: FOLDER is its basic set.

    FOLDER has list_patition_label.txt and original/, side by side or in EmoLabel/ and Image/. The
    largest face of each picture is taken. DIR gets sf=1.1_raf_origin_data_images.npy, its labels
    and an account.
    """
    from gudi.training.prepare import prepare_raf

    say_prepared(*prepare_raf(folder, out, aligned=False, progress=terminal_progress(), **options))

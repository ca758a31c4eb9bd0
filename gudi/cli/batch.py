"""`gudi batch` and `gudi merge`."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import click

from gudi.cli.group import EXIT_CODES
from gudi.cli.options import (
    NonEmptyPath,
    a_number,
    detection_options,
    output_options,
    run_settings,
    shard,
)
from gudi.cli.text import describe_inventory, number, summarise
from gudi.errors import ExitCode
from gudi.progress import terminal_progress


@click.command(epilog=EXIT_CODES)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--out",
    type=NonEmptyPath(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder for the results; new, empty, or with results to go on with.",
)
@click.option(
    "--restart", is_flag=True, help="Begin anew: replace the results of earlier runs in --out."
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say how much there is to do, how long it will take by a sample, and how much disk; write "
    "nothing.",
)
@click.option("--retry-failed", is_flag=True, help="Look once more at inputs that failed before.")
@output_options
@click.option(
    "--crops", is_flag=True, help="Keep the faces themselves, 48×48 pixels each, in crops.npy."
)
@detection_options
@click.option(
    "--batch-size",
    type=click.IntRange(min=1, max=4096),
    default=256,
    show_default=True,
    help="Faces that go through the network at a time; each takes about 1 MB of memory. With fewer "
    "the last decimal of a probability may be another one from run to run.",
)
@click.option(
    "--predict-in",
    type=click.Choice(["parent", "workers"]),
    default="parent",
    show_default=True,
    help="Predict in this process, faces of all workers in full batches; or in each worker what it "
    "has found, which takes 3 times the processor time for single faces and 1 GB a worker, but "
    "knows no limit where one process can do no more: with some 45 workers and without a GPU.",
)
@click.option(
    "--log-json",
    type=NonEmptyPath(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Append what happens to FILE, a line of JSON an event.",
)
@click.option(
    "--backend",
    type=click.Choice(["loky", "dask"]),
    default="loky",
    show_default=True,
    help="Look for faces in processes of this machine, or on a Dask cluster.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="The scheduler of the Dask cluster, such as tcp://10.0.0.1:8786; its workers have to see "
    "the inputs under the same paths.  [default: a cluster on this machine]",
)
@click.option(
    "--shard",
    metavar="I/N",
    callback=shard,
    help="Take the Ith of N parts of the inputs, 1/N to N/N, as for N machines; gudi merge puts "
    "the results together.",
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Of a video, look at every Nth frame only.",
)
@click.option(
    "--fps",
    type=click.FloatRange(min=0, min_open=True, max=1000),
    callback=a_number,
    metavar="F",
    help="Of a video, look at F frames a second at most.  [default: all]",
)
def batch(
    inputs: tuple[str, ...],
    out: Path,
    restart: bool,
    dry_run: bool,
    retry_failed: bool,
    annotated: bool,
    report: bool,
    format: str,
    tracked: bool,
    crops: bool,
    batch_size: int,
    predict_in: str,
    log_json: Path | None,
    backend: str,
    scheduler: str | None,
    shard: tuple[int, int] | None,
    every: int,
    fps: float | None,
    **options: Any,
) -> None:
    """Recognise the faces of whole folders of photos and videos.

    INPUT is a photo, a video, a folder (searched with all folders in it), a pattern such as
    'a/**/*.jpg', @LIST for a file with a path a line, or - for such a list on standard input.

    \b
    DIR gets
      faces.csv    a row a face, of a video a row a face and frame: where it is, its strongest
                   emotion, all probabilities
      files.csv    a row a photo or video: ok, no_face or failed, and why
      run.json     settings, checkpoint, versions, counts, times
      annotated/   the photos and videos that show faces, with boxes and emotions drawn on
      report.html  all of it to look at, with thumbnails/
      ledger.sqlite  what is finished: the same command goes on from there, and takes in what is
                   new or has changed
    """
    from gudi.pipeline.run import OutputSettings, run

    if fps is not None and every > 1:
        raise click.UsageError("--every and --fps both choose frames: give one of them")
    if scheduler is not None and backend != "dask":
        raise click.UsageError("--scheduler goes with --backend dask")
    settings = run_settings(
        options,
        batch_size,
        predict_in=predict_in,
        crops=crops,
        backend=backend,
        scheduler=scheduler,
        every=every,
        fps=fps,
    )
    output = OutputSettings(annotated=annotated, report=report, tracked=tracked, format=format)
    which = {"restart": restart, "retry_failed": retry_failed, "shard": shard}
    if dry_run:
        from gudi.pipeline.dry_run import take_inventory

        found = take_inventory(inputs, out, settings, output, **which)
        click.echo(describe_inventory(found, out))
        return
    done = run(inputs, out, settings, output, **which, progress=terminal_progress(log_json))
    summarise(done, out)
    sys.exit(done.exit_code)


@click.command(epilog=EXIT_CODES)
@click.argument(
    "folders",
    nargs=-1,
    required=True,
    metavar="DIR...",
    type=NonEmptyPath(path_type=Path, file_okay=False, exists=True),
)
@click.option(
    "--out",
    type=NonEmptyPath(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder for the results; new or empty.",
)
@click.option(
    "--prefix",
    is_flag=True,
    help="Put the name of its folder before each source, where photos have the same names.",
)
@functools.partial(output_options, taken_over=True)
def merge(folders: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Put the result folders of several runs together.

    Each DIR is a result folder of gudi batch, made with the same checkpoint and settings: those of
    several machines, say, or of parts of a collection. They are only read. A photo or video that
    several of them have with the same content gets one row.
    """
    from gudi.pipeline.merge import merge

    statuses, emotions = merge(folders, out, progress=terminal_progress(), **options)
    say = functools.partial(click.echo, err=True)
    say(f"{number(statuses.total(), 'input')}, {number(emotions.total(), 'face')}")
    if statuses["failed"]:
        say(f"  failed: {number(statuses['failed'], 'input')}, the reasons are in files.csv")
    say(f"results: {out}")
    sys.exit(ExitCode.SOME_INPUTS_FAILED if statuses["failed"] else ExitCode.FINISHED)

"""`gudi batch` and `gudi merge`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gudi.cli.group import exit_codes, print_message, print_results
from gudi.cli.messages import describe_dry_run, describe_merge, describe_run
from gudi.cli.options import NonEmptyPath, checked, declared_options, option
from gudi.progress import terminal_progress
from gudi.settings import BatchOptions, OutputOptions


@click.command(
    epilog=exit_codes(
        finished="finished, even if no input shows a face",
        failed="finished, but some inputs failed",
        interrupted="interrupted; to resume, repeat the command",
    )
)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@option(
    "--out",
    type=NonEmptyPath(),
    required=True,
    metavar="DIR",
    help="Result folder: new, empty, or with the results of a run to resume.",
)
@option(
    "--dry-run",
    is_flag=True,
    help="Count the inputs, estimate time and disk space from a sample, and write nothing.",
)
@option(
    "--log-json",
    type=NonEmptyPath(dir_okay=False),
    metavar="FILE",
    help="Append one line of JSON per event to FILE.",
)
@declared_options(BatchOptions)
def batch(
    inputs: tuple[str, ...], out: Path, dry_run: bool, log_json: Path | None, **values: Any
) -> None:
    """Recognise expressions in folders of photos and videos.

    INPUT is a photo, a video, a folder (its subfolders are searched, too), a ZIP or tar archive, a
    pattern such as 'a/**/*.jpg', @LIST for a file with one path per line, or - to read that list
    from standard input.

    To resume an interrupted run, repeat the command. Repeat it later to process inputs that are
    new or have changed.

    \b
    The folder of --out receives:
      faces.csv      one row per face (for videos, one per face and frame): its
                     box, its top emotion and the probability of each emotion
      videos.csv     one row per video: how long each emotion was shown
      tracks.csv     with --track: the same for each tracked face
      files.csv      one row per input: ok, no_face or failed, and the reason
      run.json       settings, checkpoint, versions, counts and times
      annotated/     the photos and videos with boxes and emotions drawn on
      report.html    a page to browse the results, with thumbnails/
      results.sqlite all of this as a database, from which the run is resumed

    \b
    Examples:
      gudi batch ./photos --out results/
      gudi batch film.mp4 --out results/ --fps 2 --track
    """
    if log_json == Path("-"):
        raise click.UsageError("--log-json takes a file; for standard output, give /dev/stdout")
    options = checked(BatchOptions, values)
    if dry_run:
        from gudi.pipeline import dry_run as estimate

        print_results(describe_dry_run(estimate.dry_run(inputs, out, options), out))
        return
    from gudi.pipeline.run import run_batch

    report = run_batch(inputs, out, options, progress=terminal_progress(log_json))
    print_message(describe_run(report, out))
    sys.exit(report.exit_code)


@click.command(
    epilog=exit_codes(finished="finished", failed="finished, but some inputs failed in those runs")
)
@click.argument(
    "folders",
    nargs=-1,
    required=True,
    metavar="DIR...",
    type=NonEmptyPath(file_okay=False, exists=True),
)
@option(
    "--out",
    type=NonEmptyPath(),
    required=True,
    metavar="DIR",
    help="Folder for the combined results, new or empty.",
)
@option(
    "--prefix",
    is_flag=True,
    help="Put the name of its folder in front of each source. Use this if different photos have "
    "the same name.",
)
@declared_options(OutputOptions, "annotate", help="Copy the annotated photos and videos.")
@declared_options(OutputOptions, "report", help="Write report.html with its thumbnails.")
@declared_options(
    OutputOptions, "format", "track", "csv_dialect", default=None, show_default="as in the folders"
)
def merge(folders: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Combine the result folders of several runs.

    Each DIR is a result folder of gudi batch, for example from several machines or from parts of a
    collection. All must have been made with the same checkpoint and settings. They are only read.
    A photo or video with the same content in several folders gets one row.

    \b
    Examples:
      gudi merge part1/ part2/ --out results/
      gudi merge holiday/ party/ --out both/ --prefix
    """
    from gudi.pipeline.merge import merge

    report = merge(folders, out, progress=terminal_progress(), **options)
    print_message(describe_merge(report, out))
    sys.exit(report.exit_code)

"""`gudi batch` and `gudi merge`."""

from __future__ import annotations

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
    detection_options,
    draw_option,
    option,
    output_settings,
    run_settings,
    split_shard,
    table_options,
)
from gudi.cli.text import describe_dry_run, describe_merge, describe_run
from gudi.progress import terminal_progress

_run_options = combine(
    option(
        "--out",
        type=NonEmptyPath(),
        required=True,
        metavar="DIR",
        help="Result folder: new, empty, or with the results of a run to resume.",
    ),
    option(
        "--restart",
        is_flag=True,
        help="Start over: replace the results of earlier runs in --out.",
    ),
    option(
        "--dry-run",
        is_flag=True,
        help="Count the inputs, estimate time and disk space from a sample, and write nothing.",
    ),
    option(
        "--retry-failed",
        is_flag=True,
        help="Retry inputs that failed in earlier runs.",
    ),
)
_output_options = combine(
    option(
        "--annotate/--no-annotate",
        "annotated",
        default=True,
        help="Write copies of the photos and videos with boxes and emotions drawn on.",
    ),
    draw_option(
        "a bar per emotion, beside the face or, in videos, in a corner for the largest face",
        "box, in videos bars",
    ),
    option(
        "--report/--no-report",
        default=True,
        help="Write report.html, a page to browse the results.",
    ),
    option(
        "--subtitles",
        is_flag=True,
        help="Write subtitles beside each annotated video, in WebVTT: who looks how.",
    ),
    table_options(),
    option(
        "--crops",
        is_flag=True,
        help="Also save the cropped faces, 48×48 pixels each, in crops.npy.",
    ),
)


class Backend(click.Choice[str]):
    """The choices of `--backend`. `local` was called `loky`, and scripts may still say so."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the backend."""
        return super().convert("local" if value == "loky" else value, param, ctx)


_prediction_options = combine(
    option(
        "--batch-size",
        type=Integer(min=1, max=4096),
        metavar="N",
        default=256,
        help="Number of faces to predict at a time. Each takes about 1 MB of memory. With "
        "TensorFlow and fewer than 256, the last decimal of a probability may vary.",
    ),
    option(
        "--predict-in",
        type=click.Choice(["auto", "parent", "workers"]),
        default="auto",
        help="Where to predict: in the parent process, which collects the faces of all workers "
        "into full batches, or in each worker, face by face, in 2.5 times the CPU time. auto "
        "chooses workers if a cluster has more than 8 of them per CPU of the parent, and the "
        "parent has no GPU.",
    ),
)
_scaling_options = combine(
    option(
        "--log-json",
        type=NonEmptyPath(dir_okay=False),
        metavar="FILE",
        help="Append one line of JSON per event to FILE.",
    ),
    option(
        "--backend",
        type=Backend(["local", "dask"]),
        default="local",
        help="Where to detect faces: local uses processes of this machine, dask a Dask cluster.",
    ),
    option(
        "--scheduler",
        metavar="ADDRESS",
        show_default="a cluster on this machine",
        help="Scheduler of the Dask cluster, such as tcp://10.0.0.1:8786. Its workers must see "
        "the inputs under the same paths.",
    ),
    option(
        "--shard",
        callback=split_shard,
        metavar="I/N",
        help="Process only part I of N parts of the inputs, 1/N to N/N, for example on N "
        "machines. gudi merge combines the results.",
    ),
)
_frame_options = combine(
    option(
        "--every",
        type=Integer(min=1),
        default=1,
        metavar="N",
        help="Process only every Nth frame of a video.",
    ),
    option(
        "--fps",
        type=Number(min=0, min_open=True, max=1000),
        metavar="F",
        show_default="all frames",
        help="Process at most F frames per second of a video.",
    ),
)


@click.command(
    epilog=exit_codes(
        finished="finished, even if no input shows a face",
        failed="finished, but some inputs failed",
        interrupted="interrupted; to resume, repeat the command",
    )
)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@_run_options
@_output_options
@detection_options(videos=True)
@_prediction_options
@_scaling_options
@_frame_options
def batch(
    inputs: tuple[str, ...], out: Path, dry_run: bool, log_json: Path | None, **options: Any
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
      videos.csv     one row per video: how long which emotion was seen
      tracks.csv     with --track: the same for each face that was followed
      files.csv      one row per input: ok, no_face or failed, and the reason
      run.json       settings, checkpoint, versions, counts and times
      annotated/     the photos and videos with boxes and emotions drawn on
      report.html    a page to browse the results, with thumbnails/
      ledger.sqlite  what is finished, so that the run can be resumed

    \b
    Examples:
      gudi batch ./photos --out results/
      gudi batch film.mp4 --out results/ --fps 2 --track
    """
    if options["fps"] is not None and options["every"] > 1:
        raise click.UsageError("--every and --fps both select frames: use only one of them")
    if options["scheduler"] is not None and options["backend"] != "dask":
        raise click.UsageError("--scheduler requires --backend dask")
    if log_json == Path("-"):
        raise click.UsageError("--log-json takes a file; for standard output, give /dev/stdout")
    settings, output = run_settings(options), output_settings(options)
    selection = {name: options[name] for name in ("restart", "retry_failed", "shard")}
    if dry_run:
        from gudi.pipeline import dry_run as estimate

        found = estimate.dry_run(inputs, out, settings, output, **selection)
        print_results(describe_dry_run(found, out))
        return
    from gudi.pipeline.run import run

    progress = terminal_progress(log_json)
    report = run(inputs, out, settings, output, **selection, progress=progress)
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
@option(
    "--annotate/--no-annotate",
    "annotated",
    default=True,
    help="Copy the annotated photos and videos.",
)
@option("--report/--no-report", default=True, help="Write report.html with its thumbnails.")
@table_options(default="as in the folders")
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

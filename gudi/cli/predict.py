"""`gudi predict` and `gudi live`."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import click

from gudi.cli.group import EXIT_CODES, complain
from gudi.cli.options import (
    NonEmptyPath,
    detection_options,
    predictor_options,
    run_settings,
    search_options,
)
from gudi.cli.text import as_json_text, as_lines, number
from gudi.errors import ExitCode, one_line
from gudi.progress import terminal_progress


@click.command(epilog=EXIT_CODES)
@click.argument("inputs", nargs=-1, required=True, metavar="PHOTO...")
@click.option(
    "--out",
    type=NonEmptyPath(path_type=Path, file_okay=False),
    default="predicted",
    show_default=True,
    metavar="DIR",
    help="Folder for the annotated pictures, NAME.emotions.jpg for NAME.jpg.",
)
@click.option(
    "--annotate/--no-annotate", default=True, show_default=True, help="Write annotated pictures."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with all probabilities.")
@detection_options
def predict(
    inputs: tuple[str, ...], out: Path, annotate: bool, as_json: bool, **options: Any
) -> None:
    """Recognise the faces of some photos and print a line for each.

    The columns are: photo, x, y, width, height, emotion, probability, separated by tabs. A photo
    without a face has no line (and an empty list of faces with --json).
    """
    from gudi.pipeline.predict import predict_photos

    # A few faces are predicted sooner in a small batch, which is filled up to its size.
    results, emotions = predict_photos(
        inputs, run_settings(options, batch_size=32), out if annotate else None, terminal_progress()
    )
    click.echo(
        as_json_text(results, emotions) if as_json else as_lines(results, emotions), nl=False
    )
    for result in results:
        if result.status == "no_face":
            click.echo(f"{one_line(result.source.name)}: no face", err=True)
    failed = [result for result in results if result.error]
    for result in failed:
        complain(f"{result.source.name}: {result.error}")
    if annotate and any(result.status == "ok" for result in results):
        click.echo(f"annotated pictures: {out}", err=True)
    sys.exit(ExitCode.SOME_INPUTS_FAILED if failed else ExitCode.FINISHED)


@click.command(epilog=EXIT_CODES)
@click.option(
    "--source",
    default="0",
    show_default=True,
    metavar="N|FILE",
    help="Number of a camera, or a video.",
)
@click.option(
    "--save",
    type=NonEmptyPath(path_type=Path),
    metavar="OUT.mp4",
    help="Write the annotated video, too.",
)
@click.option("--overwrite", is_flag=True, help="Replace the video at --save.")
@click.option(
    "--window/--no-window",
    default=True,
    show_default=True,
    help="Show a window; without it print a line a frame with a face.",
)
@predictor_options
@search_options
def live(source: str, save: Path | None, overwrite: bool, window: bool, **options: Any) -> None:
    """Recognise the largest face before a camera, or in a video, while you watch.

    The window shows the face in a green box, its eyes, a bar for each emotion and the emoji of the
    strongest. q, Esc or closing the window ends it, and so does Ctrl-C; what --save writes is a
    whole video all the same.

    With --no-window the columns are: frame, time in seconds, x, y, width, height, emotion,
    probability, separated by tabs.
    """
    from gudi.live import Face, run
    from gudi.media.video import Frame

    def print_row(frame: Frame, face: Face) -> None:
        best = face.probabilities.argmax()
        row = (frame.number, f"{frame.time:.3f}", *face.box, options["emotions"][best])
        click.echo("\t".join(map(str, (*row, f"{face.probabilities[best]:.3f}"))))

    report = run(
        source,
        run_settings(options, batch_size=1),
        save=save,
        overwrite=overwrite,
        window=window,
        found=None if window else print_row,
        progress=terminal_progress(),
    )
    say = functools.partial(click.echo, err=True)
    speed = f" ({report.frames / report.seconds:.1f} a second)" if report.seconds else ""
    frames = f"{number(report.frames, 'frame')}, {report.faces:,} with a face"
    say(f"{frames}, in {report.seconds:.1f} s{speed}")
    if save is not None and report.frames:
        say(f"video: {save}")
    if report.problem:
        complain(report.problem)
    sys.exit(report.exit_code)

"""`gudi predict` and `gudi live`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gudi.cli.group import exit_codes, print_error, print_message, print_results
from gudi.cli.options import (
    NonEmptyPath,
    detection_options,
    draw_option,
    option,
    predictor_options,
    run_settings,
    search_options,
)
from gudi.cli.text import describe_live, faces_as_json, faces_as_lines, live_line
from gudi.errors import ExitCode, one_line
from gudi.progress import terminal_progress

if TYPE_CHECKING:
    from gudi.media.video import Frame
    from gudi.records import Face

# Photos show few faces, and small batches need little memory.
PREDICT_BATCH_SIZE = 32


@click.command(
    epilog=exit_codes(
        finished="finished, even if no photo shows a face",
        failed="finished, but some photos failed",
    )
)
@click.argument("inputs", nargs=-1, required=True, metavar="PHOTO...")
@option(
    "--out",
    type=NonEmptyPath(file_okay=False),
    default="predicted",
    metavar="DIR",
    help="Folder for the annotated photos. The copy of NAME.jpg is NAME.emotions.jpg.",
)
@option(
    "--annotate/--no-annotate",
    default=True,
    help="Write copies of the photos with boxes and emotions drawn on.",
)
@draw_option("a bar per emotion beside the face", "box")
@option("--json", "as_json", is_flag=True, help="Print a JSON list with all probabilities.")
@detection_options(videos=False)
def predict(
    inputs: tuple[str, ...], out: Path, annotate: bool, draw: str, as_json: bool, **options: Any
) -> None:
    """Recognise expressions in a few photos and print them.

    PHOTO is a photo or a folder, archive, pattern or list of photos, as for gudi batch.

    Prints one line per face, separated by tabs: photo, x, y, width, height, emotion, probability.
    A photo without a face has no line (with --json, an empty list of faces).

    \b
    Examples:
      gudi predict photo.jpg
      gudi predict photo.jpg --json --no-annotate
    """
    from gudi.pipeline.listing import list_photos
    from gudi.pipeline.workers import start_workers

    settings, photos = run_settings(options, batch_size=PREDICT_BATCH_SIZE), list_photos(inputs)
    with start_workers(settings, len(photos)) as workers:
        # NumPy and OpenCV are imported here and in the workers at the same time.
        from gudi.pipeline.predict import predict_photos

        results = predict_photos(
            photos, settings, workers, out if annotate else None, terminal_progress(), draw
        )
    as_text = faces_as_json if as_json else faces_as_lines
    print_results(as_text(results), nl=False)
    for result in results:
        if result.status == "no_face":
            print_message(f"{one_line(result.source.name)}: no face")
    failed = [result for result in results if result.error]
    for result in failed:
        print_error(f"{result.source.name}: {result.error}")
    if annotate and any(result.status == "ok" for result in results):
        print_message(f"annotated photos: {out}")
    sys.exit(ExitCode.SOME_INPUTS_FAILED if failed else ExitCode.FINISHED)


@click.command(
    epilog=exit_codes(finished="finished", failed="the camera or the video ended too early")
)
@option(
    "--source",
    default="0",
    metavar="N|FILE",
    help="Number of a camera, counted from 0, or a video file.",
)
@option(
    "--save",
    type=NonEmptyPath(),
    metavar="OUT.mp4",
    help="Also write the annotated video to this file.",
)
@option("--overwrite", is_flag=True, help="Replace the file of --save.")
@option(
    "--window/--no-window",
    default=True,
    help="Show a window. Without it, print one line per frame that shows a face.",
)
@draw_option("a bar per emotion in a corner", "bars,emoji")
@predictor_options()
@search_options("frame")
def live(
    source: str, save: Path | None, overwrite: bool, window: bool, draw: str, **options: Any
) -> None:
    """Recognise expressions live, from a camera or a video.

    The window shows the largest face in a green box, its eyes, one bar per emotion and the emoji
    of the top emotion. To end, press q or Esc, close the window, or press Ctrl-C. The video of
    --save is complete in each case.

    With --no-window, prints one line per frame that shows a face, separated by tabs: frame, time
    in seconds, x, y, width, height, emotion, probability.

    \b
    Examples:
      gudi live
      gudi live --source film.mp4 --save annotated.mp4
    """
    from gudi.live import run

    def print_line(frame: Frame, face: Face) -> None:
        print_results(live_line(frame, face))

    report = run(
        source,
        run_settings(options, batch_size=1),
        save=save,
        overwrite=overwrite,
        window=window,
        draw=draw,
        on_face=None if window else print_line,
        progress=terminal_progress(),
    )
    print_message(describe_live(report, save))
    if report.problem:
        print_error(report.problem)
    sys.exit(report.exit_code)

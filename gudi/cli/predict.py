"""`gudi predict` and `gudi live`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gudi.cli.group import exit_codes, print_error, print_message, print_results
from gudi.cli.messages import describe_live, faces_as_json, faces_as_lines, live_line
from gudi.cli.options import NonEmptyPath, checked, declared_options, option
from gudi.declarations import declared
from gudi.errors import ExitCode
from gudi.progress import terminal_progress
from gudi.settings import (
    AutoDetectionOptions,
    BatchOptions,
    OutputOptions,
    PredictionOptions,
    RecognizerOptions,
    WorkerOptions,
)

if TYPE_CHECKING:
    from gudi.live import LiveReport
    from gudi.media.video import Frame
    from gudi.records import Face

# Photos show few faces, and small batches need little memory.
PREDICT_BATCH_SIZE = 32

# Detection keeps the largest face only.
LIVE_DETECTION = tuple(name for name in declared(AutoDetectionOptions) if name != "faces")


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
@declared_options(OutputOptions, "annotate")
@declared_options(OutputOptions, "annotated_size")
@declared_options(OutputOptions, "draw", show_default="box")
@option("--json", "as_json", is_flag=True, help="Print a JSON list with all probabilities.")
@declared_options(PredictionOptions)
@declared_options(WorkerOptions)
@declared_options(AutoDetectionOptions)
def predict(inputs: tuple[str, ...], out: Path, as_json: bool, **values: Any) -> None:
    """Recognise expressions in a few photos and print them.

    PHOTO is a photo or a folder, archive, pattern or list of photos, as for gudi batch. - reads a
    photo, or a list of photos, from standard input.

    Prints one line per face, separated by tabs: photo, x, y, width, height, emotion, probability.
    A photo without a face has no line (with --json, an empty list of faces).

    \b
    Examples:
      gudi predict photo.jpg
      gudi predict photo.jpg --json --no-annotate
      curl -s https://example.org/photo.jpg | gudi predict -
    """
    from gudi.pipeline.listing import list_photos
    from gudi.pipeline.workers import start_workers

    options = checked(BatchOptions, values | {"batch_size": PREDICT_BATCH_SIZE})
    with contextlib.ExitStack() as stack:
        photos = list_photos(inputs, stack)
        workers = stack.enter_context(start_workers(options, len(photos)))
        # NumPy and OpenCV are imported here and in the workers at the same time.
        from gudi.pipeline.predict import predict_photos

        results = predict_photos(photos, out, options, workers, terminal_progress())
    as_text = faces_as_json if as_json else faces_as_lines
    print_results(as_text(results), nl=False)
    for result in results:
        if result.status == "no_face":
            print_message(f"{result.source.name}: no face")
    failed = [result for result in results if result.error]
    for result in failed:
        print_error(f"{result.source.name}: {result.error}")
    if options.annotate and any(result.status == "ok" for result in results):
        print_message(f"annotated photos: {out}")
    sys.exit(ExitCode.SOME_INPUTS_FAILED if failed else ExitCode.FINISHED)


@click.command(
    epilog=exit_codes(
        finished="finished", failed="the camera, the video or the display ended too early"
    )
)
@option(
    "--source",
    default="0",
    metavar="N|ADDRESS|FILE",
    help="Number of a camera, counted from 0; the address of one on the network (rtsp://…, "
    "http://…); or a video file.",
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
@declared_options(OutputOptions, "draw", show_default="bars,emoji")
@declared_options(PredictionOptions)
@declared_options(AutoDetectionOptions, *LIVE_DETECTION)
def live(
    source: str, save: Path | None, overwrite: bool, window: bool, draw: str, **values: Any
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
      gudi live --source rtsp://192.168.0.20/stream
    """
    options = checked(RecognizerOptions, values)

    def print_line(frame: Frame, face: Face) -> None:
        print_results(live_line(frame, face))

    def print_report(report: LiveReport) -> None:
        print_message(describe_live(report, save))
        if report.problem:
            print_error(report.problem)

    from gudi.live import run_live

    report = run_live(
        source,
        options,
        save=save,
        overwrite=overwrite,
        window=window,
        draw=draw,
        on_face=None if window else print_line,
        on_lost=print_report,
        progress=terminal_progress(),
    )
    print_report(report)
    sys.exit(report.exit_code)

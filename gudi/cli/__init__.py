"""The commands: options, progress and exit codes. What they do lives in the other modules.

TensorFlow and OpenCV are imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import functools
import json
import math
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gudi import __version__
from gudi.constants import CHECKPOINT_NAME, EMOTIONS, MIN_NEIGHBORS, SCALE_FACTOR
from gudi.errors import ExitCode, GudiError, one_line
from gudi.progress import format_duration, terminal_progress

if TYPE_CHECKING:
    from gudi.pipeline.dry_run import Estimate
    from gudi.pipeline.run import RunReport
    from gudi.results.records import SourceResult
    from gudi.settings import RunSettings

EXIT_CODES = """\b
Exit codes:
  0  finished (that a photo shows no face is a result)
  1  could not run
  2  wrong usage
  3  finished, but some inputs failed
  130  interrupted"""

TRAINING_EXIT_CODES = """\b
Exit codes:
  0  trained
  1  could not run, or the loss is no number any more
  2  wrong usage
  130  interrupted; --resume goes on"""


class _Commands(click.Group):
    """A group whose errors are one line, with the exit code that they carry."""

    def invoke(self, context: click.Context) -> Any:
        _open_standard_streams()
        signal.signal(signal.SIGTERM, _terminated)
        try:
            return super().invoke(context)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if _debug(context):
                traceback.print_exc()
            if isinstance(error, BrokenPipeError):
                # The reader of stdout has had enough (`| head`); keep the flush at exit quiet.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            elif not isinstance(error, KeyboardInterrupt):
                _complain(_described(error))
            else:
                click.echo("gudi: interrupted", err=True)
            context.exit(_exit_code(error))


class _Path(click.Path):
    """A path that is not empty: pathlib would take it for the folder that gudi is called in."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not os.fspath(value):
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


def _open_standard_streams() -> None:
    """Fill descriptors 0 to 2 where the caller has closed them.

    The next files and pipes to be opened would take their places, and what anything writes to
    stderr, too.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    # multiprocessing flushes both before it starts a process.
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _terminated(*_: object) -> None:
    """Let `kill` end a run as Ctrl-C does: what is done is kept, no process stays behind."""
    raise KeyboardInterrupt


def _debug(context: click.Context) -> bool:
    return bool(os.environ.get("GUDI_DEBUG")) or bool(context.params.get("debug"))


def _exit_code(error: BaseException) -> ExitCode:
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return getattr(error, "exit_code", ExitCode.COULD_NOT_RUN)


def _described(error: BaseException) -> str:
    if isinstance(error, GudiError):
        return str(error)
    if isinstance(error, ImportError) and ".so" in str(error):
        return f"{error}; on Debian and Ubuntu: apt-get install libgl1 libglib2.0-0"
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first} (gudi --debug … shows where)"


def _complain(message: str) -> None:
    click.echo(f"gudi: error: {one_line(message)}", err=True)


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES
)
@click.version_option(__version__, prog_name="gudi")
@click.option(
    "--debug", is_flag=True, help="Show tracebacks, and what TensorFlow and OpenCV print."
)
def main(debug: bool) -> None:
    """Recognise facial expressions in photos and videos.

    Faces are found and classed as the old Gudi scripts for TFLearn did it, with a checkpoint that
    gudi brings along, one that they left behind, or one that you train.
    """
    if debug:
        os.environ["GUDI_DEBUG"] = "1"
    # File names may hold bytes that the terminal's encoding does not have.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")


def _a_number(
    context: click.Context, parameter: click.Parameter, value: float | None
) -> float | None:
    """Refuse what counts as a number in no range."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is no number")
    return value


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    """Split `--emotions`."""
    names = EMOTIONS if value is None else tuple(name.strip() for name in value.split(","))
    if not all(names) or len(set(names)) < len(names) or len(names) < 2:
        raise click.BadParameter("give two or more different names, separated by commas")
    return names


def _shard(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Split `--shard`."""
    if value is None:
        return None
    number, _, count = value.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise click.BadParameter("give a part and the number of parts, such as 1/4")
    return int(number), int(count)


_checkpoint_option = click.option(
    "--checkpoint",
    metavar="PATH",
    help="The trained network: prefix, folder or any file of a Gudi checkpoint.  "
    "[default: $GUDI_CHECKPOINT, then ./checkpoints, then ./data, then gudi's own]",
)
_emotions_option = click.option(
    "--emotions",
    metavar="NAME,NAME…",
    callback=_names,
    help=f"What the network's outputs are called, in their order.  [default: {','.join(EMOTIONS)}]",
)
_network_option = click.option(
    "--network",
    type=click.IntRange(min=1),
    metavar="N",
    help="Which of several networks in the checkpoint.  [default: the trained one]",
)
_device_option = click.option(
    "--device",
    metavar="auto|cpu|gpu|gpu:N",
    default="auto",
    show_default=True,
    help="Where to predict; auto takes a GPU if TensorFlow sees one.",
)


def _adding(options: list[Callable], command: Callable) -> Callable:
    """Add `options` to a command, in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def _predictor_options(command: Callable) -> Callable:
    """Add the options that say what predicts."""
    options = [_checkpoint_option, _emotions_option, _network_option, _device_option]
    return _adding(options, command)


def _search_options(command: Callable) -> Callable:
    """Add the options that say how a picture is searched for faces."""
    options = [
        click.option(
            "--scale-factor",
            type=click.FloatRange(min=1, min_open=True, max=100),
            callback=_a_number,
            default=SCALE_FACTOR,
            show_default=True,
            help="Growth of the search window from pass to pass; larger is faster, finds less.",
        ),
        click.option(
            "--min-neighbors",
            type=click.IntRange(min=0, max=100_000),
            default=MIN_NEIGHBORS,
            show_default=True,
            help="Overlapping hits that make a face; fewer find more, true and false ones.",
        ),
        click.option(
            "--min-face",
            type=click.IntRange(min=0, max=100_000),
            default=0,
            metavar="PIXELS",
            help="Leave out smaller faces; 50 is twice as fast on small photos.",
        ),
        click.option(
            "--max-side",
            type=click.IntRange(min=24),
            metavar="PIXELS",
            help="Look for faces in a copy with its longer side shrunk to this; boxes stay in "
            "pixels of the photo.  [default: look in the photo itself]",
        ),
    ]
    return _adding(options, command)


def _detection_options(command: Callable) -> Callable:
    """Add the options that say how workers look for faces and what predicts them."""
    options = [
        _predictor_options,
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            help="Processes that look for faces.  [default: one a processor]",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True, max=1e6),
            callback=_a_number,
            default=300,
            show_default=True,
            metavar="SECONDS",
            help="Give up on a photo, or on a stretch of 64 frames of a video, after this long.",
        ),
        click.option(
            "--worker-memory",
            type=click.IntRange(min=200),
            metavar="MB",
            help="Give up on a photo or stretch for which a process takes more memory than this.  "
            "[default: no limit]",
        ),
        click.option(
            "--faces",
            type=click.Choice(["all", "largest"]),
            default="all",
            show_default=True,
            help="Which faces of a photo to take.",
        ),
        _search_options,
    ]
    return _adding(options, command)


def _output_options(command: Callable, *, taken_over: bool = False) -> Callable:
    """Add the options that say what is written; they are the fields of `gudi.batch.Output`.

    Args:
        command: gets them.
        taken_over: format and tracks are None by default: as some folders have them.
    """
    options = [
        click.option(
            "--annotate/--no-annotate",
            "annotated",
            default=True,
            show_default=True,
            help="Write copies of the photos and videos with the faces drawn on.",
        ),
        click.option(
            "--report/--no-report", default=True, show_default=True, help="Write report.html."
        ),
        click.option(
            "--format",
            type=click.Choice(["csv", "jsonl", "parquet"]),
            default=None if taken_over else "csv",
            show_default="as the folders have it" if taken_over else True,
            help="What to write the table of faces as.",
        ),
        click.option(
            "--track/--no-track",
            "tracked",
            default=None if taken_over else False,
            show_default="as the folders have it" if taken_over else True,
            help="Follow the faces of videos: columns with the number of each one's track and its "
            "probabilities smoothed along it.",
        ),
    ]
    return _adding(options, command)


def _settings(
    options: dict[str, Any],
    batch_size: int,
    *,
    predict_in: str = "parent",
    crops: bool = False,
    backend: str = "loky",
    scheduler: str | None = None,
    **frames: Any,
) -> RunSettings:
    """Return the settings that the options come to; a command need not have those of workers."""
    from gudi.settings import DetectionSettings, FrameSelection, RunSettings

    memory = options.get("worker_memory")
    return RunSettings(
        checkpoint=options["checkpoint"],
        emotions=options["emotions"],
        network=options["network"],
        device=options["device"],
        predict_in=predict_in,
        batch_size=batch_size,
        workers=options.get("workers"),
        timeout=options.get("timeout"),
        worker_memory=memory and memory * 2**20,
        detection=DetectionSettings(
            scale_factor=options["scale_factor"],
            min_neighbors=options["min_neighbors"],
            min_face=options["min_face"],
            max_side=options["max_side"],
            largest=options.get("faces") == "largest",
        ),
        frames=FrameSelection(**frames),
        crops=crops,
        backend=backend,
        scheduler=scheduler,
        debug=bool(os.environ.get("GUDI_DEBUG")),
    )


@main.command(epilog=EXIT_CODES)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--out",
    type=_Path(path_type=Path),
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
@_output_options
@click.option(
    "--crops", is_flag=True, help="Keep the faces themselves, 48×48 pixels each, in crops.npy."
)
@_detection_options
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
    type=_Path(path_type=Path, dir_okay=False),
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
    callback=_shard,
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
    callback=_a_number,
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
    from gudi.pipeline.run import run
    from gudi.settings import OutputSettings

    if fps is not None and every > 1:
        raise click.UsageError("--every and --fps both choose frames: give one of them")
    if scheduler is not None and backend != "dask":
        raise click.UsageError("--scheduler goes with --backend dask")
    settings = _settings(
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
        from gudi.pipeline.dry_run import dry_run as estimate_run

        found = estimate_run(inputs, out, settings, output, **which)
        click.echo(_described_inventory(found, out))
        return
    done = run(inputs, out, settings, output, **which, progress=terminal_progress(log_json))
    _summarise(done, out)
    sys.exit(done.exit_code)


@main.command(epilog=EXIT_CODES)
@click.argument(
    "folders",
    nargs=-1,
    required=True,
    metavar="DIR...",
    type=_Path(path_type=Path, file_okay=False, exists=True),
)
@click.option(
    "--out",
    type=_Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder for the results; new or empty.",
)
@click.option(
    "--prefix",
    is_flag=True,
    help="Put the name of its folder before each source, where photos have the same names.",
)
@functools.partial(_output_options, taken_over=True)
def merge(folders: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Put the result folders of several runs together.

    Each DIR is a result folder of gudi batch, made with the same checkpoint and settings: those of
    several machines, say, or of parts of a collection. They are only read. A photo or video that
    several of them have with the same content gets one row.
    """
    from gudi.pipeline.merge import merge

    done = merge(folders, out, progress=terminal_progress(), **options)
    statuses, emotions = done.statuses, done.emotions
    say = functools.partial(click.echo, err=True)
    say(f"{_number(statuses.total(), 'input')}, {_number(emotions.total(), 'face')}")
    if statuses["failed"]:
        say(f"  failed: {_number(statuses['failed'], 'input')}, the reasons are in files.csv")
    say(f"results: {out}")
    sys.exit(ExitCode.SOME_INPUTS_FAILED if statuses["failed"] else ExitCode.FINISHED)


@main.command(epilog=EXIT_CODES)
@click.argument("inputs", nargs=-1, required=True, metavar="PHOTO...")
@click.option(
    "--out",
    type=_Path(path_type=Path, file_okay=False),
    default="predicted",
    show_default=True,
    metavar="DIR",
    help="Folder for the annotated pictures, NAME.emotions.jpg for NAME.jpg.",
)
@click.option(
    "--annotate/--no-annotate", default=True, show_default=True, help="Write annotated pictures."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with all probabilities.")
@_detection_options
def predict(
    inputs: tuple[str, ...], out: Path, annotate: bool, as_json: bool, **options: Any
) -> None:
    """Recognise the faces of some photos and print a line for each.

    The columns are: photo, x, y, width, height, emotion, probability, separated by tabs. A photo
    without a face has no line (and an empty list of faces with --json).
    """
    from gudi.pipeline.predict import predict_photos

    # A few faces are predicted sooner in a small batch, which is filled up to its size.
    emotions = options["emotions"]
    results = predict_photos(
        inputs, _settings(options, batch_size=32), out if annotate else None, terminal_progress()
    )
    click.echo(_as_json(results, emotions) if as_json else _as_lines(results, emotions), nl=False)
    for result in results:
        if result.status == "no_face":
            click.echo(f"{one_line(result.source.name)}: no face", err=True)
    failed = [result for result in results if result.error]
    for result in failed:
        _complain(f"{result.source.name}: {result.error}")
    if annotate and any(result.status == "ok" for result in results):
        click.echo(f"annotated pictures: {out}", err=True)
    sys.exit(ExitCode.SOME_INPUTS_FAILED if failed else ExitCode.FINISHED)


@main.command(epilog=EXIT_CODES)
@click.option(
    "--source",
    default="0",
    show_default=True,
    metavar="N|FILE",
    help="Number of a camera, or a video.",
)
@click.option(
    "--save",
    type=_Path(path_type=Path),
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
@_predictor_options
@_search_options
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
        _settings(options, batch_size=1),
        save=save,
        overwrite=overwrite,
        window=window,
        found=None if window else print_row,
        progress=terminal_progress(),
    )
    say = functools.partial(click.echo, err=True)
    speed = f" ({report.frames / report.seconds:.1f} a second)" if report.seconds else ""
    frames = f"{_number(report.frames, 'frame')}, {report.faces:,} with a face"
    say(f"{frames}, in {report.seconds:.1f} s{speed}")
    if save is not None and report.frames:
        say(f"video: {save}")
    if report.problem:
        _complain(report.problem)
    sys.exit(report.exit_code)


@main.group(epilog=EXIT_CODES)
def prepare() -> None:
    """Make data sets into the npy files that train and evaluate read."""


def _preparing_options(usages: str) -> Callable[[Callable], Callable]:
    """Return a decorator that adds what all `prepare` commands have."""
    options = [
        click.option(
            "--out",
            type=_Path(path_type=Path, file_okay=False),
            default="data",
            show_default=True,
            metavar="DIR",
            help="Folder for the files.",
        ),
        click.option(
            "--usage",
            metavar="NAME,NAME…",
            callback=_usages,
            help=f"Which part of the set to take: {usages}.  [default: all]",
        ),
        click.option("--overwrite", is_flag=True, help="Replace files of the same names."),
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            help="Processes to work in.  [default: one a processor]",
        ),
    ]

    return functools.partial(_adding, options)


def _usages(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str]:
    return [name.strip() for name in value.split(",") if name.strip()] if value else []


_scale_factor_option = click.option(
    "--scale-factor",
    type=click.FloatRange(min=1, min_open=True, max=100),
    callback=_a_number,
    default=SCALE_FACTOR,
    show_default=True,
    help="Growth of the search window from pass to pass; it is part of the files' names.",
)


@prepare.command(epilog=EXIT_CODES)
@click.argument("csv", type=_Path(path_type=Path, dir_okay=False))
@_scale_factor_option
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

    _say_prepared(*prepare_fer(csv, out, progress=terminal_progress(), **options))


@prepare.command(name="raf-aligned", epilog=EXIT_CODES)
@click.argument("folder", type=_Path(path_type=Path, file_okay=False))
@_preparing_options("train, test")
def raf_aligned(folder: Path, out: Path, **options: Any) -> None:
    """Prepare RAF-DB's aligned pictures: FOLDER is its basic set.

    FOLDER has list_patition_label.txt and aligned/, side by side or in EmoLabel/ and Image/. DIR
    gets raf_aligned_data_images.npy, its labels and an account.
    """
    from gudi.training.prepare import prepare_raf

    _say_prepared(*prepare_raf(folder, out, aligned=True, progress=terminal_progress(), **options))


@prepare.command(name="raf-original", epilog=EXIT_CODES)
@click.argument("folder", type=_Path(path_type=Path, file_okay=False))
@_scale_factor_option
@_preparing_options("train, test")
def raf_original(folder: Path, out: Path, **options: Any) -> None:
    """Prepare RAF-DB's original pictures: FOLDER is its basic set.

    FOLDER has list_patition_label.txt and original/, side by side or in EmoLabel/ and Image/. The
    largest face of each picture is taken. DIR gets sf=1.1_raf_origin_data_images.npy, its labels
    and an account.
    """
    from gudi.training.prepare import prepare_raf

    _say_prepared(*prepare_raf(folder, out, aligned=False, progress=terminal_progress(), **options))


def _refuse_given(*names: str, why: str) -> None:
    """Refuse options that were typed but have no effect."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} {why}")


def _say_prepared(prefix: Path, found: Any) -> None:
    """Print what became of a data set: the files on stdout, the rest on stderr."""
    say = functools.partial(click.echo, err=True)
    say(f"{_number(found.faces, 'face')} of {_number(found.rows, 'row')}")
    say("  " + ", ".join(f"{name} {found.classes[name]:,}" for name in EMOTIONS))
    if found.no_face:
        say(f"  no face: {_number(found.no_face, 'row')}")
    if found.rejected:
        say(f"  unusable: {_number(found.rejected, 'row')}")
        for reason in found.reasons[:10]:
            say(f"    {one_line(reason)}")
        if found.rejected > 10:
            say(f"    … and {found.rejected - 10:,} more, see {prefix.name}.json")
    click.echo(prefix)


@main.command(epilog=EXIT_CODES)
@click.argument("source", type=_Path(path_type=Path))
@_checkpoint_option
@click.option(
    "--usage",
    metavar="NAME,NAME…",
    callback=_usages,
    help="Which rows of a csv to take: Training, PublicTest, PrivateTest.  [default: all]",
)
@click.option(
    "--faces",
    type=click.Choice(["both", "whole", "detected"]),
    default="both",
    show_default=True,
    help="Pictures of a csv as they are, or the faces found in them, or first one, then the other.",
)
@_scale_factor_option
@_emotions_option
@_network_option
@_device_option
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes that look for faces.  [default: one a processor]",
)
@click.option(
    "--out",
    type=_Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for the confusion matrices as csv and picture, and evaluation.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def evaluate(source: Path, out: Path | None, as_json: bool, **options: Any) -> None:
    """Measure a checkpoint by faces whose expression is known.

    SOURCE is a prepared data set (its folder, or what the two files' names begin with) or
    fer2013.csv. Prints accuracy, precision, recall and F1 of each emotion, and the confusion
    matrix.
    """
    from gudi.files import check_writable
    from gudi.training.evaluate import as_record, as_text, evaluate_source, is_csv, write_all

    if not is_csv(source):
        _refuse_given("usage", "faces", "scale_factor", "workers", why="is for a csv")
    if out is not None:
        check_writable(out)
    evaluations = evaluate_source(source, progress=terminal_progress(), **options)
    if out is not None:
        write_all(evaluations, out)
    if as_json:
        records = {name: as_record(each) for name, each in evaluations.items()}
        click.echo(json.dumps(records, indent=2))
        return
    for number, (name, each) in enumerate(evaluations.items()):
        click.echo(("\n" if number else "") + f"{name}: {as_text(each)}")


@main.command(epilog=TRAINING_EXIT_CODES)
@click.option(
    "--data",
    type=_Path(path_type=Path),
    multiple=True,
    default=["data"],
    show_default="data",
    metavar="PATH",
    help="The faces, as gudi prepare leaves them: the folder, or what the two files' names begin "
    "with, such as data/sf=1.3_data. Given several times, all of them together.",
)
@click.option(
    "--validation",
    type=_Path(path_type=Path),
    metavar="PATH",
    help="Faces to measure by.  [default: a tenth of --data]",
)
@click.option(
    "--out",
    type=_Path(path_type=Path, file_okay=False),
    default="checkpoints",
    show_default=True,
    metavar="DIR",
    help="Folder for the checkpoint, its snapshots and learning curve.",
)
@click.option("--resume", is_flag=True, help="Go on with the training in --out.")
@click.option("--overwrite", is_flag=True, help="Replace the training in --out.")
@click.option(
    "--recipe",
    type=click.Choice(["original", "augmented"]),
    help="original: momentum, learning rate 0.001, batches of 50, no variations. augmented: "
    "mirrored, turned, shifted, scaled faces, Adam, a learning rate that falls along a cosine.  "
    "[default: original]",
)
@click.option("--epochs", type=click.IntRange(1, 100_000), help="[default: 100]")
@click.option(
    "--batch-size", type=click.IntRange(1, 4096), help="Faces a step.  [default: by the recipe]"
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    callback=_a_number,
    help="[default: by the recipe]",
)
@click.option(
    "--decay",
    type=click.FloatRange(0, 1, min_open=True),
    callback=_a_number,
    help="Multiply a constant learning rate by this after each epoch.  [default: 1]",
)
@click.option(
    "--units",
    type=click.IntRange(1, 3072),
    help="Train so many of the 3072 hidden units and leave the others 0: faster, and smaller when "
    "packed.  [default: 3072]",
)
@click.option(
    "--init",
    metavar="PATH",
    help="Begin with the weights of this checkpoint (prefix, folder or any file) instead of random "
    "ones.",
)
@click.option(
    "--teacher",
    metavar="PATH",
    help="Let half of each label be what this checkpoint makes of the face.",
)
@click.option(
    "--keep",
    type=click.FloatRange(0, 1, min_open=True),
    callback=_a_number,
    help="Share of the features that dropout keeps.  [default: by the recipe]",
)
@click.option(
    "--keep-hidden",
    type=click.FloatRange(0, 1, min_open=True),
    callback=_a_number,
    help="Share of the hidden units that dropout keeps.  [default: by the recipe]",
)
@click.option(
    "--balance",
    type=click.FloatRange(0, 1),
    callback=_a_number,
    help="Show rare emotions more often: 0 not at all, 1 as often as the most frequent one.  "
    "[default: by the recipe]",
)
@click.option(
    "--variation",
    type=click.FloatRange(0, 1),
    callback=_a_number,
    help="How far faces are varied (turned, shifted, scaled, hidden, …): 0 not at all, 1 as far as "
    "the augmented recipe does.  [default: by the recipe]",
)
@click.option(
    "--average",
    type=click.FloatRange(0, 1, max_open=True),
    callback=_a_number,
    help="Measure and write a moving average of the weights that keeps this share of itself at "
    "each step, 0.999 say; 0 for the weights themselves.  [default: by the recipe]",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="[default: 42]")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    help="bfloat16 is faster on processors that have AVX512-BF16 or AMX.  [default: float32]",
)
@click.option(
    "--tensorboard-verbose",
    type=click.IntRange(0, 3),
    help="0 logs loss and accuracy; 1 histograms of gradients, 2 of weights, 3 of activations, "
    "too, at each step, which takes several times as long (the original has 2).  [default: 0]",
)
@click.option(
    "--device",
    metavar="auto|cpu|gpu|gpu:N",
    help="Where to train; auto takes a GPU if TensorFlow sees one.  [default: auto]",
)
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

    DIR gets the checkpoint under the original's names, learning_curve.csv and .png, run.json,
    logs/ for TensorBoard, and snapshots/: a run that was stopped, by Ctrl-C or by a power cut,
    goes on from the last one with --resume.
    """
    from gudi.training import dataset
    from gudi.training import train as trainer

    if resume and overwrite:
        raise click.UsageError("--resume goes on and --overwrite begins anew: choose one")
    faces = dataset.join([dataset.load(each) for each in data])
    measured = dataset.load(validation) if validation else None
    if resume:
        trained = trainer.resume(
            faces,
            out,
            {"recipe": recipe, **changes},
            validation=measured,
            progress=terminal_progress(),
        )
    else:
        trained = trainer.train(
            faces,
            out,
            trainer.settings_for(recipe or "original", changes),
            validation=measured,
            progress=terminal_progress(),
            overwrite=overwrite,
        )
    if trained.prefix is None:
        click.echo(f"stopped; the same command with --resume goes on (--out {out})", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    click.echo(trained.prefix)


@main.command(epilog=EXIT_CODES)
@click.argument("out", type=_Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["onnx", "savedmodel"]),
    help="What to write.  [default: onnx if OUT ends in .onnx, savedmodel if it has no ending]",
)
@click.option(
    "--input",
    "dtype",
    type=click.Choice(["uint8", "float32"]),
    default="uint8",
    show_default=True,
    help="What the exported network takes: grey levels as they are, or divided by 255.",
)
@_checkpoint_option
@_emotions_option
@_network_option
@click.option("--overwrite", is_flag=True, help="Replace the file or SavedModel OUT.")
def export(out: Path, **options: Any) -> None:
    """Write the network for use without gudi and TFLearn: as ONNX or SavedModel.

    OUT is a file for ONNX and a folder for TensorFlow's SavedModel. It is loaded again and compared
    with gudi's own answers before it takes its place. ONNX needs pip install 'gudi[onnx]'.

    \b
    input   faces_0_to_255  uint8 (n, 48, 48, 1), grey levels from 0, black, to 255; or
            faces_0_to_1    float32 (n, 48, 48, 1), grey levels / 255
    output  probabilities   float32 (n, classes), in the order of the emotions, which are
                            in the ONNX file's metadata or in assets.extra/gudi.json
    """
    from gudi.export import export

    exported = export(out, progress=terminal_progress(), **options)
    say = functools.partial(click.echo, err=True)
    say(one_line(f"emotions: {', '.join(exported.emotions)}"))
    if exported.idle_units:
        say(f"left out: {exported.idle_units:,} hidden units that have no effect")
    say(
        f"checked with {exported.checked_with}: on {exported.faces} pictures the probabilities are "
        f"within {exported.difference:.2g} of gudi's own"
    )
    click.echo(exported.path)


@main.group(epilog=EXIT_CODES)
def checkpoint() -> None:
    """Look at old checkpoints, and bring them into order."""


@checkpoint.command(name="inspect", epilog=EXIT_CODES)
@click.argument("path", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print everything, as JSON.")
@click.option("--verify", is_flag=True, help="Read all data and check it against its checksums.")
@click.option(
    "--network",
    type=click.IntRange(min=1),
    metavar="N",
    help="Which of several networks is meant.  [default: the trained one]",
)
def inspect_checkpoint(path: str | None, as_json: bool, verify: bool, network: int | None) -> None:
    """Say what a checkpoint is, what is wrong with it, and whether gudi can use it.

    PATH is the prefix, the folder or any file of it; without one, the checkpoint that gudi would
    take by itself. The exit code is 1 when gudi cannot use it.
    """
    from gudi.checkpoint import inspect

    report = inspect(path, verify=verify, number=network)
    click.echo(json.dumps(report, indent=2) if as_json else _described_checkpoint(report))
    sys.exit(ExitCode.FINISHED if report["usable"] else ExitCode.COULD_NOT_RUN)


def _described_checkpoint(report: dict[str, Any]) -> str:
    """Return what `gudi.checkpoint.inspect` found, in lines for people."""
    lines = [
        ("checkpoint", report["prefix"]),
        *(("file", f"{name}  {size:,} bytes") for name, size in report["files"].items()),
        ("missing", ", ".join(report["missing"])),
        ("format", report["format"]),
        ("written by", report["written_by"]),
        *(("variable", f"{each['name']}  {each['dtype']} {each['shape']}")
          for each in report["tensors"]),
        *(("network", f"{number}: {each['classes']} classes, from layer {each['first_layer']}, "
           + (f"trained with {each['optimizer']}" if each["optimizer"] else "no optimizer slots")
           + (" (the one that is taken)" if each["taken"] and len(report["networks"]) > 1 else ""))
          for number, each in enumerate(report["networks"], start=1)),
        ("step", None if report["step"] is None else f"{report['step']:,}"),
        ("checksums", report["checksums"]),
        ("recovered", report["recovered"]),
        ("problem", report["problem"]),
        ("gudi", _verdict(report)),
    ]  # fmt: skip
    return "\n".join(f"{key + ':':<12}{one_line(value)}" for key, value in lines if value)


def _verdict(report: dict[str, Any]) -> str:
    if not report["usable"]:
        return "cannot use it"
    unseen = report["checksums"] == "not looked at"
    return "can use it" + (
        ", as far as was looked at (--verify reads everything)" if unseen else ""
    )


@checkpoint.command(epilog=EXIT_CODES)
@click.argument("path", required=False)
@click.option(
    "--to",
    type=_Path(path_type=Path, file_okay=False),
    default="checkpoints",
    show_default=True,
    metavar="DIR",
    help="Folder to write to.",
)
@click.option(
    "--name", default=CHECKPOINT_NAME, show_default=True, help="What the files are called."
)
@_network_option
def adopt(path: str | None, to: Path, name: str, network: int | None) -> None:
    """Write a checkpoint anew, complete and under the names that the original scripts look for.

    PATH is the prefix, the folder or any file of it; it is only read. All that is written is read
    again and compared. The result loads in the old scripts under TensorFlow 1.x, too.
    """
    from gudi.checkpoint import adopt

    adopted = adopt(path, to, name, network)
    for note in adopted.notes:
        click.echo(note, err=True)
    click.echo(adopted.prefix)


@checkpoint.command(epilog=EXIT_CODES)
@click.argument("path")
@click.argument("packed", type=_Path(path_type=Path, dir_okay=False))
@_network_option
def pack(path: str, packed: Path, network: int | None) -> None:
    """Pack a checkpoint's weights into one small file, to keep or to share.

    PATH is the prefix, the folder or any file of it; PACKED, which has to end in .gudi, is written.
    The big matrix is rounded to 8-bit numbers; gudi evaluate tells what that costs. gudi takes a
    packed file wherever it takes a checkpoint, and adopt makes an ordinary one of it.
    """
    from gudi.checkpoint import pack_checkpoint

    click.echo(f"{pack_checkpoint(path, packed, network):,} bytes", err=True)
    click.echo(packed)


def _as_lines(results: list[SourceResult], emotions: tuple[str, ...]) -> str:
    from gudi.results.records import top_emotion

    lines = (
        "\t".join(map(str, (one_line(result.source.name), *box, emotion, f"{share:.3f}")))
        for result in results
        for box, probabilities in result.faces
        for emotion, share in [top_emotion(probabilities, emotions)]
    )
    return "".join(f"{line}\n" for line in lines)


def _as_json(results: list[SourceResult], emotions: tuple[str, ...]) -> str:
    from gudi.results.records import top_emotion

    photos = [
        {
            "source": result.source.name,
            "status": result.status,
            "error": result.error or None,
            "width": result.width,
            "height": result.height,
            "faces": [
                {
                    **box._asdict(),
                    "emotion": emotion,
                    "confidence": round(share, 6),
                    "probabilities": {
                        name: round(float(value), 6)
                        for name, value in zip(emotions, result.probabilities[number])
                    },
                }
                for number, (box, (emotion, share)) in enumerate(
                    zip(result.boxes, [top_emotion(each, emotions) for _, each in result.faces])
                )
            ],
        }
        for result in results
    ]
    return json.dumps(photos, indent=2) + "\n"


def _described_inventory(found: Estimate, out: Path) -> str:
    """Return what there is to do, in lines for people."""
    photos, videos = found.photos, found.videos
    lines = [("photos", f"{photos.count:,}, {_size(photos.size)}")]
    if videos.count:
        length = f"{_size(videos.size)}, {format_duration(found.video_seconds)}"
        frames = f"{videos.pictures:,.0f} frames to look at"
        lines.append(("videos", f"{videos.count:,}, {length}, {frames}"))
    if found.finished:
        lines.append(("finished", f"{found.finished:,} by an earlier run"))
    if found.unreadable:
        lines.append(("unreadable", f"{found.unreadable:,}"))
        lines += [("", problem) for problem in found.problems]
    if found.skipped:
        lines.append(("left out", one_line(found.skipped)))
    faces = found.faces
    lines.append(("faces", f"about {faces:,.0f}"))
    if found.seconds is not None:
        sampled = f"{photos.sampled} photos and {videos.sampled} frames were looked at"
        lines.append(("time", f"about {format_duration(found.seconds)} ({sampled})"))
    lines.append(("disk", f"about {_size(found.disk)} in {out}, of {_size(found.free)} free"))
    return "\n".join(f"{key + ':' if key else '':<12}{value}" for key, value in lines)


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def _summarise(report: RunReport, out: Path) -> None:
    """Print what a run came to, on stderr."""
    statuses, faces = report.statuses, sum(report.emotions.values())
    inputs = sum(statuses.values())
    say = functools.partial(click.echo, err=True)
    films = f" and {_number(report.videos, 'video')} ({report.frames:,} frames)"
    what = _number(report.photos, "photo") + (films if report.videos else "")
    seconds = report.seconds.get("inputs", 0)
    speed = f" in {seconds:.1f} s ({report.processed / seconds:.1f} a second)" if seconds else ""
    say(f"{what}, {_number(faces, 'face')}{speed}")
    if report.emotions:
        say("  " + ", ".join(f"{name} {count}" for name, count in report.emotions.most_common()))
    noun = "photo" if report.photos == inputs else "input"
    if report.earlier:
        say(f"  finished earlier: {_number(report.earlier, noun)}")
    if statuses["no_face"]:
        say(f"  no face: {_number(statuses['no_face'], noun)}")
    if statuses["failed"]:
        say(
            f"  failed: {_number(statuses['failed'], 'input')}, the reasons are in files.csv; "
            "--retry-failed looks at them once more"
        )
    say(f"results: {out}")
    if report.interrupted:
        missing = (
            f"{_number(report.not_reached, 'input')} not looked at"
            if report.not_reached
            else "not all drawn"
        )
        say(f"interrupted: {missing}; the same command goes on")


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

"""The commands that read a result folder: `gudi plot`, `summarize`, `report` and `select`."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import click

from gudi.cli.group import exit_codes, print_results
from gudi.cli.options import Integer, NonEmptyPath, combine, declared_options, option, split_names
from gudi.errors import ExitCode
from gudi.progress import terminal_progress
from gudi.settings import OutputOptions

results_argument = click.argument("results", type=NonEmptyPath(file_okay=False, exists=True))

overwrite_option = option("--overwrite", is_flag=True, help="Replace the file at --out.")

participant_option = option(
    "--participant",
    metavar="COLUMN",
    default="participant",
    help="Extra column of the list of inputs that identifies persons. Without it, each video is "
    "of another person.",
)

top_options = combine(
    option(
        "--top",
        type=(str, Integer(1)),
        required=True,
        metavar="EMOTION N",
        help="The N photos that show this emotion most strongly.",
    ),
    option(
        "--everybody",
        is_flag=True,
        help="Judge a photo by the face that shows the emotion least, so that everybody shows it.",
    ),
)


class Seconds(click.ParamType):  # type: ignore[type-arg]  # only later versions of click have one
    """A part of a video: START:END in seconds."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return start and end."""
        try:
            start, end = map(float, value.split(":"))
        except ValueError:
            start = end = 0
        if not 0 <= start < end:
            self.fail(
                f"must be START:END in seconds, such as 0:10. Received: {value!r}", param, ctx
            )
        return start, end


@click.command(epilog=exit_codes(finished="written"))
@results_argument
@option(
    "--by",
    metavar="COLUMN,COLUMN…",
    default="source",
    callback=split_names,
    help="Columns whose values make a group: extra columns of the list of inputs, or source.",
)
@participant_option
@option(
    "--baseline",
    type=Seconds(),
    metavar="START:END",
    show_default="none",
    help="Seconds of each video that show its person at rest. The columns change_… are differences "
    "from their means; all other values leave them out.",
)
@option(
    "--intervals",
    is_flag=True,
    help="Add 95% confidence intervals, by resampling the participants (bootstrap).",
)
@option(
    "--out",
    type=NonEmptyPath(dir_okay=False),
    metavar="FILE",
    show_default="standard output",
    help="File for the table.",
)
@overwrite_option
@declared_options(OutputOptions, "csv_dialect")
def summarize(
    results: Path,
    by: tuple[str, ...],
    participant: str,
    baseline: tuple[float, float] | None,
    intervals: bool,
    out: Path | None,
    csv_dialect: str,
    overwrite: bool,
) -> None:
    """Summarise videos by groups: which expressions, for how long.

    RESULTS is a result folder of gudi batch, which is only read. The table is csv and has one row
    per group: the part of the time in which the main face was seen, and the emotions that it
    showed, weighted by time. docs/results.md explains the columns.

    \b
    Examples:
      gudi summarize results/
      gudi summarize results/ --by participant,condition --baseline 0:10
      gudi summarize results/ --by condition --intervals --out conditions.csv
    """
    from gudi.files import check_replaceable
    from gudi.outputs import tables
    from gudi.outputs.summary import Grouping, summarize, summary_columns
    from gudi.store import Store

    grouping = Grouping(by, participant, baseline, intervals)
    with Store.open_results(results) as store:
        columns, found = summary_columns(store, grouping), summarize(store, grouping)
    rows = found.astype(object).where(found.notna(), None).itertuples(index=False)
    if out is not None:
        check_replaceable(out, overwrite=overwrite)
        tables.write_table(out, rows, columns, "csv", csv_dialect)
        return
    text = io.StringIO()
    tables.write_csv(text, rows, columns, csv_dialect)
    print_results(text.getvalue(), nl=False)


@click.command(epilog=exit_codes(finished="written"))
@results_argument
@option(
    "--out",
    type=NonEmptyPath(file_okay=False),
    metavar="DIR",
    show_default="plots/ in RESULTS",
    help="Folder for the figures.",
)
@option(
    "--format",
    "formats",
    type=click.Choice(["png", "svg", "pdf"]),
    multiple=True,
    default=["png", "svg"],
    help="Format of the figures. Repeat the option for several.",
)
@option(
    "--by",
    metavar="COLUMN,COLUMN…",
    callback=split_names,
    show_default="no groups",
    help="Also draw groups of videos that have the same values in these columns: extra columns of "
    "the list of inputs, or source.",
)
@participant_option
def plot(
    results: Path,
    out: Path | None,
    formats: tuple[str, ...],
    by: tuple[str, ...],
    participant: str,
) -> None:
    """Draw figures of a result folder for papers and slides.

    RESULTS is a result folder of gudi batch, which is only read. For the contact sheet, the photos
    and videos must be where they were, as seen from the current folder.

    \b
    The folder of --out receives
      distribution    how many faces have which emotion
      timelines/      for each video, the probability of each emotion over time;
                      with tracks, smoothed and for each of them
      contact_sheet   the strongest faces of each emotion
      groups          with --by, the share of the time for which each emotion
                      was shown, with 95% intervals over participants

    \b
    Examples:
      gudi plot results/
      gudi plot results/ --out figures/ --format pdf --by condition
    """
    from gudi.outputs.summary import Grouping
    from gudi.pipeline.plot import plot as write_plots

    for path in write_plots(
        results,
        out or results / "plots",
        tuple(dict.fromkeys(formats)),
        terminal_progress(),
        grouping=Grouping(by, participant, intervals=True) if by else None,
    ):
        click.echo(path)


@click.command(epilog=exit_codes(finished="written", failed="written, but some photos are missing"))
@results_argument
@option("--out", type=NonEmptyPath(dir_okay=False), required=True, metavar="FILE", help="The page.")
@overwrite_option
@top_options
@option("--title", default="Photos", metavar="TEXT", help="Heading of the page.")
@option(
    "--pictures",
    type=NonEmptyPath(file_okay=False),
    metavar="DIR",
    show_default="in the page itself",
    help="Folder for the pictures, new or empty.",
)
def report(
    results: Path,
    out: Path,
    overwrite: bool,
    top: tuple[str, int],
    everybody: bool,
    title: str,
    pictures: Path | None,
) -> None:
    """Write a page of the best photos, to be sent.

    RESULTS is a result folder of gudi batch, which is only read. The page has the photos without
    boxes, at most 1200 pixels large and without their metadata, and their names; no other emotions,
    numbers, settings or paths. The photos must be where they were, as seen from the current folder.

    \b
    Examples:
      gudi report results/ --top happy 30 --out page.html --title "Summer party"
      gudi report results/ --top happy 30 --out page.html --pictures pictures/
    """
    from gudi.files import check_replaceable
    from gudi.pipeline.best_photos import best_photos, write_page

    check_replaceable(out, overwrite=overwrite)
    photos = best_photos(results, *top, everybody=everybody)
    failed = write_page(photos, out, title=title, pictures=pictures, progress=terminal_progress())
    click.echo(out)
    sys.exit(ExitCode.SOME_INPUTS_FAILED if failed else ExitCode.FINISHED)


@click.command(epilog=exit_codes(finished="finished", failed="some photos could not be copied"))
@results_argument
@top_options
@option(
    "--copy",
    type=NonEmptyPath(file_okay=False),
    metavar="DIR",
    show_default="print only",
    help="Copy the files of the photos to this folder, new or empty. Photos of the same name get "
    "numbers.",
)
def select(results: Path, top: tuple[str, int], everybody: bool, copy: Path | None) -> None:
    """Choose the best photos: print them, and copy their files.

    RESULTS is a result folder of gudi batch, which is only read. Prints one line per photo,
    separated by tabs: photo, and probability of the emotion. To be copied, the photos must be where
    they were, as seen from the current folder.

    \b
    Examples:
      gudi select results/ --top happy 10 --copy best/
      gudi select results/ --top happy 10 --everybody
    """
    from gudi.pipeline.best_photos import best_photos, copy_photos

    photos = best_photos(results, *top, everybody=everybody)
    failed = 0 if copy is None else copy_photos(photos, copy, terminal_progress())
    for photo in photos:
        print_results(f"{photo.source.name}\t{photo.probability:.3f}")
    sys.exit(ExitCode.SOME_INPUTS_FAILED if failed else ExitCode.FINISHED)

"""`gudi plot`."""

from __future__ import annotations

from pathlib import Path

import click

from gudi.cli.group import exit_codes
from gudi.cli.options import NonEmptyPath, option
from gudi.progress import terminal_progress


@click.command(epilog=exit_codes(finished="written"))
@click.argument("results", type=NonEmptyPath(file_okay=False, exists=True))
@option(
    "--out",
    type=NonEmptyPath(file_okay=False),
    metavar="DIR",
    show_default="plots/ in RESULTS",
    help="Folder for the pictures.",
)
@option(
    "--format",
    "formats",
    type=click.Choice(["png", "svg"]),
    multiple=True,
    default=["png", "svg"],
    help="Format of the pictures. Repeat the option for both.",
)
def plot(results: Path, out: Path | None, formats: tuple[str, ...]) -> None:
    """Draw pictures of a result folder for papers and slides.

    RESULTS is a result folder of gudi batch, which is only read. For the contact sheet, the photos
    and videos must be where they were, as seen from the current folder.

    \b
    The folder of --out receives
      distribution    how many faces have which emotion
      timelines/      for each video, the probability of each emotion over time
      contact_sheet   the strongest faces of each emotion

    \b
    Examples:
      gudi plot results/
      gudi plot results/ --out figures/ --format svg
    """
    from gudi.pipeline.plot import plot as write_plots

    for path in write_plots(
        results, out or results / "plots", tuple(dict.fromkeys(formats)), terminal_progress()
    ):
        click.echo(path)

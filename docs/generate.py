"""Write the sections of the documentation that are made from gudi's declarations.

Usage: python docs/generate.py [--check]

In all pages of this folder, the text from `<!-- generated: NAME -->` to `<!-- end -->` is replaced
by the section of that name. With --check nothing is written, and the exit code is 1 if a page is
not up to date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from gudi import columns
from gudi.columns import Column
from gudi.constants import EMOTIONS
from gudi.declarations import Option, declared
from gudi.settings import BatchOptions
from gudi.training.training_settings import TrainingSettings

DOCS = Path(__file__).parent
SECTION = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    cells = ((cell.replace("|", r"\|") for cell in line) for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def options() -> str:
    """Return the table of the options of `gudi batch` that are arguments of `gudi.batch`, too."""
    return table(
        ("Option", "Default", "Changes results", "Meaning"),
        [
            (_spelling(each), _default(each), "yes" if each.changes_results else "", each.help)
            for each in declared(BatchOptions).values()
        ],
    )


def _spelling(option: Option) -> str:
    name = option.name.replace("_", "-")
    if option.kind is bool:
        return f"`--{name}`" if option.action else f"`--{name}`, `--no-{name}`"
    return f"`--{name} {option.metavar or '|'.join(option.choices)}`"


def _default(option: Option) -> str:
    if option.shown_default is not None:
        return option.shown_default
    return str(option.default) if option.kind is not bool else "yes" if option.default else "no"


def column_table(table_columns: Iterable[Column]) -> str:
    """Return the table of the columns of one of gudi's tables."""
    return table(
        ("column", "unit", "content"),
        [(_headers(each), each.unit, each.about) for each in table_columns],
    )


def _headers(column: Column) -> str:
    if not column.per_emotion:
        return f"`{column.name}`"
    return f"`{column.name}{EMOTIONS[0]}` … `{column.name}{EMOTIONS[-1]}`"


def training_settings() -> str:
    """Return the table of the settings of a training."""
    return table(
        ("setting", "default", "allowed", "effect"),
        [
            (
                f"`{name}`",
                _setting_default(each.default),
                each.metavar or each.requirement,
                each.help,
            )
            for name, each in declared(TrainingSettings).items()
        ],
    )


def _setting_default(value: object) -> str:
    value = list(value) if isinstance(value, tuple) else value
    return f'"{value}"' if isinstance(value, str) else str(value)


SECTIONS = {
    "options": options,
    "faces": lambda: column_table(each for each in columns.FACES if not each.tracked),
    "faces_tracked": lambda: column_table(each for each in columns.FACES if each.tracked),
    "videos": lambda: column_table(columns.VIDEOS),
    "tracks": lambda: column_table(columns.TRACKS),
    "frames": lambda: column_table(columns.FRAMES[:6]),
    "summary": lambda: column_table((*columns.SUMMARY, *columns.CHANGES)),
    "files": lambda: column_table(columns.FILES),
    "training_settings": training_settings,
}


def main(arguments: Sequence[str]) -> int:
    """Write or check all pages; return the exit code."""
    stale = []
    for page in sorted(DOCS.glob("*.md")):
        before = page.read_text(encoding="utf-8")
        text = SECTION.sub(lambda found: f"{found[1]}\n{SECTIONS[found[2]]()}\n{found[3]}", before)
        if text == before:
            continue
        stale.append(page.name)
        if "--check" not in arguments:
            page.write_text(text, encoding="utf-8", newline="\n")
    if stale and "--check" in arguments:
        print(f"not up to date: {', '.join(stale)}; run python docs/generate.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Write the tables of the documentation that follow from the code.

    python docs/update_tables.py

A page holds a table between `<!-- NAME -->` and `<!-- /NAME -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from gudi.training.settings import SETTINGS, describe_allowed

DOCS = Path(__file__).parent


def training_settings() -> str:
    """Return the table of the settings of a training."""
    rows = ["| setting | default | allowed | effect |", "|---|---|---|---|"]
    for name, each in SETTINGS.items():
        default = list(each.default) if isinstance(each.default, tuple) else each.default
        shown = f'"{default}"' if isinstance(default, str) else default
        rows.append(f"| `{name}` | {shown} | {describe_allowed(each)} | {each.metadata['text']} |")
    return "\n".join(rows)


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "training settings": ("training.md", training_settings),
}


def with_table(page: str, name: str, table: str) -> str:
    """Return the text of a page with its table `name` replaced."""
    before, after = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    pattern = f"{re.escape(before)}.*?{re.escape(after)}"
    text, count = re.subn(pattern, lambda _: f"{before}{table}\n{after}", page, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{name} is {count} times in the page")
    return text


def main() -> None:
    """Update all tables."""
    for name, (page, table) in TABLES.items():
        path = DOCS / page
        path.write_text(with_table(path.read_text("utf-8"), name, table()), encoding="utf-8")


if __name__ == "__main__":
    main()

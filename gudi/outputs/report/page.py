"""Write `report.html`."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path
from string import Template

from gudi.errors import one_line
from gudi.files import atomic_write, write_errors
from gudi.outputs import folder
from gudi.outputs.report.rows import Rows, to_json
from gudi.outputs.report.summary import as_text, list_inputs, run_parts
from gudi.outputs.run_record import RunRecord
from gudi.settings import FORMATS
from gudi.store import Store

TABLES = (
    *(f"{name}.{format}" for name in folder.TABLES for format in FORMATS),
    "files.csv",
    "run.json",
)

# One module of the page, in this order.
SCRIPTS = ("base.js", "inputs.js", "videos.js", "start.js")


def write(path: Path, run: RunRecord, store: Store, *, tracked: bool = False) -> None:
    """Write the report of a run to `path`. The file appears complete or not at all.

    Args:
        path: in the result folder.
        run: the run record. What is unknown in it is omitted.
        store: holds the results; inputs are shown by name.
        tracked: whether to show the tracks of videos.

    Raises:
        OutputError: it cannot be written, or the store cannot be read.
    """
    page, style, script = (
        read_part("page.html"),
        read_part("page.css"),
        "\n".join(map(read_part, SCRIPTS)),
    )
    start, tail = page.split("<!-- rows -->")
    rows = Rows(store, path.parent, tracked=tracked)
    title = f"gudi: {', '.join(list_inputs(run)) or 'report'}"
    with write_errors(path), atomic_write(path) as file:
        file.write(f"{head(title, style, script)}{start}".encode())
        file.writelines(row.encode() for row in rows)
        about = {
            "emotions": [one_line(emotion) for emotion in store.emotions],
            "extra": store.extra,
            "thumbnails": rows.thumbnails(),
            "dialect": run.settings.get("csv_dialect"),
        }
        parts = {**run_parts(run, store, rows), "tables": _tables(path.parent)}
        file.write(Template(tail).substitute(parts, about=to_json(about), script=script).encode())


def _tables(folder: Path) -> str:
    """Return links to the tables in the folder of the report."""
    existing = (name for name in TABLES if (folder / name).exists())
    return ", ".join(f'<a href="{name}">{name}</a>' for name in existing)


def read_part(name: str) -> str:
    """Return the text of a file in this package."""
    return resources.files("gudi.outputs.report").joinpath(name).read_text(encoding="utf-8")


def head(title: str, style: str, script: str = "") -> str:
    """Return the start of a page, which allows only its own style and script."""
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src 'self' data:; "
        f"media-src 'self'; style-src {_hash(style)}; script-src {_hash(script)}"
    )
    template = Template(read_part("head.html"))
    return template.substitute(title=as_text(title), policy=policy, style=style)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

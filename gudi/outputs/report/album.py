"""A page of chosen photos, to be sent to somebody: nothing but their pictures and names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from string import Template
from urllib.parse import quote

from gudi.files import atomic_write, write_errors
from gudi.outputs.report.page import head, read_part
from gudi.outputs.report.summary import as_text

_PHOTO = Template(
    '<li><figure><img src="$picture" alt="$name" loading="lazy">'
    "<figcaption><bdi>$name</bdi></figcaption></figure></li>\n"
)


def write(path: Path, title: str, photos: Iterable[tuple[str, str]]) -> None:
    """Write the page to `path`. The file appears complete or not at all.

    Args:
        path: the file.
        title: of the page.
        photos: name and URL of each picture; they are written one by one.

    Raises:
        OutputError: it cannot be written.
    """
    style = read_part("album.css")
    with write_errors(path), atomic_write(path) as file:
        file.write(f"{head(title, style)}<h1>{as_text(title)}</h1>\n<ul>\n".encode())
        for name, picture in photos:
            file.write(_PHOTO.substitute(name=as_text(name), picture=picture).encode())
        file.write(b"</ul>\n</body>\n</html>\n")


def link(path: str) -> str:
    """Return a path, which may contain any bytes, as a relative URL."""
    return quote(os.fsencode(path).replace(os.sep.encode(), b"/"), safe="/")

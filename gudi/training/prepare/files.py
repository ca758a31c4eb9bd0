"""The files of a data set, in folders and in archives."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from gudi.media.source import Source

ARCHIVE_SUFFIX = re.compile(r"\.(zip|tar|tar\.gz|tgz)$", re.IGNORECASE)


Parts = tuple[str, ...]


def files_in(source: Source, parts: Parts = ()) -> Iterator[tuple[Parts, Source]]:
    """Yield the files in a folder or an archive, and in archives there, with the parts of their
    paths; archives count as folders.
    """
    if not source.member and os.path.isdir(source.path):
        for name in sorted(os.listdir(source.path)):
            inner = Source.of(os.path.join(source.path, name))
            yield from files_in(inner, (*parts, ARCHIVE_SUFFIX.sub("", name)))
    elif ARCHIVE_SUFFIX.search(source.member[-1] if source.member else source.path):
        for member in source.members():
            names = ARCHIVE_SUFFIX.sub("", member.name).split("/")
            yield from files_in(source.with_member(member.name), (*parts, *names))
    else:
        yield parts or (source.path,), source

"""The rows of the report: one JSON array per input, for the page's script."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gudi.media.content import VIDEO
from gudi.outputs.folder import ANNOTATED, thumbnail_path
from gudi.outputs.report.videos import rounded, video_content
from gudi.settings import PICTURE, THUMBNAIL
from gudi.store import Store
from gudi.store.inputs import FAILED, Input

# What a browser filters without a noticeable delay. A video takes up to 16 kB, and its subtitles.
MAX_LISTED = 100_000
MAX_FAILURES = 10_000
MAX_VIDEOS = 2_000
MAX_SUBTITLES = 4 * 2**20

# Thumbnails that are embedded in the page. If there are more, they stay in files next to it.
MAX_EMBEDDED = 300
MAX_EMBEDDED_BYTES = 4 * 2**20


class Rows:
    """The rows, separated by commas, of the inputs that the page has room for. Iterate once.

    Args:
        store: holds the results.
        folder: the folder of the report.
        tracked: whether to show tracks.

    Attributes:
        listed, failures: number of rows so far, and of those that failed.
        videos: number of videos that the page shows over time.
        subtitles: number of characters of their subtitles.
    """

    def __init__(self, store: Store, folder: Path, *, tracked: bool) -> None:
        self._store, self._folder, self._tracked = store, folder, tracked
        self.listed = self.failures = self.videos = self.subtitles = 0
        self._extra, self._thumbnails = store.extra, dict[int, Path]()

    def __iter__(self) -> Iterator[str]:
        for record in self._store.inputs.finished():
            failed = record.final_status == FAILED
            others = self.listed - self.failures
            if self.failures < MAX_FAILURES if failed else others < MAX_LISTED:
                yield (",\n" if self.listed else "") + to_json(self._row(record))
                self.listed += 1
                self.failures += failed

    def thumbnails(self) -> dict[int, str]:
        """Return the thumbnails to embed by row, in base64: all that exist, or none if many."""
        existing = {row: path for row, path in self._thumbnails.items() if path.is_file()}
        size = sum(path.stat().st_size for path in existing.values())
        if len(self._thumbnails) > MAX_EMBEDDED or size > MAX_EMBEDDED_BYTES:
            return {}
        return {row: base64.b64encode(path.read_bytes()).decode() for row, path in existing.items()}

    def _row(self, record: Input) -> list[Any]:
        """Return the values that the page's script expects, without empty ones at the end."""
        found, score = self._emotions(record)
        is_drawn = record.annotated and record.drawn & PICTURE
        annotated = f"{ANNOTATED}/{record.annotated}" if is_drawn else None
        row = [
            record.source.name, record.source.kind, record.final_status, found,
            record.width, record.height, record.frames, _link(annotated),
            _link(self._thumbnail(record)), record.final_error, score,
            self._video(record) if record.source.kind == VIDEO else None,
            [record.extra.get(name, "") for name in self._extra],
        ]  # fmt: skip
        while not row[-1]:
            row.pop()
        return row

    def _emotions(self, record: Input) -> tuple[list[int], int]:
        """Return the faces of a row, counted by emotion.

        Returns:
            A flat list with three numbers for each top emotion: its index, the number of faces with
            it, and their highest probability in thousandths. The emotions are sorted by this
            probability, highest first. Then the highest score of a face, rounded down.
        """
        counts = self._store.statistics.emotions_of(record) if record.faces else []
        ordered = sorted(
            (-round(1000 * each.confidence), self._store.emotions.index(each.emotion), each.faces)
            for each in counts
        )
        found = [number for least, index, faces in ordered for number in (index, faces, -least)]
        return found, int(max((each.score for each in counts), default=0))

    def _thumbnail(self, record: Input) -> str | None:
        if not record.drawn & THUMBNAIL:
            return None
        path = thumbnail_path(record)
        if len(self._thumbnails) <= MAX_EMBEDDED:
            self._thumbnails[self.listed] = self._folder / path
        return path

    def _video(self, record: Input) -> dict[str, Any] | None:
        """Return what the page shows of a video besides what it shows of photos."""
        summary = self._store.videos.summary(record)
        shares = rounded(1000, summary, "share_", self._store.emotions)
        if shares is None:  # no face, or not for any time
            return None
        content: dict[str, Any] = {"shares": shares}
        if summary["face_time_s"] is not None:
            content["seconds"] = round(summary["face_time_s"], 3)
        if self.videos == MAX_VIDEOS:
            return content
        self.videos += 1
        content |= video_content(self._store, record, summary, self._folder, tracked=self._tracked)
        self.subtitles += len(content.get("subtitles", ""))
        if self.subtitles > MAX_SUBTITLES:
            content.pop("subtitles", None)
        for peak in content.get("peaks", ()):
            peak[-1] = _link(peak[-1])
        return content


def to_json(value: Any) -> str:
    """Return `value` as JSON that is safe inside a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _link(path: str | None) -> str | None:
    """Return `path`, which may contain any bytes, as a relative URL."""
    return path and quote(path.encode("utf-8", "surrogateescape"), safe="/")

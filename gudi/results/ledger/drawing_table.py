"""Which pictures have been drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gudi.results.ledger.database import Database
from gudi.results.records import SourceRecord
from gudi.settings import AUTO, PICTURE, THUMBNAIL

_UNDRAWN = "run = ? AND faces > 0 AND (drawn & ?) <> ? AND draw_error = ''"


class DrawingTable:
    """The annotated pictures and thumbnails of a ledger.

    Pictures are given as in `SourceRecord.drawn`: `PICTURE`, `THUMBNAIL`, or their sum.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def undrawn(self, pictures: int) -> Iterator[SourceRecord]:
        """Yield the sources of this run that have faces but lack one of `pictures`."""
        return self._database.pages(_UNDRAWN, (self._database.run, pictures, pictures))

    def count_undrawn(self, pictures: int) -> int:
        """Return how many sources `undrawn` would yield."""
        query = f"SELECT count(*) FROM sources WHERE {_UNDRAWN}"
        return int(self._database.value(query, (self._database.run, pictures, pictures)))

    def drawn(self) -> Iterator[SourceRecord]:
        """Yield the sources of this run that have pictures."""
        return self._database.pages("run = ? AND drawn", (self._database.run,))

    def outdated(self) -> Iterator[SourceRecord]:
        """Yield the sources whose pictures show nothing of this run."""
        return self._database.pages(
            "(picture IS NOT NULL OR drawn) AND (run <> ? OR status IS NOT NULL AND NOT faces)",
            (self._database.run,),
        )

    def assign_path(self, record: SourceRecord, candidates: Iterable[str]) -> str:
        """Return the path of a source's annotated picture below `annotated/`.

        That is the path that it has, or the first of `candidates` that no other picture has.
        """
        if record.picture is not None:
            return record.picture
        taken = "SELECT count(*) FROM sources WHERE picture = ?"
        path = next(each for each in candidates if not self._database.value(taken, (each,)))
        self._database.write("UPDATE sources SET picture = ? WHERE id = ?", (path, record.id))
        return path

    def style(self, picture: int) -> str:
        """Return in which style `picture`, one kind, is drawn; see `gudi.settings.drawn_parts`."""
        styles: dict[str, str] = self._database.setting("styles", {})
        return str(styles.get(str(picture), AUTO))

    def store_style(self, pictures: int, style: str) -> None:
        """Note in which style `pictures` are drawn from now on."""
        kinds = [each for each in (PICTURE, THUMBNAIL) if each & pictures]
        styles: dict[str, str] = self._database.setting("styles", {})
        self._database.store_setting("styles", styles | {str(each): style for each in kinds})

    def mark_drawn(self, record: SourceRecord, pictures: int, error: str = "") -> None:
        """Note that `pictures` of a source exist, or why they cannot be drawn."""
        self._database.write(
            "UPDATE sources SET drawn = drawn | ?, draw_error = ? WHERE id = ?",
            (0 if error else pictures, error, record.id),
        )

    def mark_missing(self, record: SourceRecord, pictures: int) -> None:
        """Note that `pictures` of a source do not exist any more, and should be drawn again."""
        self._database.write(
            "UPDATE sources SET drawn = drawn & ~? WHERE id = ?", (pictures, record.id)
        )

    def mark_removed(self, record: SourceRecord) -> None:
        """Note that a source has no pictures any more."""
        self._database.write(
            "UPDATE sources SET picture = NULL, drawn = 0 WHERE id = ?", (record.id,)
        )

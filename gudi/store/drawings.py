"""Which pictures have been drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gudi.settings import AUTO
from gudi.store.database import Database
from gudi.store.inputs import Input, InputTable

_UNDRAWN = "run = ? AND faces > 0 AND (drawn & ?) <> ? AND draw_error = ''"


class DrawingTable:
    """The annotated pictures and thumbnails of a store.

    Pictures are given as in `Input.drawn`: `PICTURE`, `THUMBNAIL`, or their sum.
    """

    def __init__(self, database: Database, inputs: InputTable) -> None:
        self._database, self._inputs = database, inputs

    def undrawn(self, pictures: int) -> Iterator[Input]:
        """Yield the inputs of this run that have faces but lack one of `pictures`."""
        return self._inputs.pages(_UNDRAWN, (self._database.run, pictures, pictures))

    def count_undrawn(self, pictures: int, kind: str = "%") -> int:
        """Return how many inputs of a `kind` `undrawn` would yield."""
        query = f"SELECT count(*) FROM inputs WHERE {_UNDRAWN} AND kind LIKE ?"
        return int(self._database.value(query, (self._database.run, pictures, pictures, kind)))

    def drawn(self) -> Iterator[Input]:
        """Yield the inputs of this run that have pictures."""
        return self._inputs.pages("run = ? AND drawn", (self._database.run,))

    def outdated(self) -> Iterator[Input]:
        """Yield the inputs whose pictures show nothing of this run."""
        return self._inputs.pages(
            "(annotated IS NOT NULL OR drawn) AND (run <> ? OR status IS NOT NULL AND NOT faces)",
            (self._database.run,),
        )

    def assign_path(self, record: Input, candidates: Iterable[str]) -> str:
        """Return the path of an input's annotated picture below `annotated/`.

        That is the path that it has, or the first of `candidates` that no other picture has.
        """
        if record.annotated is not None:
            return record.annotated
        taken = "SELECT count(*) FROM inputs WHERE annotated = ?"
        path = next(each for each in candidates if not self._database.value(taken, (each,)))
        self._database.write("UPDATE inputs SET annotated = ? WHERE input = ?", (path, record.id))
        return path

    def style(self, picture: int) -> str:
        """Return in which style `picture`, one kind, is drawn; see `gudi.settings.drawn_parts`."""
        styles: dict[str, str] = self._database.setting("styles", {})
        return str(styles.get(str(picture), AUTO))

    def store_style(self, picture: int, style: str) -> None:
        """Note in which style `picture`, one kind, is drawn from now on."""
        styles: dict[str, str] = self._database.setting("styles", {})
        self._database.store_setting("styles", styles | {str(picture): style})

    def mark_drawn(self, record: Input, pictures: int, error: str = "") -> None:
        """Note that `pictures` of an input exist, or why they cannot be drawn."""
        self._database.write(
            "UPDATE inputs SET drawn = drawn | ?, draw_error = ? WHERE input = ?",
            (0 if error else pictures, error, record.id),
        )

    def mark_missing(self, record: Input, pictures: int) -> None:
        """Note that `pictures` of an input were deleted, so that they are drawn again."""
        self._database.write(
            "UPDATE inputs SET drawn = drawn & ~? WHERE input = ?", (pictures, record.id)
        )

    def mark_removed(self, record: Input) -> None:
        """Note that the pictures of an input were removed."""
        self._database.write(
            "UPDATE inputs SET annotated = NULL, drawn = 0 WHERE input = ?", (record.id,)
        )

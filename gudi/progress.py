"""How long-running work tells how far it is."""

from __future__ import annotations


class Progress:
    """Told how far the work is; this one keeps it to itself."""

    def note(self, text: str) -> None:
        """There is something that a person should know."""

    def begin(self, label: str, total: int) -> None:
        """A stage of `total` items begins."""

    def advance(self, item: object = None) -> None:
        """One more item of the stage is done."""

    def end(self) -> None:
        """The stage is over."""

"""How quickly items are done at the moment."""

from __future__ import annotations


class Pace:
    """A running mean of the seconds that an item takes, in which the last ten or so count."""

    def __init__(self) -> None:
        self.seconds = 1.0  # so that items count as slow until enough of them were quick

    def note(self, seconds: float) -> None:
        """Take into account that an item took `seconds`."""
        self.seconds += 0.2 * (seconds - self.seconds)

    def items_within(self, seconds: float, least: int, most: int) -> int:
        """Return how many items take `seconds` together, but at least and at most so many."""
        return max(least, min(int(seconds / max(self.seconds, 1e-9)), most))

"""Moving average of the seconds per item."""

from __future__ import annotations


class MovingAverage:
    """Exponential moving average of the seconds per item, over about the last ten items."""

    def __init__(self) -> None:
        self.seconds = 1.0  # items count as slow until several have been quick

    def add(self, seconds: float) -> None:
        """Include an item that took `seconds`."""
        self.seconds += 0.2 * (seconds - self.seconds)

    def items_within(self, seconds: float, least: int, most: int) -> int:
        """Return how many items take `seconds` together, between `least` and `most`."""
        return max(least, min(int(seconds / max(self.seconds, 1e-9)), most))

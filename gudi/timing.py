"""Measure how long the stages of some work take."""

from __future__ import annotations

import time
from collections.abc import Mapping


class StageSeconds(dict[str, float]):
    """Seconds by stage."""

    def count(self, stage: str, seconds: float) -> None:
        """Add seconds to a stage."""
        self[stage] = self.get(stage, 0.0) + seconds

    def add(self, other: Mapping[str, float]) -> None:
        """Add the seconds of all stages of `other`."""
        for stage, seconds in other.items():
            self.count(stage, seconds)


class StageClock:
    """Divides the elapsed time among stages, and adds it to `seconds`."""

    def __init__(self, seconds: StageSeconds) -> None:
        self._seconds = seconds
        self._since = time.perf_counter()

    def stop(self, stage: str) -> None:
        """Count the time since the last stop, or since the start, as `stage`."""
        now = time.perf_counter()
        self._seconds.count(stage, now - self._since)
        self._since = now

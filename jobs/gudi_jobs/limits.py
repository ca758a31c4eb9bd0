"""Limits on the time of an item and the memory of its process."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from gudi_jobs.errors import JobError, TimedOut, TooMuchMemory
from gudi_jobs.workers import Worker

# Seconds between two checks; for short timeouts, this part of the timeout.
INTERVAL, TIMEOUT_PART = 0.2, 0.2


@dataclass
class Limits:
    """The limits of a pool; None for no limit.

    Attributes:
        timeout: seconds that an item may run.
        memory: bytes of resident memory that a process may have.
    """

    timeout: float | None
    memory: int | None
    _last_check: float = field(default_factory=time.monotonic)

    @property
    def interval(self) -> float:
        """Seconds until the next check; infinite without limits."""
        if self.timeout is not None:
            return min(INTERVAL, TIMEOUT_PART * self.timeout)
        return math.inf if self.memory is None else INTERVAL

    def exceeded(self, workers: Iterable[Worker]) -> dict[Worker, JobError]:
        """Return the workers whose running task has to be stopped, and why."""
        now, found = time.monotonic(), {}
        if now - self._last_check >= self.interval:
            self._last_check = now
            for worker in workers:
                # A result that waits to be received is in time.
                if worker.is_running and not worker.has_unread() and (error := self._error(worker)):
                    found[worker] = error
        return found

    def _error(self, worker: Worker) -> JobError | None:
        if self.memory is not None and worker.resident_memory() > self.memory:
            limit = f"{self.memory // 2**20:,} MB"
            return TooMuchMemory(f"stopped because it took more than {limit} of memory")
        if self.timeout is not None:
            worker.count_time(2 * self.interval)
            if worker.run_time > self.timeout:
                return TimedOut(f"stopped after {self.timeout:g} s")
        return None

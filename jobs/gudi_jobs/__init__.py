"""Run one function over many items in parallel, whatever the items do to the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gudi_jobs.errors import JobError, TimedOut, TooMuchMemory, WorkerDied, WorkersUnavailable
from gudi_jobs.outcome import Outcome
from gudi_jobs.runner import Workers, cpu_count
from gudi_jobs.supply import Supply

if TYPE_CHECKING:
    from gudi_jobs.cluster import Cluster

__all__ = [
    "Cluster",
    "JobError",
    "Outcome",
    "Supply",
    "TimedOut",
    "TooMuchMemory",
    "WorkerDied",
    "Workers",
    "WorkersUnavailable",
    "cpu_count",
]


def __getattr__(name: str) -> object:
    """Import `Cluster` on first use: few programs need it, and asyncio takes long to import."""
    if name != "Cluster":
        raise AttributeError(f"module 'gudi_jobs' has no attribute {name!r}")
    from gudi_jobs.cluster import Cluster

    return Cluster

"""Run one function over many items in parallel, whatever the items do to the workers."""

from jobs.cluster import Cluster
from jobs.errors import JobError, TimedOut, TooMuchMemory, WorkerDied, WorkersUnavailable
from jobs.outcome import Outcome
from jobs.runner import Workers, cpu_count
from jobs.supply import Supply

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

"""What can go wrong with a worker, apart from what the work itself raises.

JobError
├── WorkerDied            the item killed its worker, each time it was tried
├── TimedOut              the item ran longer than it was given
├── TooMuchMemory         the item took more memory than it was given
└── WorkersUnavailable    workers cannot be started at all; ends the run

All but the last are the outcome of one item; that is raised by `jobs.Workers.run`.
"""


class JobError(Exception):
    """Base class of everything that `jobs` reports by itself."""


class WorkerDied(JobError):
    """The worker process ended while it ran the item."""


class TimedOut(JobError):
    """The item was stopped because its time was up."""


class TooMuchMemory(JobError):
    """The item was stopped because its worker had grown too large."""


class WorkersUnavailable(JobError):
    """No worker process could be started."""

"""What can go wrong with a worker, apart from what the work itself raises.

JobError
├── WorkerDied            the item killed its worker, each time it was tried
├── TimedOut              the item ran longer than allowed
├── TooMuchMemory         the item took more memory than allowed
└── WorkersUnavailable    no workers can be started; ends the run

`WorkersUnavailable` is raised by `run`. The others are the outcome of one item.
"""


class JobError(Exception):
    """Base class of everything that `gudi_jobs` reports by itself."""


class WorkerDied(JobError):
    """The worker process ended while it ran the item."""


class TimedOut(JobError):
    """The item was stopped because it ran too long."""


class TooMuchMemory(JobError):
    """The item was stopped because its worker process grew too large."""


class WorkersUnavailable(JobError):
    """No worker process could be started."""

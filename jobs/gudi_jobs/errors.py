"""Errors of workers, apart from what the function itself raises.

JobError
├── WorkerDied            the item killed its worker, each time it was tried
├── TimedOut              the item ran longer than its timeout
├── TooMuchMemory         the item took more memory than allowed
└── WorkersUnavailable    no workers can be started; raised by `map_unordered`

All but `WorkersUnavailable` are the `error` of one `Result`.
"""


class JobError(Exception):
    """Base class of all errors of `gudi_jobs`."""


class WorkerDied(JobError):
    """The worker process ended while it ran the item."""


class TimedOut(JobError):
    """The item was stopped because it ran too long."""


class TooMuchMemory(JobError):
    """The item was stopped because its worker process grew too large."""


class WorkersUnavailable(JobError):
    """No worker could be started."""

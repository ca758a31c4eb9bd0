"""What can go wrong with a worker, apart from what the work itself raises.

JobError
├── WorkerDied            the item killed its worker, each time it was tried
├── TimedOut              the item ran longer than it was given
└── WorkersUnavailable    workers cannot be started at all; ends the run

The first two are the outcome of one item; the last is raised by `jobs.Workers.run`.
"""


class JobError(Exception):
    """Base class of everything that `jobs` reports by itself."""


class WorkerDied(JobError):
    """The worker process ended while it ran the item."""


class TimedOut(JobError):
    """The item was stopped because its time was up."""


class WorkersUnavailable(JobError):
    """No worker process could be started."""

"""The error of this package. A message is one line: what is wrong, where, what would be right."""


class WorkloadError(ValueError):
    """A workload, generator or trace is unknown, malformed or inconsistent."""

"""What a workload refuses, said in one line: what, where, what would be right."""


class WorkloadError(ValueError):
    """A workload, generator or trace that is unknown, malformed or inconsistent."""

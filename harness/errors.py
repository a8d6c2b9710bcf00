"""What the harness refuses, said in one line: what, where, what would be right."""


class HarnessError(ValueError):
    """The request was wrong: the command ends with exit status 2."""


class RecordError(HarnessError):
    """A run directory that does not hold what its schema promises."""


class InterruptedRunError(Exception):
    """A run ended before all of its cells were there, by a signal or for want of something that the
    machine has: the command ends with exit status 3."""
